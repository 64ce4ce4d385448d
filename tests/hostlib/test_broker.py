"""Brokered connections between our host and our plugin: both shells of either, both networks, both directions."""

import asyncio
import inspect
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from attackers import attack, reach, repelled, signed
from brokering import METHOD, Answers, asked, descriptors, dialled, lying, relayed
from foreign_certificates import Foreign, context
from shells import HANDSHAKE, SUPPORT, program
from waiting import until

from goplugin import hostlib
from goplugin.handshake import Address, Misuse, PluginDialTimeout, PluginFault, PluginLost, Tcp, Unix
from goplugin.hostlib import aio
from goplugin.transport._broker import PENDING_MAX
from goplugin.transport.tls import Identity

MANY, FEW = 100, 10
PATIENCE = 60.0  # seconds for what should take none
PATIENT = hostlib.StopBudget(shutdown=PATIENCE)


class Loop:
    """An event loop on a thread of its own, so that a test can do something else meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, step: Callable[[], Any]) -> Any:
        async def stepped() -> Any:
            result = step()
            return await asyncio.wait_for(result, PATIENCE) if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(stepped(), self._loop).result(PATIENCE)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Host:
    """A client of either shell, and what it brokers."""

    def __init__(self, kind: str, command: list[str] | None, **options: Any) -> None:
        self._loop = Loop() if kind == "aio" else None
        self.others = ThreadPoolExecutor(2)
        plugins: dict[str, Callable[[Any], Any]] = {"echo": lambda channel: channel}
        make: Any = aio.Client if kind == "aio" else hostlib.Client
        options = {"stop_budget": PATIENT} | options | {"env": SUPPORT | options.get("env", {})}
        self.client: Any = self.run(lambda: make(command, HANDSHAKE, plugins, **options))
        self.run(lambda: self.client.start())

    def run(self, step: Callable[[], Any]) -> Any:
        return step() if self._loop is None else self._loop.run(step)

    def let(self, action: str, **arguments: Any) -> Any:
        """Let the plugin do something, and return its whole answer."""
        request = json.dumps({"do": action, **arguments}).encode()
        return json.loads(self.call(self.client.channel, "/test.Brokers/Do", request))

    def call(self, channel: Any, method: str, request: bytes) -> bytes:
        answer: bytes = self.run(lambda: channel.unary_unary(method)(request, timeout=PATIENCE))
        return answer

    @property
    def broker(self) -> Any:
        return self.client.broker

    def serve(self, id: int, lie: str = "") -> Any:
        with lying(self.broker, lie):
            return self.run(lambda: self.broker.accept_and_serve(id, Answers(b"host").register))

    def dial(self, id: int, timeout: float = PATIENCE - 1) -> Any:
        return self.run(lambda: self.broker.dial(id, timeout))

    def let_ask(self, id: int, timeout: float = PATIENCE / 2) -> Any:
        """Let the plugin ask what the host serves, and return its whole answer."""
        return self.let("ask", id=id, timeout=timeout)

    def ask(self, id: int, timeout: float = PATIENCE - 1) -> str:
        channel = self.dial(id, timeout)
        try:
            answer: bytes = self.run(lambda: asked(channel)(b"the plugin", timeout=PATIENCE))
            return answer.decode()
        finally:
            self.run(lambda: channel.close())

    def ask_while(self, id: int, event: Callable[[], object]) -> str:
        """Dial an id, let something happen while the dial waits, and return its answer."""
        answer = self.others.submit(self.ask, id)
        until(lambda: id in dialled(self.broker))
        event()
        return answer.result(PATIENCE)

    def stop(self) -> Any:
        return self.run(lambda: self.client.stop())

    def close(self) -> None:
        self.stop()
        self.others.shutdown()
        if self._loop is not None:
            self._loop.close()


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


Start = Callable[..., Host]


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host keep what the plugin announces for longer than the protocol's five seconds."""
    monkeypatch.setattr("goplugin.transport._broker.KEPT_FOR", 10 * PATIENCE)


@pytest.fixture(params=["sync", "aio"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start hosts of either shell, and stop each in the end."""
    made: list[Host] = []

    def start(name: str | None, *arguments: str, **options: Any) -> Host:
        made.append(Host(request.param, None if name is None else [*program(name), *arguments], **options))
        return made[-1]

    yield start
    for host in made:
        host.close()


@pytest.fixture(params=["sync", "aio"])
def plugin(request: pytest.FixtureRequest) -> str:
    shell: str = request.param
    return shell


@pytest.fixture(params=[False, True], ids=["plain", "multiplexed"])
def multiplex(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def host(start: Start, plugin: str, multiplex: bool) -> Host:
    return start("brokers.py", plugin, "unix", multiplex=multiplex)


# Both directions


def own_tls(directory: str) -> dict[str, Any]:
    """Return options of a client with certificates of its own, and with what a plugin needs for its own."""
    ours, theirs = Foreign.make("RSA"), Foreign.make("P-384")
    Path(directory, "plugin.pem").write_text(theirs.pem + theirs.key_pem)
    Path(directory, "host.pem").write_text(ours.pem)
    accept, dial = context(ssl.PROTOCOL_TLS_SERVER, ours), context(ssl.PROTOCOL_TLS_CLIENT, ours)
    for made in (accept, dial):
        made.load_verify_locations(cadata=theirs.pem)
        made.verify_mode = ssl.CERT_REQUIRED
    dial.check_hostname = True
    return {"tls": hostlib.TlsConfig(accept, dial), "env": {"TEST_TLS": directory}}


@pytest.mark.parametrize("security", ["plain", "auto_mtls", "own"])
@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_each_side_calls_what_the_other_serves_on_the_network_of_the_main_connection(
    start: Start, plugin: str, network: str, security: str, multiplex: bool, tmp_path: Path
) -> None:
    options = own_tls(str(tmp_path)) if security == "own" else {"auto_mtls": security == "auto_mtls"}
    host = start("brokers.py", plugin, network, multiplex=multiplex, **options)
    assert (host.client.line.server_cert is not None) is (security == "auto_mtls")
    [theirs] = host.let("serve_many", count=1)["result"]
    assert host.ask(theirs) == "plugin the plugin"
    ours = host.serve(host.broker.next_id())
    assert host.let_ask(ours.id)["result"] == "host the host"
    assert (theirs, ours.id) == (1, 1), "each side has its own ids"
    # Python's own certificates are on P-256, which grpcio's TLS can verify: no relay then, on neither side.
    assert (relayed(), host.let("relayed")["result"]) == (multiplex or security == "own",) * 2
    if multiplex:
        assert ours.address is None
    elif network == "tcp":
        assert isinstance(ours.address, Tcp)
        assert ours.address.host == "127.0.0.1"
        assert ours.address.port in range(10_000, 25_001)
    else:
        assert isinstance(ours.address, Unix)
        assert host.client.line.address.path.rpartition("/")[0] == ours.address.path.rpartition("/")[0]


class Aliased(hostlib.Subprocess):
    """Runs a plugin to which the directory of the sockets has another name, ``once`` for its main server alone."""

    once = False

    def start(self, environment: Mapping[str, str], socket_dir: str) -> None:
        self.there, self.alias = socket_dir, socket_dir + "-alias"
        os.symlink(socket_dir, self.alias)
        super().start({**environment, "PLUGIN_UNIX_SOCKET_DIR": self.alias}, socket_dir)

    def plugin_to_host(self, address: Address) -> Address:
        if self.once:
            Path(self.alias).unlink(missing_ok=True)  # from here on it leads nowhere, if not translated
        return self._renamed(address, self.alias, self.there)

    def host_to_plugin(self, address: Address) -> Address:
        return self._renamed(address, self.there, self.alias)

    @staticmethod
    def _renamed(address: Address, old: str, new: str) -> Address:
        assert isinstance(address, Unix)
        assert os.path.dirname(address.path) == old
        return Unix(os.path.join(new, os.path.basename(address.path)))


@pytest.mark.parametrize("auto_mtls", [False, True], ids=["plain", "auto-mtls"])
def test_each_side_calls_what_the_other_serves_where_a_runner_translates_their_addresses(
    start: Start, plugin: str, auto_mtls: bool, multiplex: bool
) -> None:
    runner = Aliased([*program("brokers.py"), plugin, "unix"])
    runner.once = multiplex
    host = start(None, runner=runner, auto_mtls=auto_mtls, multiplex=multiplex)
    try:
        assert host.client.line.address.path.startswith(runner.alias)
        assert host.ask(1000) == "plugin the plugin"
        ours = host.serve(host.broker.next_id())
        assert host.let_ask(ours.id)["result"] == "host the host"
        assert multiplex or ours.address.path.startswith(runner.alias)
        assert host.stop().how == "shutdown"
    finally:
        Path(runner.alias).unlink(missing_ok=True)


def test_what_the_plugin_serves_before_there_is_a_host_is_announced_once_there_is(host: Host) -> None:
    assert host.ask(1000) == "plugin the plugin"


def test_a_dial_waits_for_what_the_other_side_serves_later(host: Host) -> None:
    assert host.ask_while(7, lambda: host.let("serve", id=7)) == "plugin the plugin"
    host.let("ask_later", id=8)
    host.serve(8)
    assert host.let("answer")["result"] == {"result": "host the host"}


def test_what_nobody_serves_is_a_timeout_of_the_other_side(host: Host) -> None:
    with pytest.raises(PluginDialTimeout, match=r"the plugin did not serve the brokered connection 5 within 0\.2 s"):
        host.ask(5, 0.2)
    failed = host.let_ask(5, 0.2)
    assert (failed["error"], failed["id"]) == ("HostDialTimeout", 5)
    assert host.ask(1000) == "plugin the plugin", "and nothing else is harmed"


def test_an_id_is_announced_once_so_it_is_dialled_once(start: Start, plugin: str) -> None:
    host = start("brokers.py", plugin, "unix")
    served = host.serve(3)
    assert "result" in host.let_ask(3)
    assert host.let_ask(3, 0.1)["error"] == "HostDialTimeout"
    host.run(lambda: served.close())


def test_an_id_is_served_once_at_a_time_and_again_after_its_close(host: Host, nothing_left: str) -> None:
    served = host.serve(3)
    with pytest.raises(Misuse, match="connection 3 is served already"):
        host.serve(3)
    assert "result" in host.let_ask(3)
    for _ in range(2):
        host.run(lambda: served.close())
    assert served.address is None or not os.path.exists(served.address.path)
    again = host.serve(3)
    assert host.let_ask(3)["result"] == "host the host"
    host.run(lambda: again.close())

    host.let("serve", id=4)
    assert host.let("serve", id=4)["error"] == "Misuse"
    assert host.ask(4) == "plugin the plugin"
    host.let("close", id=4)
    host.let("serve", id=4)
    assert host.ask(4) == "plugin the plugin"


def test_a_server_that_was_closed_answers_no_more_and_the_channel_says_so(host: Host) -> None:
    host.let("serve", id=4)
    channel = host.dial(4)
    assert host.call(channel, METHOD, b"x") == b"plugin x"
    host.let("close", id=4)
    with pytest.raises(grpc.RpcError) as failed:
        host.call(channel, METHOD, b"x")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    host.run(lambda: channel.close())


def test_a_register_that_fails_leaves_the_id_free_and_nothing_behind(host: Host) -> None:
    def fail(server: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        host.run(lambda: host.broker.accept_and_serve(3, fail))
    host.serve(3)
    assert host.let_ask(3)["result"] == "host the host"


# Others than the two

LIES = {"another key": "the peer presented another certificate", "plain text": "the peer does not speak TLS"}


def on_curve(curve: str, patched: pytest.MonkeyPatch) -> tuple[Foreign, dict[str, Any]]:
    """Return what a plugin with AutoMTLS is known by, and options for its client, which has the same curve."""
    ours, theirs = Foreign.make(curve), Foreign.make(curve)
    patched.setattr(Identity, "generate", lambda now=0.0: ours.identity)
    return theirs, {"auto_mtls": True, "env": {"TEST_CERTIFICATE": theirs.pem, "TEST_KEY": theirs.key_pem}}


@pytest.mark.parametrize(("curve", "network"), [("P-521", "tcp"), ("P-256", "unix")])
def test_nobody_but_the_plugin_gets_a_word_of_what_its_host_serves(
    start: Start, curve: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, options = on_curve(curve, monkeypatch)
    host = start("brokers.py", "sync", network, **options)
    ours = host.serve(host.broker.next_id())
    assert repelled(ours.address, theirs)
    if curve == "P-521":  # of such a child grpcio would take any
        assert attack(reach(ours.address), signed(theirs)) == b""
    assert host.let_ask(ours.id)["result"] == "host the host"


@pytest.mark.parametrize(
    ("plugin", "curve", "multiplex"), [("aio", "P-521", False), ("sync", "P-256", False), ("aio", "P-256", True)]
)
def test_a_brokered_server_that_is_not_who_it_should_be_gets_no_call_from_either_side(
    start: Start,
    plugin: str,
    curve: str,
    multiplex: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, options = on_curve(curve, monkeypatch)
    host = start("brokers.py", plugin, "unix", multiplex=multiplex, **options)
    for number, (lie, said) in enumerate(LIES.items(), 1):
        host.let("serve", id=number, lie=lie)
        with pytest.raises((grpc.RpcError, PluginFault)) as refused:
            host.ask(number)
        host.serve(number, lie)
        failed = host.let_ask(number)
        if multiplex:
            assert (type(refused.value), said in str(refused.value)) == (PluginFault, True)
            assert (failed["error"], said in failed["text"]) == ("HostFault", True)
        else:
            assert "StatusCode.UNAVAILABLE" in str(refused.value)
            assert failed["code"] == "UNAVAILABLE"
        if curve == "P-521":  # grpcio's own TLS says it on stderr
            until(partial(logged, caplog, said))
    assert host.ask(1000) == "plugin the plugin"
    assert host.let_ask(host.serve(3).id)["result"] == "host the host"


# Many, and too many


def dial_theirs(host: Host, count: int) -> None:
    """Let the plugin serve some more, and ask each."""
    theirs = host.let("serve_many", count=count)["result"]
    assert {host.ask(id) for id in theirs} == {"plugin the plugin"}


def let_dial_ours(host: Host, count: int) -> None:
    """Serve some more, and let the plugin ask each."""
    for _ in range(count):
        assert host.let_ask(host.serve(host.broker.next_id()).id)["result"] == "host the host"


def descriptors_of_plugin(host: Host) -> int:
    count: int = host.let("descriptors")["result"]
    return count


def fewer(count: Callable[[], int], limit: int) -> bool:
    return count() < limit


@pytest.mark.parametrize(
    ("plugin", "multiplex", "curve"),
    [
        *((plugin, multiplex, None) for plugin in ("sync", "aio") for multiplex in (False, True)),
        ("sync", False, "P-521"),  # as a Go peer's: relays on either side, which serve and dial
        ("aio", False, "P-256"),
        ("aio", True, "P-256"),
    ],
)
def test_hundreds_of_brokered_servers_on_each_side_end_with_the_plugin(
    start: Start, plugin: str, multiplex: bool, curve: str | None, monkeypatch: pytest.MonkeyPatch, nothing_left: str
) -> None:
    """And what dialled them is gone before. ``nothing_left`` sees to it that nothing of the rest stays."""
    options = {} if curve is None else on_curve(curve, monkeypatch)[1]
    host = start("brokers.py", plugin, "unix", multiplex=multiplex, stop_budget=PATIENT, **options)
    for dial, held in ((dial_theirs, descriptors), (let_dial_ours, partial(descriptors_of_plugin, host))):
        dial(host, 1)
        limit = held() + FEW
        for _ in range(MANY // FEW):  # for the plugin forgets announcements after 5 s
            dial(host, FEW)
        until(partial(fewer, held, limit))
    assert host.stop().how == "shutdown"


def test_channels_that_are_left_open_end_with_the_plugin(host: Host) -> None:
    left = [host.dial(id) for id in host.let("serve_many", count=3)["result"]]
    for channel in left:
        assert host.call(channel, METHOD, b"x") == b"plugin x"
    host.let("leave_open", ids=[host.serve(host.broker.next_id()).id for _ in range(3)])
    assert host.stop().how == "shutdown"
    with pytest.raises(Misuse, match="the plugin was stopped"):
        host.call(left[0], METHOD, b"x")


def test_a_flood_of_announcements_keeps_the_newest(start: Start) -> None:
    host = start("floods_broker.py")
    channel = host.dial(20_000)
    host.run(lambda: channel.close())
    assert len(host.broker._ledger._pending) in (PENDING_MAX - 1, PENDING_MAX)


# The end


@pytest.mark.usefixtures("settled_late")
def test_a_plugin_that_dies_while_a_dial_waits_is_lost_at_once(host: Host) -> None:
    def die() -> None:
        with pytest.raises((grpc.RpcError, PluginLost)):
            host.let("die")

    began = time.monotonic()
    with pytest.raises(PluginLost) as lost:
        host.ask_while(7, die)
    assert time.monotonic() - began < PATIENCE / 2
    assert lost.value.exit_code == 7
    with pytest.raises(PluginLost):
        host.serve(1)
    with pytest.raises(PluginLost):
        host.dial(1)


def test_a_stop_wakes_the_dials_that_wait_and_ends_the_broker(host: Host) -> None:
    broker = host.broker
    with pytest.raises(Misuse, match=r"the plugin is being stopped|the plugin was stopped"):
        host.ask_while(7, host.stop)
    with pytest.raises(Misuse, match="the plugin was stopped"):
        host.run(lambda: broker.dial(1))
    with pytest.raises(Misuse, match="the plugin was stopped"):
        host.run(lambda: broker.accept_and_serve(1, Answers(b"host").register))


def test_a_stop_does_not_wait_for_a_dial_of_the_plugin(host: Host) -> None:
    answer = host.others.submit(host.let, "ask", id=7, timeout=PATIENCE)
    until(lambda: host.let("dialled")["result"] == [7])
    stopped = host.stop()
    assert stopped.how == "shutdown"
    failed = answer.result(PATIENCE)
    assert (failed["error"], failed["text"]) == ("Misuse", "the broker is closed: host and plugin have parted")


def test_a_call_on_a_brokered_server_may_end_while_the_plugin_stops(host: Host) -> None:
    host.let("serve_slowly", id=7)
    channel = host.dial(7)
    answer = host.others.submit(host.call, channel, METHOD, b"x")
    assert host.let("await_slow_call")["result"]
    assert host.stop().how == "shutdown"
    assert answer.result(PATIENCE) == b"slow plugin x"


def test_a_plugin_without_a_broker_says_so_at_once(start: Start) -> None:
    host = start("no_broker.py")
    began = time.monotonic()
    with pytest.raises(PluginFault, match="the plugin ended its broker stream"):
        host.ask(1)
    assert time.monotonic() - began < PATIENCE / 2
