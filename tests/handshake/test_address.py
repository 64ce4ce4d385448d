"""Addresses: the kernel's limit, Go's spellings."""

import pytest

from goplugin.handshake import UNIX_PATH_MAX, Address, HandshakeRefused, Misuse, Tcp, Unix, parse_address


def test_a_unix_path_may_have_107_bytes_and_no_more() -> None:
    assert len(Unix("/" + "x" * 106).path) == UNIX_PATH_MAX
    for path in ("", "/" + "x" * 107, "/" + "é" * 54):
        with pytest.raises(Misuse, match="1 to 107 bytes"):
            Unix(path)


@pytest.mark.parametrize("path", ["/a|b", "/a\nb", "/a\x00b"])
def test_a_unix_path_that_no_line_can_carry_is_refused(path: str) -> None:
    with pytest.raises(Misuse, match="may hold neither"):
        Unix(path)


@pytest.mark.parametrize(("host", "port"), [("h", -1), ("h", 65536), ("a b", 1), ("[::1]", 1), ("a|b", 1)])
def test_a_tcp_address_that_no_line_can_carry_is_refused(host: str, port: int) -> None:
    with pytest.raises(Misuse):
        Tcp(host, port)


@pytest.mark.parametrize(
    ("network", "text", "address"),
    [
        ("unix", "/tmp/x", Unix("/tmp/x")),
        ("unix", "@abstract", Unix("@abstract")),
        ("tcp", "127.0.0.1:80", Tcp("127.0.0.1", 80)),
        ("tcp", ":80", Tcp("", 80)),
        ("tcp", "[::]:80", Tcp("::", 80)),
        ("tcp", "host.example:80", Tcp("host.example", 80)),
    ],
)
def test_what_go_writes_is_read_and_written_alike(network: str, text: str, address: Address) -> None:
    assert parse_address(network, text) == address
    assert (address.network, str(address)) == (network, text)


@pytest.mark.parametrize(
    ("network", "text", "field"),
    [
        ("", "x", "network"),
        ("pipe", "x", "network"),
        ("unix", "", "address"),
        ("tcp", "", "address"),
        ("tcp", "80", "address"),
        ("tcp", "h:", "address"),
        ("tcp", "h:x", "address"),
        ("tcp", "h:٣", "address"),
        ("tcp", "h:99999", "address"),
        ("tcp", "::1:80", "address"),
        ("tcp", "[h]:80", "address"),
        ("tcp", "a b:80", "address"),
    ],
)
def test_what_is_no_address_is_refused_with_the_field(network: str, text: str, field: str) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        parse_address(network, text)
    assert refused.value.field == field
