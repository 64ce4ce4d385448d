"""The handshake line: what Go writes is read, what we write is what Go writes, and nothing else gets in."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goplugin.handshake import LINE_MAX, HandshakeRefused, Line, Misuse, MultiplexingNotSupported, Tcp, Unix

CERT = bytes(range(256))
CERT_TEXT = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVW"
    "V1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6yt"
    "rq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w"
)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        # go-plugin 1.0.1 … 1.5: six fields, the sixth empty without TLS.
        (b"1|1|unix|/tmp/plugin1|grpc|\n", Line(version=1, address=Unix("/tmp/plugin1"))),
        (b"1|6|tcp|127.0.0.1:1234|grpc|\n", Line(version=6, address=Tcp("127.0.0.1", 1234))),
        (b"1|6|tcp|[::1]:1234|grpc|\n", Line(version=6, address=Tcp("::1", 1234))),
        (b"1|1|tcp|:1234|grpc|\n", Line(version=1, address=Tcp("", 1234))),
        (b"1|1|unix|/tmp/p|netrpc|\n", Line(version=1, address=Unix("/tmp/p"), protocol="netrpc")),
        # since 1.6 a seventh, where the host asked.
        (b"1|1|unix|/tmp/p|grpc||true\n", Line(version=1, address=Unix("/tmp/p"), multiplex="true")),
        (b"1|1|unix|/tmp/p|grpc||false\n", Line(version=1, address=Unix("/tmp/p"), multiplex="false")),
        # AutoMTLS.
        (
            f"1|1|unix|/tmp/p|grpc|{CERT_TEXT}|true\n".encode(),
            Line(version=1, address=Unix("/tmp/p"), server_cert=CERT, multiplex="true"),
        ),
    ],
)
def test_a_line_that_go_writes_is_read_and_written_byte_for_byte(raw: bytes, line: Line) -> None:
    assert Line.parse(raw) == line
    assert line.format() == raw


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"1|1|unix|/tmp/p|grpc", Line(version=1, address=Unix("/tmp/p"))),
        (b"  1|1|unix|/tmp/p|grpc|  \r\n", Line(version=1, address=Unix("/tmp/p"))),
        (b"1|1|unix|/tmp/p\n", Line(version=1, address=Unix("/tmp/p"), protocol="netrpc")),
        # Up to 50 characters field 6 is "unused extra data returned from some older implementations".
        (b"1|1|unix|/tmp/p|grpc|" + b"x" * 50, Line(version=1, address=Unix("/tmp/p"))),
        (b"1|1|unix|/tmp/p|grpc||true|more", Line(version=1, address=Unix("/tmp/p"), multiplex="true")),
        (b"+1|01|unix|/tmp/p|grpc|", Line(version=1, address=Unix("/tmp/p"))),
        (b"1|1|unix|/tmp/\xff\xc3\xa9|grpc|", Line(version=1, address=Unix("/tmp/\udcff\xe9"))),
    ],
)
def test_a_line_that_a_go_host_accepts_is_read(raw: bytes, line: Line) -> None:
    assert Line.parse(raw) == line


@pytest.mark.parametrize(
    ("raw", "field", "got"),
    [
        (b"", "line", ""),
        (b"hello", "line", "hello"),
        (b"1|1|unix", "line", "1|1|unix"),
        (b"x" * (LINE_MAX + 1), "line", "x" * (LINE_MAX + 1)),
        (b"1|1|unix|/p|grpc||true\nmore\n", "line", "1|1|unix|/p|grpc||true\nmore"),
        (b"one|1|unix|/p|grpc|", "core protocol", "one"),
        (b"2|1|unix|/p|grpc|", "core protocol", "2"),
        (b"1_0|1|unix|/p|grpc|", "core protocol", "1_0"),
        (b"1|x|unix|/p|grpc|", "protocol version", "x"),
        (b"1|-1|unix|/p|grpc|", "protocol version", "-1"),
        (b"1||unix|/p|grpc|", "protocol version", ""),
        (b"1|99999999999999999999|unix|/p|grpc|", "protocol version", "99999999999999999999"),
        (b"1|1|udp|/p|grpc|", "network", "udp"),
        (b"1|1|unix||grpc|", "address", ""),
        (b"1|1|unix|/" + b"p" * 107 + b"|grpc|", "address", "/" + "p" * 107),
        (b"1|1|unix|/a\x00b|grpc|", "address", "/a\x00b"),
        (b"1|1|tcp|1234|grpc|", "address", "1234"),
        (b"1|1|tcp|h:70000|grpc|", "address", "h:70000"),
        (b"1|1|tcp|::1:1|grpc|", "address", "::1:1"),
        (b"1|1|unix|/p|http|", "protocol", "http"),
        (b"1|1|unix|/p||", "protocol", ""),
        (b"1|1|unix|/p|grpc|" + b"!" * 60, "server certificate", "!" * 60),
        (b"1|1|unix|/p|grpc|" + CERT_TEXT.encode() + b"==", "server certificate", CERT_TEXT + "=="),
    ],
)
def test_a_bad_field_is_refused_by_name_with_what_came(raw: bytes, field: str, got: str) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        Line.parse(raw)
    assert (refused.value.field, refused.value.got) == (field, got)
    assert refused.value.want


@pytest.mark.parametrize(
    ("line", "asked", "field"),
    [
        (Line(version=2, address=Unix("/p")), {"versions": {1, 3}}, "protocol version"),
        (Line(version=1, address=Unix("/p"), protocol="netrpc"), {"versions": {1}}, "protocol"),
        (Line(version=1, address=Unix("/p")), {"versions": {1}, "auto_mtls": True}, "server certificate"),
        (Line(version=1, address=Unix("/p"), server_cert=CERT), {"versions": {1}}, "server certificate"),
        (Line(version=1, address=Unix("/p")), {"versions": {1}, "multiplex": True}, "multiplexing"),
        (Line(version=1, address=Unix("/p"), multiplex="false"), {"versions": {1}, "multiplex": True}, "multiplexing"),
        (Line(version=1, address=Unix("/p"), multiplex="yes"), {"versions": {1}, "multiplex": True}, "multiplexing"),
    ],
)
def test_a_line_that_does_not_answer_what_was_asked_is_refused(
    line: Line, asked: dict[str, object], field: str
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        line.check(**asked)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("multiplex", "lacking"), [(None, True), ("false", True), ("0", True), ("", False), ("yes", False)]
)
def test_a_plugin_that_cannot_multiplex_is_told_from_one_that_talks_nonsense(
    multiplex: str | None, lacking: bool
) -> None:
    line = Line(version=1, address=Unix("/p"), multiplex=multiplex)
    with pytest.raises(HandshakeRefused, match="recompile") as refused:
        line.check(versions=[1], multiplex=True)
    assert isinstance(refused.value, MultiplexingNotSupported) == lacking


def test_a_line_that_answers_what_was_asked_is_accepted() -> None:
    Line(version=3, address=Unix("/p"), multiplex="yes").check(versions=[1, 3])
    Line(version=3, address=Unix("/p"), protocol="netrpc").check(versions=[3], protocols=["grpc", "netrpc"])
    Line(version=1, address=Unix("/p"), server_cert=CERT, multiplex="1").check(
        versions=[1], auto_mtls=True, multiplex=True
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"version": -1},
        {"protocol": "http"},
        {"protocol": "grpc|"},
        {"multiplex": "a|b"},
        {"multiplex": "true\n"},
        {"multiplex": " true"},
        {"server_cert": b"short"},
    ],
)
def test_a_line_that_could_not_be_read_back_cannot_be_made(fields: dict[str, object]) -> None:
    with pytest.raises(Misuse):
        Line(**({"version": 1, "address": Unix("/p")} | fields))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.binary(max_size=300) | st.text("1|unixtcpgr:/ \n\x00é", max_size=60).map(str.encode))
@example(b"1|1|unix|/p|grpc||\x1c")
def test_any_bytes_are_a_line_that_survives_being_written_or_are_refused(raw: bytes) -> None:
    try:
        line = Line.parse(raw)
    except HandshakeRefused:
        return
    assert Line.parse(line.format()) == line


_PATHS = st.text(
    string.printable.translate(str.maketrans("", "", "|\t\n\r\x0b\x0c")) + "é\udcff", min_size=1, max_size=40
)
_HOSTS = st.sampled_from(["", "127.0.0.1", "localhost", "::1", "fe80::1"])
_LINES = st.builds(
    Line,
    version=st.integers(0, 2**63 - 1),
    address=st.builds(Unix, _PATHS) | st.builds(Tcp, _HOSTS, st.integers(0, 65535)),
    protocol=st.sampled_from(["grpc", "netrpc"]),
    server_cert=st.none() | st.binary(min_size=40, max_size=1000),
    multiplex=st.none() | st.sampled_from(["true", "false", "1", "", "nonsense"]),
)


@given(_LINES)
def test_every_line_that_can_be_made_is_read_back_as_it_was(line: Line) -> None:
    assert Line.parse(line.format()) == line
    assert Line.parse(line.format().rstrip(b"\n")) == line


def test_net_rpc_is_refused_with_advice() -> None:
    with pytest.raises(HandshakeRefused, match='got "netrpc", want "grpc"; net/rpc exists in Go alone'):
        Line(version=1, address=Unix("/p"), protocol="netrpc").check(versions=[1])
