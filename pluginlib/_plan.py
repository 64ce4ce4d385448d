"""Decides what to serve, from what the author offers and what the host asked for. Never imports grpc, never prints."""

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar, cast

from ..handshake import Handshake, Misuse, PluginEnvironment, negotiate

Register = TypeVar("Register")


class Plan(NamedTuple, Generic[Register]):
    """What one run of the plugin serves.

    Attributes:
        version: the negotiated protocol version.
        plugins: what to register for that version.
        asked: the host's wishes.
        complaints: what the operator should know although the plugin starts.
    """

    version: int
    plugins: Mapping[str, Register]
    asked: PluginEnvironment
    complaints: tuple[str, ...] = ()


def make_plan(
    handshake: Handshake,
    plugins: Mapping[str, Register] | None,
    versions: Mapping[int, Mapping[str, Register]] | None,
    environment: Mapping[str, str],
) -> Plan[Register]:
    """Return the plan; ``plugins`` stands for one more version, that of the handshake (server.go:172).

    Raises:
        Misuse: the author offers nothing, or nothing that can be registered.
        HostFault: the environment breaks the contract.
    """
    offered = dict(versions or {})
    if plugins is not None:
        offered[handshake.protocol_version] = plugins
    if not any(offered.values()):
        raise Misuse("serve() needs plugins=, or versions= with at least one plugin")
    for set_ in offered.values():
        if not isinstance(cast("object", set_), Mapping):
            raise Misuse(f"plugins= is a dict of names, each with what registers its service: got {set_!r}")
        for name, register in set_.items():
            if not callable(register):
                raise Misuse(f"the plugin {name!r} is to be a function of server and broker: got {register!r}")
    asked = PluginEnvironment.parse(environment)
    version = negotiate(offered, asked.versions)
    complaints = tuple(f"the host sent an invalid plugin version {bad!r}, skipped" for bad in asked.bad_versions)
    return Plan(version=version, plugins=offered[version], asked=asked, complaints=complaints)
