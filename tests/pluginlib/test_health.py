"""Answers to health checks."""

import pytest

from goplugin.pluginlib import _health
from goplugin.proto.health import HealthCheckResponse as Response


@pytest.mark.parametrize("name", ["", "plugin"])
def test_the_known_names_serve_until_the_end(name: str) -> None:
    for answer in (_health.check, _health.watch):
        assert answer(name, True) == Response(status=Response.SERVING)
        assert answer(name, False) == Response(status=Response.NOT_SERVING)


def test_an_unknown_name_is_unknown_for_good() -> None:
    assert _health.check("kv", True) is None
    assert _health.watch("kv", True) == _health.watch("kv", False) == Response(status=Response.SERVICE_UNKNOWN)


def test_the_list_has_every_known_name() -> None:
    assert {name: state.status for name, state in _health.states(False).statuses.items()} == {
        "": Response.NOT_SERVING,
        "plugin": Response.NOT_SERVING,
    }
