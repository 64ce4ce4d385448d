"""grpcio's options are the same on both sides where they must be."""

from goplugin.transport import CHANNEL_OPTIONS, MESSAGE_MAX, SERVER_OPTIONS


def test_both_sides_allow_256_mib_both_ways() -> None:
    sizes = {("grpc.max_receive_message_length", MESSAGE_MAX), ("grpc.max_send_message_length", MESSAGE_MAX)}
    assert MESSAGE_MAX == 256 * 2**20
    assert sizes <= set(CHANNEL_OPTIONS)
    assert sizes <= set(SERVER_OPTIONS)
