"""Environment variables in a pipeline file mean what they mean to Redpanda Connect."""

import pytest

from goplugin.batch import BadFile
from goplugin.batch._interpolation import interpolate

ENVIRONMENT = {"NAME": "value", "EMPTY": "", "LINES": "a\nb", "dotted.name_1": "d", "B64": "aMOp", "BAD64": "a-b"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a: ${NAME}", "a: value"),
        ("${NAME}${NAME}", "valuevalue"),
        ("${EMPTY}", ""),
        ("${NAME:other}", "value"),
        ("${UNSET:other words}", "other words"),
        ("${UNSET:}", ""),
        ("${EMPTY:other}", "other"),
        ("${UNSET:http://x:80/}", "http://x:80/"),
        ("${UNSET:${INNER}}", "${INNER}"),
        ("${UNSET:a\nb}", "a\\nb"),
        ("${dotted.name_1}", "d"),
        ("${LINES}", "a\\nb"),
        ("${B64|base64decode}", "hé"),
        ("${UNSET:eA==|base64decode}", "x"),
        ("${{NAME}}", "${NAME}"),
        ("${{NAME:default}}", "${NAME:default}"),
        ("${! json() } $NAME ${} ${a b}", "${! json() } $NAME ${} ${a b}"),
        ("# even ${NAME} in a comment", "# even value in a comment"),
    ],
)
def test_a_variable_is_replaced_in_the_text(text: str, result: str) -> None:
    assert interpolate(text, ENVIRONMENT, "f.yaml") == result


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("a: 1\nb: ${UNSET}\n", 2, "${UNSET} which is not set"),
        ("${NAME|rot13}", 1, "the function 'rot13'"),
        ("\n\n${UNSET:a|b}", 3, "the function 'b'"),
        ("${BAD64|base64decode}", 1, "${BAD64|base64decode} whose value is not base64 of text"),
    ],
)
def test_what_cannot_be_replaced_names_file_and_line(text: str, line: int, got: str) -> None:
    with pytest.raises(BadFile) as caught:
        interpolate(text, ENVIRONMENT, "f.yaml")
    assert (caught.value.file, caught.value.line, caught.value.got) == ("f.yaml", line, got)
