"""grpcio's options are the same on both sides where they must be."""

from goplugin.transport import CHANNEL_OPTIONS, MESSAGE_MAX, SERVER_OPTIONS, server_arguments


def test_both_sides_allow_256_mib_both_ways() -> None:
    sizes = {("grpc.max_receive_message_length", MESSAGE_MAX), ("grpc.max_send_message_length", MESSAGE_MAX)}
    assert MESSAGE_MAX == 256 * 2**20
    assert sizes <= set(CHANNEL_OPTIONS)
    assert sizes <= set(SERVER_OPTIONS)


def test_an_authors_option_takes_the_place_of_ours() -> None:
    ours = dict(SERVER_OPTIONS)
    arguments = server_arguments([("grpc.so_reuseport", 1), ("grpc.max_concurrent_streams", 7)])
    assert sorted(arguments) == sorted((ours | {"grpc.so_reuseport": 1, "grpc.max_concurrent_streams": 7}).items())
