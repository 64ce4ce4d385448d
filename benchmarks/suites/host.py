"""What our host adds to a start: hostlib's Client against a pipe and a channel, on the same plugin."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter

import grpc
import kv_pb2
import kv_pb2_grpc

from benchmarks.figures import Comparison, Contestant, Figure, Samples
from benchmarks.plugin import CALL_WITHIN, KEY, SMALL, Plugin
from benchmarks.workshop import COOKIE, Workshop, version
from goplugin import hostlib
from goplugin.handshake import Handshake

START = Figure(name="start to first call", unit="ms")
HOSTLIB, BARE = "hostlib", "Popen and a channel"
HANDSHAKE = Handshake(protocol_version=1, cookie_key=COOKIE[0], cookie_value=COOKIE[1])


class Host:
    """Starts the same plugin in either way, several times in a round, for one start is short."""

    def __init__(self, starts: int) -> None:
        self._starts = starts
        self._timed: dict[str, Callable[[], float]] = {}
        self.comparisons = [Comparison(ours=HOSTLIB, against=BARE)]

    def prepare(self, workshop: Workshop) -> list[Contestant]:
        command = workshop.subject("goplugin_sync.py")
        environment, folder = workshop.environment, str(workshop.scratch)

        def bare() -> float:
            with Plugin("goplugin", command, environment, folder) as plugin:
                return plugin.first_call

        def ours() -> float:
            plugins: dict[str, Callable[[grpc.Channel], kv_pb2_grpc.KVStub]] = {"kv": kv_pb2_grpc.KVStub}
            client = hostlib.Client(command, HANDSHAKE, plugins, env=environment, inherit_env=False, cwd=folder)
            with ExitStack() as undo:
                undo.callback(client.stop)
                began = perf_counter()
                client.start()
                client.dispense("kv").Put(kv_pb2.PutRequest(key=KEY, value=SMALL), timeout=CALL_WITHIN)
                return perf_counter() - began

        self._timed = {HOSTLIB: ours, BARE: bare}
        for start in self._timed.values():
            start()
        return [Contestant(name=HOSTLIB, version=version("goplugin")), Contestant(name=BARE)]

    def measure(self, order: Sequence[str]) -> Samples:
        seconds = dict.fromkeys(order, 0.0)
        for _ in range(self._starts):
            for name in order:
                seconds[name] += self._timed[name]()
        return {(name, START): total / self._starts * 1e3 for name, total in seconds.items()}


def suite(quick: bool, peers: bool) -> Host:
    """Return the suite. Peers have no part in it."""
    return Host(starts=1 if quick else 2)
