"""What is served, from what the author offers and the host asks for."""

import re
from typing import Any

import pytest

from goplugin.handshake import Handshake, Misuse
from goplugin.pluginlib._plan import make_plan


class Register:
    """What registers a plugin."""

    def __call__(self, server: object, broker: object) -> None:
        raise AssertionError("a plan registers nothing")


FOUR, FIVE, HIDDEN = Register(), Register(), Register()
HANDSHAKE = Handshake(protocol_version=4, cookie_key="K", cookie_value="v")


def test_plugins_without_versions_are_the_version_of_the_handshake() -> None:
    plan = make_plan(HANDSHAKE, {"kv": FOUR}, None, {})
    assert (plan.version, plan.plugins) == (4, {"kv": FOUR})


def test_plugins_stand_beside_the_versions_and_over_their_own_as_in_go() -> None:
    versions = {4: {"kv": HIDDEN}, 5: {"kv": FIVE}}
    chosen = {
        offer: make_plan(HANDSHAKE, {"kv": FOUR}, versions, {"PLUGIN_PROTOCOL_VERSIONS": offer}).plugins["kv"]
        for offer in ("4", "5", "4,5", "")
    }
    assert chosen == {"4": FOUR, "5": FIVE, "4,5": FIVE, "": FOUR}


def test_a_bad_version_of_the_host_is_a_complaint() -> None:
    plan = make_plan(HANDSHAKE, {"kv": FOUR}, None, {"PLUGIN_PROTOCOL_VERSIONS": "4,five"})
    assert (plan.version, plan.complaints) == (4, ("the host sent an invalid plugin version 'five', skipped",))


@pytest.mark.parametrize(("plugins", "versions"), [(None, None), ({}, None), (None, {}), (None, {5: {}})])
def test_an_author_who_offers_nothing_is_told(
    plugins: dict[str, Register] | None, versions: dict[int, dict[str, Register]] | None
) -> None:
    with pytest.raises(Misuse, match="plugins="):
        make_plan(HANDSHAKE, plugins, versions, {})


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ([FOUR], "plugins= is a dict of names, each with what registers its service: got"),
        ({"kv": "KvServicer"}, "the plugin 'kv' is to be a function of server and broker: got 'KvServicer'"),
    ],
)
def test_what_registers_nothing_is_refused_before_anything_is_served(plugins: Any, told: str) -> None:
    with pytest.raises(Misuse, match=re.escape(told)):
        make_plan(HANDSHAKE, plugins, None, {})
    with pytest.raises(Misuse, match=re.escape(told)):
        make_plan(HANDSHAKE, None, {5: plugins}, {})
