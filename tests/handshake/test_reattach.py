"""The reattach record, in the form that Terraform reads."""

import json

import pytest

from goplugin.handshake import Misuse, Reattach, Tcp, Unix, providers_from_json, providers_to_json

RECORD = Reattach(address=Unix("/tmp/p"), pid=42, version=6, test=True)


def test_the_record_has_terraforms_form() -> None:
    assert json.loads(RECORD.to_json()) == {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": 42,
        "Test": True,
        "Addr": {"Network": "unix", "String": "/tmp/p"},
    }


RECORDS = [
    RECORD,
    Reattach(address=Tcp("127.0.0.1", 5), pid=1, version=0, protocol="netrpc"),
    Reattach(address=Unix("/p"), pid=1, version=1, started=987654321),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_read_back_as_it_was(record: Reattach) -> None:
    assert Reattach.from_json(record.to_json()) == record


def test_no_protocol_means_netrpc_as_in_go() -> None:
    text = '{"Pid": 1, "Addr": {"Network": "unix", "String": "/p"}}'
    assert Reattach.from_json(text) == Reattach(address=Unix("/p"), pid=1, version=0, protocol="netrpc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"Pid": 1}',
        '{"Pid": "1", "Addr": {"Network": "unix", "String": "/p"}}',
        '{"Pid": 0, "Addr": {"Network": "unix", "String": "/p"}}',
        '{"Pid": 1, "Test": 1, "Addr": {"Network": "unix", "String": "/p"}}',
        '{"Pid": 1, "StartTime": "x", "Addr": {"Network": "unix", "String": "/p"}}',
        '{"Pid": 1, "ProtocolVersion": "x", "Addr": {"Network": "unix", "String": "/p"}}',
        '{"Pid": 1, "Addr": {"Network": "udp", "String": "/p"}}',
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="reattach record"):
        Reattach.from_json(text)


def test_terraforms_variable_is_read_and_written() -> None:
    records = {"registry.terraform.io/hashicorp/aws": RECORD, "example.com/me/mine": RECORDS[2]}
    assert providers_from_json(providers_to_json(records)) == records
    # As Terraform's documentation shows it, without a version: 5 is meant.
    text = '{"a/b": {"Protocol": "grpc", "Pid": 3382870, "Test": true, "Addr": {"Network": "unix", "String": "/p"}}}'
    assert providers_from_json(text) == {"a/b": Reattach(address=Unix("/p"), pid=3382870, version=5, test=True)}


@pytest.mark.parametrize("text", ["", "[]", '{"a/b": 1}', '{"a/b": {}}'])
def test_what_is_no_such_variable_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="reattach record"):
        providers_from_json(text)
