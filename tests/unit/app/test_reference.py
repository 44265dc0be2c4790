"""The reference of ``sirdar.yaml`` is complete, and its examples are right."""

import re
from pathlib import Path

import pytest

from sirdar.domain.app import RESOURCE_FIELDS, InputType, OutputType
from sirdar.wire import description, description_code, description_examples, description_specs
from sirdar.wire.description import faults, parse_yaml

PAGE = (Path(__file__).parents[3] / "docs/reference/sirdar-yaml.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_right(example: str) -> None:
    assert faults(parse_yaml(example)) == []


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Keys", description._KEYS),
        ("Inputs", (*InputType, *description_specs.INPUT_KEYS)),
        ("Outputs", (*OutputType, *(key for key in description_specs.OUTPUT_KEYS))),
        ("Examples", description_examples.KEYS),
        ("Resources", (*RESOURCE_FIELDS, "override")),
        ("Code", [key for keys in description_code._KEYS.values() for key in keys]),
    ],
)
def test_every_key_and_type_is_told(heading: str, words: list[str]) -> None:
    rows = "\n".join(line for line in section(heading).splitlines() if line.startswith("|"))
    missing = [word for word in words if f"`{word}`" not in rows]
    assert not missing
