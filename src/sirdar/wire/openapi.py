"""A typed OpenAPI 3.1 document of one application, from which a client in any language can be generated."""

from typing import Any

from sirdar.domain.app import FILE_INPUTS, RESOURCE_FIELDS, SLURM_FIELDS, App, Example
from sirdar.domain.problems import CODES
from sirdar.domain.states import State
from sirdar.wire.schema import Schema, inputs_schema, outputs_schema

OPENAPI = "3.1.0"

_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457): a stable code, the field, what was expected and what to try.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "expected": {"type": "string"},
        "try": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "detail", "expected")},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "code", "detail"],
}


def app_openapi(app: App, owner: str, alias: str, version: int, server_url: str) -> Schema:
    """The document of ``owner/alias@version``: submit with typed inputs, see the job with its typed result.

    ``server_url`` is the address that clients use, without a path, as in ``https://sirdar.example.org``.
    """
    address = f"{owner}/{alias}"
    paths: Schema = {
        f"/api/apps/{address}": {"post": _submit(app, address)},
        "/api/jobs/{id}": {"get": _show()},
        "/api/jobs/{id}/log": {"get": _log()},
        "/api/jobs/{id}/cancel": {"post": _cancel()},
    }
    if any(spec.type in FILE_INPUTS for spec in app.inputs):
        paths["/api/files/temp"] = {"post": _upload()}
    return {
        "openapi": OPENAPI,
        "info": _info(app, address, version),
        "servers": [{"url": server_url.rstrip("/")}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(app),
        },
    }


def _info(app: App, address: str, version: int) -> Schema:
    info: Schema = {"title": app.name or address, "version": str(version)}
    if app.annotation:
        info["summary"] = app.annotation
    if app.description:
        info["description"] = app.description
    return info


# ---------------------------------------------------------------- operations


def _submit(app: App, address: str) -> Schema:
    return {
        "operationId": "submit",
        "summary": f"Run {app.name or address}",
        "parameters": [
            {
                "name": "wait",
                "in": "query",
                "description": "Seconds to wait for the job's end before answering",
                "schema": {"type": "number", "minimum": 0},
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key and body within 24 hours give the same job",
                "schema": {"type": "string", "maxLength": 255},
            },
        ],
        "requestBody": {"required": True, "content": {"application/json": _submission_content(app)}},
        "responses": {
            "201": _answer("The job", "Job"),
            **_problems("400", "401", "403", "404", "422", "429"),
        },
    }


def _submission_content(app: App) -> Schema:
    content: Schema = {"schema": _ref("Submission")}
    if app.examples:
        content["examples"] = {f"example{number}": _example(one) for number, one in enumerate(app.examples, 1)}
    return content


def _example(example: Example) -> Schema:
    annotation = {"description": example.annotation} if example.annotation else {}
    return {"summary": example.title, **annotation, "value": {"inputs": dict(example.inputs)}}


def _show() -> Schema:
    return {
        "operationId": "getJob",
        "summary": "A job, with its result once it has ended",
        "parameters": [_job_id()],
        "responses": {"200": _answer("The job", "Job"), **_problems("401", "404")},
    }


def _log() -> Schema:
    return {
        "operationId": "getLog",
        "summary": "The job's log",
        "parameters": [_job_id()],
        "responses": {
            "200": {"description": "Lines of text", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **_problems("401", "404"),
        },
    }


def _cancel() -> Schema:
    return {
        "operationId": "cancelJob",
        "summary": "Cancel the job",
        "parameters": [_job_id()],
        "responses": {"2XX": {"description": "The wish is noted"}, **_problems("401", "403", "404", "409")},
    }


def _upload() -> Schema:
    form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
    return {
        "operationId": "upload",
        "summary": "Upload a file; its uri is the value of a file input",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {"200": _answer("The file", "Upload"), **_problems("401", "413", "507")},
    }


def _job_id() -> Schema:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _problems(*statuses: str) -> Schema:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    titles: dict[str, str] = {}
    for status, title in CODES.values():
        titles.setdefault(str(status), title)
    return {status: {"description": titles[status], "content": content} for status in statuses}


# ---------------------------------------------------------------- schemas


def _schemas(app: App) -> dict[str, Any]:
    return {
        "Inputs": _embedded(inputs_schema(app)),
        "Result": _embedded(outputs_schema(app)),
        "Submission": _submission(app),
        "Job": _job(),
        "Upload": {
            "type": "object",
            "properties": {
                "uri": {"type": "string", "format": "uri-reference"},
                "filename": {"type": "string"},
                "length": {"type": "integer", "minimum": 0},
            },
            "required": ["uri", "filename", "length"],
        },
        "Problem": _PROBLEM,
    }


def _embedded(schema: Schema) -> Schema:
    """OpenAPI 3.1 names the dialect once for the whole document."""
    return {key: value for key, value in schema.items() if key != "$schema"}


def _submission(app: App) -> Schema:
    properties: Schema = {"name": {"type": "string", "description": "The job's name"}, "inputs": _ref("Inputs")}
    changeable = [name for name in RESOURCE_FIELDS if name in app.resources.override]
    if changeable:
        properties["overrides"] = {
            "type": "object",
            "description": "What each task gets, in place of the application's own figures",
            "properties": {name: _resource(name) for name in changeable},
            "additionalProperties": False,
        }
    required = ["inputs"] if any(spec.required for spec in app.inputs) else []
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _resource(name: str) -> Schema:
    if name in {"memory", "disk"}:
        return {"type": ["integer", "string"], "description": "Bytes, or a size such as 512 MiB"}
    if name == "time":
        return {"type": ["number", "string"], "description": "Seconds, or a duration such as 10 min"}
    if name == "slurm":
        options = {option: {"type": "string"} for option in SLURM_FIELDS}
        return {"type": "object", "properties": options, "additionalProperties": False}
    return {"type": "integer", "minimum": 0 if name == "gpus" else 1}


def _job() -> Schema:
    """What every job has; the API adds more, so other properties are allowed."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "state": {"type": "string", "enum": [state.value for state in State]},
            "appId": {"type": "string"},
            "appAlias": {"type": "string"},
            "appName": {"type": "string"},
            "inputs": {"type": "object"},
            "result": {**_ref("Result"), "description": "The outputs, from the job's end on"},
            "info": {"type": ["string", "null"], "description": "Why it failed, in words"},
        },
        "required": ["id", "state"],
    }
