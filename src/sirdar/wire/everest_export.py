"""Writes an application as Everest's export does, and tells what Everest has no words for."""

import re
import shlex
from typing import Any

from sirdar.domain.app import (
    DEFAULT_RETRIES,
    FILE_INPUTS,
    App,
    Code,
    InputSpec,
    InputType,
    OutputType,
    Resources,
)
from sirdar.wire.everest import MIB, Document
from sirdar.wire.schema import everest_inputs, everest_outputs


def export_everest(app: App, version: int = 1) -> tuple[Document, list[str]]:
    """``application.json`` of the application, and notes on what is lost on the way."""
    document: Document = {
        "alias": app.alias,
        "name": app.name or app.alias,
        "annotation": app.annotation,
        "keywords": list(app.keywords),
        "description": app.description,
        "inputs": {spec.name: _input(spec, schema) for spec, schema in _pairs(app)},
        "outputs": {name: _output(name, schema) for name, schema in everest_outputs(app).items()},
        "type": "application",
        "config": {
            "command": _command(app),
            "inputMappings": [
                _mapping(spec) for spec in app.inputs if spec.path is not None and spec.type in FILE_INPUTS
            ],
            "outputMappings": [_output_mapping(spec.name, spec.source) for spec in app.outputs],
            "resourceRequirements": _requirements(app.resources),
        },
        "retryFailedTasks": False,
        "files": [],
        "version": f"0.{version}.0",
    }
    return document, _notes(app)


def _pairs(app: App) -> list[tuple[InputSpec, dict[str, Any]]]:
    schemas = everest_inputs(app)
    return [(spec, schemas[spec.name]) for spec in app.inputs]


def _input(spec: InputSpec, schema: dict[str, Any]) -> dict[str, Any]:
    """The property without what was only a limit of Sirdar's own."""
    plain = _plain(schema)
    if spec.type is InputType.JSON:
        plain["type"] = "object"
    if spec.type is InputType.TEXT:
        plain["viewType"] = "textarea"
    for key, value in (("maxLength", spec.max_length), ("maxItems", spec.max_length)):
        if value is None:
            plain.pop(key, None)
    if isinstance(plain.get("items"), dict) and spec.items is not None:
        plain["items"] = _input(spec.items, plain["items"])
    if not spec.title:
        plain.pop("title", None)
    return plain


def _output(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _plain(schema).items() if key != "title" or value != name}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "x-sirdar"}


def _command(app: App) -> str:
    if app.shell is not None:
        return shlex.join(["sh", "-c", app.shell])
    words = [word if re.fullmatch(r"[\w@%+=:,./${}-]+", word) else shlex.quote(word) for word in app.command]
    return " ".join(words).removeprefix("./")


def _mapping(spec: InputSpec) -> dict[str, Any]:
    mapping = {"param": spec.name, "file": spec.path}
    return {**mapping, "unpack": True} if spec.type is InputType.DIRECTORY else mapping


def _output_mapping(name: str, source: str) -> dict[str, Any]:
    is_pattern = re.search(r"[*?\[]", source) is not None
    return {"param": name, "file": "" if is_pattern else source, "pattern": source if is_pattern else ""}


def _requirements(resources: Resources) -> dict[str, Any]:
    def one(value: float | None, name: str) -> dict[str, Any]:
        known = {} if value is None else {"defaultValue": int(value) if value == int(value) else value}
        return {**known, "allowOverride": name in resources.override}

    memory = None if resources.memory_bytes is None else resources.memory_bytes / MIB / resources.cpus
    time = None if resources.time_s is None else resources.time_s / 60
    return {
        "nodes": one(resources.nodes, "nodes"),
        "coresPerNode": one(resources.cpus, "cpus"),
        "memoryPerCore": one(memory, "memory"),
        "timeLimit": one(time, "time"),
    }


def _notes(app: App) -> list[str]:
    found = [
        (app.shell is not None, "shell: written as sh -c; Everest does not set variables from inputs"),
        (bool(app.env), "env: Everest sets no variables"),
        (bool(app.templates), "templates: Everest fills no files"),
        (app.params is not None, "params: Everest writes no file of all inputs"),
        (app.keep_alive is not None, "keep_alive: Everest starts a process for each task"),
        (app.stdin is not None, "stdin: Everest gives no standard input"),
        (bool(app.secrets), "secrets: Everest keeps none for a program"),
        (app.code != Code(), "code: Everest takes the code from the application's files alone"),
        (app.resources.gpus > 0, "resources.gpus: unknown to Everest"),
        (app.resources.disk_bytes is not None, "resources.disk: unknown to Everest"),
        (bool(app.resources.only), "resources.only: name the resources in Everest again"),
        (bool(app.resources.labels), "resources.labels: unknown to Everest"),
        (app.retries != DEFAULT_RETRIES, "retries: Everest has only retryFailedTasks"),
        (app.retention_s is not None, "retention: unknown to Everest"),
    ]
    notes = [note for holds, note in found if holds]
    for spec in app.inputs:
        notes.extend(_input_notes(spec))
    for output in app.outputs:
        if output.key is not None or output.regex is not None:
            notes.append(f"outputs.{output.name}: Everest reads a value from a whole file, not by key or regex")
        if output.type is OutputType.DIRECTORY:
            notes.append(f"outputs.{output.name}: Everest takes no directories")
    return notes


def _input_notes(spec: InputSpec) -> list[str]:
    lost = [
        key
        for key, value in (
            ("env", spec.env),
            ("suffixes", spec.suffixes),
            ("writable", spec.writable),
            ("unit", spec.unit),
        )
        if value
    ]
    lost += ["max_size"] if spec.max_size_bytes is not None else []
    lost += ["path"] if spec.path is not None and spec.type not in FILE_INPUTS else []
    notes = [f"inputs.{spec.name}.{key}: unknown to Everest" for key in lost]
    if spec.type is InputType.SECRET:
        notes.append(f"inputs.{spec.name}: a secret becomes a plain string")
    if spec.type is InputType.DIRECTORY and spec.path is None:
        notes.append(f"inputs.{spec.name}: stays an archive, as it has no path")
    return notes
