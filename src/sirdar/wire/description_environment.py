"""``environment:`` of a description: read from YAML, written to the canonical document, and what may be wrong with it."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from sirdar.domain.app import App, CodeKind
from sirdar.domain.environment import AS_IT_IS, FIELDS, KINDS, LOCKS, Environment
from sirdar.domain.problems import FieldError
from sirdar.wire.description_fields import Fields

_IMAGE = re.compile(r"[\w][\w.-]*(:\d+)?(/[\w][\w.-]*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
_SPECIFIER = re.compile(r"\s*(===|==|~=|!=|<=|>=|<|>)?\s*\d+(\.(\d+|\*))*\s*")


def read_environment(parent: Fields) -> Environment:
    """What stands under the key; ``AS_IT_IS`` where it is not there."""
    node = parent.get("environment")
    if node is None:
        return AS_IT_IS
    fields = Fields(parent.report, node, "environment", FIELDS)
    texts = {key: fields.text(key, 500) for key in (*KINDS, "python")}
    network = fields.flag("network")
    return Environment(**texts, network=True if network is None else network)


def environment_document(environment: Environment) -> dict[str, Any]:
    """What differs from an empty one; empty where nothing does."""
    document: dict[str, Any] = {
        key: value for key in (*KINDS, "python") if (value := getattr(environment, key)) is not None
    }
    return document if environment.network else {**document, "network": False}


def parse_environment(document: Mapping[str, Any] | None) -> Environment:
    """The inverse of ``environment_document``; keys of later releases are passed over."""
    return Environment(**{key: value for key, value in (document or {}).items() if key in FIELDS})


def environment_faults(app: App) -> Iterator[FieldError]:
    """Two ways at once, paths that lead out of the application, and names that nothing can have."""
    wanted = app.environment
    given = [key for key in KINDS if getattr(wanted, key) is not None]
    if len(given) > 1:
        yield FieldError("environment", f"has {' and '.join(given)}", f"one of {', '.join(KINDS)}")
    if wanted.image is not None and not _IMAGE.fullmatch(wanted.image):
        yield FieldError(
            "environment.image", f"{wanted.image[:80]!r} names no image", "a name as in docker.io/library/python:3.12"
        )
    if wanted.python is not None:
        if wanted.is_container or wanted.conda is not None:
            yield FieldError(
                "environment.python", f"stands beside {given[0]}, which brings its own", "requirements, or lock"
            )
        elif not all(_SPECIFIER.fullmatch(part) for part in wanted.python.split(",")):
            detail = f"{wanted.python[:80]!r} is no set of versions"
            yield FieldError("environment.python", detail, 'as in ">=3.11", or ">=3.10,<3.13"')
    if wanted.lock is not None and PurePosixPath(wanted.lock).name not in LOCKS:
        yield FieldError("environment.lock", f"{wanted.lock[:80]} is no lock that is known", " or ".join(LOCKS))
    yield from _path_faults(app)


def _path_faults(app: App) -> Iterator[FieldError]:
    for key, path in app.environment.paths():
        plain = PurePosixPath(path)
        if not path or plain.is_absolute() or ".." in plain.parts or "\\" in path or str(plain) != path:
            yield FieldError(f"environment.{key}", f"{path[:80]!r} is not a path of the application", "a relative path")
    if app.code.kind is CodeKind.PATH and any(True for _ in app.environment.paths()):
        detail = "names a file of an application whose code lies on the resource"
        yield FieldError("environment", detail, "code that is published or fetched, or an image")


def environment_file_faults(app: App, paths: Collection[str]) -> Iterator[FieldError]:
    """Files that it names and that are not among the published ones."""
    for key, path in app.environment.paths():
        if path not in paths:
            yield FieldError(f"environment.{key}", f"the application has no file {path}", "a published file")
