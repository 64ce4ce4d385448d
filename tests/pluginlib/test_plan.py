"""What is served, from what the author offers and the host asks for."""

import pytest

from goplugin.handshake import Handshake, HostFault, Misuse
from goplugin.pluginlib._plan import make_plan

HANDSHAKE = Handshake(protocol_version=4, cookie_key="K", cookie_value="v")


def test_plugins_without_versions_are_the_version_of_the_handshake() -> None:
    plan = make_plan(HANDSHAKE, {"kv": "four"}, None, {})
    assert (plan.version, plan.plugins) == (4, {"kv": "four"})


def test_plugins_stand_beside_the_versions_and_over_their_own_as_in_go() -> None:
    versions = {4: {"kv": "hidden"}, 5: {"kv": "five"}}
    chosen = {
        offer: make_plan(HANDSHAKE, {"kv": "four"}, versions, {"PLUGIN_PROTOCOL_VERSIONS": offer}).plugins["kv"]
        for offer in ("4", "5", "4,5", "")
    }
    assert chosen == {"4": "four", "5": "five", "4,5": "five", "": "four"}


def test_a_bad_version_of_the_host_is_a_complaint() -> None:
    plan = make_plan(HANDSHAKE, {"kv": "four"}, None, {"PLUGIN_PROTOCOL_VERSIONS": "4,five"})
    assert (plan.version, plan.complaints) == (4, ("the host sent an invalid plugin version 'five', skipped",))


@pytest.mark.parametrize(("plugins", "versions"), [(None, None), ({}, None), (None, {}), (None, {5: {}})])
def test_an_author_who_offers_nothing_is_told(
    plugins: dict[str, str] | None, versions: dict[int, dict[str, str]] | None
) -> None:
    with pytest.raises(Misuse, match="plugins="):
        make_plan(HANDSHAKE, plugins, versions, {})


def test_automtls_is_refused_rather_than_answered_in_the_clear() -> None:
    with pytest.raises(HostFault, match="AutoMTLS"):
        make_plan(HANDSHAKE, {"kv": "four"}, None, {"PLUGIN_CLIENT_CERT": "PEM"})
