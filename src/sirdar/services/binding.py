"""On which resources a job may run: those that its application is bound to, that its owner may use, and that it chose."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sirdar.domain.app import App, FileRef
from sirdar.domain.command import places
from sirdar.domain.labels import ANY_VALUE, has_label
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.access import may_use_resource
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.context import Services
from sirdar.store import resource_use
from sirdar.store import resources as resource_store
from sirdar.store.people import Conn
from sirdar.store.resources import ResourceRow

LARGE_BYTES = 1 << 20  # what an agent's cache is asked for when a place is chosen
MOST_LARGE = 16
DIGEST_CHARS = 16
NAMED = 10


@dataclass(frozen=True, slots=True)
class Bound:
    """``resources``: ids (empty: any that its owner may use); ``labels``: what each of them must say of itself."""

    resources: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None


async def bind(
    services: Services,
    caller: Caller,
    app: App,
    asked: Collection[str],
    *,
    labels: Mapping[str, str],
    kept: Collection[str] = (),
) -> Bound:
    """Where a submission may run. ``asked``: names or ids; ``labels``: the application's, with the job's values put in; ``kept``:
    those of a job that is repeated, if they still do.

    Raises Problem ``invalid_field`` where that is nowhere, and names what is allowed.
    """
    if not (asked or kept or app.resources.only):
        return Bound(labels=labels)
    return await services.store.read(lambda conn: _bind(conn, caller, app, asked, labels, kept))


def _bind(
    conn: Conn, caller: Caller, app: App, asked: Collection[str], labels: Mapping[str, str], kept: Collection[str]
) -> Bound:
    usable = usable_by(conn, caller)
    allowed = [row for row in usable if is_bound(app, row, labels)]
    if app.resources.only and not any(row.id in app.resources.only or row.name in app.resources.only for row in usable):
        raise Problem(
            "invalid_field",
            f"The application runs on {_words(app.resources.only)} only, and nothing of that name is there for you.",
            field="resources",
            expected="an application that is bound to a resource which is shared with you",
        )
    ids = tuple(_find(name, bindings_of(app, labels), usable, allowed) for name in asked)
    ids = ids or tuple(row.id for row in allowed if row.id in kept)
    if not ids and app.resources.only:
        names = set(app.resources.only)
        ids = tuple(row.id for row in usable if row.id in names or row.name in names)
    return Bound(tuple(sorted(set(ids))), labels)


def usable_by(conn: Conn, caller: Caller) -> list[ResourceRow]:
    """The resources that the caller's jobs may use."""
    shares = resource_use.all_shares(conn)
    return [
        row
        for row in resource_store.list_resources(conn)
        if may_use_resource(caller, row.owner_id, shares.get(row.id, ()))
    ]


def is_bound(app: App, row: ResourceRow, labels: Mapping[str, str] | None = None) -> bool:
    """By the names; and by the labels, where it has told them already. ``labels`` None: the application's, as far as they do not
    depend on what a job is given."""
    named = not app.resources.only or row.id in app.resources.only or row.name in app.resources.only
    has = row.capabilities.get("labels") or {}
    asked = certain_labels(app) if labels is None else labels
    fits = not row.capabilities or all(has_label(has, key, value) for key, value in asked.items())
    return named and fits


def _find(name: str, bound: str, usable: Iterable[ResourceRow], allowed: Collection[ResourceRow]) -> str:
    """The id of a resource that was asked for. What the caller may not use is as if it were not there."""
    expected = "one of " + _words([row.name for row in allowed]) if allowed else "nothing: no resource is there for you"
    for row in usable:
        if name not in (row.id, row.name):
            continue
        if row in allowed:
            return row.id
        raise Problem(
            "invalid_field",
            f"The application runs {bound} only, not on {row.name}.",
            field="resources",
            expected=expected,
        )
    raise Problem("invalid_field", f"There is no resource {name[:80]!r}.", field="resources", expected=expected)


def bindings_of(app: App, labels: Mapping[str, str] | None = None) -> str:
    """Where the application is bound to run, in words."""
    parts = []
    labels = certain_labels(app) if labels is None else labels
    if app.resources.only:
        parts.append(f"on {_words(app.resources.only)}")
    if labels:
        shown = [key if value == ANY_VALUE else f"{key}={value}" for key, value in labels.items()]
        parts.append(f"where a resource has the label {' and '.join(shown)}")
    return " and ".join(parts)


def certain_labels(app: App) -> Mapping[str, str]:
    """Labels that every job of the application asks for, whatever it is given."""
    return {key: value for key, value in app.labels.items() if not (places(key) or places(value))}


def _words(names: Collection[str]) -> str:
    shown = list(names)[:NAMED]
    return ", ".join(shown) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


# ---------------------------------------------------------------- what its tasks need there


def secrets_of(caller: Caller, loaded: LoadedVersion) -> str | None:
    """Whose application's secrets travel with the job, where they are not its owner's own."""
    owner_id = loaded.version.owner_id
    return owner_id if loaded.app.secrets and owner_id != caller.user_id else None


def large_inputs(inputs: Mapping[str, Any], files: Iterable[tuple[str, int]] = ()) -> str | None:
    """The largest blobs that all tasks of a job have, as ``jobs.large_json``; None where there is no large one."""
    sizes = {sha256: size for sha256, size in files if size >= LARGE_BYTES}
    stack: list[Any] = list(inputs.values())
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif (ref := FileRef.from_json(value)) is not None and ref.size_bytes >= LARGE_BYTES:
            sizes[ref.sha256] = ref.size_bytes
    if not sizes:
        return None
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:MOST_LARGE]
    return json.dumps([[sha256[:DIGEST_CHARS], size] for sha256, size in largest])
