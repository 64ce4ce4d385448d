"""Addresses as grpcio names them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from brokering import METHOD, Answers
from leftovers import nothing_left as nothing_left
from leftovers import warm_grpc as warm_grpc

from goplugin.handshake import Address, PluginEnvironment, Tcp, Unix
from goplugin.transport import CHANNEL_OPTIONS, listen, target
from goplugin.transport._listener import binding
from goplugin.transport.tls import InnerServer


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (Unix("/tmp/p"), "unix:/tmp/p"),
        (Unix("/tmp/a%41b#c?d"), "unix:/tmp/a%2541b%23c%3Fd"),
        (Tcp("127.0.0.1", 5), "ipv4:127.0.0.1:5"),
        (Tcp("", 5), "ipv4:127.0.0.1:5"),
        (Tcp("::1", 5), "ipv6:[::1]:5"),
        (Tcp("localhost", 5), "dns:///localhost:5"),
    ],
)
def test_a_literal_address_needs_no_resolver(address: Address, name: str) -> None:
    assert target(address) == name


@pytest.mark.parametrize("name", ["a%41b", "%2e%2e", "100%", "a#b?c d"])
def test_in_a_directory_of_whatever_name_grpcio_binds_and_reaches_the_very_path(nothing_left: str, name: str) -> None:
    directory = Path(nothing_left, name)
    directory.mkdir()
    with ThreadPoolExecutor(1) as workers:
        server = grpc.server(workers)
        Answers(b"yes").register(server)
        listener = listen(binding(server), PluginEnvironment(socket_dir=str(directory)), "unix")
        inner = InnerServer(server, {"TMPDIR": str(directory)})
        server.start()
        assert isinstance(listener.address, Unix)
        assert os.path.dirname(listener.address.path) == str(directory)
        assert os.path.exists(listener.address.path)
        with grpc.insecure_channel(target(listener.address), CHANNEL_OPTIONS) as channel:
            caller: Any = channel
            assert caller.unary_unary(METHOD)(b"?", timeout=10) == b"yes ?"
        server.stop(None).wait()
        inner.close()
        listener.close()
    directory.rmdir()
