"""The record by which a host finds a plugin that already runs. Reads and writes its JSON; never connects."""

from collections.abc import Mapping
from typing import cast

from ._address import Address, parse_address
from ._errors import HandshakeRefused, Misuse
from ._record import record

_TERRAFORM_VERSION = 5  # what Terraform takes where a record names no version


@record()
class Reattach:
    """Where a running plugin listens and who it is: go-plugin's ReattachConfig.

    Attributes:
        address: where it listens.
        pid: its process.
        version: the protocol version that it serves.
        protocol: ``"grpc"``, or ``"netrpc"`` for Go's older protocol.
        test: it serves in test mode, so a host that stops must not kill the process.
        started: when its process was started, as a number that means something to the same machine alone; None where
            nobody noted it. With it a later process of the same id is told apart. Hosts in Go skip it.
    """

    address: Address
    pid: int
    version: int
    protocol: str = "grpc"
    test: bool = False
    started: int | None = None

    def to_json(self) -> str:
        """Return the record in the form that Terraform reads in ``TF_REATTACH_PROVIDERS`` for each provider."""
        import json  # only here and below: a plugin's start does without

        return json.dumps(_fields(self))

    @classmethod
    def from_json(cls, text: str) -> "Reattach":
        """Return the record that ``to_json`` wrote; an absent protocol means netrpc, as in go-plugin.

        Raises:
            Misuse: the text is no such record, naming what is wrong.
        """
        return _record(_object("the record", _parsed(text)), 0)


def providers_to_json(records: Mapping[str, Reattach]) -> str:
    """Return what ``TF_REATTACH_PROVIDERS`` must hold for Terraform to use these plugins, by the provider's address."""
    import json

    return json.dumps({name: _fields(found) for name, found in records.items()})


def providers_from_json(text: str) -> dict[str, Reattach]:
    """Return the records that ``TF_REATTACH_PROVIDERS`` holds, by the provider's address.

    Raises:
        Misuse: the text is no such document, naming what is wrong.
    """
    named = _object("the whole", _parsed(text))
    return {name: _record(_object(name, found), _TERRAFORM_VERSION) for name, found in named.items()}


def _fields(found: Reattach) -> dict[str, object]:
    fields = {
        "Protocol": found.protocol,
        "ProtocolVersion": found.version,
        "Pid": found.pid,
        "Test": found.test,
        "Addr": {"Network": found.address.network, "String": str(found.address)},
    }
    return fields if found.started is None else {**fields, "StartTime": found.started}


def _record(fields: Mapping[str, object], version_unless_given: int) -> Reattach:
    address = _object("Addr", fields.get("Addr"))
    pid, version, test = (
        fields.get("Pid"),
        fields.get("ProtocolVersion", version_unless_given),
        fields.get("Test", False),
    )
    started = fields.get("StartTime")
    if type(pid) is not int or pid <= 0 or type(version) is not int or type(test) is not bool:
        raise Misuse(f"a reattach record needs a Pid, a ProtocolVersion and a Test of the right types: {dict(fields)}")
    if started is not None and type(started) is not int:
        raise Misuse(f"the StartTime of a reattach record must be a number, got {started!r}")
    try:
        where = parse_address(str(address.get("Network")), str(address.get("String")))
    except HandshakeRefused as error:
        raise Misuse(f"the Addr of a reattach record is no address: {error}") from None
    protocol = str(fields.get("Protocol") or "netrpc")
    return Reattach(address=where, pid=pid, version=version, protocol=protocol, test=test, started=started)


def _parsed(text: str) -> object:
    import json

    try:
        return cast("object", json.loads(text))
    except ValueError as error:
        raise Misuse(f"a reattach record must be JSON: {error}") from None


def _object(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Misuse(f"{name} of a reattach record must be an object, got {value!r}")
    return cast("dict[str, object]", value)
