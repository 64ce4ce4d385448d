"""The arguments of serve, and the test mode."""

from typing import Any

import pytest

from goplugin.handshake import Misuse
from goplugin.pluginlib._options import DRAIN, WORKERS, Options, TestMode


def options(**changed: Any) -> Options:
    usual: dict[str, Any] = {
        "network": None,
        "tls": None,
        "workers": WORKERS,
        "server_options": (),
        "drain": DRAIN,
        "leave_with_host": True,
        "logging": True,
        "test": None,
    }
    return Options(**(usual | changed)).checked()


def test_the_usual_options_leave_a_go_host_time() -> None:
    from goplugin.pluginlib._stage import FLUSH_WITHIN

    assert options().drain + FLUSH_WITHIN < 2  # client.go:559


@pytest.mark.parametrize("changed", [{"workers": 0}, {"drain": -1}, {"drain": float("nan")}, {"drain": float("inf")}])
def test_numbers_that_make_no_sense_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(changed))):
        options(**changed)


def test_a_stop_before_the_start_is_not_forgotten() -> None:
    calls: list[str] = []
    mode = TestMode(lambda _: None)
    mode.stop()
    mode.when_stopped(lambda: calls.append("stopped"))
    assert calls == ["stopped"]
    mode.stop()
    assert calls == ["stopped", "stopped"]
