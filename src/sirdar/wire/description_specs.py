"""Reads the inputs and outputs of a description."""

import re
from collections.abc import Iterator
from typing import Any

from sirdar.domain.app import FILE_INPUTS, InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.value_checks import MAX_LIST, MAX_TEXT
from sirdar.wire.description_fields import Fields, shown
from sirdar.wire.yaml_lines import Node

MAX_SPECS = 500
MAX_UNIT = 40  # characters
INPUT_KEYS = (
    "type",
    "title",
    "description",
    "required",
    "default",
    "minimum",
    "maximum",
    "min_length",
    "max_length",
    "pattern",
    "values",
    "suffixes",
    "max_size",
    "items",
    "writable",
    "path",
    "env",
    "unit",
    "advanced",
)
OUTPUT_KEYS = ("type", "from", "key", "regex", "title", "description", "required", "max_size", "unit")
_INPUT_SYNONYMS = {
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "real": "number",
    "str": "string",
    "bool": "boolean",
    "array": "list",
    "object": "json",
    "dict": "json",
    "choice": "enum",
    "select": "enum",
    "path": "file",
    "uri": "file",
    "password": "secret",
    "folder": "directory",
    "dir": "directory",
    "archive": "directory",
    "textarea": "text",
}
_OUTPUT_SYNONYMS = {**_INPUT_SYNONYMS, "text": "string", "list": "json", "array": "json", "secret": "string"}
_GLOB = re.compile(r"[*?\[]")


def read_inputs(parent: Fields) -> tuple[InputSpec, ...]:
    """``inputs:`` as a mapping of names, or as a list of mappings with ``name``.

    An input that cannot be read stands as a string, so that no ``${name}`` is called unknown on top of its own error.
    """
    return tuple(
        _read_input(parent, name, node, field) or InputSpec(name, InputType.STRING, required=True)
        for name, node, field in _named(parent, "inputs")
    )


def read_outputs(parent: Fields) -> tuple[OutputSpec, ...]:
    specs = [_read_output(parent, name, node, field) for name, node, field in _named(parent, "outputs")]
    return tuple(spec for spec in specs if spec is not None)


def _named(parent: Fields, key: str) -> Iterator[tuple[str, Node, str]]:
    """Name, node and field name of each spec."""
    node = parent.get(key)
    if node is None:
        return
    report = parent.report
    if not isinstance(node.value, dict | list) or len(node.value) > MAX_SPECS:
        report.add(key, f"{shown(node)} is not a mapping of at most {MAX_SPECS} names", "names, each with its type")
        return
    pairs = node.value.items() if isinstance(node.value, dict) else _from_list(parent, key, node.value)
    for name, child in pairs:
        field = f"{key}.{name[:80]}"
        report.lines[field] = child.line
        yield name, child, field


def _from_list(parent: Fields, key: str, items: list[Node]) -> Iterator[tuple[str, Node]]:
    for position, item in enumerate(items):
        name = item.value.get("name") if isinstance(item.value, dict) else None
        if name is None or isinstance(name.value, dict | list):
            parent.report.lines[f"{key}[{position}]"] = item.line
            parent.report.add(f"{key}[{position}]", "has no name", "a mapping with name and type")
            continue
        rest = {key: child for key, child in item.value.items() if key != "name"}
        yield name.text, Node(item.line, rest)


# ---------------------------------------------------------------- inputs


def _read_input(parent: Fields, name: str, node: Node, field: str) -> InputSpec | None:
    if not isinstance(node.value, dict | list) and node.value is not None:
        node = Node(node.line, {"type": node})  # power: integer
    fields = Fields(parent.report, node, field, INPUT_KEYS)
    kind = _input_type(fields) if fields.is_mapping else None
    if kind is None:
        return None
    has_default = fields.get("default") is not None
    items = _read_items(fields, name, kind)
    if kind is InputType.LIST and items is not None and items.type is InputType.FILE:
        kind = InputType.FILES  # a list of files by its longer name
    values = _read_values(fields)
    files = items if kind is InputType.FILES else None
    return InputSpec(
        name=name,
        type=kind,
        title=fields.text("title") or "",
        description=fields.text("description", 10_000, lines=True) or "",
        required=fields.flag("required") or False,
        default=_default(fields.nodes["default"], kind, items, values) if has_default else None,
        has_default=has_default,
        minimum=fields.number("minimum"),
        maximum=fields.number("maximum"),
        min_length=fields.integer("min_length", 0, MAX_TEXT),
        max_length=fields.integer("max_length", 0, MAX_TEXT if kind is not InputType.LIST else MAX_LIST),
        pattern=fields.text("pattern", 10_000),
        values=values,
        suffixes=_suffixes(fields) or (files.suffixes if files else ()),
        max_size_bytes=fields.size("max_size") or (files.max_size_bytes if files else None),
        items=None if files else items,
        writable=fields.flag("writable") or False,
        path=fields.text("path", 1000),
        env=fields.text("env"),
        unit=fields.text("unit", MAX_UNIT),
        advanced=fields.flag("advanced") or False,
    )


def _input_type(fields: Fields) -> InputType | None:
    """The declared type; ``values`` alone makes an enum, ``items`` alone a list."""
    if fields.get("type") is None:
        implied = "enum" if "values" in fields.nodes else "list" if "items" in fields.nodes else None
        if implied is None:
            fields.report.add(fields.where, "has no type", f"type: one of {', '.join(InputType)}")
            return None
        return InputType(implied)
    text = fields.choice("type", [kind.value for kind in InputType], _INPUT_SYNONYMS)
    return InputType(text) if text is not None else None


def _read_items(fields: Fields, name: str, kind: InputType) -> InputSpec | None:
    """The element of a list, in the same words as an input."""
    node = fields.get("items")
    if node is None or kind not in {InputType.LIST, InputType.FILES}:
        return None
    return _read_input(fields, name, node, fields.at("items"))


def _read_values(fields: Fields) -> tuple[Any, ...]:
    node = fields.get("values")
    if node is None:
        return ()
    field = fields.at("values")
    if not isinstance(node.value, list) or len(node.value) > 1000:
        fields.report.add(field, f"{shown(node)} is not a list of at most 1000 choices", "values: [one, two]")
        return ()
    found = []
    for position, item in enumerate(node.value):
        at = f"{field}[{position}]"
        fields.report.lines[at] = item.line
        if isinstance(item.value, dict | list | bool | None) or len(item.text) > 1000:
            fields.report.add(
                at, f"{shown(item)} cannot be a choice; a word like true needs quotes", "a text or a number"
            )
        elif isinstance(item.value, float) and repr(item.value) != item.text:
            fields.report.add(
                at, f"{item.text[:60]} is the number {item.value!r}; put it in quotes", "a text in quotes"
            )
        else:
            found.append(item.value)
    return tuple(found)


def _default(node: Node, kind: InputType, items: InputSpec | None, values: tuple[Any, ...]) -> Any:
    """The default as its type reads it: for texts a plain ``1.10`` is the text that was written."""
    if kind is InputType.LIST and items is not None and isinstance(node.value, list):
        return [_default(item, items.type, items.items, items.values) for item in node.value]
    if isinstance(node.value, dict | list):
        return node.to_python()
    textual = kind in {InputType.STRING, InputType.TEXT, InputType.SECRET} or kind in FILE_INPUTS
    if textual or (kind is InputType.ENUM and node.value not in values and node.text in values):
        return node.text
    return node.value


def _suffixes(fields: Fields) -> tuple[str, ...]:
    return tuple(text if text.startswith(".") else f".{text}" for text in fields.texts("suffixes") if text)


# ---------------------------------------------------------------- outputs


def _read_output(parent: Fields, name: str, node: Node, field: str) -> OutputSpec | None:
    if not isinstance(node.value, dict | list) and node.value is not None:
        return _short_output(name, node.text)
    fields = Fields(parent.report, node, field, OUTPUT_KEYS)
    if not fields.is_mapping:
        return None
    kind = _output_type(fields)
    source = fields.text("from", 1000)
    if source is None and fields.get("from") is None:
        fields.report.add(field, "does not say where it comes from", "from: a file of the task's directory, or stdout")
    if kind is None or source is None:
        return None
    required = fields.flag("required")
    return OutputSpec(
        name=name,
        type=kind,
        source=source,
        title=fields.text("title") or "",
        description=fields.text("description", 10_000, lines=True) or "",
        required=True if required is None else required,
        key=fields.text("key"),
        regex=fields.text("regex", 1000),
        max_size_bytes=fields.size("max_size"),
        unit=fields.text("unit", MAX_UNIT),
    )


def _output_type(fields: Fields) -> OutputType | None:
    if fields.get("type") is None:
        fields.report.add(fields.where, "has no type", f"type: one of {', '.join(OutputType)}")
        return None
    text = fields.choice("type", [kind.value for kind in OutputType], _OUTPUT_SYNONYMS)
    return OutputType(text) if text is not None else None


def _short_output(name: str, source: str) -> OutputSpec:
    """``plot: plot.png`` is a file, ``parts: part-*.csv`` files, ``all: results/`` a directory."""
    if source.endswith("/"):
        return OutputSpec(name, OutputType.DIRECTORY, source.rstrip("/") or "/")
    return OutputSpec(name, OutputType.FILES if _GLOB.search(source) else OutputType.FILE, source)
