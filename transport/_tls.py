"""TLS as go-plugin wants it: the contexts, and the verdict on whoever is at the other end. Moves no bytes itself.

AutoMTLS trusts exactly one certificate, the one that the peer told us: it is the only root, and the peer must present
its very bytes. The second half matters because go-plugin's certificates are authorities of their own (mtls.go:54).
"""

import enum
import os
import ssl
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ..handshake import GoPluginError, Misuse
from ._certificates import Certificate, Identity
from ._inner import undumpable
from ._tls_config import SERVER_NAME, TlsConfig

if TYPE_CHECKING:
    import grpc

_HTTP2 = "h2"


class Refusal(enum.Enum):
    """Why a connection did not come about. The value completes the sentence "the peer …"."""

    NO_TLS = "does not speak TLS"
    NO_CERTIFICATE = "presented no certificate"
    OTHER_CERTIFICATE = "presented another certificate than the one that was exchanged"
    UNUSABLE_CERTIFICATE = "presented a certificate that cannot be verified"
    EXPIRED_CERTIFICATE = "presented a certificate that is not valid now"
    OTHER_AUTHORITY = "presented a certificate that no authority has signed whom we trust"
    OTHER_NAME = "presented a certificate for another name"
    NO_HTTP2 = "does not offer HTTP/2 (ALPN h2)"
    REFUSED_US = "refused our certificate or our TLS"
    LEFT_AT_ONCE = "closed the connection right after the TLS handshake, as one does that refuses our certificate"
    WANTS_TLS = "closed the connection without a word, as one does that wants TLS"
    BROKE_TLS = "broke the rules of TLS"
    SILENT = "did not finish the TLS handshake in time"
    PUSHED_OUT = "had not finished the TLS handshake when too many others came"
    VANISHED = "closed the connection during the TLS handshake"
    UNREACHABLE = "cannot be reached"
    STRANGER = "is another process than the one that was started"


class PushedOut(TimeoutError):
    """A connection in the making was given up for those that came after it."""


class PeerRefused(GoPluginError):
    """A connection was refused, or refused us, before a byte of it reached gRPC.

    Attributes:
        refusal: why.
        detail: what the system or OpenSSL said.
    """

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        self.refusal, self.detail = refusal, detail
        super().__init__(f"the peer {refusal.value}" + (f": {detail}" if detail else ""))

    @property
    def is_unreachable(self) -> bool:
        """Whether nobody was there."""
        return self.refusal is Refusal.UNREACHABLE

    @property
    def is_loss(self) -> bool:
        """Whether nobody was at fault as far as anybody can tell: a peer was not there, or went away."""
        return self.refusal in (Refusal.VANISHED, Refusal.UNREACHABLE, Refusal.LEFT_AT_ONCE, Refusal.WANTS_TLS)


class Tls:
    """One side of TLS connections: the configuration, and the verdict after each handshake.

    Args:
        context: for servers or for clients; its ALPN protocols become ``h2``.
        pinned: the only certificate (DER) that the peer may present; None leaves the judgement to ``context``.
        server_name: what a client expects the server's certificate to name.

    Raises:
        Misuse: a context for neither servers nor clients, or of a client that does not verify the server.
    """

    def __init__(self, context: ssl.SSLContext, *, pinned: bytes | None = None, server_name: str = SERVER_NAME) -> None:
        if context.protocol not in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            raise Misuse("a TLS context must be made with PROTOCOL_TLS_SERVER or PROTOCOL_TLS_CLIENT")
        self.server_side = context.protocol == ssl.PROTOCOL_TLS_SERVER
        if not self.server_side and context.verify_mode != ssl.CERT_REQUIRED:
            raise Misuse("a TLS client must verify the server: verify_mode has to be CERT_REQUIRED")
        context.set_alpn_protocols([_HTTP2])
        self._context, self._pinned = context, pinned
        self._server_name = None if self.server_side else server_name

    def session(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Return a new session that reads from one buffer and writes to the other."""
        return self._context.wrap_bio(
            incoming, outgoing, server_side=self.server_side, server_hostname=self._server_name
        )

    def refusal(self, error: Exception) -> PeerRefused:
        """Return what an error during a session's handshake means."""
        found = explained(error)
        if self._pinned is None and found.refusal is Refusal.OTHER_CERTIFICATE:  # none was exchanged
            return PeerRefused(Refusal.OTHER_AUTHORITY, found.detail)
        return found

    def judge(self, session: ssl.SSLObject) -> None:
        """Judge the peer of a session whose handshake is complete.

        Raises:
            PeerRefused: it is not who it should be, or does not speak HTTP/2.
        """
        if self._pinned is not None and session.getpeercert(binary_form=True) != self._pinned:
            raise PeerRefused(Refusal.OTHER_CERTIFICATE)
        if session.selected_alpn_protocol() != _HTTP2:
            raise PeerRefused(Refusal.NO_HTTP2)


class MutualTls:
    """AutoMTLS: our identity and the one certificate that the peer may have, for both roles (broker connections too).

    Args:
        identity: ours.
        peer: None refuses everybody, which is what go-plugin makes of garbage in PLUGIN_CLIENT_CERT (server.go:312).
    """

    def __init__(self, identity: Identity, peer: Certificate | None) -> None:
        self._identity, self._peer = identity, peer

    @cached_property
    def server(self) -> Tls:
        """For connections that we accept."""
        return self._side(ssl.PROTOCOL_TLS_SERVER)

    @cached_property
    def client(self) -> Tls:
        """For connections that we make."""
        return self._side(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def grpcio_can(self) -> bool:
        """Whether grpcio's own TLS verifies the peer, so that no relay is needed."""
        return self._peer is not None and self._peer.grpcio_verifies_it

    def grpcio_server(self) -> "grpc.ServerCredentials":
        """Return the same for a port of grpcio's own; only if ``grpcio_can``."""
        import grpc

        pair, roots = self._for_grpcio()
        return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=True)

    def grpcio_client(self) -> "grpc.ChannelCredentials":
        """Return the same for a channel of grpcio's own; only if ``grpcio_can``."""
        import grpc

        (key, certificate), roots = self._for_grpcio()
        return grpc.ssl_channel_credentials(roots, key, certificate)

    def _for_grpcio(self) -> tuple[tuple[bytes, bytes], bytes]:
        if self._peer is None or not self.grpcio_can:
            raise Misuse("grpcio cannot verify this peer's certificate; it needs the relay")
        ours = self._identity.key_pem.encode(), self._identity.certificate.pem.encode()
        return ours, self._peer.pem.encode()

    def _side(self, protocol: int) -> Tls:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # server.go:332
        # In TLS 1.2 a session can still be resumed from our own memory, but brings its certificate, which is judged.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0
        else:
            context.hostname_checks_common_name = False  # nor does Go
        context.verify_mode = ssl.CERT_REQUIRED
        # The certificate is the anchor itself, whether or not it calls itself an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._peer is not None:
            context.load_verify_locations(cadata=self._peer.der)
        with _as_file(self._identity.key_pem + self._identity.certificate.pem) as path:
            context.load_cert_chain(path)
        return Tls(context, pinned=b"" if self._peer is None else self._peer.der)


class OwnTls:
    """TLS of the user's own, for both roles.

    Args:
        given: for one direction or for both.
        needed: the direction of the main connection.

    Raises:
        Misuse: there is no context for that direction, or none that fits.
    """

    def __init__(self, given: ssl.SSLContext | TlsConfig, needed: Literal["accept", "dial"]) -> None:
        if isinstance(given, TlsConfig):
            self._config = given
        else:
            self._config = TlsConfig(accept=given) if needed == "accept" else TlsConfig(dial=given)
        self._main = self.server if needed == "accept" else self.client

    @cached_property
    def server(self) -> Tls:
        """For connections that we accept.

        Raises:
            Misuse: there is no context for them, or none that fits.
        """
        return self._side(self._config.accept, "accept", server_side=True)

    @cached_property
    def client(self) -> Tls:
        """For connections that we make.

        Raises:
            Misuse: there is no context for them, or none that fits.
        """
        return self._side(self._config.dial, "dial", server_side=False)

    def _side(self, context: ssl.SSLContext | None, field: str, *, server_side: bool) -> Tls:
        kind = "PROTOCOL_TLS_SERVER" if server_side else "PROTOCOL_TLS_CLIENT"
        if context is None:
            raise Misuse(f"tls has no context to {field} connections with: TlsConfig({field}=…), made with {kind}")
        tls = Tls(context, server_name=self._config.server_name)
        if tls.server_side is not server_side:
            raise Misuse(f"TlsConfig({field}=…) takes a context that was made with {kind}")
        return tls


def explained(error: Exception) -> PeerRefused:
    """Return what an error during the handshake, or the peer's late answer to it, means."""
    match error:
        case PeerRefused():
            return error
        case ssl.SSLCertVerificationError():
            return PeerRefused(_VERDICTS.get(error.verify_code, Refusal.UNUSABLE_CERTIFICATE), error.verify_message)
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or str(error)
            if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
                return PeerRefused(Refusal.NO_CERTIFICATE)
            if reason in _NOT_TLS:
                return PeerRefused(Refusal.NO_TLS, reason)
            return PeerRefused(Refusal.REFUSED_US if "_ALERT_" in reason else Refusal.BROKE_TLS, reason)
        case PushedOut():
            return PeerRefused(Refusal.PUSHED_OUT)
        case TimeoutError():
            return PeerRefused(Refusal.SILENT)
        case _:
            return PeerRefused(Refusal.VANISHED, str(error))


# OpenSSL's X509_V_ERR_*, which Python's ssl knows as numbers only.
_VERDICTS = {
    2: Refusal.OTHER_CERTIFICATE,  # UNABLE_TO_GET_ISSUER_CERT
    9: Refusal.EXPIRED_CERTIFICATE,  # CERT_NOT_YET_VALID
    10: Refusal.EXPIRED_CERTIFICATE,  # CERT_HAS_EXPIRED
    18: Refusal.OTHER_CERTIFICATE,  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: Refusal.OTHER_CERTIFICATE,  # SELF_SIGNED_CERT_IN_CHAIN
    20: Refusal.OTHER_CERTIFICATE,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: Refusal.OTHER_CERTIFICATE,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    62: Refusal.OTHER_NAME,  # HOSTNAME_MISMATCH
}
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})


@contextmanager
def _as_file(secret: str) -> Generator[str, None, None]:
    """Lend a path that holds a private key: ssl takes keys from files only. No disk sees it on Linux."""
    if sys.platform == "linux":
        # Through /proc/PID/fd another process of the same user could read it, so that is closed meanwhile.
        with undumpable(), open(os.memfd_create("goplugin-key"), "wb", buffering=0) as file:
            file.write(secret.encode("ascii"))
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="goplugin-") as directory:  # mode 0700
            path = os.path.join(directory, "key")
            with open(path, "x", encoding="ascii") as text:
                text.write(secret)
            yield path
