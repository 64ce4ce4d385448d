"""Errors as the wire has them: what a plugin's author raises becomes the error of an answer. Never raises."""

from datetime import timedelta

from ..handshake import GoPluginError
from ..proto import redpanda
from ._errors import BackOff, EndOfInput, NotConnected


def write_error(target: redpanda.Error, error: BaseException) -> None:
    """Set ``target``, which must be empty, to ``error``."""
    target.message = spelled(error)
    match error:
        case NotConnected():
            target.not_connected.SetInParent()
        case EndOfInput():
            target.end_of_input.SetInParent()
        case BackOff(seconds=seconds):
            target.backoff.FromTimedelta(timedelta(seconds=seconds))
        case _:
            pass  # the text is all there is to say


def read_error(error: redpanda.Error) -> str:
    """Return the text of an error, or nothing where there is none; an error without a text gives its kind.

    A detail alone is an error, to Redpanda Connect too (runtimepb/convert.go, ProtoToError).
    """
    return error.message or error.WhichOneof("detail") or ""


def spelled(error: BaseException) -> str:
    """Return the text of an error, never empty: on the wire an empty one without a detail means success."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the author's whose own text raises
        text = ""
    if not text or not isinstance(error, GoPluginError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    # A lone surrogate, from the name of a file say, has no place on the wire.
    return text.encode("utf-8", "backslashreplace").decode()
