"""For every test of this folder: it leaves nothing behind."""

from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc
