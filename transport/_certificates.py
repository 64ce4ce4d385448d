"""Certificates of AutoMTLS: makes our own, reads the peer's. Never decides whom to trust, never touches a disk.

Ours is what mtls.go makes, on the curve P-256, which grpcio can verify. It is written, and the peer's is read, as the
few DER elements that it is: cryptography's own builder and parser take 30 ms longer to import than the elliptic
curves alone, a third of a plugin's start. What is read here decides nothing: OpenSSL verifies the peer.
"""

import base64
import binascii
import os
import re
import time
from dataclasses import dataclass, field
from functools import cached_property

from ..handshake import HandshakeRefused, HostFault

VALID_SINCE = 30  # seconds before now, for clocks that differ (mtls.go:49)
VALID_FOR = 262_980 * 3600  # seconds from now, about 30 years (mtls.go:50)
_CERTIFICATE_MAX = 16 * 1024  # bytes; go-plugin's are under 800

# DER, X.680 ff. and RFC 5280: tags, and every constant part of our certificate as it stands on the wire.
_INTEGER, _BITS, _OCTETS, _OID, _UTF8, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
_UTC_TIME, _GENERALIZED_TIME, _VERSION, _EXTENSIONS = 0x17, 0x18, 0xA0, 0xA3
_COMMON_NAME, _ORGANISATION = bytes.fromhex("550403"), bytes.fromhex("55040a")
_SUBJECT_KEY_ID, _KEY_USAGE, _ALT_NAME = bytes.fromhex("551d0e"), bytes.fromhex("551d0f"), bytes.fromhex("551d11")
_BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE = bytes.fromhex("551d13"), bytes.fromhex("551d25")
_CLIENT_AUTH, _SERVER_AUTH = bytes.fromhex("2b06010505070302"), bytes.fromhex("2b06010505070301")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
_P256_KEY = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # and the point follows
_P256_SECRET = bytes.fromhex("30770201010420"), bytes.fromhex("a00a06082a8648ce3d030107a144034200")  # RFC 5915
# digitalSignature, keyEncipherment, keyAgreement and keyCertSign (mtls.go:46)
_USAGES = bytes.fromhex("02ac")
_TRUE = bytes.fromhex("0101ff")
_HOST = b"localhost"

_CURVES = {
    bytes.fromhex("2a8648ce3d030107"): "P-256",
    bytes.fromhex("2b81040022"): "P-384",
    bytes.fromhex("2b81040023"): "P-521",
}
_GRPCIO_CURVES = frozenset({"P-256", "P-384"})  # its BoringSSL offers no ecdsa_secp521r1_sha512

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Certificate:
    """A certificate, as it was exchanged.

    Attributes:
        der: its bytes.
        curve: ``"P-256"``, ``"P-384"`` or ``"P-521"``, or None for any other kind of key.
        not_before, not_after: the time for which it is valid, in UTC, as ``YYYYMMDDHHMMSS``.
    """

    der: bytes
    curve: str | None
    not_before: str
    not_after: str

    @property
    def grpcio_verifies_it(self) -> bool:
        """Whether grpcio's own TLS can; with a Go peer's P-521 it cannot, and the relay must."""
        return self.curve in _GRPCIO_CURVES

    @cached_property
    def pem(self) -> str:
        """The same in PEM."""
        return _pem("CERTIFICATE", self.der)


@dataclass(frozen=True)
class Identity:
    """A certificate of our own with its private key, which exists in memory alone.

    Attributes:
        certificate: goes to the peer.
        key_pem: the private key.
    """

    certificate: Certificate
    key_pem: str = field(repr=False)

    @classmethod
    def generate(cls, now: float) -> "Identity":
        """Make a new key and its self-signed certificate, as mtls.go does.

        Args:
            now: seconds since the epoch.
        """
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        place = key.public_key().public_numbers()
        point = b"\x04" + place.x.to_bytes(32, "big") + place.y.to_bytes(32, "big")
        body = _unsigned(point, now)
        signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
        der = _der(_SEQUENCE, body, _ECDSA_SHA256, _der(_BITS, b"\0", signature))
        secret = key.private_numbers().private_value.to_bytes(32, "big")
        before, after = _P256_SECRET
        return cls(_read(der), _pem("EC PRIVATE KEY", before + secret + after + point))


def host_certificate(pem: str, now: float) -> Certificate:
    """Return the certificate in ``PLUGIN_CLIENT_CERT``.

    Raises:
        HostFault: it is none, more than one, or not valid now.
    """
    try:
        found = _PEM.fullmatch(pem.strip())
        if found is None:
            count = pem.count("-----BEGIN CERTIFICATE-----")
            raise _Malformed(f"holds {count} certificates" if count > 1 else "is no certificate in PEM")
        try:
            der = base64.b64decode("".join(found[1].split()), validate=True)
        except binascii.Error:
            raise _Malformed("is no base64 between its PEM lines") from None
        return _usable(_read(der), now)
    except _Malformed as error:
        raise HostFault(f"PLUGIN_CLIENT_CERT must be one certificate in PEM, but it {error}") from None


def plugin_certificate(der: bytes, now: float) -> Certificate:
    """Return the certificate in a plugin's handshake line.

    Raises:
        HandshakeRefused: it is none, more than one, or not valid now.
    """
    try:
        return _usable(_read(der), now)
    except _Malformed as error:
        raise HandshakeRefused(
            field="server certificate",
            got=base64.b64encode(der).decode("ascii"),
            want="one X.509 certificate in DER that is valid now",
            hint=f"this {error}",
        ) from None


class _Malformed(Exception):
    """What is wrong, to be told with the place where it came from."""


def _usable(certificate: Certificate, now: float) -> Certificate:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate.der)
    except ssl.SSLError:
        raise _Malformed("is nothing that OpenSSL takes for a certificate") from None
    moment = _stamp(now)
    if moment > certificate.not_after:
        raise _Malformed(f"expired at {certificate.not_after} UTC")
    if moment < certificate.not_before:
        raise _Malformed(f"is valid only from {certificate.not_before} UTC")
    return certificate


def _read(der: bytes) -> Certificate:
    if len(der) > _CERTIFICATE_MAX:
        raise _Malformed(f"has {len(der)} bytes, where a certificate has hundreds")
    outer = _Elements(der)
    whole = _Elements(outer.take(_SEQUENCE))
    if outer.left:
        raise _Malformed(f"is followed by {outer.left} bytes, more certificates or others")
    body = _Elements(whole.take(_SEQUENCE))
    whole.take(_SEQUENCE)  # algorithm
    whole.take(_BITS)  # signature
    if whole.left:
        raise _Malformed("has more than three parts")
    if body.next == _VERSION:
        body.take(_VERSION)
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serial number, algorithm, issuer
        body.take(tag)
    validity = _Elements(body.take(_SEQUENCE))
    not_before, not_after = _moment(validity), _moment(validity)
    body.take(_SEQUENCE)  # subject
    algorithm = _Elements(_Elements(body.take(_SEQUENCE)).take(_SEQUENCE))
    on_curve = algorithm.take(_OID) == _EC_PUBLIC_KEY and algorithm.next == _OID
    curve = _CURVES.get(algorithm.take(_OID)) if on_curve else None
    return Certificate(der, curve, not_before, not_after)


class _Elements:
    """DER elements, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    @property
    def next(self) -> int | None:
        return self._data[self._at] if self.left else None

    def take(self, tag: int) -> bytes:
        """Return the contents of the next element, which must be of that kind."""
        if self.next != tag or self.left < 2:
            raise _Malformed("is no X.509 certificate in DER")
        start, length = self._at + 2, self._data[self._at + 1]
        if length >= 0x80:  # the low bits then tell how many bytes hold the length
            start, size = start + length - 0x80, start
            length = int.from_bytes(self._data[size:start], "big")
        self._at = start + length
        if self._at > len(self._data):
            raise _Malformed("breaks off")
        return self._data[start : self._at]


def _moment(elements: _Elements) -> str:
    """Return a validity's time with four digits for the year, so that times compare as texts."""
    kind = _UTC_TIME if elements.next == _UTC_TIME else _GENERALIZED_TIME
    text = elements.take(kind).decode("latin-1")
    if kind == _UTC_TIME:  # RFC 5280, 4.1.2.5.1
        text = ("19" if text[:2] >= "50" else "20") + text
    if re.fullmatch(r"[0-9]{14}Z", text) is None:
        raise _Malformed("has a malformed time of validity")
    return text[:-1]


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(now))


def _unsigned(point: bytes, now: float) -> bytes:
    serial = os.urandom(16)
    name = _der(
        _SEQUENCE,
        *(
            _der(_SET, _der(_SEQUENCE, _der(_OID, kind), _der(_UTF8, text)))
            for kind, text in ((_ORGANISATION, b"goplugin"), (_COMMON_NAME, _HOST))
        ),
    )
    return _der(
        _SEQUENCE,
        _der(_VERSION, _der(_INTEGER, b"\2")),
        _der(_INTEGER, bytes([serial[0] & 0x7F | 0x40]), serial[1:]),  # positive, and of one length
        _ECDSA_SHA256,
        name,
        _der(_SEQUENCE, _time(now - VALID_SINCE), _time(now + VALID_FOR)),
        name,
        _P256_KEY + point,
        _der(
            _EXTENSIONS,
            _der(
                _SEQUENCE,
                _extension(_KEY_USAGE, _der(_BITS, _USAGES), critical=True),
                _extension(_EXTENDED_KEY_USAGE, _der(_SEQUENCE, _der(_OID, _CLIENT_AUTH), _der(_OID, _SERVER_AUTH))),
                _extension(_BASIC_CONSTRAINTS, _der(_SEQUENCE, _TRUE), critical=True),
                _extension(_SUBJECT_KEY_ID, _der(_OCTETS, os.urandom(20))),  # any name for the key will do
                _extension(_ALT_NAME, _der(_SEQUENCE, _der(0x82, _HOST))),
            ),
        ),
    )


def _extension(kind: bytes, value: bytes, critical: bool = False) -> bytes:
    return _der(_SEQUENCE, _der(_OID, kind), _TRUE if critical else b"", _der(_OCTETS, value))


def _time(moment: float) -> bytes:
    text = _stamp(moment).encode("ascii") + b"Z"
    return _der(_UTC_TIME, text[2:]) if text < b"2050" else _der(_GENERALIZED_TIME, text)


def _der(tag: int, *parts: bytes) -> bytes:
    contents = b"".join(parts)
    size = len(contents)
    if size < 0x80:
        return bytes([tag, size]) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + contents


def _pem(what: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {what}-----\n{lines}\n-----END {what}-----\n"
