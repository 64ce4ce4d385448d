"""By what a client knows its plugin. Whole plugins are met in interop_tests, bad ones in its test_attackers.py."""

import logging
import ssl
import time

import pytest
from foreign_certificates import Foreign, context
from stuck_handler import held_up

from goplugin.handshake import HandshakeRefused, Line, Misuse, PluginEnvironment, Unix
from goplugin.hostlib._security import Security
from goplugin.transport import PlainCarrier, TlsConfig
from goplugin.transport.tls import PeerRefused, Refusal, TlsCarrier, host_certificate

LOGGER = logging.getLogger("test.security")
ASKED = PluginEnvironment()
PLAIN = Line(version=1, address=Unix("/p"))
GO = Line(version=1, address=Unix("/p"), server_cert=Foreign.make().der)
PYTHON = Line(version=1, address=Unix("/p"), server_cert=Foreign.make("P-256").der)


def nothing() -> None:
    """For refusals that do not matter."""


def test_without_tls_nothing_is_offered_and_the_carrier_is_plain() -> None:
    security = Security(False, None, LOGGER)
    assert security.offer() is None
    assert isinstance(security.carrier(PLAIN, ASKED, nothing), PlainCarrier)


def test_automtls_offers_a_new_certificate_for_each_start() -> None:
    security = Security(True, None, LOGGER)
    first, second = security.offer(), security.offer()
    assert first is not None
    assert first != second
    assert host_certificate(first, time.time()).curve == "P-256"


@pytest.mark.parametrize(("line", "grpcio"), [(GO, False), (PYTHON, True)])
def test_grpcios_own_tls_is_used_where_it_verifies_the_plugin(line: Line, grpcio: bool) -> None:
    security = Security(True, None, LOGGER)
    security.offer()
    assert isinstance(security.carrier(line, ASKED, nothing), TlsCarrier)
    assert security.leaves_tls_to_grpcio is grpcio


@pytest.mark.parametrize("certificate", [bytes(100), None])
def test_a_certificate_that_cannot_be_verified_is_refused_and_so_is_none(certificate: bytes | None) -> None:
    security = Security(True, None, LOGGER)
    security.offer()
    with pytest.raises(HandshakeRefused) as refused:
        security.carrier(Line(version=1, address=Unix("/p"), server_cert=certificate), ASKED, nothing)
    assert refused.value.field == "server certificate"


def test_tls_of_the_callers_own_must_verify_the_plugin() -> None:
    trusting = context(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(Misuse, match="CERT_REQUIRED"):
        Security(False, trusting, LOGGER)
    with pytest.raises(Misuse, match="TlsConfig\\(dial="):
        Security(False, TlsConfig(), LOGGER)
    trusting.verify_mode = ssl.CERT_REQUIRED
    assert isinstance(Security(False, trusting, LOGGER).carrier(PLAIN, ASKED, nothing), TlsCarrier)


def test_the_first_refusal_ends_the_start_and_later_ones_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    security, ended = Security(True, None, LOGGER), list[bool]()
    security.offer()
    security.carrier(GO, ASKED, lambda: ended.append(True))
    refused = security.refused
    caplog.set_level(logging.DEBUG)
    refused(PeerRefused(Refusal.UNREACHABLE))
    assert ended == [], "it may not listen yet"
    refused(PeerRefused(Refusal.OTHER_CERTIFICATE))
    refused(PeerRefused(Refusal.NO_TLS))
    assert ended == [True]
    refusal = security.refusal(GO, "")
    assert refusal is not None
    assert refusal.reason == f"the peer {Refusal.OTHER_CERTIFICATE.value}"
    assert isinstance(refusal.__cause__, PeerRefused)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, f"a connection was refused: the peer {Refusal.UNREACHABLE.value}"),
        (logging.WARNING, f"a connection was refused: the peer {Refusal.NO_TLS.value}"),
    ]


def test_a_log_handler_that_is_stuck_does_not_hold_up_the_relay() -> None:
    security = Security(True, None, LOGGER)
    assert not held_up(LOGGER.name, lambda: security.refused(PeerRefused(Refusal.NO_TLS)))


def test_after_the_start_a_refusal_is_only_logged() -> None:
    security, ended = Security(True, None, LOGGER), list[bool]()
    security.offer()
    security.carrier(GO, ASKED, lambda: ended.append(True))
    assert security.refusal(GO, "") is None
    security.refused(PeerRefused(Refusal.OTHER_CERTIFICATE))
    assert ended == []


def test_what_grpcio_says_of_its_own_tls_is_the_reason() -> None:
    security = Security(True, None, LOGGER)
    security.offer()
    security.carrier(PYTHON, ASKED, nothing)
    refusal = security.refusal(PYTHON, "CERTIFICATE_VERIFY_FAILED")
    assert refusal is not None
    assert str(refusal) == "there is no TLS connection to the plugin at /p: CERTIFICATE_VERIFY_FAILED"
