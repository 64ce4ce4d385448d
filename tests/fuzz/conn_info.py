"""A fuzz target for the broker: whatever the other side sends, the book-keeping stays whole and bounded."""

from fuzzing import fuzz, harmless
from google.protobuf.message import DecodeError

from goplugin.handshake import DialTimeout, HandshakeRefused, Misuse, PluginFault, Unix
from goplugin.proto.plugin import ConnInfo
from goplugin.transport import Announcement, Side, Stream
from goplugin.transport._broker import KEPT_FOR, OUTGOING_MAX, Dial, Ledger
from goplugin.transport.wire import conn_info, parse_conn_info

NETWORKS = ("unix", "tcp", "unix", "", "udp", "UNIX")
ADDRESSES = ("/tmp/s", "127.0.0.1:1", "", "a" * 200, "[::1]:80", "@x", "localhost:70000", "\x1b[2J", "/tmp/é")


class Peer:
    """A ledger, and what must be true of it, with book-keeping of its own."""

    def __init__(self) -> None:
        self.ledger = Ledger(Side.PLUGIN)
        self.now = 0.0
        self.dials: dict[int, tuple[Dial, list[int]]] = {}  # with how often each was settled
        self.stream = Stream(lambda: None)

    def hear(self, info: ConnInfo) -> None:
        try:
            said = parse_conn_info(info)
        except HandshakeRefused as error:
            harmless(error)
            return
        assert parse_conn_info(conn_info(said)) == said
        if isinstance(said, Announcement):
            self.ledger.announced(said, self.now)
        else:
            self.ledger.knock(said)

    def call(self, operation: int, id: int) -> None:
        match operation:
            case 0 | 1:
                settled: list[int] = []
                self.dials[id] = self.ledger.dial(id, self.now, KEPT_FOR, lambda: settled.append(id)), settled
            case 2 | 3:
                self.leave(id)
            case 4:
                self.ledger.serve(id)
            case 5:
                self.ledger.announce(Announcement(id, Unix("/tmp/s")))
            case 6:
                self.ledger.unserve(id)
            case 7:
                self.stream = Stream(lambda: None)
                self.ledger.opened(self.stream)
            case 8:
                taken = 0
                while self.ledger.outgoing(self.stream) is not None:
                    taken += 1
                assert taken <= OUTGOING_MAX
            case 9:
                self.now += id
            case 10:
                self.ledger.ended(self.stream)
            case _:
                if id == 5:
                    self.ledger.close()

    def leave(self, id: int) -> None:
        if id not in self.dials:
            return
        dial, settled = self.dials.pop(id)
        self.ledger.leave(dial)
        try:
            assert dial.result().id == id
            assert settled == [id]
        except DialTimeout:
            assert settled == []
        except (PluginFault, Misuse):
            assert settled == [id]


def one_input(data: bytes) -> None:
    """Run one program; an AssertionError, or any error that a ledger may not raise, is a finding."""
    half = len(data) // 2
    try:
        Peer().hear(ConnInfo.FromString(data))
    except DecodeError:
        pass
    peer = Peer()
    numbers = iter(data)
    for operation, choice in zip(numbers, numbers, strict=False):
        id = choice % 6
        if operation < 160:
            try:
                peer.call(operation % 12, id)
            except (Misuse, PluginFault):
                pass
        elif operation < 250:
            network, address = NETWORKS[operation % len(NETWORKS)], ADDRESSES[choice % len(ADDRESSES)]
            peer.hear(ConnInfo(service_id=id, network=network, address=address))
        else:
            try:
                peer.hear(ConnInfo.FromString(data[half : half + choice]))
            except DecodeError:
                pass
    for id in list(peer.dials):
        peer.leave(id)


if __name__ == "__main__":
    fuzz(one_input)
