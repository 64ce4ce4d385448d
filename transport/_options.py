"""grpcio's settings, in one place for both sides. Imports no grpc."""

from collections.abc import Iterable

MESSAGE_MAX = 256 * 1024 * 1024
"""Bytes in one message. Terraform's providers allow as much: a size error is a better answer than the OOM killer.

Both ends must be told: with one end at grpcio's default a message over 4 MiB fails (terraform#20879)."""

_SIZES = (
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.max_send_message_length", MESSAGE_MAX),
)

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_SIZES,
    # With grpcio's default two plugins can bind one TCP port, and the kernel deals calls out to both.
    ("grpc.so_reuseport", 0),
)


def server_arguments(more: Iterable[tuple[str, int | str]]) -> list[tuple[str, int | str]]:
    """Return ours and ``more``, which win: of an option given twice grpcio takes the first."""
    return list((dict(SERVER_OPTIONS) | dict(more)).items())


CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_SIZES,
    # A proxy from the environment must never see a call to a plugin.
    ("grpc.enable_http_proxy", 0),
    # grpcio would share one connection, and its reconnection backoff, between channels to the same address.
    ("grpc.use_local_subchannel_pool", 1),
    # For a Unix socket grpcio's own choice is the escaped path, which some HTTP/2 servers refuse.
    ("grpc.default_authority", "localhost"),
)
