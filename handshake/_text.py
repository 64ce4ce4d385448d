"""Renders bytes that a plugin chose as harmless text. Never passes a control character through."""

_SHOWN = 200


def quoted(raw: bytes | str, limit: int = _SHOWN) -> str:
    """Return ``raw`` in quotes, printable ASCII only, at most ``limit`` bytes or characters of it.

    Everything that a plugin printed passes through here before it reaches a message or a log, so that
    neither an escape sequence nor a NUL can act on the terminal or the log of the host.
    """
    clipped = raw[:limit]
    text = clipped.decode("utf-8", "backslashreplace") if isinstance(clipped, bytes) else clipped
    escaped = "".join(c if " " <= c <= "~" and c not in '\\"' else _escape(c) for c in text)
    left = len(raw) - limit
    return f'"{escaped}"' + (f" (+{left} more)" if left > 0 else "")


def _escape(character: str) -> str:
    if character == '"':
        return '\\"'
    return character.encode("unicode_escape").decode("ascii")
