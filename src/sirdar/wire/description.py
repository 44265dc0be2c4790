"""``sirdar.yaml``: from text to an application, with every error at once, each with its line.

    parse_yaml(text) -> App               what an author wrote; raises Problem("invalid_description")
    check_files(app, paths)               that the files which the description names are there
    to_document(app), parse_document(doc) the canonical JSON, trusted
    version_digest(doc, files)            what tells one version from another

The language stands in docs/reference/sirdar-yaml.md.
"""

import shlex
from collections.abc import Collection, Sequence

from sirdar.domain.app import DEFAULT_RETRIES, RESOURCE_FIELDS, SLURM_FIELDS, App, Resources, slurm_fault
from sirdar.domain.keep_alive import DEFAULT_IDLE_S, DEFAULT_MOST, LONGEST_IDLE_S, KeepAlive
from sirdar.domain.problems import FieldError, Problem
from sirdar.wire.description_checks import faults, file_faults
from sirdar.wire.description_code import read_code
from sirdar.wire.description_document import (
    DEFAULT_GRACE_S,
    FORMAT,
    Document,
    parse_document,
    to_document,
    version_digest,
)
from sirdar.wire.description_environment import read_environment
from sirdar.wire.description_examples import read_examples
from sirdar.wire.description_fields import WHOLE, Fields, Report, shown, text_of
from sirdar.wire.description_specs import read_inputs, read_outputs
from sirdar.wire.yaml_lines import Node, TextError, load

__all__ = ["Document", "check_files", "faults", "parse_document", "parse_yaml", "to_document", "version_digest"]

MAX_WORDS = 1000
MAX_SHELL = 64 * 1024
_KEYS = (
    "sirdar",
    "alias",
    "name",
    "annotation",
    "description",
    "keywords",
    "inputs",
    "command",
    "shell",
    "keep_alive",
    "stdin",
    "env",
    "templates",
    "params",
    "secrets",
    "outputs",
    "examples",
    "resources",
    "retries",
    "grace",
    "retention",
    "code",
    "environment",
)


def parse_yaml(text: str | bytes, *, filename: str = "sirdar.yaml") -> App:
    """The application that ``text`` (YAML or JSON) describes.

    Raises Problem("invalid_description") whose ``errors`` name each field, line and what was expected.
    """
    report = Report()
    try:
        root, given_twice = load(text)
    except TextError as error:
        expected = "well-formed YAML" if error.malformed else None
        report.add_at(error.line, error.field, error.detail + _quote_hint(text, error), expected)
        raise _problem(report.errors, filename) from None
    app = _read(report, root)
    if isinstance(root.value, dict):
        _add_faults(report, app)
    for twice in given_twice:
        report.add_at(twice.line, twice.field, twice.detail, "each key once")
    if report.errors:
        raise _problem(report.errors, filename)
    return app


def _add_faults(report: Report, app: App) -> None:
    """What is wrong with the whole, except in fields that could not be read."""
    reported = {error.field for error in report.errors}
    for fault in faults(app):
        if not _covered(fault.field, reported):
            report.add(fault.field, fault.detail, fault.expected)


def check_files(app: App, paths: Collection[str]) -> None:
    """Raises Problem("invalid_description") where ``app`` names files that are not among its own ``paths``."""
    if errors := file_faults(app, paths):
        raise _problem(errors, "sirdar.yaml")


def _problem(errors: Sequence[FieldError], filename: str) -> Problem:
    first = errors[0]
    count = "one error" if len(errors) == 1 else f"{len(errors)} errors, the first"
    field = f" in {first.field}" if first.field not in {"", WHOLE} else ""
    return Problem(
        "invalid_description",
        f"{filename} has {count}{field}: {first.detail}",
        field=first.field or None,
        expected=first.expected,
        errors=errors,
    )


def _covered(field: str, reported: set[str]) -> bool:
    """True where the field itself, one of its elements, or one around it, could not be read."""
    if any(one.startswith(f"{field}[") for one in reported):
        return True
    at = field
    while at:
        if at in reported:
            return True
        at = at[: max(at.rfind("."), at.rfind("["), 0)]
    return False


def _quote_hint(text: str | bytes, error: TextError) -> str:
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).split("\n")
    near = lines[max((error.line or 0) - 2, 0) : error.line or 0]
    return " (inside [ ] and { } a word with ${...} needs quotes)" if any("${" in line for line in near) else ""


# ---------------------------------------------------------------- the whole


def _read(report: Report, root: Node) -> App:
    fields = Fields(report, root, "", _KEYS)
    if not isinstance(root.value, dict):
        return App(alias="")
    _read_format(fields)
    retries = fields.integer("retries", 0, 100)
    grace_s = fields.duration("grace", zero=True)
    inputs = read_inputs(fields)
    return App(
        alias=_read_alias(fields),
        name=fields.text("name") or "",
        annotation=fields.text("annotation", 500) or "",
        description=fields.text("description", 64_000, lines=True) or "",
        keywords=fields.texts("keywords", 50),
        inputs=inputs,
        outputs=read_outputs(fields),
        examples=read_examples(fields, inputs),
        command=_read_command(fields),
        shell=fields.text("shell", MAX_SHELL, lines=True),
        keep_alive=_read_keep_alive(fields),
        env=fields.text_map("env"),
        templates=fields.text_map("templates"),
        params=fields.text("params", 1000),
        stdin=fields.text("stdin", MAX_SHELL, lines=True),
        secrets=fields.texts("secrets"),
        resources=_read_resources(fields),
        retries=DEFAULT_RETRIES if retries is None else retries,
        grace_s=DEFAULT_GRACE_S if grace_s is None else grace_s,
        retention_s=fields.duration("retention"),
        code=read_code(fields),
        environment=read_environment(fields),
    )


def _read_format(fields: Fields) -> None:
    node = fields.get("sirdar")
    if node is not None and node.value != FORMAT:
        fields.report.add("sirdar", f"{shown(node)} is not a format that is known here", f"sirdar: {FORMAT}")


def _read_alias(fields: Fields) -> str:
    alias = fields.text("alias")
    if alias is None:
        if "alias" not in fields.nodes or fields.get("alias") is None:
            fields.report.add("alias", "is missing", "alias: a short name in lower case, as in sumsq")
        return ""
    return alias


def _read_command(fields: Fields) -> tuple[str, ...]:
    """Words of a command; one text is split as a shell would, without replacing anything."""
    node = fields.get("command")
    if node is None:
        return ()
    if isinstance(node.value, list):
        found = []
        for position, item in enumerate(node.value[:MAX_WORDS]):
            field = f"command[{position}]"
            fields.report.lines[field] = item.line
            found.append(text_of(fields.report, item, field, 32_768, lines=True))
        return tuple(word for word in found if word is not None)
    text = text_of(fields.report, node, "command", 32_768, lines=True)
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        fields.report.add("command", f"cannot be split into words: {str(error).lower()}", "quotes in pairs")
        return ()


def _read_keep_alive(parent: Fields) -> KeepAlive | None:
    """``true``, or how long and how often."""
    node = parent.get("keep_alive")
    if node is None or isinstance(node.value, bool):
        return KeepAlive() if node is not None and node.value else None
    fields = Fields(parent.report, node, "keep_alive", ("idle", "most", "program", "when"))
    idle_s, most = fields.duration("idle"), fields.integer("most", 1, 1_000_000)
    if idle_s is not None and idle_s > LONGEST_IDLE_S:
        fields.report.add("keep_alive.idle", "is longer than a day", "up to 1 d")
    return KeepAlive(
        idle_s=DEFAULT_IDLE_S if idle_s is None else idle_s,
        most=DEFAULT_MOST if most is None else most,
        program=fields.integer("program", 1, MAX_WORDS),
        asked=fields.choice("when", ("always", "asked")) == "asked",
    )


def _read_resources(parent: Fields) -> Resources:
    node = parent.get("resources")
    if node is None:
        return Resources()
    fields = Fields(parent.report, node, "resources", (*RESOURCE_FIELDS, "override", "only", "labels"))
    cpus, gpus, nodes = (
        fields.integer("cpus", 1, 4096),
        fields.integer("gpus", 0, 1024),
        fields.integer("nodes", 1, 65536),
    )
    return Resources(
        cpus=cpus or 1,
        memory_bytes=fields.size("memory"),
        time_s=fields.duration("time"),
        gpus=gpus or 0,
        nodes=nodes or 1,
        disk_bytes=fields.size("disk"),
        override=_read_override(fields),
        only=fields.texts("only"),
        labels=fields.text_map("labels"),
        slurm=_read_slurm(fields),
    )


def _read_slurm(parent: Fields) -> dict[str, str]:
    """Options of Slurm's, by the names that ``sbatch`` has for them."""
    given = parent.text_map("slurm")
    for name, text in given.items():
        field = f"resources.slurm.{name}"
        if name not in SLURM_FIELDS:
            parent.report.add(field, f"{name[:60]} is no option that may be given", f"one of {', '.join(SLURM_FIELDS)}")
        elif fault := slurm_fault(text):
            parent.report.add(field, fault, "letters, digits and the signs of Slurm's own names")
    return given


def _read_override(fields: Fields) -> frozenset[str]:
    node = fields.get("override")
    if node is None:
        return frozenset()
    if isinstance(node.value, bool):
        return frozenset(RESOURCE_FIELDS) if node.value else frozenset()
    names = fields.texts("override", split=False)
    for position, name in enumerate(names):
        if name not in RESOURCE_FIELDS:
            expected = f"true, or some of {', '.join(RESOURCE_FIELDS)}"
            fields.report.add(f"resources.override[{position}]", f"{name[:60]} is none of the resources", expected)
    return frozenset(names)
