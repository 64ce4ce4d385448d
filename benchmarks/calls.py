"""The client's calls, timed. One client for everybody: grpcio with threads, and one channel to each plugin."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from time import perf_counter

import kv_pb2

from benchmarks.plugin import CALL_WITHIN, KEY, SMALL, Plugin

MIB = 1024 * 1024
LARGE = b"x" * MIB


@dataclass(slots=True)
class Calls:
    """Calls of one kind to one plugin.

    Attributes:
        latencies: seconds, one for each call.
        seconds: for all of them, from the first call's start to the last one's end.
        bytes: of payload that went over the wire.
    """

    latencies: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    bytes: int = 0


def one_at_a_time(plugin: Plugin, count: int, calls: Calls) -> None:
    """Get a small value ``count`` times, each when the one before has answered."""
    get, request = plugin.kv.Get, kv_pb2.GetRequest(key=KEY)
    began = perf_counter()
    for _ in range(count):
        sent = perf_counter()
        get(request, timeout=CALL_WITHIN)
        calls.latencies.append(perf_counter() - sent)
    calls.seconds += perf_counter() - began
    calls.bytes += count * len(SMALL)


def many_at_once(plugin: Plugin, threads: int, count: int, calls: Calls) -> None:
    """Get a small value ``count`` times from each of so many threads."""
    ready = Barrier(threads, timeout=CALL_WITHIN)

    def caller() -> tuple[float, float, Calls]:
        own = Calls()
        ready.wait()
        began = perf_counter()
        one_at_a_time(plugin, count, own)
        return began, perf_counter(), own

    with ThreadPoolExecutor(threads) as pool:
        done = [pending.result() for pending in [pool.submit(caller) for _ in range(threads)]]
    calls.seconds += max(ended for _, ended, _ in done) - min(began for began, _, _ in done)
    for _, _, own in done:
        calls.latencies += own.latencies
        calls.bytes += own.bytes


def large(plugin: Plugin, count: int, calls: Calls) -> None:
    """Put a value of 1 MiB and get it back, ``count`` times."""
    key = "large"
    put, get = kv_pb2.PutRequest(key=key, value=LARGE), kv_pb2.GetRequest(key=key)
    began = perf_counter()
    for _ in range(count):
        sent = perf_counter()
        plugin.kv.Put(put, timeout=CALL_WITHIN)
        answer = plugin.kv.Get(get, timeout=CALL_WITHIN)
        calls.latencies.append(perf_counter() - sent)
        calls.bytes += len(LARGE) + len(answer.value)
    calls.seconds += perf_counter() - began
