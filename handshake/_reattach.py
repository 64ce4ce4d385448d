"""The record by which a host finds a plugin that already runs. Reads and writes its JSON; never connects."""

from typing import cast

from ._address import Address, parse_address
from ._errors import HandshakeRefused, Misuse
from ._record import record


@record()
class Reattach:
    """Where a running plugin listens and who it is: go-plugin's ReattachConfig.

    Attributes:
        address: where it listens.
        pid: its process.
        version: the protocol version that it serves.
        protocol: ``"grpc"``, or ``"netrpc"`` for Go's older protocol.
        test: it serves in test mode, so a host that stops must not kill the process.
    """

    address: Address
    pid: int
    version: int
    protocol: str = "grpc"
    test: bool = False

    def to_json(self) -> str:
        """Return the record in the form that Terraform reads in ``TF_REATTACH_PROVIDERS`` for each provider."""
        import json  # only here and below: a plugin's start does without

        record = {
            "Protocol": self.protocol,
            "ProtocolVersion": self.version,
            "Pid": self.pid,
            "Test": self.test,
            "Addr": {"Network": self.address.network, "String": str(self.address)},
        }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> "Reattach":
        """Return the record that ``to_json`` wrote; an absent protocol means netrpc, as in go-plugin.

        Raises:
            Misuse: the text is no such record, naming what is wrong.
        """
        import json

        try:
            found: object = json.loads(text)
        except ValueError as error:
            raise Misuse(f"a reattach record must be JSON: {error}") from None
        record = _object("the record", found)
        address = _object("Addr", record.get("Addr"))
        pid, version, test = record.get("Pid"), record.get("ProtocolVersion", 0), record.get("Test", False)
        if type(pid) is not int or pid <= 0 or type(version) is not int or type(test) is not bool:
            raise Misuse(f"a reattach record needs a Pid, a ProtocolVersion and a Test of the right types: {text}")
        try:
            where = parse_address(str(address.get("Network")), str(address.get("String")))
        except HandshakeRefused as error:
            raise Misuse(f"the Addr of a reattach record is no address: {error}") from None
        protocol = str(record.get("Protocol") or "netrpc")
        return cls(address=where, pid=pid, version=version, protocol=protocol, test=test)


def _object(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Misuse(f"{name} of a reattach record must be an object, got {value!r}")
    return cast("dict[str, object]", value)
