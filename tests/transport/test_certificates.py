"""Our certificates, and how a peer's is read."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from foreign_certificates import NOW, Foreign
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import HandshakeRefused, HostFault
from goplugin.transport.tls import Certificate, Identity, host_certificate, plugin_certificate

MOMENT = NOW.timestamp()
DAY = timedelta(days=1)
GO = Foreign.make()


def utc(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def test_our_certificate_says_what_go_plugins_does_but_on_p256() -> None:
    ours = x509.load_der_x509_certificate(Identity.generate(MOMENT).certificate.der)
    theirs = GO.certificate
    key = ours.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    for kind in (x509.KeyUsage, x509.BasicConstraints, x509.SubjectAlternativeName):
        assert ours.extensions.get_extension_for_class(kind) == theirs.extensions.get_extension_for_class(kind)
    purposes = ours.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert ours.subject == ours.issuer
    assert "CN=localhost" in ours.subject.rfc4514_string()
    assert ours.version is x509.Version.v3
    assert ours.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(seconds=30)
    assert ours.not_valid_after_utc == NOW.replace(microsecond=0) + timedelta(hours=262_980)
    ours.verify_directly_issued_by(ours)


@pytest.mark.parametrize("year", [2019, 2020, 2049, 2051])  # the format of a time changes in 2050
def test_our_certificate_is_valid_whenever_it_is_made(year: int) -> None:
    made = datetime(year, 6, 1, tzinfo=UTC)
    read = x509.load_der_x509_certificate(Identity.generate(made.timestamp()).certificate.der)
    assert read.not_valid_before_utc == made - timedelta(seconds=30)
    assert read.not_valid_after_utc == made + timedelta(hours=262_980)


def test_the_private_key_belongs_to_the_certificate_and_is_never_shown() -> None:
    identity = Identity.generate(MOMENT)
    key = serialization.load_pem_private_key(identity.key_pem.encode(), None)
    certified = x509.load_pem_x509_certificate(identity.certificate.pem.encode()).public_key()
    assert key.public_key() == certified
    assert "PRIVATE" not in repr(identity)
    assert identity.key_pem.split("\n")[1] not in repr(identity)


def test_no_two_certificates_share_a_key_or_a_serial_number() -> None:
    made = [x509.load_der_x509_certificate(Identity.generate(MOMENT).certificate.der) for _ in range(20)]
    assert len({one.serial_number for one in made}) == 20
    assert len({one.public_key().public_bytes(*SPKI) for one in made}) == 20
    assert all(0 < one.serial_number < 2**127 for one in made)


SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


@pytest.mark.parametrize(
    ("key", "curve", "grpcio"),
    [("P-521", "P-521", False), ("P-384", "P-384", True), ("P-256", "P-256", True), ("RSA", None, False)],
)
def test_the_curve_decides_whether_grpcio_can_verify_the_peer(key: str, curve: str | None, grpcio: bool) -> None:
    made = Foreign.make(key)
    read = host_certificate(made.pem, MOMENT)
    assert read == plugin_certificate(made.der, MOMENT)
    assert (read.der, read.curve, read.grpcio_verifies_it) == (made.der, curve, grpcio)
    assert utc(read.not_before) == made.certificate.not_valid_before_utc
    assert utc(read.not_after) == made.certificate.not_valid_after_utc
    assert read.pem == made.pem


def test_blank_lines_around_the_pem_are_nothing() -> None:
    assert host_certificate("\n " + GO.pem.replace("\n", "\r\n") + "\n\n", MOMENT).der == GO.der


EXPIRED = Foreign.make(since=-2 * DAY, until=-DAY)
EARLY = Foreign.make(since=DAY)
BODY = "".join(GO.pem.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        ("garbage", "is no certificate in PEM"),
        ("   ", "is no certificate in PEM"),
        (GO.key_pem, "is no certificate in PEM"),
        (GO.pem + GO.key_pem, "is no certificate in PEM"),
        ("note\n" + GO.pem, "is no certificate in PEM"),
        (GO.pem.replace("END CERTIFICATE", "END"), "is no certificate in PEM"),
        (GO.pem + Foreign.make().pem, "holds 2 certificates"),
        (GO.pem.replace(BODY[:64], BODY[:63]), "is no base64"),
        (GO.pem.replace(BODY[:64], "A" * 64), "is no X.509 certificate in DER"),
        (EXPIRED.pem, "expired at 20"),
        (EARLY.pem, "is valid only from 20"),
    ],
)
def test_a_bad_certificate_in_the_environment_is_the_hosts_fault(pem: str, complaint: str) -> None:
    with pytest.raises(HostFault, match=f"PLUGIN_CLIENT_CERT must be one certificate in PEM, but it {complaint}"):
        host_certificate(pem, MOMENT)


def wrapped(*parts: bytes) -> bytes:
    contents = b"".join(parts)
    return b"\x30\x82" + len(contents).to_bytes(2, "big") + contents


UNKNOWN_KIND_OF_KEY = GO.der.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3dffff"))


@pytest.mark.parametrize(
    ("der", "complaint"),
    [
        (b"", "is no X.509 certificate in DER"),
        (b"\x30", "is no X.509 certificate in DER"),
        (b"\x30\x03abc", "is no X.509 certificate in DER"),
        (b"\x30\x82\xff\xff", "breaks off"),
        (GO.der[:-1], "breaks off"),
        (GO.der + b"junk", "is followed by 4 bytes"),
        pytest.param(GO.der * 2, f"is followed by {len(GO.der)} bytes", id="twice"),
        (wrapped(GO.der[4:], b"\x05\x00"), "has more than three parts"),
        (wrapped(b"\x30\x00", b"\x30\x00", b"\x03\x00"), "is no X.509 certificate in DER"),
        (b"\x30" * 20_000, "has 20000 bytes"),
        (GO.pem.encode(), "is no X.509 certificate in DER"),
        (UNKNOWN_KIND_OF_KEY, "is nothing that OpenSSL takes"),
        (GO.der.replace(b"\x17\x0d2", b"\x17\x0d?"), "has a malformed time"),
        (EXPIRED.der, "expired at 20"),
        (EARLY.der, "is valid only from 20"),
    ],
)
@pytest.mark.fault(11)
def test_a_bad_certificate_in_the_line_refuses_the_plugin(der: bytes, complaint: str) -> None:
    with pytest.raises(HandshakeRefused, match=complaint) as caught:
        plugin_certificate(der, MOMENT)
    assert caught.value.field == "server certificate"


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_our_error(raw: bytes) -> None:
    with pytest.raises(HandshakeRefused):
        plugin_certificate(raw, MOMENT)


@given(st.text(max_size=400))
def test_any_text_is_refused_with_our_error(text: str) -> None:
    with pytest.raises(HostFault):
        host_certificate(text, MOMENT)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # what it will refuse
@given(st.integers(0, len(GO.der) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_certificate_is_refused_or_read_as_cryptography_reads_it(at: int, byte: int, cut: bool) -> None:
    der = GO.der[:at] if cut else GO.der[:at] + bytes([byte]) + GO.der[at + 1 :]
    try:
        read = plugin_certificate(der, MOMENT)
    except HandshakeRefused:
        return
    try:
        other = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return  # the stricter of the two; OpenSSL has its say in each handshake
    assert utc(read.not_before) == other.not_valid_before_utc
    assert utc(read.not_after) == other.not_valid_after_utc


@pytest.mark.parametrize("key", ["P-521", "P-256"])
def test_a_certificate_is_compared_by_its_bytes(key: str) -> None:
    made = Foreign.make(key)
    assert made.parsed == Certificate(made.der, key, made.parsed.not_before, made.parsed.not_after)


def test_making_and_reading_certificates_leaves_cryptographys_slow_parts_unloaded() -> None:
    program = (
        "import sys, time\n"
        "from goplugin.transport import tls\n"
        "made = tls.Identity.generate(time.time())\n"
        "tls.host_certificate(made.certificate.pem, time.time())\n"
        "print(*sorted(name for name in sys.modules if name in"
        " {'cryptography.x509', 'cryptography.hazmat.primitives.serialization', 'grpc', 'tempfile', 'asyncio'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "\n"
