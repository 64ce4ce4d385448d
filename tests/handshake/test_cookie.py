"""The magic cookie."""

import pytest

from goplugin.handshake import Cookie, Handshake, Misuse

HELLO = Handshake(cookie_key="BASIC_PLUGIN", cookie_value="hello")


@pytest.mark.parametrize(
    ("environment", "admitted"),
    [({"BASIC_PLUGIN": "hello"}, True), ({"BASIC_PLUGIN": "Hello"}, False), ({"BASIC_PLUGIN": ""}, False), ({}, False)],
)
def test_only_the_very_value_is_admitted(environment: dict[str, str], admitted: bool) -> None:
    assert HELLO.admits(environment) is admitted


@pytest.mark.parametrize(("value", "admitted"), [("0d9c", True), ("x", True), ("", False), (None, False)])
def test_any_admits_whatever_is_set_and_not_empty(value: str | None, admitted: bool) -> None:
    crowdsec = Handshake(cookie_key="CROWDSEC_PLUGIN_KEY", cookie_value=Cookie.ANY)
    assert crowdsec.admits({} if value is None else {"CROWDSEC_PLUGIN_KEY": value}) is admitted


@pytest.mark.parametrize(
    ("key", "value", "version"),
    [("", "x", 1), ("K", "", 1), ("A=B", "x", 1), ("K\0", "x", 1), ("K", "x\0", 1), ("K", "x", -1)],
)
def test_a_handshake_that_nobody_could_keep_cannot_be_made(key: str, value: str, version: int) -> None:
    with pytest.raises(Misuse):
        Handshake(cookie_key=key, cookie_value=value, protocol_version=version)
