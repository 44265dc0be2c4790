"""Applications that come from Everest and go there."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirdar.domain.app import App, InputType, OutputType
from sirdar.domain.problems import Problem
from sirdar.wire.description import faults, parse_yaml
from sirdar.wire.everest import import_everest
from sirdar.wire.everest_export import export_everest

sys.path.insert(0, str(Path(__file__).parent))
from app_strategies import JSON, apps

EXPORTED: dict[str, Any] = {
    "alias": "svf-Remote",
    "name": "SvF",
    "annotation": "one line",
    "keywords": ["fit"],
    "description": "Markdown",
    "inputs": {
        "data": {
            "title": "Data", "type": "array", "items": {"type": "string", "format": "uri"}, "required": False
        },
        "mng": {"title": "Task", "type": "string", "format": "uri", "viewType": "input", "required": True},
        "model": {"type": "string", "format": "uri"},
        "steps": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "required": True},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "code": {"type": "string", "pattern": "^[a-z]+", "maxLength": 9},
        "text": {"type": "string", "viewType": "textarea"},
        "points": {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 1},
        "options": {"type": "object"},
    },
    "outputs": {
        "results": {"title": "Results", "type": "string", "format": "uri", "required": False},
        "stdout": {"type": "string", "format": "uri"},
        "total": {"type": "number", "required": True},
        "plots": {"type": "array", "items": {"type": "string", "format": "uri"}},
    },
    "type": "application",
    "config": {
        "command": "run.sh ${mng} 'a b'",
        "inputMappings": [{"param": "mng", "file": "in.mng"}, {"param": "model", "file": "model", "unpack": True}],
        "outputMappings": [
            {"param": "results", "file": "results.zip", "pattern": ""},
            {"param": "stdout", "file": "stdout", "pattern": ""},
            {"param": "total", "file": "total.txt", "pattern": ""},
            {"param": "plots", "file": "", "pattern": "*.png"},
        ],
        "resourceRequirements": {
            "nodes": {"defaultValue": 1, "allowOverride": False},
            "coresPerNode": {"defaultValue": 4, "allowOverride": True},
            "memoryPerCore": {"defaultValue": 512},
            "timeLimit": {"defaultValue": 30, "allowOverride": True},
        },
    },
    "retryFailedTasks": False,
    "files": [],
    "version": "0.1.0",
}  # fmt: skip


def test_an_export_of_everest_is_taken_in() -> None:
    app, notes = import_everest(EXPORTED, {"run.sh"})
    assert faults(app) == []
    assert app.alias == "svf-remote"
    assert app.command == ("./run.sh", "${mng}", "a b")
    assert [(spec.name, spec.type) for spec in app.inputs] == [
        ("data", InputType.FILES),
        ("mng", InputType.FILE),
        ("model", InputType.DIRECTORY),
        ("steps", InputType.INTEGER),
        ("mode", InputType.ENUM),
        ("code", InputType.STRING),
        ("text", InputType.TEXT),
        ("points", InputType.LIST),
        ("options", InputType.JSON),
    ]
    assert [(spec.type, spec.source, spec.required) for spec in app.outputs] == [
        (OutputType.FILE, "results.zip", False),
        (OutputType.FILE, "stdout", False),
        (OutputType.NUMBER, "total.txt", True),
        (OutputType.FILES, "*.png", False),
    ]
    code, mng = app.input("code"), app.input("mng")
    assert code is not None and code.pattern == "(?:[a-z]+).*"
    assert mng is not None and (mng.path, mng.required) == ("in.mng", True)
    assert (app.resources.cpus, app.resources.memory_bytes, app.resources.time_s) == (4, 2 * 1024**3, 1800.0)
    assert app.resources.override == {"cpus", "time"}
    assert [note.split(":")[0] for note in notes] == [
        "alias", "inputs.steps", "command", "resources.memory", "resources.time"
    ]  # fmt: skip


def test_what_can_be_expressed_goes_there_and_back() -> None:
    app, _ = import_everest(EXPORTED, {"run.sh"})
    document, notes = export_everest(app, 7)
    assert notes == []
    assert document["config"]["command"] == "run.sh ${mng} 'a b'"
    assert document["version"] == "0.7.0"
    assert import_everest(json.loads(json.dumps(document)), {"run.sh"})[0] == app


def test_the_example_of_the_platform_as_it_stands() -> None:
    document = {
        "alias": "svf-remote", "name": "...", "inputs": {}, "outputs": {}, "type": "application",
        "config": {
            "command": "run.sh", "inputMappings": [], "outputMappings": [],
            "resourceRequirements": {
                "nodes": {"defaultValue": 1, "allowOverride": False}, "coresPerNode": {}, "memoryPerCore": {}, "timeLimit": {}
            },
        },
    }  # fmt: skip
    app, notes = import_everest(document)
    assert app == App("svf-remote", "...", command=("run.sh",))
    assert notes == []


def test_what_everest_has_no_words_for_is_told() -> None:
    app = parse_yaml("""
alias: a
inputs: {x: {type: string, env: X}, f: {type: file, suffixes: [.csv], writable: true}}
shell: echo "$X"
params: p.json
secrets: [LICENCE]
outputs: {t: {type: number, from: r.json, key: total}, d: out/}
resources: {gpus: 1}
code: {git: "https://example.org/a.git"}
""")
    document, notes = export_everest(app)
    assert document["config"]["command"] == "sh -c 'echo \"$X\"'"
    assert [note.split(":")[0] for note in notes] == [
        "shell", "params", "secrets", "code", "resources.gpus", "inputs.x.env", "inputs.f.suffixes", "inputs.f.writable",
        "outputs.t", "outputs.d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "is not that of an application with a command"),
        ({"type": "parameter-sweep", "config": {}}, 'its type is "parameter-sweep"'),
        ({"alias": "a", "config": {}}, "command: is missing"),
        ({"alias": "a b", "config": {"command": "p"}}, "alias: 'a b' cannot be an alias"),
        ({"alias": "a", "config": {"command": "p '"}}, "cannot be split into words"),
        ({"alias": "a", "config": {"command": "p ${x}"}}, "${x} names no input"),
        ({"alias": "a", "inputs": {"x": {"type": "file"}}, "config": {"command": "p"}}, "'file' is unknown"),
        ({"alias": "a", "inputs": [1], "config": {"command": "p"}}, "is not an object of JSON Schema"),
        ({"alias": "a", "inputs": {"x": {"enum": [[]]}}, "config": {"command": "p"}}, "cannot be a choice"),
    ],
)
def test_what_cannot_be_taken_in(document: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem) as caught:
        import_everest(document)
    assert caught.value.code == "invalid_description"
    assert says in caught.value.detail


@settings(deadline=None, max_examples=40)
@given(apps())
def test_every_application_can_be_exported_and_its_notes_say_what_is_lost(app: App) -> None:
    document, notes = export_everest(app)
    back, _ = import_everest(json.loads(json.dumps(document, allow_nan=False)))
    assert [spec.name for spec in back.inputs] == [spec.name for spec in app.inputs]
    if not notes:
        assert back.command == app.command
        assert [spec.type for spec in back.outputs] == [spec.type for spec in app.outputs]


def test_depth_is_no_way_in() -> None:
    schema: dict[str, Any] = {"type": "number"}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    for depth in (schema, {"type": "array", "items": {"type": "string"}, "default": None, "title": "a\0b"}):
        with pytest.raises(Problem, match=r"nested too deep|zero byte"):
            import_everest({"alias": "a", "inputs": {"x": depth}, "config": {"command": "p"}})


KEYS = st.sampled_from(
    ["type", "items", "enum", "default", "format", "required", "minimum", "pattern", "maxLength", "title"]
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.dictionaries(KEYS, JSON | st.sampled_from(["array", "uri", "object"]), max_size=6), JSON, JSON)
def test_anything_gives_an_application_or_a_problem(schema: dict[str, Any], mapping: Any, other: Any) -> None:
    document = {
        "alias": "a",
        "inputs": {"x": schema},
        "outputs": {"y": schema},
        "keywords": other,
        "config": {
            "command": "p",
            "inputMappings": mapping,
            "outputMappings": [mapping],
            "resourceRequirements": other,
        },
    }
    try:
        app, _ = import_everest(document)
    except Problem as problem:
        json.dumps(problem.to_json())
    else:
        assert faults(app) == []
