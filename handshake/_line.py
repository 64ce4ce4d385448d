"""The handshake line: the one line that a plugin prints on stdout. Parses, formats and judges it; never reads a pipe.

    CORE|APP|NETWORK|ADDRESS|PROTOCOL|SERVERCERT[|MULTIPLEX]\\n

The law is go-plugin: server.go (the plugin writes) and client.go (the host reads), cited as of v1.8.0.
"""

import base64
import binascii
from collections.abc import Collection

from ._address import Address, parse_address
from ._errors import HandshakeRefused, Misuse, MultiplexingNotSupported
from ._go import go_bool, go_int
from ._record import record

CORE_PROTOCOL = 1
LINE_MAX = 64 * 1024  # bufio.Scanner, with which a Go host reads, gives up here; a P-521 certificate needs under 1 kB
_PROTOCOLS = ("grpc", "netrpc")
_FIELDS_MIN = 4
_CERT_TEXT_MIN = 50  # up to here field 6 is "extra data of older implementations" and not a certificate (client.go:911)
_GRPC_SERVER = "net/rpc exists in Go alone; the plugin needs a GRPCServer in its ServeConfig"
_RECOMPILE = "a plugin built with a current go-plugin or goplugin speaks it"


@record()
class Line:
    """What a plugin says of itself on its handshake line.

    Attributes:
        version: the application's protocol version that the plugin serves.
        address: where it listens.
        protocol: ``"grpc"`` or ``"netrpc"``.
        server_cert: the plugin's certificate (DER), or None without AutoMTLS.
        multiplex: field 7 as it was sent, or None where the plugin sent six fields or fewer.

    Raises:
        Misuse: a field cannot be written on a line.
    """

    version: int
    address: Address
    protocol: str = "grpc"
    server_cert: bytes | None = None
    multiplex: str | None = None

    def __post_init__(self) -> None:
        if self.version < 0:
            raise Misuse(f"a protocol version is not negative, this one is {self.version}")
        if self.protocol not in _PROTOCOLS:
            raise Misuse(f"a protocol is one of {', '.join(_PROTOCOLS)}, this one is {self.protocol!r}")
        if self.multiplex is not None and (
            set(self.multiplex) & {"|", "\n"} or self.multiplex != self.multiplex.strip()
        ):
            raise Misuse(f"a seventh field may hold no '|' and no line end: {self.multiplex!r}")
        if self.server_cert is not None and len(_encode(self.server_cert)) <= _CERT_TEXT_MIN:
            raise Misuse(f"{len(self.server_cert)} bytes are no certificate")

    @classmethod
    def parse(cls, raw: bytes) -> "Line":
        """Return the line, with or without its line end; blanks around it are no part of it (client.go:838).

        Raises:
            HandshakeRefused: ``raw`` is no line that a Go host could accept, whatever it asked for.
        """
        if len(raw) > LINE_MAX:
            raise HandshakeRefused(field="line", got=_text(raw), want=f"a line of at most {LINE_MAX} bytes")
        text = _text(raw).strip()
        if "\n" in text:
            raise HandshakeRefused(field="line", got=text, want="one line")
        parts = text.split("|")
        if len(parts) < _FIELDS_MIN:
            raise HandshakeRefused(
                field="line",
                got=_text(raw),
                want="CORE|APP|NETWORK|ADDRESS|PROTOCOL|SERVERCERT",
                hint="the first line on stdout must be the handshake, so nothing may be printed before it",
            )
        core, version, network, address = parts[:_FIELDS_MIN]
        # The core protocol gives the other fields their meaning, so it is judged first.
        if go_int(core) != CORE_PROTOCOL:
            raise HandshakeRefused(field="core protocol", got=core, want=str(CORE_PROTOCOL), hint=_RECOMPILE)
        number = go_int(version)
        if number is None or number < 0:
            raise HandshakeRefused(field="protocol version", got=version, want="a number")
        where = parse_address(network, address)
        # Before gRPC there was only net/rpc, and no fifth field to say so (client.go:895).
        protocol = parts[4] if len(parts) > 4 else "netrpc"
        if protocol not in _PROTOCOLS:
            raise HandshakeRefused(field="protocol", got=protocol, want='"grpc" or "netrpc"')
        cert = _decode(parts[5]) if len(parts) > 5 and len(parts[5]) > _CERT_TEXT_MIN else None
        # Only a host that asked for multiplexing reads it, so `check` judges what it says (client.go:919).
        multiplex = parts[6].strip() if len(parts) > 6 else None
        return cls(version=number, address=where, protocol=protocol, server_cert=cert, multiplex=multiplex)

    def format(self) -> bytes:
        """Return the line as go-plugin writes it: the sixth field always there, the seventh only where it is set."""
        cert = _encode(self.server_cert) if self.server_cert is not None else ""
        fields = [
            str(CORE_PROTOCOL),
            str(self.version),
            self.address.network,
            str(self.address),
            self.protocol,
            cert,
        ]
        if self.multiplex is not None:
            fields.append(self.multiplex)
        return "|".join(fields).encode("utf-8", "surrogateescape") + b"\n"

    def check(
        self,
        *,
        versions: Collection[int],
        protocols: Collection[str] = ("grpc",),
        auto_mtls: bool = False,
        multiplex: bool = False,
    ) -> None:
        """Refuse the line where it does not answer what the host asked for.

        Stricter than go-plugin on the certificate: one that was asked for and is missing would mean plaintext, and
        one that was not asked for makes go-plugin's host panic (client.go:926).

        Raises:
            HandshakeRefused: naming the field, what came and what was wanted.
            MultiplexingNotSupported: the one that says that the plugin lacks it.
        """
        if self.version not in versions:
            wanted = " or ".join(str(v) for v in sorted(versions))
            raise HandshakeRefused(field="protocol version", got=str(self.version), want=wanted)
        if self.protocol not in protocols:
            wanted = " or ".join(f'"{p}"' for p in protocols)
            hint = _GRPC_SERVER if self.protocol == "netrpc" else ""
            raise HandshakeRefused(field="protocol", got=self.protocol, want=wanted, hint=hint)
        if auto_mtls and self.server_cert is None:
            raise HandshakeRefused(
                field="server certificate",
                got="",
                want="a certificate, for the host asked for AutoMTLS",
                hint="the host does not fall back to plaintext",
            )
        if not auto_mtls and self.server_cert is not None:
            raise HandshakeRefused(
                field="server certificate",
                got=_encode(self.server_cert),
                want="none, for the host did not ask for AutoMTLS",
            )
        supported = go_bool(self.multiplex or "")
        if multiplex and not supported:
            # As in Go, what is no boolean is another fault than a plugin that cannot (client.go:931).
            lacking = self.multiplex is None or supported is False
            raise (MultiplexingNotSupported if lacking else HandshakeRefused)(
                field="multiplexing",
                got=self.multiplex or "",
                want="true, for the host asked for a multiplexed broker",
                hint="for a Go plugin, update github.com/hashicorp/go-plugin and recompile",
            )


def _text(raw: bytes) -> str:
    # A socket path is bytes to the kernel, so bytes that are no UTF-8 must come back out as they went in.
    return raw.decode("utf-8", "surrogateescape")


def _encode(der: bytes) -> str:
    return base64.b64encode(der).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        # binascii alone accepts padding, which Go's RawStdEncoding refuses.
        if "=" in text or not text.isascii():
            raise ValueError(text)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        want = "a DER certificate in standard base64 without padding"
        raise HandshakeRefused(field="server certificate", got=text, want=want) from None
