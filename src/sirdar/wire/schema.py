"""Inputs and outputs as JSON Schema: whole documents (2020-12), and the looser properties that Everest's clients read."""

from typing import Any

from sirdar.domain.app import App, InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.value_checks import MAX_FILES, MAX_LIST, MAX_STRING, MAX_TEXT

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_OUTPUT_TYPES: dict[OutputType, Schema] = {
    OutputType.FILE: {"type": "string", "format": "uri"},
    OutputType.FILES: {"type": "array", "items": {"type": "string", "format": "uri"}},
    OutputType.DIRECTORY: {"type": "string", "format": "uri"},
    OutputType.NUMBER: {"type": "number"},
    OutputType.INTEGER: {"type": "integer"},
    OutputType.STRING: {"type": "string"},
    OutputType.BOOLEAN: {"type": "boolean"},
    OutputType.JSON: {},
    OutputType.VALUES: {"type": "object"},
}


def everest_inputs(app: App) -> Schema:
    """Name -> property, with ``required`` inside each, as Everest writes them."""
    return {spec.name: {**_titled(spec), **_value_schema(spec), "required": spec.required} for spec in app.inputs}


def everest_outputs(app: App) -> Schema:
    return {spec.name: {**_titled(spec), **_output_schema(spec), "required": spec.required} for spec in app.outputs}


def inputs_schema(app: App) -> Schema:
    """A JSON Schema of the object of inputs: what it accepts, ``domain.values.check`` accepts."""
    properties = {spec.name: _strict({**_titled(spec), **_value_schema(spec)}) for spec in app.inputs}
    schema: Schema = {"$schema": DIALECT, "title": app.name or app.alias, "type": "object", "properties": properties}
    if required := [spec.name for spec in app.inputs if spec.required]:
        schema["required"] = required
    return {**schema, "additionalProperties": False}


def outputs_schema(app: App) -> Schema:
    """A JSON Schema of a finished job's result. A failed job's may lack outputs that a finished one has."""
    declared = [
        spec for spec in app.outputs if spec.type is not OutputType.VALUES
    ]  # what they hold is known when it is read
    properties = {spec.name: _strict({**_titled(spec), **_output_schema(spec)}) for spec in declared}
    schema: Schema = {"$schema": DIALECT, "title": f"Result of {app.name or app.alias}", "type": "object"}
    schema["properties"] = properties
    if required := [spec.name for spec in declared if spec.required]:
        schema["required"] = required
    return schema


def _titled(spec: InputSpec | OutputSpec) -> Schema:
    titled: Schema = {"title": spec.title or spec.name}
    if spec.description:
        titled["description"] = spec.description
    return titled


def _strict(schema: Schema) -> Schema:
    """A file's address may lack scheme and host (``/api/files/...``): in strict terms it is a reference."""
    changed = {**schema, "format": "uri-reference"} if schema.get("format") == "uri" else dict(schema)
    if isinstance(changed.get("items"), dict):
        changed["items"] = _strict(changed["items"])
    return changed


def _value_schema(spec: InputSpec) -> Schema:
    schema = _typed(spec)
    if spec.minimum is not None:
        schema["minimum"] = spec.minimum
    if spec.maximum is not None:
        schema["maximum"] = spec.maximum
    if spec.pattern is not None:
        schema["pattern"] = f"^(?:{spec.pattern})$"
    if spec.has_default:
        schema["default"] = spec.default
    extension = _extension(spec)
    return {**schema, "x-sirdar": extension} if extension else schema


def _typed(spec: InputSpec) -> Schema:
    kind = spec.type
    if kind in {InputType.STRING, InputType.TEXT, InputType.SECRET}:
        return _string(spec)
    if kind is InputType.ENUM:
        return _enum(spec)
    if kind in {InputType.FILE, InputType.DIRECTORY}:
        return {"type": "string", "format": "uri"}
    if kind is InputType.FILES:
        return {"type": "array", "items": {"type": "string", "format": "uri"}, **_count(spec, MAX_FILES)}
    if kind is InputType.LIST:
        items = _value_schema(spec.items) if spec.items is not None else {}
        return {"type": "array", "items": items, **_count(spec, MAX_LIST)}
    if kind is InputType.JSON:
        return {"type": ["object", "array"]}
    return {"type": kind.value}


def _string(spec: InputSpec) -> Schema:
    limit = MAX_TEXT if spec.type is InputType.TEXT else MAX_STRING
    schema: Schema = {"type": "string"}
    if spec.min_length is not None:
        schema["minLength"] = spec.min_length
    schema["maxLength"] = limit if spec.max_length is None else spec.max_length
    if spec.type is InputType.SECRET:
        schema |= {"format": "password", "writeOnly": True}
    return schema


def _enum(spec: InputSpec) -> Schema:
    types = {"string" if isinstance(value, str) else "number" for value in spec.values}
    schema: Schema = {"type": types.pop()} if len(types) == 1 else {}
    return {**schema, "enum": list(spec.values)}


def _count(spec: InputSpec, limit: int) -> Schema:
    schema: Schema = {} if spec.min_length is None else {"minItems": spec.min_length}
    return {**schema, "maxItems": limit if spec.max_length is None else spec.max_length}


def _extension(spec: InputSpec) -> Schema:
    """What JSON Schema has no words for; forms and clients read it."""
    extension: Schema = {}
    if spec.type in {InputType.TEXT, InputType.DIRECTORY, InputType.SECRET}:
        extension["type"] = spec.type.value
    if spec.suffixes:
        extension["suffixes"] = list(spec.suffixes)
    if spec.max_size_bytes is not None:
        extension["maxSizeBytes"] = spec.max_size_bytes
    return extension


def _output_schema(spec: OutputSpec) -> Schema:
    schema = dict(_OUTPUT_TYPES[spec.type])
    return {**schema, "x-sirdar": {"type": "directory"}} if spec.type is OutputType.DIRECTORY else schema
