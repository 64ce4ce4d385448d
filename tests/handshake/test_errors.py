"""Errors carry facts in fields and say one clear thing; a plugin's bytes cannot act through them."""

import pytest

from goplugin.handshake import (
    GoPluginError,
    HandshakeRefused,
    HostFault,
    MachineFault,
    Misuse,
    PluginFault,
    PluginLost,
    StartTimeout,
    TlsRefused,
)


def test_the_class_says_who_must_act() -> None:
    for error in (Misuse, MachineFault, HostFault, PluginFault):
        assert error.__bases__ == (GoPluginError,)
    assert issubclass(HandshakeRefused, PluginFault)
    assert issubclass(StartTimeout, PluginLost)
    assert issubclass(PluginLost, PluginFault)


def test_a_lost_plugin_tells_how_it_ended_and_what_it_said() -> None:
    lost = PluginLost(
        "exited before its handshake line",
        argv=["./kv", "--flag"],
        pid=7,
        status=3,
        said=b"oops",
        stderr=[b"Traceback", b"\x1b[31mred"],
        notes=["note"],
    )
    assert (lost.exit_code, lost.signal, lost.pid, lost.argv) == (3, None, 7, ("./kv", "--flag"))
    assert str(lost) == (
        'the plugin exited before its handshake line; exit code 3; command "./kv" "--flag"; pid 7; '
        'its stdout began "oops"; note\nits last stderr lines:\n    Traceback\n    \\x1b[31mred'
    )


@pytest.mark.parametrize(
    ("status", "signal", "hint"),
    [(-11, "SIGSEGV", "native code"), (-9, "SIGKILL", "memory"), (-15, "SIGTERM", ""), (-40, "signal 40", "")],
)
def test_a_plugin_killed_by_a_signal_names_it(status: int, signal: str, hint: str) -> None:
    lost = PluginLost("exited", status=status)
    assert (lost.exit_code, lost.signal) == (None, signal)
    assert f"killed by {signal}" in str(lost)
    assert hint in str(lost)


def test_a_plugin_that_still_runs_has_neither_code_nor_signal() -> None:
    lost = StartTimeout("printed no handshake line within 30 s")
    assert (lost.exit_code, lost.signal) == (None, None)
    assert str(lost) == "the plugin printed no handshake line within 30 s"


@pytest.mark.parametrize("error", [TlsRefused("/p", "why"), HandshakeRefused(field="line", got="x", want="a line")])
def test_an_error_names_the_plugin_in_one_line_and_quotes_it_at_length_in_a_note(error: PluginFault) -> None:
    before = str(error)
    assert error.blame(PluginLost("did it", argv=["./kv"], pid=7, status=3, stderr=[b"one", b"two\n"])) is error
    assert str(error) == before + '; exit code 3; command "./kv"; pid 7; its last stderr line "two\\n"'
    assert error.__notes__ == ["its last stderr lines:\n    one\n    two\\n"]


def test_a_plugin_that_printed_one_line_needs_no_note() -> None:
    error = TlsRefused("/p", "why").blame(PluginLost("did it", stderr=[b"one"]))
    assert str(error).endswith('why; its last stderr line "one"')
    assert not hasattr(error, "__notes__")


def test_a_refusal_quotes_what_came() -> None:
    refused = HandshakeRefused(field="line", got="\x1b]0;\x00", want="a line", hint="do this")
    assert str(refused) == 'the plugin\'s handshake has a bad line: got "\\x1b]0;\\x00", want a line; do this'
