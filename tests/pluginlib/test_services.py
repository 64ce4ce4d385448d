"""The names of what a plugin serves."""

import pytest

from goplugin.handshake import Misuse
from goplugin.pluginlib._services import RESIDENT, Directory


def test_the_names_are_the_plugins_own_and_the_authors_sorted() -> None:
    directory = Directory()
    directory.add("proto.KV")
    directory.mention("proto.KV")
    directory.mention("a.First")
    assert directory.names == ("a.First", *RESIDENT, "proto.KV")
    assert list(directory.names) == sorted(directory.names)


@pytest.mark.parametrize("name", RESIDENT)
def test_what_every_plugin_serves_cannot_be_added(name: str) -> None:
    with pytest.raises(Misuse, match=name):
        Directory().add(name)
    with pytest.raises(Misuse, match=name):
        Directory().mention(name)


def test_a_service_cannot_be_added_twice() -> None:
    directory = Directory()
    directory.add("proto.KV")
    with pytest.raises(Misuse, match="twice"):
        directory.add("proto.KV")
