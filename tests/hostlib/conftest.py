"""Every test of this folder leaves nothing behind."""

from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
