"""A description as the fields of a form, and changes of those fields put back into its text.

The text is the truth. A change of a field changes that field's place in the text only: order, comments and keys that the form does
not know stay. Where the text is laid out so that this is not possible (all on one line, JSON, lists of inputs), it is written anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sirdar.domain.app import OutputType
from sirdar.domain.command import as_line
from sirdar.wire.yaml_lines import Node, TextError, load
from sirdar.wire.yaml_write import Block, Unit, block, mapping, quoted, snippet, written

TEXTS = ("alias", "name", "annotation", "keywords", "command", "shell")
RESOURCES = ("cpus", "memory", "time", "gpus", "disk")
INPUT_FIELDS = ("type", "title", "required", "default", "minimum", "maximum", "values", "suffixes", "unit", "advanced")
EXAMPLE_FIELDS = ("annotation", "inputs")
OUTPUT_FIELDS = ("type", "from", "key", "title", "optional")
SECTIONS = {"inputs": INPUT_FIELDS, "outputs": OUTPUT_FIELDS}
_LISTS = frozenset({"values", "suffixes", "keywords"})
_TICKS = ("required", "advanced")  # true, or not said
_TYPED = frozenset({*_TICKS, "minimum", "maximum", "cpus", "memory", "time", "gpus", "disk"})
_ORDER = (
    "sirdar", "alias", "name", "annotation", "keywords", "description", "inputs", "command", "shell", "keep_alive", "stdin", "env",
    "templates", "params", "secrets", "outputs", "examples", "resources", "retries", "grace", "retention", "code", "environment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One input or output. ``was``: its name in the text (empty: it is new); ``values``: texts by field, empty where not given."""

    name: str
    values: Mapping[str, str]
    was: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a description. ``texts`` has ``TEXTS``, ``resources`` has ``RESOURCES``: empty where the text says nothing."""

    texts: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Row, ...] = ()
    outputs: tuple[Row, ...] = ()
    examples: tuple[Row, ...] = ()  # by title; their inputs as YAML on one line

    def rows(self, section: str) -> tuple[Row, ...]:
        return {"inputs": self.inputs, "outputs": self.outputs, "examples": self.examples}[section]


# ---------------------------------------------------------------- reading


def read_form(text: str) -> Form:
    """The fields as far as they can be read, wrong values included. Raises TextError where the text is no mapping."""
    root = _root(text)
    needs = _children(root.get("resources"))
    return Form(
        {key: _field_text(root.get(key)) for key in TEXTS} | {"command": _command(root.get("command"))},
        {key: _field_text(needs.get(key)) for key in RESOURCES},
        tuple(_rows(root, "inputs")),
        tuple(_rows(root, "outputs")),
        tuple(_examples(root.get("examples"))),
    )


def _root(text: str) -> dict[str, Node]:
    root, _ = load(text)
    if not isinstance(root.value, dict):
        raise TextError("the text is not a mapping of keys", root.line)
    return root.value


def _children(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _entries(node: Node | None) -> dict[str, Node]:
    """Inputs or outputs by name, each a mapping."""
    if node is not None and isinstance(node.value, list):
        listed = [(_children(item), item) for item in node.value]
        return {
            keys["name"].text: Node(item.line, {key: child for key, child in keys.items() if key != "name"})
            for keys, item in listed
            if "name" in keys
        }
    return _children(node)


def _rows(root: Mapping[str, Node], section: str) -> Iterator[Row]:
    for name, node in _entries(root.get(section)).items():
        keys = _keys(section, node)
        values = {key: _field_text(keys.get(key)) for key in SECTIONS[section] if key != "optional"}
        if section == "outputs":
            required = keys.get("required")
            values["optional"] = "true" if required is not None and required.value is False else ""
        else:
            values |= {key: "true" if values[key] == "true" else "" for key in _TICKS}
        yield Row(name, values, name)


def _examples(node: Node | None) -> Iterator[Row]:
    for item in node.value if node is not None and isinstance(node.value, list) else ():
        keys = _children(item)
        yield Row(_field_text(keys.get("title")), {key: _field_text(keys.get(key)) for key in EXAMPLE_FIELDS})


def _keys(section: str, node: Node) -> dict[str, Node]:
    """The keys of an entry; of one in short form (``power: integer``, ``plot: plot.png``) those that it stands for."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, list) or node.value is None:
        return {}
    if section == "inputs":
        return {"type": node}
    text = node.text
    kind = (
        OutputType.DIRECTORY if text.endswith("/") else OutputType.FILES if set("*?[") & set(text) else OutputType.FILE
    )
    return {"type": Node(node.line, kind.value, kind.value, plain=True), "from": node}


def _command(node: Node | None) -> str:
    if node is not None and isinstance(node.value, list):
        return as_line([item.text for item in node.value])
    return _field_text(node)


def _field_text(node: Node | None) -> str:
    if node is None or node.value is None:
        return ""
    if isinstance(node.value, list) and not any(isinstance(item.value, dict | list) for item in node.value):
        texts = [item.text for item in node.value]
        plain = all(text and text == text.strip() and "," not in text and text[0] not in "[\"'" for text in texts)
        return ", ".join(texts) if plain else snippet(node)
    return snippet(node) if isinstance(node.value, dict | list) else node.text


# ---------------------------------------------------------------- writing


def apply_form(text: str, old: Form, new: Form) -> str:
    """``text`` with what differs between two forms. ``old`` is what the fields were filled with. Raises TextError."""
    root = _root(text)
    changed = _changed_units(text, root, old, new)
    if changed is not None and _says(changed, new, old):
        return changed
    return _written_anew(root, old, new)


def _says(text: str, new: Form, old: Form) -> bool:
    """Whether the text can be read, and has the rows that were meant."""
    try:
        found = read_form(text)
    except TextError:
        return False
    return all(
        old.rows(section) == new.rows(section)
        or [row.name for row in found.rows(section)] == list(dict.fromkeys(row.name for row in new.rows(section)))
        for section in SECTIONS
    )


def _changed_units(text: str, root: Mapping[str, Node], old: Form, new: Form) -> str | None:
    lines = text.rstrip("\n").split("\n")
    whole = block(lines, 0, len(lines), root)
    if whole is None:
        return None
    units = {unit.key: unit for unit in whole.units}
    starts = _starts(whole)
    for key, value in _new_values(root, old, new).items():
        if value is None:
            units.pop(key, None)
        else:
            units[key] = written(units.get(key), whole.indent, key, value)
    for section in SECTIONS:
        if old.rows(section) != new.rows(section):
            body = _section(
                lines, root.get(section), section, starts.get(section), units.get(section), new.rows(section)
            )
            if body is None:
                units.pop(section, None)
            else:
                units[section] = body
    if old.examples != new.examples:
        body = _written_examples(new.examples, units.get("examples"))
        if body is None:
            units.pop("examples", None)
        else:
            units["examples"] = body
    ordered = _ordered(units, root)
    return "\n".join([*whole.head, *(line for unit in ordered for line in unit.lines), ""])


def _starts(whole: Block) -> dict[str, tuple[int, int]]:
    """First line of each unit's body, and the line behind it."""
    found, at = {}, len(whole.head)
    for unit in whole.units:
        begin = at + len(unit.lead)
        found[unit.key] = (begin, begin + len(unit.body))
        at += len(unit.lines)
    return found


def _ordered(units: Mapping[str, Unit], root: Mapping[str, Node]) -> list[Unit]:
    """Old keys where they stood, new ones before the first that follows them in the usual order."""
    keys = [key for key in root if key in units]
    for key in (key for key in units if key not in root):
        later = set(_ORDER[_ORDER.index(key) + 1 :])
        place = next((n for n, other in enumerate(keys) if other in later), len(keys))
        keys.insert(place, key)
    return [units[key] for key in keys]


def _new_values(root: Mapping[str, Node], old: Form, new: Form) -> dict[str, str | None]:
    """Keys of the whole with another value, written; None: the key goes."""
    found: dict[str, str | None] = {}
    for key in TEXTS:
        if (given := new.texts.get(key, "")) != old.texts.get(key, ""):
            found[key] = _value(key, given) if given.strip() else None
    changes = {
        key: new.resources.get(key, "") for key in RESOURCES if new.resources.get(key, "") != old.resources.get(key, "")
    }
    if changes:
        pairs = _merged(_children(root.get("resources")), changes, "")
        found["resources"] = mapping(pairs) if pairs else None
    return found


def _merged(keys: Mapping[str, Node], changes: Mapping[str, str], kind: str) -> dict[str, str]:
    """The keys of an entry, written, with changed ones in their places and new ones behind."""
    pairs = {key: snippet(node) for key, node in keys.items()}
    for key, given in changes.items():
        if not given.strip():
            pairs.pop(key, None)
        else:
            pairs[key] = _value(key, given, kind)
    return pairs


def _value(key: str, given: str, kind: str = "") -> str:
    """A field's text as YAML."""
    given = given.strip("\n") if key == "shell" else given.strip()
    if key in _LISTS:
        return _list(given)
    node = _scalar(given)
    if key == "default" and kind in {"json", "list", "files"} and node is None:
        return _flow(given) or quoted(given)
    typed = key in _TYPED or (key == "default" and kind in {"integer", "number", "boolean", "enum", ""})
    if (
        node is not None
        and node.plain
        and (typed or isinstance(node.value, int | float))
        and not isinstance(node.value, bool)
    ):
        return given if key in {"default", *_TYPED} else quoted(given)
    if typed and node is not None and isinstance(node.value, bool):
        return given
    return quoted(given)


def _scalar(given: str) -> Node | None:
    """What the text alone is in YAML; None where that is no scalar."""
    try:
        node, _ = load(given)
    except TextError:
        return None
    return None if isinstance(node.value, dict | list) or "#" in given or "\n" in given else node


def _flow(given: str) -> str | None:
    try:
        node, _ = load(given)
    except TextError:
        return None
    return snippet(node) if isinstance(node.value, dict | list) else None


def _list(given: str) -> str:
    if given.startswith("[") and (flow := _flow(given)) is not None:
        return flow
    words = [word.strip() for word in given.split(",") if word.strip()]
    return f"[{', '.join(_word(word) for word in words)}]"


def _word(word: str) -> str:
    node = _scalar(word)
    is_number = node is not None and node.plain and type(node.value) in {int, float}
    return word if is_number or (word[:1] == "." and word[1:].isalnum()) else quoted(word)


# ---------------------------------------------------------------- inputs and outputs


def _section(
    lines: Sequence[str],
    node: Node | None,
    section: str,
    place: tuple[int, int] | None,
    unit: Unit | None,
    rows: Sequence[Row],
) -> Unit | None:
    """The section with its rows: those that are as they were keep their lines."""
    if not rows:
        return None
    entries = _entries(node)
    own = None
    if node is not None and isinstance(node.value, dict) and place is not None:
        own = block(lines, place[0] + 1, place[1], node.value)
    indent = own.indent if own else "  "
    units = {one.key: one for one in own.units} if own else {}
    body: list[str] = [unit.body[0] if unit and own else f"{section}:", *(own.head if own else ())]
    for row in rows:
        body += _row_lines(section, row, entries.get(row.was), units.get(row.was), indent)
    return Unit(section, unit.lead if unit else (), tuple(body), unit.tail if unit else ())


def _written_examples(rows: Sequence[Row], unit: Unit | None) -> Unit | None:
    """All of them anew: they are short."""
    if not rows:
        return None
    lines = ["examples:"]
    for row in rows:
        lines.append(f"  - title: {_value('title', row.name) if row.name.strip() else quoted('')}")
        if note := row.values.get("annotation", "").strip():
            lines.append(f"    annotation: {_value('annotation', note)}")
        given = row.values.get("inputs", "").strip() or "{}"
        lines.append(f"    inputs: {_flow(given) or quoted(given)}")
    return Unit("examples", unit.lead if unit else (), tuple(lines), unit.tail if unit else ())


def _row_lines(section: str, row: Row, node: Node | None, unit: Unit | None, indent: str) -> list[str]:
    keys = _keys(section, node) if node is not None else {}
    changes = _changes(section, row, keys)
    if unit is not None and not changes and row.name == row.was:
        return unit.lines
    pairs = _merged(keys, changes, row.values.get("type", ""))
    return written(unit, indent, row.name, mapping(pairs)).lines


def _changes(section: str, row: Row, keys: Mapping[str, Node]) -> dict[str, str]:
    found = {}
    for key, given in row.values.items():
        if key == "optional":
            was = keys.get("required")
            if (given == "true") != (was is not None and was.value is False):
                found["required"] = "false" if given == "true" else ""
        elif key in _TICKS:
            was = keys.get(key)
            if (given == "true") != (was is not None and was.value is True):
                found[key] = given
        elif given.strip() != _field_text(keys.get(key)).strip():
            found[key] = given
    return found


# ---------------------------------------------------------------- anew


def _written_anew(root: Mapping[str, Node], old: Form, new: Form) -> str:
    """The whole text, one key after another, without its comments."""
    pairs: dict[str, list[str]] = {key: [f"{key}: {snippet(node)}"] for key, node in root.items()}
    for key, value in _new_values(root, old, new).items():
        pairs[key] = [] if value is None else [f"{key}: {value}"]
    for section in SECTIONS:
        entries, rows = _entries(root.get(section)), new.rows(section)
        if rows:
            lines = [_row_lines(section, row, entries.get(row.was), None, "  ") for row in rows]
            pairs[section] = [f"{section}:", *(line for one in lines for line in one)]
        else:
            pairs.pop(section, None)
    if old.examples != new.examples:
        written_anew = _written_examples(new.examples, None)
        pairs["examples"] = written_anew.lines if written_anew else []
    keys = sorted(pairs, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    return "\n".join([*(line for key in keys for line in pairs[key]), ""])
