"""A plugin whose TLS is not what its handshake line says, or is: tls.py FORM, a name of FORMS."""

import base64
import os
import sys
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
from bare_plugin import Plugin
from foreign_certificates import Foreign

HOST, MULTIPLEXED = os.environ.get("PLUGIN_CLIENT_CERT", ""), "PLUGIN_MULTIPLEX_GRPC" in os.environ
P256, RSA, P521 = Foreign.make("P-256"), Foreign.make("RSA"), Foreign.make("P-521")
# The same names and the same number, and another key.
TWIN = Foreign.make("P-256", serial=P256.certificate.serial_number)
EXPIRED = Foreign.make("P-256", since=timedelta(days=-2), until=timedelta(days=-1))


class Form(NamedTuple):
    """What the line says, what is served (None for plain text), and by whose certificate the host is known (PEM)."""

    line: bytes
    served: Foreign | None
    host: str | None = HOST


FORMS = {
    "good-p256": Form(P256.der, P256),
    "good-p521": Form(P521.der, P521),
    "good-rsa": Form(RSA.der, RSA),
    "other-for-p256": Form(P256.der, TWIN),
    "other-for-rsa": Form(RSA.der, P256),
    "other-for-p521": Form(P521.der, P256),
    "plain-for-p256": Form(P256.der, None),
    "plain-for-p521": Form(P521.der, None),
    "wants-another-host-p256": Form(P256.der, P256, TWIN.pem),
    "wants-another-host-rsa": Form(RSA.der, RSA, TWIN.pem),
    "expired": Form(EXPIRED.der, EXPIRED),
    "garbage": Form(b"garbage" * 20, None),
    "none": Form(b"", None),
    "silent-tls": Form(b"", P521, None),
}
FORM = FORMS[sys.argv[1]]


class Secured(Plugin):
    """The bare plugin, with that: on grpcio's own TLS, or inside of the streams of a multiplexed connection."""

    def listen(self) -> str:
        line = super().listen().rstrip("\n") + base64.b64encode(FORM.line).rstrip(b"=").decode()
        return line + ("|true\n" if MULTIPLEXED else "\n")

    def bind(self, server: Any, address: str) -> None:
        if MULTIPLEXED:
            multiplex(server, address.removeprefix("unix:"))
        elif FORM.served is None:
            server.add_insecure_port(address)
        else:
            pair, trusted = (FORM.served.key_pem.encode(), FORM.served.pem.encode()), (FORM.host or "").encode() or None
            server.add_secure_port(address, grpc.ssl_server_credentials([pair], trusted, trusted is not None))


def multiplex(server: grpc.Server, path: str) -> None:
    import ssl

    from foreign_certificates import context

    from goplugin.handshake import PluginEnvironment
    from goplugin.transport import Side
    from goplugin.transport.multiplex import Multiplexer
    from goplugin.transport.tls import OwnTls

    tls = None
    if FORM.served is not None:
        accept = context(ssl.PROTOCOL_TLS_SERVER, FORM.served)
        accept.load_verify_locations(cadata=FORM.host)
        accept.verify_mode = ssl.CERT_REQUIRED
        tls = OwnTls(accept, "accept")
    listener = Multiplexer(Side.HOST, PluginEnvironment(socket_dir=os.path.dirname(path)), tls=tls).listen(server)
    os.rename(str(listener.address), path)


if __name__ == "__main__":
    Secured().serve()
