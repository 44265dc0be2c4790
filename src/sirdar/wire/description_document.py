"""The canonical form of a description: JSON in the language of ``sirdar.yaml``, written out and with plain numbers.

``to_document`` and ``parse_document`` are exact inverses. Inputs and outputs are lists here, so that their order survives
stores that sort the keys of objects; what has its default value is left out.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sirdar.domain.app import (
    DEFAULT_RETRIES,
    RESOURCE_FIELDS,
    App,
    Code,
    CodeKind,
    Example,
    FileEntry,
    InputSpec,
    InputType,
    OutputSpec,
    OutputType,
    Resources,
)
from sirdar.domain.keep_alive import KeepAlive
from sirdar.wire.description_environment import environment_document, parse_environment

FORMAT = 1
DEFAULT_GRACE_S = 10.0

Document = dict[str, Any]

# key of the language -> attribute, in the order in which they are written
_INPUT_KEYS = {
    "title": "title",
    "description": "description",
    "required": "required",
    "minimum": "minimum",
    "maximum": "maximum",
    "min_length": "min_length",
    "max_length": "max_length",
    "pattern": "pattern",
    "suffixes": "suffixes",
    "max_size": "max_size_bytes",
    "writable": "writable",
    "path": "path",
    "env": "env",
    "unit": "unit",
    "advanced": "advanced",
}
_OUTPUT_KEYS = {
    "title": "title",
    "description": "description",
    "key": "key",
    "regex": "regex",
    "max_size": "max_size_bytes",
    "unit": "unit",
}
_RESOURCE_KEYS = {
    "cpus": "cpus",
    "memory": "memory_bytes",
    "time": "time_s",
    "gpus": "gpus",
    "nodes": "nodes",
    "disk": "disk_bytes",
}
_KEEP_KEYS = {"idle": "idle_s", "most": "most", "program": "program"}
_TEXT_KEYS = ("name", "annotation", "description")
_COMMAND_KEYS = ("shell", "stdin", "params")


def to_document(app: App) -> Document:
    """The canonical JSON of ``app``, always with its keys in the same order."""
    document: Document = {"sirdar": FORMAT, "alias": app.alias}
    document |= {key: value for key in _TEXT_KEYS if (value := getattr(app, key))}
    if app.keywords:
        document["keywords"] = list(app.keywords)
    if app.inputs:
        document["inputs"] = [input_document(spec) for spec in app.inputs]
    if app.command:
        document["command"] = list(app.command)
    document |= {key: value for key in _COMMAND_KEYS if (value := getattr(app, key)) is not None}
    document |= {"keep_alive": _keep_document(app.keep_alive)} if app.keep_alive is not None else {}
    document |= {key: dict(value) for key in ("env", "templates") if (value := getattr(app, key))}
    if app.secrets:
        document["secrets"] = list(app.secrets)
    if app.outputs:
        document["outputs"] = [_output_document(spec) for spec in app.outputs]
    if app.examples:
        document["examples"] = [example_document(example) for example in app.examples]
    if app.resources != Resources():
        document["resources"] = resources_document(app.resources)
    if app.retries != DEFAULT_RETRIES:
        document["retries"] = app.retries
    if app.grace_s != DEFAULT_GRACE_S:
        document["grace"] = app.grace_s
    if app.retention_s is not None:
        document["retention"] = app.retention_s
    if app.code != Code():
        document["code"] = _code_document(app.code)
    if environment := environment_document(app.environment):
        document["environment"] = environment
    return document


def parse_document(document: Mapping[str, Any]) -> App:
    """The application of a canonical document. It is trusted (``to_document`` wrote it): unknown keys are passed over."""
    get = document.get
    return App(
        alias=document["alias"],
        name=get("name", ""),
        annotation=get("annotation", ""),
        description=get("description", ""),
        keywords=tuple(get("keywords", ())),
        inputs=tuple([_input_spec(item, item["name"]) for item in get("inputs", ())]),
        outputs=tuple([_output_spec(item) for item in get("outputs", ())]),
        examples=tuple([_example(item) for item in get("examples", ())]),
        command=tuple(get("command", ())),
        shell=get("shell"),
        env=get("env", {}),
        templates=get("templates", {}),
        params=get("params"),
        keep_alive=_keep_alive(get("keep_alive")),
        stdin=get("stdin"),
        secrets=tuple(get("secrets", ())),
        resources=_resources(get("resources")),
        retries=get("retries", DEFAULT_RETRIES),
        grace_s=get("grace", DEFAULT_GRACE_S),
        code=_code(get("code")),
        retention_s=get("retention"),
        environment=parse_environment(get("environment")),
    )


def version_digest(document: Mapping[str, Any], files: Iterable[FileEntry] = ()) -> str:
    """sha256 of a description and its files: the same bytes published again are the same version."""
    entries = sorted([entry.path, entry.sha256, entry.size_bytes, entry.mode] for entry in files)
    text = json.dumps({"description": document, "files": entries}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- to JSON


def input_document(spec: InputSpec, *, named: bool = True) -> Document:
    """One input; an element of a list has no name of its own."""
    document: Document = {"name": spec.name} if named else {}
    document["type"] = spec.type.value
    for key, attribute in _INPUT_KEYS.items():
        value = getattr(spec, attribute)
        if value is not None and value != "" and value is not False and value != ():
            document[key] = list(value) if isinstance(value, tuple) else value
    if spec.has_default:
        document["default"] = spec.default
    if spec.values:
        document["values"] = list(spec.values)
    if not spec.staged:
        document["staged"] = False
    if spec.items is not None:
        document["items"] = input_document(spec.items, named=False)
    return document


def _output_document(spec: OutputSpec) -> Document:
    document: Document = {"name": spec.name, "type": spec.type.value, "from": spec.source}
    for key, attribute in _OUTPUT_KEYS.items():
        value = getattr(spec, attribute)
        if value is not None and value != "":
            document[key] = value
    if not spec.required:
        document["required"] = False
    return document


def example_document(example: Example) -> Document:
    annotation = {"annotation": example.annotation} if example.annotation else {}
    return {"title": example.title, **annotation, "inputs": dict(example.inputs)}


def resources_document(resources: Resources) -> Document:
    """What differs from the least that a task gets: sizes in bytes, time in seconds."""
    default = Resources()
    document = {
        key: value
        for key, attribute in _RESOURCE_KEYS.items()
        if (value := getattr(resources, attribute)) != getattr(default, attribute)
    }
    if resources.override:
        document["override"] = [key for key in RESOURCE_FIELDS if key in resources.override]
    if resources.only:
        document["only"] = list(resources.only)
    if resources.labels:
        document["labels"] = dict(resources.labels)
    if resources.slurm:
        document["slurm"] = dict(resources.slurm)
    return document


def _keep_document(keep: KeepAlive) -> Document | bool:
    """``true`` where all has its default value."""
    default = KeepAlive()
    document: Document = {
        key: value
        for key, attribute in _KEEP_KEYS.items()
        if (value := getattr(keep, attribute)) != getattr(default, attribute)
    }
    if keep.asked:
        document["when"] = "asked"
    return document or True


def _code_document(code: Code) -> Document:
    document: Document = {}
    if code.kind is CodeKind.GIT:
        document["git"] = code.url
    elif code.kind is CodeKind.GITLAB:
        document["gitlab"] = code.project
        document["url"] = code.url
    document |= {
        "ref": code.ref,
        "path": code.path,
        "artifact": code.artifact,
        "job": code.job,
        "token": code.token_secret,
        "version_command": list(code.version_command) or None,
        "at": "submission" if code.at_submission else None,
    }
    return {key: value for key, value in document.items() if value is not None}


# ---------------------------------------------------------------- from JSON


def _input_spec(item: Mapping[str, Any], name: str) -> InputSpec:
    fields: dict[str, Any] = {attribute: item[key] for key, attribute in _INPUT_KEYS.items() if key in item}
    if "suffixes" in fields:
        fields["suffixes"] = tuple(fields["suffixes"])
    if "staged" in item:
        fields["staged"] = item["staged"]
    if "default" in item:
        fields["default"] = item["default"]
        fields["has_default"] = True
    if "values" in item:
        fields["values"] = tuple(item["values"])
    if "items" in item:
        fields["items"] = _input_spec(item["items"], name)
    return InputSpec(name=name, type=InputType(item["type"]), **fields)


def _output_spec(item: Mapping[str, Any]) -> OutputSpec:
    fields: dict[str, Any] = {attribute: item[key] for key, attribute in _OUTPUT_KEYS.items() if key in item}
    return OutputSpec(
        item["name"], OutputType(item["type"]), item["from"], required=item.get("required", True), **fields
    )


def _example(item: Mapping[str, Any]) -> Example:
    return Example(item["title"], item.get("annotation", ""), item.get("inputs", {}))


def _resources(item: Mapping[str, Any] | None) -> Resources:
    if not item:
        return Resources()
    fields: dict[str, Any] = {attribute: item[key] for key, attribute in _RESOURCE_KEYS.items() if key in item}
    return Resources(
        **fields,
        override=frozenset(item.get("override", ())),
        only=tuple(item.get("only", ())),
        labels=dict(item.get("labels", {})),
        slurm=dict(item.get("slurm", {})),
    )


def _keep_alive(item: Mapping[str, Any] | bool | None) -> KeepAlive | None:
    if item is None or item is False:
        return None
    given = {} if item is True else item
    fields: dict[str, Any] = {attribute: given[key] for key, attribute in _KEEP_KEYS.items() if key in given}
    return KeepAlive(**fields, asked=given.get("when") == "asked")


def _code(item: Mapping[str, Any] | None) -> Code:
    if not item:
        return Code()
    kind = CodeKind.GIT if "git" in item else CodeKind.GITLAB if "gitlab" in item else CodeKind.PATH
    return Code(
        kind=kind,
        url=item.get("git", item.get("url")),
        project=item.get("gitlab"),
        ref=item.get("ref"),
        path=item.get("path"),
        artifact=item.get("artifact"),
        job=item.get("job"),
        token_secret=item.get("token"),
        at_submission=item.get("at") == "submission",
        version_command=tuple(item.get("version_command", ())),
    )
