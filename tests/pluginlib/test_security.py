"""Who may connect to a plugin. Whole plugins are met by real attackers in interop_tests/test_attackers.py."""

import logging
import ssl
import time

import pytest
from foreign_certificates import Foreign, context
from stuck_handler import held_up

from goplugin.handshake import Misuse, PluginEnvironment
from goplugin.pluginlib._options import Options, OwnTls, TestMode
from goplugin.pluginlib._security import refused, secured
from goplugin.transport import PlainCarrier, TlsConfig
from goplugin.transport.multiplex import Multiplexer
from goplugin.transport.tls import PeerRefused, Refusal, TlsCarrier, plugin_certificate

GO = Foreign.make()
AUTO_MTLS = PluginEnvironment(client_cert=GO.pem)


def options(tls: OwnTls | None = None, test: TestMode | None = None) -> Options:
    return Options(
        network=None,
        tls=tls,
        workers=1,
        server_options=(),
        drain=0,
        leave_with_host=True,
        logging=False,
        test=test,
    )


def test_a_host_that_asks_for_nothing_gets_plain_text() -> None:
    carrier, certificate = secured(PluginEnvironment(), options())
    assert isinstance(carrier, PlainCarrier)
    assert certificate is None


def test_automtls_is_answered_with_a_new_certificate_each_time() -> None:
    (one, first), (other, second) = (secured(AUTO_MTLS, options()) for _ in range(2))
    assert isinstance(one, TlsCarrier)
    assert isinstance(other, TlsCarrier)
    assert first is not None
    assert second is not None
    assert first != second
    assert plugin_certificate(first, time.time()).curve == "P-256"


def test_garbage_for_a_certificate_is_logged_and_still_no_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    carrier, certificate = secured(PluginEnvironment(client_cert="garbage"), options())
    assert isinstance(carrier, TlsCarrier)
    assert certificate is not None
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "PLUGIN_CLIENT_CERT must be one certificate in PEM, but it is no certificate in PEM; "
        "every connection will be refused"
    )


@pytest.mark.parametrize("form", ["context", "config", "function"])
def test_tls_of_the_authors_own_wins_over_automtls(form: str) -> None:
    made = context(ssl.PROTOCOL_TLS_SERVER, GO)
    forms: dict[str, OwnTls] = {"context": made, "config": TlsConfig(accept=made), "function": lambda: made}
    carrier, certificate = secured(AUTO_MTLS, options(forms[form]))
    assert isinstance(carrier, TlsCarrier)
    assert certificate is None


def test_a_context_that_cannot_serve_is_the_authors_mistake() -> None:
    with pytest.raises(Misuse, match="PROTOCOL_TLS_SERVER"):
        secured(PluginEnvironment(), options(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))


@pytest.mark.parametrize("client_cert", [None, GO.pem], ids=["plain", "automtls"])
def test_a_host_that_multiplexes_is_met_halfway(client_cert: str | None) -> None:
    carrier, certificate = secured(PluginEnvironment(client_cert=client_cert, multiplex=True), options())
    assert isinstance(carrier, Multiplexer)
    assert (certificate is not None) == (client_cert is not None)


def test_in_test_mode_nothing_is_multiplexed_for_hosts_reattach_to_it() -> None:
    carrier, _ = secured(PluginEnvironment(multiplex=True), options(test=TestMode(lambda _: None)))
    assert isinstance(carrier, PlainCarrier)


@pytest.mark.parametrize(
    ("refusal", "level"), [(Refusal.NO_CERTIFICATE, logging.WARNING), (Refusal.VANISHED, logging.DEBUG)]
)
def test_who_is_refused_is_logged(refusal: Refusal, level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused(PeerRefused(refusal))
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"a connection was refused: the peer {refusal.value}")
    assert vars(record)["refusal"] == refusal.name.lower()


def test_a_log_handler_that_is_stuck_does_not_hold_up_the_relay() -> None:
    assert not held_up("goplugin.pluginlib", lambda: refused(PeerRefused(Refusal.NO_TLS)))
