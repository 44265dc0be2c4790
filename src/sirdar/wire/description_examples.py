"""Reads the examples of a description: titles, and inputs that a form is filled with; and judges them."""

from collections.abc import Iterator
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App, Example, InputSpec, InputType
from sirdar.domain.problems import FieldError
from sirdar.domain.values import check
from sirdar.wire.description_fields import Fields, shown
from sirdar.wire.description_specs import typed_value

MAX_EXAMPLES = 50
KEYS = ("title", "annotation", "inputs")
ADDRESS_EXPECTED = "an http(s) address; a file of one's own is left to whoever runs it"


def read_examples(parent: Fields, inputs: tuple[InputSpec, ...]) -> tuple[Example, ...]:
    """``examples:``, a list of mappings. Values are read as their inputs' types read a default."""
    node = parent.get("examples")
    if node is None:
        return ()
    if not isinstance(node.value, list) or len(node.value) > MAX_EXAMPLES:
        expected = "- {title: A small one, inputs: {name: value}}"
        parent.report.add("examples", f"{shown(node)} is not a list of at most {MAX_EXAMPLES} examples", expected)
        return ()
    found = []
    for position, item in enumerate(node.value):
        field = f"examples[{position}]"
        parent.report.lines[field] = item.line
        fields = Fields(parent.report, item, field, KEYS)
        if fields.is_mapping:
            found.append(_read_example(fields, inputs))
    return tuple(found)


def _read_example(fields: Fields, inputs: tuple[InputSpec, ...]) -> Example:
    title = fields.text("title")
    if fields.get("title") is None or (title is not None and not title.strip()):
        fields.report.add(fields.where, "has no title", "title: a few words")
    return Example(title or "", fields.text("annotation", 500) or "", _read_inputs(fields, inputs))


def _read_inputs(fields: Fields, inputs: tuple[InputSpec, ...]) -> dict[str, Any]:
    node = fields.get("inputs")
    if node is None:
        fields.report.add(fields.where, "has no inputs", "inputs: {name: value}")
        return {}
    where = fields.at("inputs")
    if not isinstance(node.value, dict):
        fields.report.add(where, f"{shown(node)} is not a mapping", "{name: value}")
        return {}
    specs = {spec.name: spec for spec in inputs}
    values = {}
    for name, child in node.value.items():
        fields.report.lines[f"{where}.{name[:80]}"] = child.line
        spec = specs.get(name)
        values[name] = typed_value(child, spec.type, spec.items, spec.values) if spec else child.to_python()
    return values


def example_faults(app: App) -> Iterator[FieldError]:
    """Values that the application's own inputs do not take."""
    titles: set[str] = set()
    for position, example in enumerate(app.examples):
        field = f"examples[{position}]"
        if example.title in titles:
            yield FieldError(f"{field}.title", f"{example.title} is the title of two examples", "each title once")
        titles.add(example.title)
        _, errors = check(app.inputs, example.inputs, partial=True, file_refs=False, where=f"{field}.inputs")
        yield from errors
        wrong = {error.field for error in errors}
        for spec in app.inputs:
            place = f"{field}.inputs.{spec.name}"
            if spec.name in example.inputs and place not in wrong:
                yield from _unfit(spec, example.inputs[spec.name], place)


def _unfit(spec: InputSpec, value: Any, place: str) -> Iterator[FieldError]:
    if spec.type is InputType.SECRET:
        yield FieldError(place, "is a secret, which no example can show", "no value")
    if spec.type in FILE_INPUTS:
        for uri in value if isinstance(value, list) else [value]:
            if isinstance(uri, str) and uri.startswith("/"):
                yield FieldError(place, f"{uri[:80]} is a file that goes away", ADDRESS_EXPECTED)
