"""Takes in applications of Everest, as its export writes them: ``application.json`` beside ``ApplicationFiles/``."""

import json
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from sirdar.domain.app import App, InputSpec, InputType, OutputSpec, OutputType, Resources
from sirdar.domain.problems import FieldError, Problem
from sirdar.wire.description import faults, parse_yaml, to_document

MIB = 1024**2

_SIMPLE = {
    "number": InputType.NUMBER,
    "integer": InputType.INTEGER,
    "boolean": InputType.BOOLEAN,
    "object": InputType.JSON,
}
_VALUE_OUTPUTS = {
    "number": OutputType.NUMBER,
    "integer": OutputType.INTEGER,
    "boolean": OutputType.BOOLEAN,
    "object": OutputType.JSON,
    "array": OutputType.JSON,
}
_TEXT_VIEWS = frozenset({"text", "textarea", "editor"})
_UNPACK_KEYS = ("unpack", "extract", "unzip")
_GLOB = re.compile(r"[*?\[]")

Document = dict[str, Any]


def import_everest(document: Mapping[str, Any], files: Collection[str] = ()) -> tuple[App, list[str]]:
    """The application, and notes on what was read otherwise than it was written or was left out.

    ``files`` are the paths below ``ApplicationFiles/``. Raises Problem("invalid_description").
    """
    kind = document.get("type", "application")
    if kind != "application" or not isinstance(document.get("config"), dict):
        raise Problem(
            "invalid_description",
            f"application.json is not that of an application with a command (its type is {json.dumps(kind)[:60]})",
            field="type",
            expected='"type": "application" and "config": {"command": ...}',
        )
    reader = _Reader(document, files)
    try:
        app = reader.app()
        errors = reader.errors + faults(app)
    except RecursionError:
        raise Problem("invalid_description", "application.json is nested too deep") from None
    if errors:
        raise Problem("invalid_description", f"application.json: {errors[0].field}: {errors[0].detail}", errors=errors)
    # The limits that hold for what authors write (lengths, characters) hold for what is taken in, too.
    return parse_yaml(json.dumps(to_document(app)), filename="application.json"), reader.notes


class _Reader:
    """One import: the document, and what has been noted on the way."""

    def __init__(self, document: Mapping[str, Any], files: Collection[str]) -> None:
        self.document = document
        self.config: Mapping[str, Any] = document["config"]
        self.files = files
        self.notes: list[str] = []
        self.errors: list[FieldError] = []

    def app(self) -> App:
        alias = self._text("alias")
        if alias != alias.lower():
            self.notes.append(f"alias: {alias} became {alias.lower()}, as aliases are in lower case")
        keywords = self.document.get("keywords")
        return App(
            alias=alias.lower(),
            name=self._text("name"),
            annotation=self._text("annotation"),
            description=self._text("description"),
            keywords=tuple(str(word) for word in keywords) if isinstance(keywords, list) else (),
            inputs=tuple(self._input(name, schema) for name, schema in self._properties("inputs")),
            outputs=tuple(self._output(name, schema) for name, schema in self._properties("outputs")),
            command=self._command(),
            resources=self._resources(),
        )

    def _text(self, key: str) -> str:
        value = self.document.get(key)
        return value if isinstance(value, str) else ""

    def _properties(self, key: str) -> list[tuple[str, Mapping[str, Any]]]:
        value = self.document.get(key) or {}
        if not isinstance(value, dict) or not all(isinstance(schema, dict) for schema in value.values()):
            self.errors.append(FieldError(key, "is not an object of JSON Schema properties", '{"name": {"type": ...}}'))
            return []
        return list(value.items())

    def _mapping(self, key: str, name: str) -> Mapping[str, Any]:
        """The mapping of one parameter in ``inputMappings`` or ``outputMappings``."""
        mappings = self.config.get(key)
        if not isinstance(mappings, list):
            return {}
        return next((item for item in mappings if isinstance(item, dict) and item.get("param") == name), {})

    def _command(self) -> tuple[str, ...]:
        """Everest starts a program of the application's folder by its bare name; here that is written ``./``."""
        try:
            words = shlex.split(str(self.config.get("command") or ""))
        except ValueError as error:
            self.errors.append(FieldError("config.command", f"cannot be split into words: {error}", "quotes in pairs"))
            return ()
        if words and words[0] in self.files:
            self.notes.append(f"command: {words[0]} became ./{words[0]}; the file must be executable")
            words[0] = f"./{words[0]}"
        return tuple(words)

    # ---------------------------------------------------------------- inputs

    def _input(self, name: str, schema: Mapping[str, Any]) -> InputSpec:
        kind, items = self._input_type(name, schema)
        mapping = self._mapping("inputMappings", name)
        if kind is InputType.FILE and any(mapping.get(key) for key in _UNPACK_KEYS):
            kind = InputType.DIRECTORY
        has_default = schema.get("default") is not None
        required = schema.get("required") is True
        if required and has_default:
            self.notes.append(f"inputs.{name}: required was dropped, as there is a default")
        size = "Items" if kind in {InputType.LIST, InputType.FILES} else "Length"
        return InputSpec(
            name=name,
            type=kind,
            title=str(schema.get("title") or ""),
            description=str(schema.get("description") or ""),
            required=required and not has_default,
            default=schema.get("default"),
            has_default=has_default,
            minimum=_bound(schema.get("minimum")) if kind in {InputType.NUMBER, InputType.INTEGER} else None,
            maximum=_bound(schema.get("maximum")) if kind in {InputType.NUMBER, InputType.INTEGER} else None,
            min_length=_length(schema.get(f"min{size}")),
            max_length=_length(schema.get(f"max{size}")),
            pattern=_whole(schema["pattern"]) if isinstance(schema.get("pattern"), str) else None,
            values=tuple(schema["enum"]) if kind is InputType.ENUM else (),
            items=items,
            path=str(mapping["file"]) if mapping.get("file") else None,
        )

    def _input_type(self, name: str, schema: Mapping[str, Any]) -> tuple[InputType, InputSpec | None]:
        kind = _kind(schema)
        if isinstance(schema.get("enum"), list) and kind != "array":
            return InputType.ENUM, None
        if kind == "array":
            items = schema.get("items")
            items = items if isinstance(items, dict) else {"type": "string"}
            if items.get("format") == "uri":
                return InputType.FILES, None
            return InputType.LIST, self._input(name, {**items, "required": False, "title": "", "description": ""})
        if kind == "string":
            if schema.get("format") == "uri":
                return InputType.FILE, None
            return (InputType.TEXT if str(schema.get("viewType")) in _TEXT_VIEWS else InputType.STRING), None
        if kind not in _SIMPLE:
            self.errors.append(FieldError(f"inputs.{name}.type", f"{kind[:60]!r} is unknown", "a JSON Schema type"))
        return _SIMPLE.get(kind, InputType.STRING), None

    # ---------------------------------------------------------------- outputs

    def _output(self, name: str, schema: Mapping[str, Any]) -> OutputSpec:
        mapping = self._mapping("outputMappings", name)
        if not mapping:
            self.notes.append(f"outputs.{name}: has no mapping, so it is read from a file of its name")
        source = str(mapping.get("file") or mapping.get("pattern") or name)
        if mapping.get("file") and mapping.get("pattern"):
            self.notes.append(f"outputs.{name}: the pattern {mapping['pattern']} was left out beside the file {source}")
        return OutputSpec(
            name=name,
            type=_output_type(schema, source),
            source=source,
            title=str(schema.get("title") or ""),
            description=str(schema.get("description") or ""),
            required=schema.get("required") is True,
        )

    # ---------------------------------------------------------------- resources

    def _resources(self) -> Resources:
        """Memory is in MiB for each core, time in minutes; the notes say so, as the export names no units."""
        given = self.config.get("resourceRequirements")
        given = given if isinstance(given, dict) else {}
        nodes, cores = _amount(given, "nodes"), _amount(given, "coresPerNode")
        memory, time = _amount(given, "memoryPerCore"), _amount(given, "timeLimit")
        if memory is not None:
            self.notes.append(f"resources.memory: memoryPerCore {memory:g} was read as MiB for each core")
        if time is not None:
            self.notes.append(f"resources.time: timeLimit {time:g} was read as minutes")
        names = {"nodes": "nodes", "coresPerNode": "cpus", "memoryPerCore": "memory", "timeLimit": "time"}
        cpus = max(int(cores or 1), 1)
        return Resources(
            cpus=cpus,
            memory_bytes=max(round(memory * MIB * cpus), 1) if memory is not None else None,
            time_s=time * 60 if time is not None else None,
            nodes=max(int(nodes or 1), 1),
            override=frozenset(here for there, here in names.items() if _may_override(given.get(there))),
        )


def _output_type(schema: Mapping[str, Any], source: str) -> OutputType:
    kind = _kind(schema)
    items = schema.get("items")
    if kind == "array" and isinstance(items, dict) and items.get("format") == "uri":
        return OutputType.FILES
    if kind == "string" and schema.get("format") == "uri":
        return OutputType.FILES if _GLOB.search(source) and schema.get("viewType") == "list" else OutputType.FILE
    return _VALUE_OUTPUTS.get(kind, OutputType.STRING)


def _kind(schema: Mapping[str, Any]) -> str:
    """The type's name; of ``["string", "null"]`` the first."""
    kind = schema.get("type", "string")
    return str(kind[0]) if isinstance(kind, list) and kind else str(kind)


def _bound(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _length(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _whole(pattern: str) -> str:
    """JSON Schema searches a pattern; here the whole value must match."""
    if match := re.fullmatch(r"\^\(\?:(.*)\)\$", pattern, re.DOTALL):
        return match[1]
    before = "" if pattern.startswith("^") else ".*"
    after = "" if pattern.endswith("$") and not pattern.endswith("\\$") else ".*"
    inner = pattern.removeprefix("^")
    inner = inner if after else inner.removesuffix("$")
    return f"{before}(?:{inner}){after}" if before or after else inner


def _amount(given: Mapping[str, Any], key: str) -> float | None:
    item = given.get(key)
    value = item.get("defaultValue") if isinstance(item, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9 else None


def _may_override(item: object) -> bool:
    return isinstance(item, dict) and item.get("allowOverride") is True
