"""A rule set for tflint: a resource may not be named after its type. Asks tflint for the resources over the broker.

tflint_ruleset.py [--shell sync|aio]. Wants PYTHONPATH to name support/.
"""

import argparse
import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
from tflint_pb2 import (
    ApplyConfig,
    ApplyGlobalConfig,
    BodySchema,
    Check,
    EmitIssue,
    GetConfigSchema,
    GetModuleContent,
    GetName,
    GetRuleNames,
    GetSDKVersion,
    GetVersion,
    GetVersionConstraint,
)
from tflint_pb2_grpc import RuleSetServicer, RunnerStub, add_RuleSetServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake
from goplugin.pluginlib import aio

HANDSHAKE = Handshake(
    protocol_version=11,
    cookie_key="TFLINT_RULESET_PLUGIN",
    cookie_value="5adSn1bX8nrDfgBqiAqqEkC6OE1h3iD8SqbMc5UUONx8x3xCF0KlPDsBRNDjoYDP",
)
RULE = "py_resource_repeats_its_type"
SDK = "0.18.0"  # of tflint v0.50.3
WARNING = 2
RESOURCES = GetModuleContent.Request(
    schema=BodySchema(blocks=[BodySchema.Block(type="resource", label_names=["type", "name"])]),
    option=GetModuleContent.Option(module_ctx=1, expand_mode=1),
)


def issues(found: GetModuleContent.Response) -> Iterator[EmitIssue.Request]:
    rule = EmitIssue.Rule(name=RULE, enabled=True, severity=WARNING)
    for block in found.content.blocks:
        kind, name = block.labels
        if name == kind:
            yield EmitIssue.Request(rule=rule, message=f"{name} is a {kind}: say which", range=block.def_range)


ANSWERS: dict[str, Any] = {  # to what tflint asks before it lets a rule set check
    "GetName": GetName.Response(name="py"),
    "GetVersion": GetVersion.Response(version="0.1.0"),
    "GetVersionConstraint": GetVersionConstraint.Response(constraint=">= 0.46"),
    "GetSDKVersion": GetSDKVersion.Response(version=SDK),
    "GetRuleNames": GetRuleNames.Response(names=[RULE]),
    "GetConfigSchema": GetConfigSchema.Response(schema=BodySchema()),
    "ApplyGlobalConfig": ApplyGlobalConfig.Response(),
    "ApplyConfig": ApplyConfig.Response(),
}


class Facts(RuleSetServicer):
    def __init__(self, broker: Any) -> None:
        self.broker = broker
        for name, answer in ANSWERS.items():
            setattr(self, name, self.answering(answer))

    def answering(self, answer: Any) -> Any:
        def answered(request: Any, context: Any) -> Any:
            return answer

        return answered


class Rules(Facts):
    def Check(self, request: Check.Request, context: grpc.ServicerContext) -> Check.Response:
        with self.broker.dial(request.runner) as channel:
            runner = RunnerStub(channel)
            for issue in issues(runner.GetModuleContent(RESOURCES)):
                runner.EmitIssue(issue)
        return Check.Response()


class AsyncRules(Facts):
    def answering(self, answer: Any) -> Any:
        async def answered(request: Any, context: Any) -> Any:
            return answer

        return answered

    async def Check(self, request: Check.Request, context: Any) -> Check.Response:
        async with await self.broker.dial(request.runner) as channel:
            runner: Any = RunnerStub(channel)
            for issue in issues(await runner.GetModuleContent(RESOURCES)):
                await runner.EmitIssue(issue)
        return Check.Response()


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_RuleSetServicer_to_server(Rules(broker), server)


def register_aio(server: grpc.aio.Server, broker: aio.Broker) -> None:
    add_RuleSetServicer_to_server(AsyncRules(broker), server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shell", choices=["sync", "aio"], default="sync")
    if parser.parse_args().shell == "sync":
        pluginlib.serve(HANDSHAKE, plugins={"ruleset": register})
    else:
        asyncio.run(aio.serve(HANDSHAKE, plugins={"ruleset": register_aio}))


if __name__ == "__main__":
    main()
