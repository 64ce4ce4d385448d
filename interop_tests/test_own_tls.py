"""TLS of one's own with Go: who has no certificate of the authority that the other trusts is refused, and told why.

That the right ones are served is in test_both_ways.py.
"""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gohost import Order, run_go_host
from own_tls import tls_config
from probe_pb2_grpc import ProbeStub
from pyhost import INTEROP, SHELLS
from pyplugin import probe, probe_environment

from goplugin.handshake import HandshakeRefused, TlsRefused

VERSIONS = ["1.7.0", "1.8.0"]
Certificates = Mapping[str, Path]
Program = Callable[[str], Path]


@pytest.mark.parametrize(
    ("host", "host_gets", "plugin_logs"),
    [
        (
            "trusts another",
            r"certificate signed by unknown authority",
            "the peer refused our certificate or our TLS: SSLV3_ALERT_BAD_CERTIFICATE",
        ),
        (
            "signed by another",
            # In TLS 1.3 its handshake is over before it is refused, so grpc-go may write before it hears of that.
            r"remote error: tls: unknown certificate authority|broken pipe|connection reset",
            "the peer presented a certificate that no authority has signed whom we trust: "
            "unable to get local issuer certificate",
        ),
        (
            "auto-mtls",
            r"certificate signed by unknown authority",
            "the peer refused our certificate or our TLS: SSLV3_ALERT_BAD_CERTIFICATE",
        ),
        (
            "plain",
            r"error reading server preface|broken pipe|connection reset",
            "the peer does not speak TLS: WRONG_VERSION_NUMBER",
        ),
    ],
    ids=["trusts-another", "signed-by-another", "auto-mtls", "plain"],
)
@pytest.mark.usefixtures("sockets")
def test_a_python_plugin_and_a_go_host_do_not_connect_with_certificates_that_are_not_right(
    host: str, host_gets: str, plugin_logs: str, certificates: Certificates
) -> None:
    def refused(shell: str, version: str) -> None:
        order: Order = {
            "argv": probe("--shell", shell, "--tls", str(certificates["plugin"])),
            "environment": probe_environment(),
            "auto_mtls": host == "auto-mtls",
            "tls": str(certificates.get(host, "")),
            "steps": [{"op": "echo", "text": "hello"}, {"op": "wait_log", "contains": plugin_logs}],
        }
        report = run_go_host(order, version)
        echo, logged = report["steps"]  # go-plugin looks at its connection with the first call only
        assert echo["code"] == "Unavailable"
        assert re.search(host_gets, echo["error"])
        assert logged["ok"], report["logs"]

    with ThreadPoolExecutor() as pool:  # go-plugin takes two seconds to see that it cannot ask for Shutdown
        rows = [pool.submit(refused, shell, version) for shell in SHELLS for version in VERSIONS]
    for row in rows:
        row.result()


@pytest.mark.parametrize(
    ("host", "error", "reason"),
    [
        ("trusts another", TlsRefused, "the peer presented a certificate that no authority has signed whom we trust"),
        ("signed by another", TlsRefused, "the peer refused our certificate or our TLS: TLSV1_ALERT_UNKNOWN_CA"),
        ("auto-mtls", HandshakeRefused, "want a certificate, for the host asked for AutoMTLS"),
    ],
    ids=["trusts-another", "signed-by-another", "auto-mtls"],
)
@pytest.mark.parametrize("multiplex", [False, True], ids=["separate", "multiplexed"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_python_host_and_a_go_plugin_do_not_connect_with_certificates_that_are_not_right(
    shell: str,
    version: str,
    multiplex: bool,
    host: str,
    error: type[Exception],
    reason: str,
    certificates: Certificates,
    program: Program,
) -> None:
    options: dict[str, Any] = {"auto_mtls": True} if host == "auto-mtls" else {"tls": tls_config(certificates[host])}
    command = [str(program(f"plugin-{version}")), "-tls", str(certificates["plugin"])]
    client = SHELLS[shell](command, INTEROP, {"probe": ProbeStub}, multiplex=multiplex, **options)
    try:
        with pytest.raises(error, match=reason):
            client.start()
    finally:
        client.stop()


@pytest.mark.parametrize(
    ("multiplex", "reason"),
    [
        (False, "the plugin serves TLS, and this client was given none"),
        (True, "closed the connection without a word, as one does that wants TLS"),
    ],
    ids=["separate", "multiplexed"],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_python_host_without_tls_does_not_connect_to_a_go_plugin_that_wants_it(
    shell: str, multiplex: bool, reason: str, certificates: Certificates, program: Program
) -> None:
    command = [str(program("plugin-1.8.0")), "-tls", str(certificates["plugin"])]
    client = SHELLS[shell](command, INTEROP, {"probe": ProbeStub}, multiplex=multiplex)
    try:
        with pytest.raises(TlsRefused, match=reason):
            client.start()
    finally:
        client.stop()
