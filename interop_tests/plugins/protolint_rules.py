"""A rule set for protolint: services may not be called Manager. Wants PYTHONPATH to name support/."""

import re
from pathlib import Path
from typing import Any

import grpc
from rule_set_pb2 import RULE_SEVERITY_WARNING, ApplyRequest, ApplyResponse, ListRulesRequest, ListRulesResponse
from rule_set_pb2_grpc import RuleSetServiceServicer, add_RuleSetServiceServicer_to_server

from goplugin import pluginlib
from goplugin.handshake import Handshake

RULE = "NO_MANAGERS"


class Rules(RuleSetServiceServicer):
    def ListRules(self, request: ListRulesRequest, context: Any) -> ListRulesResponse:
        rule = ListRulesResponse.Rule(id=RULE, purpose="Services say what they do.", severity=RULE_SEVERITY_WARNING)
        return ListRulesResponse(rules=[rule])

    def Apply(self, request: ApplyRequest, context: Any) -> ApplyResponse:
        answer = ApplyResponse()
        for number, line in enumerate(Path(request.path).read_text().splitlines(), start=1):
            if found := re.match(r"\s*service\s+(\w*Manager)\b", line):
                position = ApplyResponse.Position(line=number, column=found.start(1) + 1)
                answer.failures.add(message=f"{found[1]} manages what?", pos=position)
        return answer


def register(server: grpc.Server, broker: pluginlib.Broker) -> None:
    add_RuleSetServiceServicer_to_server(Rules(), server)


if __name__ == "__main__":
    pluginlib.serve(
        Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello"),
        plugins={"ruleSet": register},
    )
