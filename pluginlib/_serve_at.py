"""Serves at an address that whoever started the process has chosen: no cookie, no line, no TLS, no captured output.

That is how hosts start plugins that are not go-plugin's, such as Redpanda Connect. Signals, the watched parent and the
end are as with `serve`.
"""

from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from ..handshake import MachineFault, Unix
from ..transport import Workers, server_arguments, target
from ._options import DRAIN, WORKERS

if TYPE_CHECKING:
    import grpc


def serve_at(
    address: Unix,
    register: "Callable[[grpc.Server, Callable[[], None]], object]",
    *,
    workers: int = WORKERS,
    drain: float = DRAIN,
) -> None:
    """Serve at ``address`` until SIGTERM, until the process that started this one is gone, or until told to stop.

    A socket that an earlier process has left there is replaced. SIGINT is ignored, for Ctrl-C reaches the host, too,
    which may still drain. Call it in the main thread: elsewhere both signals keep their meaning.

    Args:
        address: exactly this path is bound, and removed at the end.
        register: adds services to the server that it gets; the function that it gets stops the serving, from any
            thread. Then, and when the parent is gone, the process has five seconds to end before it is ended by force.
        workers: threads for calls; more calls at once wait.
        drain: seconds that running calls may take once it has to stop.

    Raises:
        MachineFault: the path cannot be bound.
    """
    import grpc

    from ._attendant import Attendant
    from ._life import Cause, Life
    from ._output import Output
    from ._signals import Signals
    from ._spool import Spool
    from ._stage import serving

    causes: SimpleQueue[Cause] = SimpleQueue()
    calls = Workers(workers, "goplugin-call")
    server = grpc.server(calls, options=server_arguments(()))
    life = Life(drain=drain, leave_with_host=True)
    attendant = Attendant(life, Output(Spool()), on_stop=causes.put, last_rites=lambda: None)
    try:
        register(server, lambda: attendant.stop(Cause.FINISHED))
        try:
            server.add_insecure_port(target(address))
        except RuntimeError as error:  # all that grpcio says of a failed bind
            raise MachineFault(f"cannot listen at {address.path!r}: {error}") from None
        attendant.start(None)
        attendant.watch_parent()
        signals = Signals(attendant)
        serving.add(signals)
        try:
            server.start()
            causes.get()
            limit = monotonic() + drain
            stopped = server.stop(drain)
            calls.finish(drain)
            stopped.wait(max(0.0, limit - monotonic()))
        finally:
            serving.discard(signals)
            signals.release()
    finally:
        server.stop(0)
        calls.shutdown(wait=False, cancel_futures=True)
        attendant.close()
