"""A plugin on bare grpcio, as good as any."""

from bare_plugin import Plugin

Plugin().serve()
