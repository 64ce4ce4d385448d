"""Environment variables in a pipeline file, replaced in its text before YAML sees it, as Redpanda Connect does."""

import base64
import binascii
import re
from collections.abc import Mapping

from ._errors import BadFile

_VARIABLE = re.compile(r"\$\{([0-9A-Za-z_.]+)(:(?:\$\{[^}]+\}|[^}])*)?(\|[0-9A-Za-z]+)?\}")
_ESCAPED = re.compile(r"\$\{(\{[0-9A-Za-z_.]+(?::(?:\$\{[^}]+\}|[^}])*)?\})\}")


def interpolate(text: str, environment: Mapping[str, str], file: str) -> str:
    """Return ``text`` with its variables replaced.

    ``${NAME}`` must be set; ``${NAME:default}`` gives the default for a variable that is unset or empty;
    ``${NAME|base64decode}`` decodes; ``${{NAME}}`` means the text ``${NAME}``. Comments are text too. A line break in
    a value arrives as ``\\n``, so lines keep their numbers.

    Raises:
        BadFile: a variable without a default is not set, or a value cannot be decoded.
    """

    def replaced(match: re.Match[str]) -> str:
        name, default, function = match.group(1), match.group(2), match.group(3)
        if default is not None and "|" in default:
            # The pipe belongs to the default by the grammar, and to the function by what Redpanda makes of it.
            default, _, function = default.rpartition("|")
        value = environment.get(name)
        if default is not None:
            value = value or default[1:]
        elif value is None:
            raise fault(match, f"{match.group()} which is not set", "a variable that is set, or ${NAME:default}")
        if function:
            value = decoded(match, value, function.lstrip("|"))
        return value.replace("\n", "\\n")

    def decoded(match: re.Match[str], value: str, function: str) -> str:
        if function != "base64decode":
            raise fault(match, f"the function {function!r}", "base64decode")
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            raise fault(match, f"{match.group()} whose value is not base64 of text", "base64") from None

    def fault(match: re.Match[str], got: str, want: str) -> BadFile:
        return BadFile(file=file, line=text.count("\n", 0, match.start()) + 1, got=got, want=want)

    return _ESCAPED.sub(r"$\1", _VARIABLE.sub(replaced, text))
