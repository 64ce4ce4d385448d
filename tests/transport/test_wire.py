"""ConnInfo, and what it says."""

import pytest

from goplugin.handshake import HandshakeRefused, Tcp, Unix
from goplugin.proto.plugin import ConnInfo
from goplugin.transport import Announcement, Knock
from goplugin.transport.wire import conn_info, parse_conn_info


@pytest.mark.parametrize(
    ("address", "network", "text"), [(Unix("/tmp/p"), "unix", "/tmp/p"), (Tcp("127.0.0.1", 7), "tcp", "127.0.0.1:7")]
)
def test_an_announcement_is_an_id_and_an_address(address: Unix | Tcp, network: str, text: str) -> None:
    told = Announcement(id=3, address=address)
    info = ConnInfo(service_id=3, network=network, address=text)
    assert conn_info(told) == info
    assert parse_conn_info(info) == told


@pytest.mark.parametrize("told", [Knock(3), Knock(3, ack=True), Knock(3, ack=True, error="no")])
def test_a_knock_is_an_id_and_perhaps_an_answer(told: Knock) -> None:
    info = ConnInfo(service_id=3, knock=ConnInfo.Knock(knock=True, ack=told.ack, error=told.error))
    assert conn_info(told) == info
    assert parse_conn_info(info) == told


def test_a_knock_that_says_it_is_none_is_refused() -> None:
    with pytest.raises(HandshakeRefused, match="bad knock"):
        parse_conn_info(ConnInfo(service_id=3, knock=ConnInfo.Knock(ack=True)))


def test_an_announcement_of_nonsense_is_refused() -> None:
    with pytest.raises(HandshakeRefused):
        parse_conn_info(ConnInfo(service_id=3, network="pipe", address="x"))
