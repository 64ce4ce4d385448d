"""The three example plugins do what they show, and their descriptors agree with them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from goplugin.batch import Message, check_descriptor, host

EXAMPLES = Path(__file__).parents[2] / "examples" / "batch"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["count", "Label", "Journal"])
def test_a_descriptor_agrees_with_its_plugin(name: str) -> None:
    file = name.lower()
    check_descriptor(getattr(loaded(file), name), EXAMPLES / f"{file}.plugin.yaml")


def test_numbers_go_from_the_input_through_the_processor_to_the_output(tmp_path: Path) -> None:
    environment = {"PATH": str(Path(sys.executable).parent)}
    found = host.load_descriptors([str(EXAMPLES / "*.plugin.yaml")])
    journal = tmp_path / "journal"
    with (
        host.Input(found["count"], {"until": 5, "at_once": 2}, env=environment) as count,
        host.Processor(found["label"], {"labels": {"odd": "one left"}}, env=environment) as label,
        host.Output(found["journal"], {"path": str(journal)}, env=environment) as output,
    ):
        while (delivery := count.read()) is not None:
            for batch in label.process(delivery.messages):
                output.send(batch)
            delivery.ack()
        (marked,) = label.process([Message(b"{}")])
        assert marked[0].error == "TypeError: there is no number in it"
        assert output.policy == host.Policy(count=1000, period=0.1)
    odd, even = '{"label":"one left","number":%d}\n', '{"label":"even","number":%d}\n'
    assert journal.read_text() == "".join((odd if number % 2 else even) % number for number in range(1, 6))
