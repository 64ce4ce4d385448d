"""Plugins that do not answer a client in plain text, some because they want TLS."""

import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from foreign_certificates import Foreign
from shells import SHELLS, Shell, clients, program

from goplugin.handshake import Address, Tcp, TlsRefused, Unix
from goplugin.hostlib import _silence
from goplugin.hostlib._silence import tls_wanted

Answer = Callable[[socket.socket], object]


def never(seconds: float) -> bool:
    return threading.Event().wait(seconds)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], bool]:
    """Wait for an answer to the greeting, on a busy machine longer than usual; then there is none in plain text."""
    greeted: list[socket.socket] = []
    connected = _silence._connected  # pyright: ignore[reportPrivateUsage]

    def kept(address: Address) -> socket.socket:
        greeted.append(connected(address))
        return greeted[-1]

    def wait(_: float) -> bool:
        select.select(greeted[-1:], [], [], 30)
        return False

    monkeypatch.setattr(_silence, "_connected", kept)
    return wait


def by_tls(certificate: Foreign, version: ssl.TLSVersion) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    with tempfile.NamedTemporaryFile() as file:
        file.write((certificate.key_pem + certificate.pem).encode())
        file.flush()
        context.load_cert_chain(file.name)

    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    return answer


def by_alert(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")


def by_settings(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")


def by_an_end(connection: socket.socket) -> None:
    connection.close()


def by_nothing(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(65536)
        connection.recv(65536)


@pytest.fixture(params=["unix", "tcp"])
def answered(request: pytest.FixtureRequest, nothing_left: str) -> Iterator[Callable[[Answer], Address]]:
    """Serve one connection."""
    threads: list[threading.Thread] = []

    def serve(answer: Answer) -> Address:
        path = f"{nothing_left}/s"
        listener = socket.create_server(("127.0.0.1", 0)) if request.param == "tcp" else socket.socket(socket.AF_UNIX)
        if request.param == "unix":
            listener.bind(path)
            listener.listen()

        def once() -> None:
            with listener:
                connection, _ = listener.accept()
                with connection:
                    answer(connection)

        threads.append(threading.Thread(target=once))
        threads[-1].start()
        return Tcp("127.0.0.1", listener.getsockname()[1]) if request.param == "tcp" else Unix(path)

    yield serve
    for thread in threads:
        thread.join(30)
    Path(f"{nothing_left}/s").unlink(missing_ok=True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_answers_a_tls_greeting_with_tls_wants_it(
    answered: Callable[[Answer], Address], heard: Callable[[float], bool], version: ssl.TLSVersion
) -> None:
    wanted = tls_wanted(answered(by_tls(Foreign.make(), version)), heard)
    assert isinstance(wanted, TlsRefused)
    assert "tls=" in str(wanted)


def test_so_does_who_refuses_it_with_an_alert(
    answered: Callable[[Answer], Address], heard: Callable[[float], bool]
) -> None:
    assert tls_wanted(answered(by_alert), heard) is not None


@pytest.mark.parametrize("answer", [by_settings, by_an_end, by_nothing])
def test_nothing_else_passes_for_tls(answered: Callable[[Answer], Address], answer: Answer) -> None:
    assert tls_wanted(answered(answer), never) is None


def test_who_has_answered_in_plain_text_meanwhile_is_looked_at_no_longer(
    answered: Callable[[Answer], Address],
) -> None:
    refused = threading.Event()

    def answer(connection: socket.socket) -> None:
        by_alert(connection)
        refused.set()

    assert tls_wanted(answered(answer), lambda _: refused.wait(30)) is None


def test_where_nobody_listens_nobody_wants_tls(nothing_left: str) -> None:
    assert tls_wanted(Unix(f"{nothing_left}/nobody"), never) is None


def test_grpcios_own_server_in_plain_text_does_not_want_tls(target: str) -> None:
    assert tls_wanted(Unix(target.removeprefix("unix:")), never) is None


@pytest.fixture(params=SHELLS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Shell]]:
    with clients(request.param) as make:
        yield make


def test_a_plugin_that_serves_tls_is_not_waited_for_in_plain_text(
    make: Callable[..., Shell], heard: Callable[[float], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would be another error, and after the start timeout."""

    def wanted(address: Address, _: object) -> TlsRefused | None:
        return tls_wanted(address, heard)

    monkeypatch.setattr("goplugin.hostlib._plugin.tls_wanted", wanted)
    with pytest.raises(TlsRefused, match=r"serves TLS, and this client was given none.*tls\.py.*pid"):
        make([*program("tls.py"), "silent-tls"], start_timeout=120).start()


def test_a_plugin_that_answers_late_is_waited_for(make: Callable[..., Shell]) -> None:
    late = make(program("answers_late.py"))
    late.start()
    assert late.call(late.echo().echo, b"hello") == b"hello"
