"""Who is let in and who is not. The handshakes are real, in memory; so are the attackers' certificates."""

import ctypes
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from foreign_certificates import NOW, Foreign, context

from goplugin.handshake import Misuse, Unix
from goplugin.transport import CHANNEL_OPTIONS, target
from goplugin.transport._tls import PushedOut
from goplugin.transport.tls import Identity, MutualTls, PeerRefused, Refusal, Tls, explained

DAY = timedelta(days=1)
SERVER, CLIENT = ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT
OURS = Identity.generate(NOW.timestamp())
GO = Foreign.make()  # the peer whose certificate was exchanged


class Side:
    """One side of a connection in memory: ours, with its verdict, or an attacker's."""

    def __init__(self, tls: Tls | ssl.SSLContext) -> None:
        self.tls = tls
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if isinstance(tls, Tls):
            self.session = tls.session(self.incoming, self.outgoing)
        else:
            server = tls.protocol == SERVER
            self.session = tls.wrap_bio(self.incoming, self.outgoing, server_side=server)
        self.outcome: Exception | bool | None = None

    def step(self) -> None:
        """Go on with the handshake, and where it is complete judge the peer."""
        if self.outcome is not None:
            return
        try:
            self.session.do_handshake()
            if isinstance(self.tls, Tls):
                self.tls.judge(self.session)
            self.outcome = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, PeerRefused) as error:
            self.outcome = error

    def after(self) -> bytes:
        """What arrives once the handshake is complete."""
        return self.session.read(100)


def meet(server: Tls | ssl.SSLContext, client: Tls | ssl.SSLContext) -> tuple[Side, Side]:
    """Let the two shake hands until nothing moves any more."""
    one, other = Side(server), Side(client)
    while True:
        other.step()
        one.step()
        moved = [(other.outgoing.read(), one.incoming), (one.outgoing.read(), other.incoming)]
        for data, into in moved:
            into.write(data)
        if not any(data for data, _ in moved):
            return one, other


def verdict(side: Side) -> Refusal | None:
    """Return why our side refused the peer, or None where it did not."""
    match side.outcome:
        case True:
            return None
        case Exception() as error:
            return explained(error).refusal
        case _:
            pytest.fail("the handshake is not over")


@pytest.mark.parametrize(
    "peer",
    [
        *(
            Foreign.make(key, authority=authority)
            for key in ("P-521", "P-384", "P-256", "RSA")
            for authority in (True, False)
        ),
        Foreign.make(issuer=Foreign.make()),
    ],
)
def test_the_peer_whose_certificate_was_exchanged_is_let_in(peer: Foreign) -> None:
    ours, theirs = MutualTls(OURS, peer.parsed), MutualTls(peer.identity, OURS.certificate)
    for server, client in ((ours.server, theirs.client), (theirs.server, ours.client)):
        one, other = meet(server, client)
        assert (verdict(one), verdict(other)) == (None, None)
        assert one.session.version() == "TLSv1.3"
        assert one.session.selected_alpn_protocol() == other.session.selected_alpn_protocol() == "h2"


def test_a_peer_with_tls_1_2_is_let_in() -> None:
    older = context(CLIENT, GO)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    one, _ = meet(MutualTls(OURS, GO.parsed).server, older)
    assert verdict(one) is None
    assert one.session.version() == "TLSv1.2"


SAME_NAME = Foreign.make(serial=GO.certificate.serial_number)  # all but the key is the same
SIGNED = Foreign.make(issuer=GO)  # its own certificate is an authority, but only that certificate may be presented
EXPIRED = Foreign.make(since=-2 * DAY, until=-DAY)
EARLY = Foreign.make(since=DAY)


@dataclass(frozen=True)
class Attack:
    """A peer that must be refused, whose certificate was exchanged as ``known``."""

    presents: Foreign | None
    refusal: Refusal
    known: Foreign = GO
    alpn: tuple[str, ...] = ("h2",)


BOTH = {
    "another self-signed certificate": Attack(Foreign.make(), Refusal.OTHER_CERTIFICATE),
    "another one on P-256": Attack(Foreign.make("P-256"), Refusal.OTHER_CERTIFICATE),
    "the right name and number, the wrong key": Attack(SAME_NAME, Refusal.OTHER_CERTIFICATE),
    "one signed with the right key": Attack(SIGNED, Refusal.OTHER_CERTIFICATE),
    "the right one without ALPN": Attack(GO, Refusal.NO_HTTP2, alpn=()),
    "the right one for HTTP/1.1": Attack(GO, Refusal.NO_HTTP2, alpn=("http/1.1",)),
}


def known(attack: Attack) -> MutualTls:
    return MutualTls(OURS, attack.known.parsed)


@pytest.mark.parametrize("attack", [*BOTH.values(), Attack(None, Refusal.NO_CERTIFICATE)], ids=[*BOTH, "none"])
def test_a_client_that_presents_anything_else_is_refused(attack: Attack) -> None:
    server, _ = meet(known(attack).server, context(CLIENT, attack.presents, alpn=attack.alpn))
    assert verdict(server) is attack.refusal


@pytest.mark.parametrize("attack", BOTH.values(), ids=BOTH)
@pytest.mark.fault(11)
def test_a_server_that_presents_anything_else_is_refused(attack: Attack) -> None:
    _, client = meet(context(SERVER, attack.presents, alpn=attack.alpn), known(attack).client)
    assert verdict(client) is attack.refusal


@pytest.mark.parametrize("bad", [EXPIRED, EARLY], ids=["expired", "early"])
@pytest.mark.fault(11)
def test_the_right_certificate_at_the_wrong_time_is_refused(bad: Foreign) -> None:
    # It was read when it was still, or already, valid.
    when = (bad.certificate.not_valid_after_utc - timedelta(hours=1)).timestamp()
    from goplugin.transport.tls import plugin_certificate

    ours = MutualTls(OURS, plugin_certificate(bad.der, when))
    server, _ = meet(ours.server, context(CLIENT, bad))
    assert verdict(server) is Refusal.EXPIRED_CERTIFICATE
    _, client = meet(context(SERVER, bad), ours.client)
    assert verdict(client) is Refusal.EXPIRED_CERTIFICATE


@pytest.mark.parametrize("named", [Foreign.make(name="example.org"), Foreign.make(named=False)])
def test_a_server_whose_certificate_names_another_host_or_none_is_refused(named: Foreign) -> None:
    """As in Go, the name in the subject alone is none."""
    _, client = meet(context(SERVER, named), MutualTls(OURS, named.parsed).client)
    assert verdict(client) is Refusal.OTHER_NAME


@pytest.mark.parametrize("presents", [None, GO, Foreign.make()], ids=["none", "Go's", "another"])
def test_without_a_readable_certificate_nobody_is_let_in(presents: Foreign | None) -> None:
    server, _ = meet(MutualTls(OURS, None).server, context(CLIENT, presents))
    assert verdict(server) in {Refusal.NO_CERTIFICATE, Refusal.OTHER_CERTIFICATE}
    _, client = meet(context(SERVER, presents or GO), MutualTls(OURS, None).client)
    assert verdict(client) is Refusal.OTHER_CERTIFICATE


@pytest.mark.parametrize("data", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100])
def test_a_peer_that_speaks_no_tls_is_refused(data: bytes) -> None:
    for side in (Side(known(Attack(GO, Refusal.NO_TLS)).server), Side(known(Attack(GO, Refusal.NO_TLS)).client)):
        side.incoming.write(data)
        side.step()
        assert verdict(side) is Refusal.NO_TLS


def test_a_peer_with_an_older_tls_is_refused() -> None:
    old = context(CLIENT, GO)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    server, _ = meet(MutualTls(OURS, GO.parsed).server, old)
    assert verdict(server) is Refusal.BROKE_TLS


def test_a_peer_that_refuses_us_is_told_apart_from_one_that_we_refuse() -> None:
    """As a Go peer does to whom we present the wrong certificate."""
    wary = context(CLIENT, GO)
    wary.verify_mode = ssl.CERT_REQUIRED
    server, _ = meet(MutualTls(OURS, GO.parsed).server, wary)
    assert verdict(server) is Refusal.REFUSED_US
    strict = context(SERVER, GO)
    strict.verify_mode = ssl.CERT_REQUIRED
    _, client = meet(strict, MutualTls(OURS, GO.parsed).client)
    assert verdict(client) is None  # TLS 1.3 lets the client finish first
    with pytest.raises(ssl.SSLError) as late:
        client.after()
    assert explained(late.value).refusal is Refusal.REFUSED_US


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_judged_like_a_new_one(version: ssl.TLSVersion) -> None:
    server = MutualTls(OURS, GO.parsed).server
    attacker = context(CLIENT, SIGNED)  # OpenSSL lets it in, and keeps the session; the judge does not
    attacker.maximum_version = version
    refused, first = meet(server, attacker)
    assert verdict(refused) is Refusal.OTHER_CERTIFICATE
    with pytest.raises(ssl.SSLWantReadError):
        first.after()  # a ticket would come now
    assert first.session.session is None or not first.session.session.has_ticket
    again = Side(attacker)
    if first.session.session is not None:
        again.session.session = first.session.session
    refused, second = _shake(Side(server), again)
    assert second.session.session_reused == (version is ssl.TLSVersion.TLSv1_2)
    assert verdict(refused) is Refusal.OTHER_CERTIFICATE


def _shake(one: Side, other: Side) -> tuple[Side, Side]:
    for _ in range(5):
        other.step()
        one.incoming.write(other.outgoing.read())
        one.step()
        other.incoming.write(one.outgoing.read())
    return one, other


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (PeerRefused(Refusal.UNREACHABLE), Refusal.UNREACHABLE),
        (TimeoutError(), Refusal.SILENT),
        (PushedOut(), Refusal.PUSHED_OUT),
        (ConnectionResetError("reset"), Refusal.VANISHED),
        (ssl.SSLError("what is this"), Refusal.BROKE_TLS),
    ],
)
def test_every_error_of_a_handshake_has_its_name(error: Exception, refusal: Refusal) -> None:
    found = explained(error)
    assert found.refusal is refusal
    assert refusal.value in str(found)


def test_a_configuration_of_ones_own_is_used_as_it_is() -> None:
    """As go-plugin's TLSProvider and TLSConfig: certificates that both sides have from elsewhere."""
    authority = Foreign.make(name="our authority")
    server_has, client_has = Foreign.make(issuer=authority, name="plugin.example"), Foreign.make(issuer=authority)
    server, client = context(SERVER, server_has), context(CLIENT, client_has)
    for side in (server, client):
        side.load_verify_locations(cadata=authority.pem)
        side.verify_mode = ssl.CERT_REQUIRED
    client.check_hostname = True
    one, other = meet(Tls(server), Tls(client, server_name="plugin.example"))
    assert (verdict(one), verdict(other)) == (None, None)
    _, other = meet(Tls(server), Tls(client))
    assert verdict(other) is Refusal.OTHER_NAME
    verifying = Tls(client, server_name="plugin.example")
    _, other = meet(context(SERVER, Foreign.make(name="plugin.example")), verifying)
    assert isinstance(other.outcome, ssl.SSLError)
    assert verifying.refusal(other.outcome).refusal is Refusal.OTHER_AUTHORITY, "no certificate was exchanged"


def test_a_client_that_verifies_nothing_is_misuse() -> None:
    with pytest.raises(Misuse, match="CERT_REQUIRED"):
        Tls(context(CLIENT))
    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"), pytest.raises(Misuse, match="PROTOCOL_TLS_SERVER or"):
        Tls(ssl.SSLContext(ssl.PROTOCOL_TLS))


def test_no_file_ever_holds_the_private_key(tmp_path: Path) -> None:
    """Every file that the process opens is seen (PEP 578), and none on a disk is opened for writing."""
    program = (
        "import os, sys, time\n"
        "from goplugin.transport import tls\n"
        "ours = tls.Identity.generate(time.time())\n"
        "opened = []\n"
        "flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT\n"
        "sys.addaudithook(lambda event, arguments: event in ('open', 'os.mkdir') and opened.append(arguments))\n"
        "sides = tls.MutualTls(ours, ours.certificate)\n"
        "sides.server, sides.client\n"
        "held = [os.readlink(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')[:-1]]\n"
        "print([a for a in opened if len(a) < 3 or not isinstance(a[0], int) and a[2] & flags])\n"
        "print([name for name in held if 'key' in name])\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_nobody_reads_the_key_out_of_our_descriptors_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through /proc/PID/fd another process of the same user could open the file in memory."""
    seen: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def looking(self: ssl.SSLContext, path: str) -> None:
        seen.append(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
        load(self, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looking)
    assert MutualTls(OURS, GO.parsed).server is not None
    assert seen == [0]


def test_elsewhere_than_on_linux_the_key_is_in_a_private_directory_for_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[tuple[int, str]] = []
    load = ssl.SSLContext.load_cert_chain

    def looking(self: ssl.SSLContext, path: str) -> None:
        seen.append((os.stat(Path(path).parent).st_mode & 0o777, path))
        load(self, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looking)
    monkeypatch.setattr("goplugin.transport._tls.sys.platform", "darwin")
    one, other = meet(MutualTls(OURS, OURS.certificate).server, MutualTls(OURS, OURS.certificate).client)
    assert (verdict(one), verdict(other)) == (None, None)
    assert [mode for mode, _ in seen] == [0o700, 0o700]
    assert all(path.startswith(str(tmp_path)) for _, path in seen)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["P-256", "P-384"])
def test_grpcio_itself_verifies_a_peer_on_a_curve_that_it_knows(key: str, tmp_path: Path) -> None:
    peer = Foreign.make(key)
    ours, theirs = MutualTls(OURS, peer.parsed), MutualTls(peer.identity, OURS.certificate)
    stranger = MutualTls(Identity.generate(NOW.timestamp()), OURS.certificate)
    deceived = MutualTls(peer.identity, stranger._identity.certificate)  # pyright: ignore[reportPrivateUsage]
    assert ours.grpcio_can
    assert theirs.grpcio_can

    def answers(client: MutualTls) -> bool:
        with grpc.secure_channel(address, client.grpcio_client(), CHANNEL_OPTIONS) as channel:
            caller: Any = channel
            with pytest.raises(grpc.RpcError) as caught:
                caller.unary_unary("/any/Method")(b"", timeout=10)
        return cast("Any", caught.value).code() is grpc.StatusCode.UNIMPLEMENTED

    address = target(Unix(str(tmp_path / "s")))
    with ThreadPoolExecutor(1) as workers:
        server = grpc.server(workers)
        server.add_secure_port(address, ours.grpcio_server())
        server.start()
        assert answers(theirs)
        assert not answers(stranger)
        assert not answers(deceived)
        server.stop(None).wait(10)


def test_for_a_go_peer_grpcio_is_never_asked() -> None:
    for peer in (GO.parsed, None):
        ours = MutualTls(OURS, peer)
        assert not ours.grpcio_can
        with pytest.raises(Misuse, match="needs the relay"):
            ours.grpcio_server()
        with pytest.raises(Misuse, match="needs the relay"):
            ours.grpcio_client()
