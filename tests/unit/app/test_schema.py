"""JSON Schema and OpenAPI of an application, against validators of their own."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sirdar.domain.app import App
from sirdar.domain.values import check
from sirdar.wire.description import parse_yaml
from sirdar.wire.openapi import app_openapi
from sirdar.wire.schema import everest_inputs, everest_outputs, inputs_schema, outputs_schema

sys.path.insert(0, str(Path(__file__).parent))
from app_strategies import apps

SAMPLE = parse_yaml("""
alias: a
name: Sample
inputs:
  data:  {type: file, title: Numbers, description: A column, suffixes: [.csv], required: true}
  power: {type: integer, default: 2, minimum: 1, maximum: 9}
  many:  {type: list, items: {type: file}}
  mode:  {values: [fast, slow]}
  label: {type: string, pattern: "[a-z]+", min_length: 2, max_length: 5}
  note:  text
  flag:  boolean
  opts:  json
  grid:  {items: number, max_length: 3}
  key:   {type: secret, env: KEY}
command: p ${data}
outputs:
  total: {type: number, from: r.json, key: total}
  plot:  {type: file, from: plot.png, required: false}
  parts: part-*.csv
resources: {override: [cpus, memory, time]}
""")


def test_properties_as_everest_writes_them() -> None:
    inputs = everest_inputs(SAMPLE)
    assert inputs["data"] == {
        "title": "Numbers",
        "description": "A column",
        "type": "string",
        "format": "uri",
        "x-sirdar": {"suffixes": [".csv"]},
        "required": True,
    }
    assert inputs["power"] == {
        "title": "power", "type": "integer", "minimum": 1, "maximum": 9, "default": 2, "required": False
    }  # fmt: skip
    assert inputs["many"]["items"] == {"type": "string", "format": "uri"}
    assert inputs["mode"]["enum"] == ["fast", "slow"]
    assert everest_outputs(SAMPLE) == {
        "total": {"title": "total", "type": "number", "required": True},
        "plot": {"title": "plot", "type": "string", "format": "uri", "required": False},
        "parts": {"title": "parts", "type": "array", "items": {"type": "string", "format": "uri"}, "required": True},
    }


VALUES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"power": 10}, False),
    ({"power": 2.0}, True),
    ({"power": "2"}, False),
    ({"power": True}, False),
    ({"mode": "fast"}, True),
    ({"mode": "faster"}, False),
    ({"label": "abc"}, True),
    ({"label": "abc1"}, False),
    ({"label": "a"}, False),
    ({"label": "abcdef"}, False),
    ({"flag": 1}, False),
    ({"opts": {"a": 1}}, True),
    ({"opts": "a"}, False),
    ({"grid": [1, 2.5]}, True),
    ({"grid": [1, 2, 3, 4]}, False),
    ({"grid": ["1"]}, False),
    ({"many": ["/api/files/temp/1/a"]}, True),
    ({"many": [1]}, False),
    ({"unknown": 1}, False),
    ({"data": 3}, False),
    ({"note": "a\nb"}, True),
    ({"key": "s"}, True),
]


@pytest.mark.parametrize(("given_values", "right"), VALUES, ids=str)
def test_the_schema_and_the_check_agree(given_values: dict[str, Any], right: bool) -> None:
    whole = {"data": "/api/files/temp/1/a.csv", **given_values}
    schema = inputs_schema(SAMPLE)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(whole) is right
    assert (not check(SAMPLE.inputs, whole)[1]) is right


def test_required_inputs_and_outputs() -> None:
    assert not Draft202012Validator(inputs_schema(SAMPLE)).is_valid({"power": 2})
    outputs = Draft202012Validator(outputs_schema(SAMPLE))
    assert outputs.is_valid({"total": 1.5, "parts": ["/api/files/jobs/x/part-1.csv"]})
    assert not outputs.is_valid({"parts": []})
    assert not outputs.is_valid({"total": "1", "parts": []})


@settings(deadline=None, max_examples=50)
@given(apps())
def test_every_application_has_valid_schemas_that_take_its_defaults(app: App) -> None:
    for schema in (inputs_schema(app), outputs_schema(app)):
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False)
    defaults = {spec.name: spec.default for spec in app.inputs if spec.has_default}
    schema = {**inputs_schema(app), "required": []}
    Draft202012Validator(schema).validate(defaults)


def resolve(document: dict[str, Any], node: Any) -> None:
    """Every reference leads somewhere."""
    if isinstance(node, dict):
        if "$ref" in node:
            at: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                at = at[part]
        for child in node.values():
            resolve(document, child)
    elif isinstance(node, list):
        for child in node:
            resolve(document, child)


def check_openapi(document: dict[str, Any]) -> None:
    """The shape that OpenAPI 3.1 asks for."""
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= document["info"].keys()
    assert isinstance(document["info"]["version"], str)
    identifiers = []
    for path, item in document["paths"].items():
        assert path.startswith("/")
        for method, operation in item.items():
            assert method in {"get", "post"}
            identifiers.append(operation["operationId"])
            declared = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert all(one["schema"] for one in operation.get("parameters", []))
            assert operation["responses"]
            assert all("description" in answer for answer in operation["responses"].values())
    assert len(set(identifiers)) == len(identifiers)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    resolve(document, document)
    json.dumps(document, allow_nan=False)


def test_the_openapi_document_of_an_application() -> None:
    document = app_openapi(SAMPLE, "ann", "sample", 3, "https://sirdar.example.org/")
    check_openapi(document)
    assert document["info"] == {"title": "Sample", "version": "3"}
    assert document["servers"] == [{"url": "https://sirdar.example.org"}]
    assert {"/api/apps/ann/sample", "/api/jobs/{id}", "/api/files/temp"} <= document["paths"].keys()
    submit = document["paths"]["/api/apps/ann/sample"]["post"]
    assert "wait" in {one["name"] for one in submit["parameters"]}
    schemas = document["components"]["schemas"]
    assert schemas["Inputs"]["properties"]["power"]["maximum"] == 9
    assert schemas["Result"]["properties"]["total"]["type"] == "number"
    assert schemas["Submission"]["required"] == ["inputs"]
    assert list(schemas["Submission"]["properties"]["overrides"]["properties"]) == ["cpus", "memory", "time"]


@settings(deadline=None, max_examples=30)
@given(apps(), st.integers(1, 99))
def test_every_application_has_one(app: App, version: int) -> None:
    check_openapi(app_openapi(app, "ann", app.alias, version, "http://127.0.0.1:8080"))
