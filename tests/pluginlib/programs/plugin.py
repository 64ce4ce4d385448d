"""A plugin that does what its host tells it to: one service, one method, the name of an action and its arguments."""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import plugin_actions

from goplugin import pluginlib
from goplugin.handshake import Handshake
from goplugin.pluginlib import _capture, _life, _spool, _stage

SERVICE = "test.Program"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    parser.add_argument("--network", choices=["unix", "tcp"])
    parser.add_argument("--versions", default="1", help="numbers, by commas")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--drain", type=float, default=1.5)
    parser.add_argument("--stay", action="store_true", help="do not leave with the host")
    parser.add_argument("--no-logging", action="store_true")
    parser.add_argument("--exit-within", type=float, help="instead of pluginlib's own")
    parser.add_argument(
        "--pipe-piece", type=int, help="bytes read at once from the pipe behind stdout, to slow it down"
    )
    parser.add_argument(
        "--expected", type=float, help="seconds in which the first reader may come, for pluginlib's own"
    )
    parser.add_argument("--stall", type=float, help="seconds for a reader that takes nothing, for pluginlib's own")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between the line and the next statement")
    parser.add_argument("--broker", action="store_true", help="serve the brokered connection 1000, too")
    parser.add_argument("--setup", default="{}", help="an action before serving, while the plugin registers")
    parser.add_argument("--afterwards", default="{}", help="an action once serve() has returned")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.exit_within is not None:
        _life.EXIT_WITHIN = options.exit_within
    if options.expected is not None:
        _stage.__dict__["EXPECTED"] = options.expected
    if options.stall is not None:
        _spool.Spool.__init__.__defaults__ = (_spool.LIMIT, _spool.LIMIT, options.stall)
    if options.pipe_piece is not None:
        from goplugin.pluginlib import _attendant

        _attendant.__dict__["PIECE"] = options.pipe_piece

    if options.pause:
        say = _capture.Stdout.say

        def say_and_pause(self: _capture.Stdout, line: bytes) -> None:
            say(self, line)
            time.sleep(options.pause)

        _capture.Stdout.say = say_and_pause  # type: ignore[method-assign]

    def register(server: Any, broker: Any) -> Any:
        import grpc
        from brokering import Answers

        plugin_actions.perform(options.setup)
        add: Any = grpc.unary_unary_rpc_method_handler
        handlers: Any = {"Do": add(do_async if options.shell == "aio" else do), "Sync": add(do), "Heard": add(heard)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        return broker.accept_and_serve(1000, Answers(b"plugin").register) if options.broker else None

    plugin = {"program": register}
    serving: dict[str, Any] = {
        "versions": {int(number): plugin for number in options.versions.split(",")},
        "network": options.network,
        "workers": options.workers,
        "drain": options.drain,
        "leave_with_host": not options.stay,
        "logging": not options.no_logging,
    }
    handshake = Handshake(cookie_key="TEST_COOKIE", cookie_value="yes")
    if options.shell == "aio":
        asyncio.run(pluginlib.aio.serve(handshake, **serving))
    else:
        pluginlib.serve(handshake, **serving)
    plugin_actions.perform(options.afterwards)


def do(request: bytes, _: object) -> bytes:
    return json.dumps(plugin_actions.perform(request)).encode()


def heard(_: bytes, __: object) -> bytes:
    """Answer whether anybody reads what the plugin prints."""
    [stage] = _stage.serving
    output: Any = vars(stage)["output"]
    return json.dumps(output._spool._present).encode()


async def do_async(request: bytes, _: object) -> bytes:
    action: Callable[..., Any] | None = plugin_actions.ASYNC.get(json.loads(request)["do"])
    if action is None:
        return do(request, _)
    await action()
    return b"null"


if __name__ == "__main__":
    main()
