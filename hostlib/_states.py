"""In which state a client is, and which may follow. The only place that changes it; never starts or stops anything."""

import enum

from ..handshake import Misuse


class State(enum.Enum):
    """The life of a client."""

    NEW = "was not started"
    STARTING = "is still starting"
    READY = "is running"
    STOPPING = "is being stopped"
    GONE = "was stopped"


ALLOWED = {
    State.NEW: {State.STARTING, State.GONE},
    State.STARTING: {State.READY, State.GONE},
    State.READY: {State.STOPPING, State.GONE},  # gone at once: interrupted at the last step of its start
    State.STOPPING: {State.GONE},
    State.GONE: set[State](),
}


class Lifecycle:
    """The state of one client."""

    def __init__(self) -> None:
        self.state = State.NEW

    def enter(self, state: State) -> None:
        """Change the state.

        Raises:
            Misuse: no such step leads from here; a client starts one plugin, once.
        """
        if state not in ALLOWED[self.state]:
            if state is State.STARTING:
                raise Misuse(f"the plugin {self.state.value}; a client starts its plugin once, so make another client")
            raise Misuse(f"the plugin {self.state.value}")
        self.state = state

    def require_ready(self) -> None:
        """Raise ``Misuse`` unless the plugin was started and not stopped."""
        if self.state is not State.READY:
            raise Misuse(f"the plugin {self.state.value}")
