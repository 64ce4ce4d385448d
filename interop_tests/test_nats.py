"""The same processor plugin under two engines that share one durable stream, one of which is killed.

The pipeline is that of docs/scaling.md, as it is.
"""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from nats import Client, NatsServer
from redpanda import Engine, alive
from waiting import until

EXAMPLES = Path(__file__).parent.parent / "examples"
PIPELINE, PLUGIN = EXAMPLES / "scaling" / "pipeline.yaml", EXAMPLES / "quickstart" / "plugin.yaml"
ORDERS = 3000


def test_every_message_comes_out_though_one_of_two_engines_is_killed_in_mid_stream() -> None:
    with ExitStack() as running:
        server = running.enter_context(NatsServer())
        nats = running.enter_context(Client(server.url))
        for name, subject in (("ORDERS", "orders"), ("SHOUTED", "shouted")):
            nats.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [subject], "storage": "file"})
        # Who is not heard of for two seconds has lost its messages to the others.
        config = {"durable_name": "workers", "ack_policy": "explicit", "ack_wait": 2_000_000_000}
        nats.api("CONSUMER.CREATE.ORDERS.workers", {"stream_name": "ORDERS", "config": config})

        # The descriptor says `python3`, as it would on a machine of its own.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"NATS_URL": server.url, "PATH": path}
        first, second = (running.enter_context(Engine(PIPELINE, [PLUGIN], environment)) for _ in range(2))
        for engine in (first, second):
            engine.says("Input type nats_jetstream is now active")
        plugin = first.plugin("shout.py")
        second.process.send_signal(signal.SIGSTOP)  # so that what comes out now comes from the first
        orders = [b"order %d" % number for number in range(ORDERS)]
        nats.publish("orders", orders[: ORDERS // 2])
        until(lambda: nats.stored("SHOUTED") > ORDERS // 10)
        first.process.send_signal(signal.SIGSTOP)
        nats.publish("orders", orders[ORDERS // 2 :])  # more than it has asked for
        assert nats.api("CONSUMER.INFO.ORDERS.workers")["num_pending"] > 0, "it is killed in mid-stream"
        begun = monotonic()
        first.kill()
        second.process.send_signal(signal.SIGCONT)
        until(lambda: not alive(plugin))

        def settled() -> bool:
            state = nats.api("CONSUMER.INFO.ORDERS.workers")
            return (state["num_pending"], state["num_ack_pending"]) == (0, 0)

        until(settled)
        seconds = monotonic() - begun
        assert second.stop() == 0
        delivered = nats.api("CONSUMER.INFO.ORDERS.workers")["delivered"]["consumer_seq"]
        assert delivered > ORDERS, "what the killed engine held was delivered again"
        shouted = nats.everything("SHOUTED")
        print(f"{len(shouted) - ORDERS} of {ORDERS} came out twice; {seconds:.1f} s from the kill to the last ack")
        assert set(shouted) == {b"ORDER %d !" % number for number in range(ORDERS)}
