"""The environment by which a host speaks to a plugin, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goplugin.handshake import VARIABLES, HostFault, Misuse, PluginEnvironment, without_plugin_variables


def test_what_a_go_host_sets_is_understood() -> None:
    found = PluginEnvironment.parse(
        {
            "PLUGIN_MIN_PORT": "10000",
            "PLUGIN_MAX_PORT": "25000",
            "PLUGIN_PROTOCOL_VERSIONS": "2,5,3",
            "PLUGIN_CLIENT_CERT": "-----BEGIN CERTIFICATE-----\nMII\n",
            "PLUGIN_UNIX_SOCKET_DIR": "/run/x",
            "PLUGIN_UNIX_SOCKET_GROUP": "staff",
            "PLUGIN_MULTIPLEX_GRPC": "true",
        }
    )
    assert found == PluginEnvironment(
        versions=(2, 5, 3),
        min_port=10000,
        max_port=25000,
        client_cert="-----BEGIN CERTIFICATE-----\nMII\n",
        socket_dir="/run/x",
        socket_group="staff",
        multiplex_understood=True,
        multiplex=True,
    )


def test_an_empty_variable_counts_as_an_absent_one() -> None:
    assert PluginEnvironment.parse(dict.fromkeys(VARIABLES, "")) == PluginEnvironment.parse({}) == PluginEnvironment()


def test_a_version_that_is_no_number_is_skipped_and_reported() -> None:
    found = PluginEnvironment.parse({"PLUGIN_PROTOCOL_VERSIONS": "1,abc,3,"})
    assert (found.versions, found.bad_versions) == ((1, 3), ("abc", ""))


@pytest.mark.parametrize(("value", "asked"), [("true", True), ("1", True), ("false", False), ("yes", False)])
def test_multiplexing_is_understood_when_set_and_asked_for_when_true(value: str, asked: bool) -> None:
    found = PluginEnvironment.parse({"PLUGIN_MULTIPLEX_GRPC": value})
    assert found.multiplex_understood
    assert found.multiplex is asked


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PLUGIN_MIN_PORT": "x"}, "PLUGIN_MIN_PORT must be a port"),
        ({"PLUGIN_MAX_PORT": "70000"}, "PLUGIN_MAX_PORT must be a port"),
        ({"PLUGIN_MAX_PORT": "-1"}, "PLUGIN_MAX_PORT must be a port"),
        ({"PLUGIN_MIN_PORT": "5"}, "PLUGIN_MIN_PORT is 5, which is greater than PLUGIN_MAX_PORT, 0"),
    ],
)
def test_a_bad_port_range_is_the_hosts_fault(variables: dict[str, str], named: str) -> None:
    with pytest.raises(HostFault, match=named):
        PluginEnvironment.parse(variables)


_WORDS = st.none() | st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20)


@given(
    versions=st.lists(st.integers(0, 100)).map(tuple),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted),
    words=st.tuples(_WORDS, _WORDS, _WORDS),
    multiplex=st.booleans(),
)
def test_what_a_host_sets_is_what_a_plugin_reads(
    versions: tuple[int, ...], ports: list[int], words: tuple[str | None, str | None, str | None], multiplex: bool
) -> None:
    asked = PluginEnvironment(
        versions=versions,
        min_port=ports[0],
        max_port=ports[1],
        client_cert=words[0],
        socket_dir=words[1],
        socket_group=words[2],
        multiplex_understood=multiplex,
        multiplex=multiplex,
    )
    assert PluginEnvironment.parse(asked.format()) == asked


def test_a_host_cannot_ask_for_an_empty_range_of_ports() -> None:
    with pytest.raises(Misuse, match="0 <= min <= max"):
        PluginEnvironment(min_port=3, max_port=2).format()


def test_a_plugin_that_is_a_host_hands_nothing_of_its_own_down() -> None:
    mine = dict.fromkeys(VARIABLES, "x") | {"COOKIE": "x", "PATH": "/bin"}
    assert without_plugin_variables(mine, also=["COOKIE"]) == {"PATH": "/bin"}
