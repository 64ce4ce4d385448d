"""Plugins that are not who they say: each is refused with an error that says so, none is talked to in plain text."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from bare_plugin import Plugin
from foreign_certificates import Foreign
from key_files import Watch
from other_users import intrude, users
from shells import SHELLS, SUPPORT, Shell, program

from goplugin.handshake import HandshakeRefused, Line, TlsRefused, Unix
from goplugin.transport.tls import PeerRefused, Refusal

Start = Callable[..., Shell]


@pytest.fixture(params=SHELLS)
def client(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Make clients of either shell, and stop each in the end."""
    made: list[Shell] = []

    def make(form: str, **options: Any) -> Shell:
        made.append(SHELLS[request.param]([*program("tls.py"), form], **{"auto_mtls": True} | options))
        return made[-1]

    yield make
    for shell in made:
        shell.close()


@pytest.mark.parametrize(("form", "multiplex"), [("good-p256", False), ("good-rsa", False), ("good-p256", True)])
def test_a_plugin_that_is_who_it_says_is_talked_to(client: Start, form: str, multiplex: bool) -> None:
    """On grpcio's own TLS, over the relay, multiplexed: so it is for their TLS alone that the others are refused."""
    shell = client(form, multiplex=multiplex)
    shell.start()
    assert shell.call(shell.echo().echo, b"hello") == b"hello"


@pytest.mark.parametrize(
    ("form", "multiplex", "refusal"),
    [
        ("other-for-p521", False, Refusal.OTHER_CERTIFICATE),
        ("other-for-rsa", False, Refusal.OTHER_CERTIFICATE),
        ("plain-for-p521", False, Refusal.NO_TLS),
        ("wants-another-host-rsa", False, Refusal.LEFT_AT_ONCE),
        ("other-for-p256", True, Refusal.OTHER_CERTIFICATE),
        ("plain-for-p256", True, Refusal.NO_TLS),
        ("wants-another-host-p256", True, Refusal.REFUSED_US),
    ],
)
@pytest.mark.fault(11)
def test_over_the_relay_the_error_says_what_was_wrong(
    client: Start, form: str, multiplex: bool, refusal: Refusal
) -> None:
    """Multiplexed, TLS is inside of the streams, and in the relay's hands whatever the certificate."""
    with pytest.raises(TlsRefused) as refused:
        client(form, multiplex=multiplex).start()
    assert isinstance(refused.value.__cause__, PeerRefused)
    assert refused.value.__cause__.refusal is refusal
    assert refusal.value in str(refused.value)


@pytest.mark.parametrize("form", ["other-for-p256", "plain-for-p256", "wants-another-host-p256"])
@pytest.mark.fault(11)
def test_on_grpcios_own_tls_the_error_says_what_grpcio_said(client: Start, form: str) -> None:
    """At once, and not after the start timeout: that would be a StartTimeout."""
    with pytest.raises(TlsRefused) as refused:
        client(form).start()
    assert len(refused.value.reason) > len("there is none")


@pytest.mark.parametrize(
    ("form", "said", "multiplex"),
    [
        ("expired", "expired", False),
        ("garbage", "no X.509", False),
        ("none", "AutoMTLS", False),
        ("none", "AutoMTLS", True),
    ],
)
@pytest.mark.fault(11)
def test_a_line_without_a_certificate_that_is_good_now_is_refused(
    client: Start, form: str, said: str, multiplex: bool
) -> None:
    with pytest.raises(HandshakeRefused, match=said) as refused:
        client(form, multiplex=multiplex).start()
    assert refused.value.field == "server certificate"


@pytest.mark.fault(10)
def test_a_certificate_that_nobody_asked_for_is_refused(client: Start) -> None:
    """Go's host panics here (client.go:926)."""
    with pytest.raises(HandshakeRefused, match="did not ask for AutoMTLS"):
        client("good-p256", auto_mtls=False).start()


PLAIN = """
import sys
from goplugin import hostlib
from goplugin.handshake import Handshake
handshake = Handshake(protocol_version=1, cookie_key="TEST_COOKIE", cookie_value="yes")
with hostlib.Client(sys.argv[1:], handshake, {"echo": lambda channel: channel}) as client:
    client.ping(60)
print(sorted({"cryptography", "goplugin.transport.tls"} & set(sys.modules)))  # grpc itself loads ssl
"""


def test_without_tls_nothing_of_it_is_loaded() -> None:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-c", PLAIN, *program("bare.py")],
        env=os.environ | SUPPORT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"


HOST = """
import sys
from shells import SHELLS
shell = SHELLS[sys.argv[1]](sys.argv[2:], auto_mtls=True)
shell.start()
assert shell.call(shell.echo().echo, b"hello") == b"hello"
print("started", flush=True)
sys.stdin.read()
shell.close()
"""


@pytest.mark.parametrize("form", ["good-p521", "good-p256"])
@pytest.mark.parametrize("shell", SHELLS)
def test_no_private_key_of_a_host_is_ever_in_a_file(shell: str, form: str, nothing_left: str, tmp_path: Path) -> None:
    """Over the relay, and on grpcio's own TLS; as with a plugin's."""
    watch = Watch(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOST, shell, *program("tls.py"), form],
        env=os.environ | watch.env,
        cwd=watch.here,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "started\n"
        assert watch.keys(nothing_left) == []
        host.communicate(timeout=60)
    assert host.returncode == 0
    assert watch.keys(nothing_left) == []
    assert watch.written() == set()


class Far(Plugin):
    """The plugin's server, in this process; its certificate is one for the relay."""

    def __init__(self, directory: str, host: str) -> None:
        super().__init__()
        self.path, certificate = os.path.join(directory, "far"), Foreign.make("RSA")
        pair = certificate.key_pem.encode(), certificate.pem.encode()
        self._pool = ThreadPoolExecutor(8)
        self._far = grpc.server(self._pool, handlers=[self])
        self._far.add_secure_port(f"unix:{self.path}", grpc.ssl_server_credentials([pair], host.encode(), True))
        self._far.start()
        os.chmod(self.path, 0o777)
        self.line = Line(version=1, address=Unix(self.path), server_cert=certificate.der).format()

    def close(self) -> None:
        self.over.set()
        self._far.stop(0).wait(10)
        self._pool.shutdown()


@pytest.mark.fault(30)
@pytest.mark.parametrize(("victim", "attacker"), users())
def test_no_other_process_gets_to_the_plugin_through_a_hosts_relay(
    victim: int, attacker: int, nothing_left: str
) -> None:
    """Neither through a path, nor through what the kernel lists, nor through the host's own descriptors."""
    os.chown(nothing_left, victim, -1)
    os.chmod(nothing_left, 0o755)  # so that no directory of the test is what protects
    line = Path(nothing_left, "line")
    os.mkfifo(line)
    os.chmod(line, 0o644)
    with subprocess.Popen(
        [*program("attacked.py"), str(victim), nothing_left],
        env={**os.environ, **SUPPORT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        far = None
        try:
            assert host.stdout is not None
            line_end = os.open(line, os.O_WRONLY)  # once the plugin reads it, the certificate is there
            far = Far(nothing_left, Path(nothing_left, "certificate").read_text())
            os.write(line_end, far.line)
            os.close(line_end)
            pid = host.stdout.readline()
            assert intrude(attacker, nothing_left, int(pid), far.path) in {"[]", "['a closed door']"}
            said, _ = host.communicate(timeout=60)
            assert said == "served on\n"
        finally:
            host.kill()
            if far is not None:
                far.close()
    for name in ("certificate", "line"):
        os.unlink(Path(nothing_left, name))
