"""A processor that does to each message what its payload says, for hosts that want to see everything.

``drop``, ``split`` and ``fail`` do so, and ``excuse`` notes a failure in the metadata; a structured payload gets the
types of its entries; any other bytes come back in upper case with the configured suffix.
"""

from goplugin import batch


@batch.processor
class Obey:
    def __init__(self, config: batch.Config) -> None:
        self.suffix = str(config["suffix"]).encode()

    def process(self, message: batch.Message) -> batch.Result:
        if message.is_structured:
            entries = message.structured
            assert isinstance(entries, dict)
            entries["types"] = {name: kind(value) for name, value in entries.items()}
            return message
        match message.payload:
            case b"drop":
                return None
            case b"split":
                twin = message.copy()
                message.text, twin.text = "one", "two"
                return [message, twin]
            case b"fail":
                raise ValueError("as it was told")
            case b"excuse":
                message.metadata["failed"] = "as it was told"
                return message
            case payload:
                message.metadata["was"] = payload
                message.payload = payload.upper() + self.suffix
                return message


def kind(value: object) -> str:
    return type(value).__name__


if __name__ == "__main__":
    batch.serve(Obey)
