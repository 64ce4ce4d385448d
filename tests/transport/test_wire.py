"""ConnInfo, and what it says."""

import pytest

from goplugin.handshake import HandshakeRefused, Tcp, Unix
from goplugin.proto.plugin import ConnInfo
from goplugin.transport import Announcement
from goplugin.transport.wire import announcement, conn_info


@pytest.mark.parametrize(
    ("address", "network", "text"), [(Unix("/tmp/p"), "unix", "/tmp/p"), (Tcp("127.0.0.1", 7), "tcp", "127.0.0.1:7")]
)
def test_an_announcement_is_an_id_and_an_address(address: Unix | Tcp, network: str, text: str) -> None:
    told = Announcement(id=3, address=address)
    info = ConnInfo(service_id=3, network=network, address=text)
    assert conn_info(told) == info
    assert announcement(info) == told


def test_a_knock_announces_nothing() -> None:
    assert announcement(ConnInfo(service_id=3, knock=ConnInfo.Knock(knock=True))) is None


def test_an_announcement_of_nonsense_is_refused() -> None:
    with pytest.raises(HandshakeRefused):
        announcement(ConnInfo(service_id=3, network="pipe", address="x"))
