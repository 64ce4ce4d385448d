"""Each module has a test file of its own, or is named here with the one that covers it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("handshake", "proto", "transport", "hostlib", "pluginlib", "batch", "cli")
COVERED_BY = {
    # Definitions without behaviour, covered by what is true of all of them.
    "proto/_pool.py": "proto/test_private_pool.py",
    "proto/health.py": "proto/test_wire.py",
    "proto/plugin.py": "proto/test_wire.py",
    "proto/redpanda.py": "proto/test_wire.py",
    "proto/reflection.py": "proto/test_wire.py",
    "transport/_opening.py": "transport/test_relay.py",
    "transport/multiplex.py": "transport/test_multiplexer.py",
    "transport/_yamux_events.py": "transport/test_yamux.py",
    "proto/lazy.py": "proto/test_wire.py",
    "batch/_errors.py": "batch/test_document.py",
    # The decorators, and what runs their functions, which whole services go through.
    "batch/_calls.py": "batch/test_processor_service.py",
    "batch/_input.py": "batch/test_input_service.py",
    "batch/_output.py": "batch/test_output_service.py",
    "batch/_processor.py": "batch/test_processor_service.py",
    "batch/_service.py": "batch/test_processor_service.py",
    "batch/_services.py": "batch/test_processor_service.py",
    "batch/_stats.py": "batch/test_flow.py",
    # The shells, which whole processes go through.
    "transport/_sync_broker.py": "transport/test_broker_shells.py",
    "transport/wrapping.py": "hostlib/test_channel.py",
    "transport/aio_wrapping.py": "hostlib/test_aio_channel.py",
    "transport/_dialled.py": "transport/test_broker_shells.py",
    "transport/_aio_dialled.py": "transport/test_broker_shells.py",
    "transport/aio.py": "transport/test_broker_shells.py",
    "hostlib/_aio_link.py": "hostlib/test_aio_client.py",
    "hostlib/_aio_supervised.py": "hostlib/test_supervised.py",
    "hostlib/_link.py": "hostlib/test_sync_client.py",
    "hostlib/_attached.py": "hostlib/test_reattach.py",
    "hostlib/_process.py": "hostlib/test_child.py",
    "hostlib/_subprocess.py": "hostlib/test_runner.py",
    "hostlib/_plugin.py": "hostlib/test_client.py",
    "hostlib/aio.py": "hostlib/test_aio_client.py",
    "pluginlib/_aio.py": "pluginlib/test_serve.py",
    "pluginlib/_signals.py": "pluginlib/test_serve.py",
    "pluginlib/_stage.py": "pluginlib/test_serve.py",
    "pluginlib/_sync.py": "pluginlib/test_serve.py",
    "pluginlib/_wire.py": "pluginlib/test_serve.py",
    "pluginlib/aio.py": "pluginlib/test_serve.py",
    "batch/_connection.py": "batch/test_remote_input.py",
    "batch/_printed.py": "batch/test_remote.py",
    "batch/_session.py": "batch/test_remote.py",
    "batch/host.py": "batch/test_runner.py",
    "cli/_main.py": "cli/test_run.py",
    "cli/_report.py": "cli/test_inspect.py",
}
MODULES = [
    str(module.relative_to(ROOT))
    for room in ROOMS
    for module in sorted((ROOT / room).glob("*.py"))
    if not module.name.startswith("__")
]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file(module: str) -> None:
    room, name = module.split("/")
    own = f"{room}/test_{name.removeprefix('_')}"
    if (ROOT / "tests" / own).exists():
        assert module not in COVERED_BY, "it has its own by now"
    else:
        assert (ROOT / "tests" / COVERED_BY.get(module, own)).exists()


def test_only_modules_that_exist_are_named() -> None:
    assert set(COVERED_BY) <= set(MODULES)
