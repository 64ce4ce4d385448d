"""Figures: goplugin against bare grpcio and against its peers, always measured in one and the same run."""
