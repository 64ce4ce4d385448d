"""Addresses as grpcio names them."""

import pytest

from goplugin.handshake import Address, Tcp, Unix
from goplugin.transport import target


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (Unix("/tmp/p"), "unix:/tmp/p"),
        (Tcp("127.0.0.1", 5), "ipv4:127.0.0.1:5"),
        (Tcp("", 5), "ipv4:127.0.0.1:5"),
        (Tcp("::1", 5), "ipv6:[::1]:5"),
        (Tcp("localhost", 5), "dns:///localhost:5"),
    ],
)
def test_a_literal_address_needs_no_resolver(address: Address, name: str) -> None:
    assert target(address) == name
