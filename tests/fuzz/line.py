"""A fuzz target for the handshake line: any bytes are a line, which then survives its own form, or are refused."""

from fuzzing import fuzz, harmless, pieces, spelled

from goplugin.handshake import GoPluginError, HandshakeRefused, Line, Misuse
from goplugin.hostlib._launch import Launch, Terms

WORDS = (
    b"1|1|unix|/tmp/p|grpc|", b"1|1|tcp|127.0.0.1:1234|grpc|", b"|", b"||", b"\n", b"\r\n", b"unix", b"tcp", b"grpc",
    b"netrpc", b"true", b"TRUE", b"false", b"[::1]:0", b"localhost:65536", b"@", b"/tmp/", b"-1", b"+1", b"0x1",
    b"9" * 30, b"MIIB" * 20, b"=" * 4, b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\x1b[2J", b"\x00", b"a" * 108,
    b"b" * 70_000,
)  # fmt: skip


def outcome(arrivals: list[bytes]) -> Line | str | None:
    """Return what a host makes of the stdout of a process that prints ``arrivals`` and ends."""
    launch = Launch(0.0, Terms(timeout=10.0, versions={1}, argv=["p"], pid=1, stderr=lambda: ()))
    for data in arrivals:
        if data:
            launch.stdout(data)
    launch.stdout(b"")
    launch.stderr_ended()
    launch.exited(0)
    try:
        for now in (1.0, 2.0, 20.0):
            line = launch.outcome(now)
            if line is not None:
                return line
    except GoPluginError as error:
        return str(error)
    return None


def one_input(data: bytes) -> None:
    """Parse one line; an AssertionError, or any error that no caller expects, is a finding."""
    raw = spelled(data[4:], WORDS)
    try:
        line = Line.parse(raw)
    except HandshakeRefused as refused:
        harmless(refused)
    else:
        try:
            again = Line.parse(line.format())
        except Misuse:
            again = line  # what a Go host accepts and no plugin of ours would write
        assert again == line
        for asked in (True, False):
            try:
                line.check(versions={1}, auto_mtls=asked, multiplex=asked)
            except HandshakeRefused as refused:
                harmless(refused)
    whole = outcome([raw])
    assert whole is not None
    assert outcome(pieces(raw, data[:4])) == whole


if __name__ == "__main__":
    fuzz(one_input)
