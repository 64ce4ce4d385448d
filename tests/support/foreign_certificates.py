"""Certificates as others make them, with cryptography's own builder: go-plugin's on P-521, and bad ones."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from goplugin.transport.tls import Certificate, Identity, plugin_certificate

NOW = datetime.now(UTC)
CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@dataclass(frozen=True)
class Foreign:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @classmethod
    def make(
        cls,
        key: str = "P-521",
        *,
        name: str = "localhost",
        since: timedelta = timedelta(seconds=-30),
        until: timedelta = timedelta(days=10957),
        issuer: "Foreign | None" = None,
        authority: bool = True,
        named: bool = True,
        serial: int | None = None,
    ) -> Self:
        """Without arguments, what go-plugin's generateCert makes (mtls.go:21). ``named``: by more than the subject."""
        secret = rsa.generate_private_key(65537, 2048) if key == "RSA" else ec.generate_private_key(CURVES[key])
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"),
                # One with the subject of its issuer would pass for self-signed.
                x509.NameAttribute(NameOID.COMMON_NAME, f"{name}, signed" if issuer else name),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(secret.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(NOW + since)
            .not_valid_after(NOW + until)
            .add_extension(_usages(), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if named:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        signer = issuer.key if issuer else secret
        # As Go chooses them: SHA-512 for P-521 and so on.
        hashed = hashes.SHA512() if signer.key_size == 521 else hashes.SHA256()
        return cls(builder.sign(signer, hashed), secret)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    @property
    def parsed(self) -> Certificate:
        """As our own code reads it; for valid ones only."""
        return plugin_certificate(self.der, NOW.timestamp())

    @property
    def identity(self) -> Identity:
        """As if it were ours."""
        return Identity(self.parsed, self.key_pem)


def context(
    protocol: int, ours: "Foreign | Identity | None" = None, *, alpn: tuple[str, ...] = ("h2",)
) -> ssl.SSLContext:
    """Return a context that trusts everybody, as an attacker's does, with a certificate or without."""
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if ours is not None:
        pem = ours.certificate.pem if isinstance(ours, Identity) else ours.pem
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(pem + ours.key_pem)
            file.flush()
            made.load_cert_chain(file.name)
    return made


def _usages() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_agreement=True,
        key_cert_sign=True,
        content_commitment=False,
        data_encipherment=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
