"""Both shells of our host behind one face, so that one table of tests runs over both."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shells import PATIENT

from goplugin import hostlib
from goplugin.handshake import Handshake
from goplugin.hostlib import aio

INTEROP = Handshake(cookie_key="INTEROP_PLUGIN", cookie_value="hello")


class Host(Protocol):
    """A client of one plugin, with every call made plain."""

    client: Any

    def start(self) -> None: ...
    def dispense(self, name: str) -> Any: ...
    def call(self, method: Any, request: Any, **options: Any) -> Any: ...
    def collect(self, method: Any, request: Any) -> list[Any]: ...
    def ping(self) -> None: ...
    def stop(self) -> Any: ...


class SyncHost:
    """`hostlib.Client` as it is."""

    def __init__(
        self, command: Sequence[str] | None, handshake: Handshake | None, plugins: Mapping[str, Any], **options: Any
    ) -> None:
        options = {"stop_budget": PATIENT} | options
        self.client: Any = hostlib.Client(command, handshake, plugins, **options)

    def start(self) -> None:
        self.client.start()

    def dispense(self, name: str) -> Any:
        return self.client.dispense(name)

    def call(self, method: Any, request: Any, **options: Any) -> Any:
        return method(request, **options)

    def collect(self, method: Any, request: Any) -> list[Any]:
        return list(method(request))

    def ping(self) -> None:
        self.client.ping()

    def stop(self) -> Any:
        return self.client.stop()


class AioHost:
    """`hostlib.aio.Client` with a loop of its own."""

    def __init__(
        self, command: Sequence[str] | None, handshake: Handshake | None, plugins: Mapping[str, Any], **options: Any
    ) -> None:
        self._runner = asyncio.Runner()
        self._stopped: Any = None
        options = {"stop_budget": PATIENT} | options
        self.client: Any = aio.Client(command, handshake, plugins, **options)

    def start(self) -> None:
        self._run(self.client.start)

    def dispense(self, name: str) -> Any:
        async def dispensed() -> Any:
            return self.client.dispense(name)

        return self._run(dispensed)

    def call(self, method: Any, request: Any, **options: Any) -> Any:
        async def answered() -> Any:
            return await method(request, **options)

        return self._run(answered)

    def collect(self, method: Any, request: Any) -> list[Any]:
        async def collected() -> list[Any]:
            return [item async for item in method(request)]

        return list(self._run(collected))

    def ping(self) -> None:
        self._run(self.client.ping)

    def stop(self) -> Any:
        if self._stopped is None:
            try:
                self._stopped = self._run(self.client.stop)
            finally:
                self._runner.close()
        return self._stopped

    def _run(self, function: Callable[[], Any]) -> Any:
        async def bounded() -> Any:
            return await asyncio.wait_for(function(), 60)

        return self._runner.run(bounded())


SHELLS: dict[str, type[SyncHost] | type[AioHost]] = {"sync": SyncHost, "aio": AioHost}
