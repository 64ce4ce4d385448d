"""Serves a plugin inside a test, over a real socket, for a host in the same or another process.

    with testing.serve_in_background(HANDSHAKE, plugins={"kv": register_kv}) as reattach:
        ...  # connect to reattach.address, or hand the record to a host

In test mode there is no cookie, no handshake line and no captured output; see `TestMode`.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from ..handshake import Handshake, Reattach
from ._options import TestMode
from ._serve import PluginSet, serve
from .aio import PluginSet as AioPluginSet
from .aio import serve as serve_aio

__all__ = ["TIMEOUT", "serve_aio_in_background", "serve_in_background"]

TIMEOUT = 10.0
"""Seconds for the start, and for the end: much more than either needs."""


@contextmanager
def serve_in_background(
    handshake: Handshake,
    *,
    plugins: PluginSet | None = None,
    versions: Mapping[int, PluginSet] | None = None,
    timeout: float = TIMEOUT,
    **options: Any,
) -> Generator[Reattach]:
    """Serve on a thread; yield the record by which a host finds the plugin, and end the serving afterwards.

    Args:
        handshake, plugins, versions: as in `goplugin.pluginlib.serve`.
        timeout: seconds for the start and for the end.
        options: more keyword arguments of `serve`.

    Raises:
        TimeoutError: it does not start in time, or it has not ended in time: then something of the plugin hangs.
        Exception: whatever `serve` raised.
    """

    def run(mode: TestMode) -> None:
        serve(handshake, plugins=plugins, versions=versions, test=mode, **options)

    with _background(run, timeout) as reattach:
        yield reattach


@contextmanager
def serve_aio_in_background(
    handshake: Handshake,
    *,
    plugins: AioPluginSet | None = None,
    versions: Mapping[int, AioPluginSet] | None = None,
    timeout: float = TIMEOUT,
    **options: Any,
) -> Generator[Reattach]:
    """Do the same with `goplugin.pluginlib.aio.serve`, on a loop of its own."""

    def run(mode: TestMode) -> None:
        import asyncio

        asyncio.run(serve_aio(handshake, plugins=plugins, versions=versions, test=mode, **options))

    with _background(run, timeout) as reattach:
        yield reattach


@contextmanager
def _background(run: Callable[[TestMode], None], timeout: float) -> Generator[Reattach]:
    news: SimpleQueue[Reattach | BaseException] = SimpleQueue()
    mode = TestMode(news.put)

    def target() -> None:
        try:
            run(mode)
        except BaseException as error:  # noqa: BLE001 - raised where it is of use, in the test's own thread
            news.put(error)

    thread = threading.Thread(target=target, name="goplugin-test", daemon=True)
    thread.start()
    try:
        first = news.get(timeout=timeout)
    except Empty:
        mode.stop()  # should it start after all
        raise TimeoutError(f"the plugin did not start within {timeout} seconds") from None
    if isinstance(first, BaseException):
        thread.join(timeout)
        raise first
    try:
        yield first
    finally:
        mode.stop()
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"the plugin did not end within {timeout} seconds")
    if not news.empty() and isinstance(late := news.get(), BaseException):
        raise late
