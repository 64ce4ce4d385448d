"""A run's counters as Prometheus reads them."""

import re

from goplugin.batch._metrics import prometheus
from goplugin.batch._stats import StageStats, Stats, Traffic

SAMPLE = r"# (HELP|TYPE) goplugin_\w+_total .+|goplugin_\w+_total(\{\w+=\".*\"\})? [0-9.e+-]+"


def test_every_counter_is_named_typed_and_there_once() -> None:
    stages = [StageStats("a", taken=3, seconds=0.25), StageStats('b"\\', taken=1), StageStats("a", taken=4)]
    stats = Stats(read=Traffic(messages=7, bytes=10**15), stages=stages, rejected=2, seconds=1.5)
    lines = prometheus(stats).splitlines()
    assert 'goplugin_messages_total{end="input"} 7' in lines
    assert 'goplugin_bytes_total{end="input"} 1000000000000000' in lines
    assert "goplugin_rejected_messages_total 2" in lines
    assert "goplugin_run_seconds_total 1.5" in lines
    assert 'goplugin_processor_messages_total{processor="a"} 7' in lines
    assert r'goplugin_processor_messages_total{processor="b\"\\"} 1' in lines
    samples = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))
    assert [line for line in lines if not re.fullmatch(SAMPLE, line)] == []
