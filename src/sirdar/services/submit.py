"""Submitting: validate, split into tasks (lazily), write job and first event in one transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from pydantic_core import to_json

from sirdar.domain.app import SLURM_FIELDS, App, CodeKind, Resources, slurm_fault
from sirdar.domain.criterion import read_criterion
from sirdar.domain.labels import labels_for
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.domain.states import OnFailure, State
from sirdar.domain.units import parse_duration, parse_size
from sirdar.services import meters, quotas
from sirdar.services.access import require_scope, seen_job
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.apps import load_version, resolve_app
from sirdar.services.binding import bind, large_inputs, secrets_of
from sirdar.services.context import Services
from sirdar.services.foreach import read_items
from sirdar.services.inline_files import bring_inline, may_carry
from sirdar.services.job_inputs import Prepared, prepare
from sirdar.services.notify.targets import checked_targets
from sirdar.services.once import Once
from sirdar.services.plans import Expanded, expand, is_planned
from sirdar.services.sweeps import prepare_sweep
from sirdar.store import jobs as job_store
from sirdar.store import programs as program_store
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.job_views import JobView
from sirdar.store.jobs import NewJob
from sirdar.wire.submit import Criterion, Overrides, SubmitRequest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission: the job, and whether it was made now or by an earlier call with the same key."""

    new: NewJob
    loaded: LoadedVersion
    created_at: float
    replayed: bool = False
    job_id: str = ""


async def submit(
    services: Services, caller: Caller, reference: str, request: SubmitRequest, *, key: str | None, body: bytes
) -> Submitted:
    """Make a job. ``key``: idempotency key; ``body``: the request's bytes, which a repeated key must repeat. Raises Problem."""
    require_scope(caller, Scope.RUN)
    loaded = await resolve_app(services, caller, reference)
    once = Once.of(services, caller, key, reference, body)
    if once is not None and (known := await once.earlier()):
        return Submitted(_nothing(known, loaded), loaded, services.store.clock(), True, known)
    app = loaded.app
    request = await _with_files(services, caller, app, request)
    code_files: list[list[Any]] | None = None
    if is_planned(loaded):
        loaded, prepared, code_files, request = await _planned(services, caller, loaded, request)
    elif request.sweep is not None:
        prepared = await prepare_sweep(services, caller, app, request.inputs, request.sweep)
    else:
        items = await read_items(services, caller, request.foreach)
        prepared = await prepare(services, caller, app, request.inputs, items)
    new = await _build(services, caller, loaded, request, prepared, code_files=code_files)

    if once is None and not (new.items or new.blobs or new.waits):
        job_id, created_at = await services.store.write_merged(_insert_plain, (services, new))
        return Submitted(new, loaded, created_at, job_id=job_id)

    def write(tx: Tx) -> tuple[str, float]:
        if once is not None and (earlier := once.take(tx, new.id)):
            return earlier, tx.now
        quotas.check_submit(tx.conn, caller.user_id, 1, services.settings)
        return insert(tx, services, new)

    job_id, created_at = await services.store.write(write)
    return Submitted(new, loaded, created_at, job_id != new.id, job_id)


async def _with_files(services: Services, caller: Caller, app: App, request: SubmitRequest) -> SubmitRequest:
    """The submission, with URIs of the files that it carries."""
    items = request.foreach if isinstance(request.foreach, list) else []
    if not may_carry(app):
        return request
    sets = [("inputs", request.inputs), *((f"foreach[{no}]", item) for no, item in enumerate(items))]
    inputs, *found = await bring_inline(services, caller, app, sets)
    return request.model_copy(update={"inputs": inputs, **({"foreach": found} if items else {})})


async def _planned(
    services: Services, caller: Caller, loaded: LoadedVersion, request: SubmitRequest
) -> tuple[LoadedVersion, Prepared, list[list[Any]], SubmitRequest]:
    """A job whose tasks a plan describes. What a submission seeks counts before the plan's criterion."""
    if request.sweep is not None or request.foreach is not None:
        raise Problem(
            "invalid_field", "The plan says what the tasks are.", field="sweep" if request.sweep else "foreach"
        )
    expanded = await expand(services, caller, loaded, request.inputs)
    if (sought := _sought_by(expanded)) is not None and request.criterion is None:
        request = request.model_copy(update={"criterion": sought})
    return expanded.loaded, expanded.prepared, expanded.code_files, request


def _sought_by(expanded: Expanded) -> Criterion | None:
    """The plan's criterion, as a submission says it."""
    if expanded.criterion is None:
        return None
    return Criterion(**{"minimize" if expanded.criterion.sense == "min" else "maximize": expanded.criterion.key})


async def submit_again(
    services: Services,
    caller: Caller,
    reference: str,
    job: JobView,
    inputs: dict[str, Any],
    items: list[dict[str, Any]] | None,
    *,
    name: str | None,
    debug: bool | None,
    once: Once | None = None,
    tasks: Sequence[int] = (),
) -> str:
    """A job like an earlier one, whose stored inputs may name blobs directly. The new job's id.

    ``tasks``: the numbers that the items had there, where they are some of them.
    """
    require_scope(caller, Scope.RUN)
    loaded = await resolve_app(services, caller, reference)
    sought = _sought_again(job)
    code_files: list[list[Any]] | None = None
    if is_planned(loaded) and items is None:
        expanded = await expand(services, caller, loaded, inputs, trusted_files=True)
        loaded, prepared, code_files = expanded.loaded, expanded.prepared, expanded.code_files
        sought |= {"criterion": found} if (found := _sought_by(expanded)) is not None else {}
    else:
        if is_planned(loaded):
            loaded = await load_version(services, job.version_id)
            code_files = await services.store.read(lambda conn: program_store.code_files(conn, job.id))
        prepared = await prepare(services, caller, loaded.app, inputs, items, trusted_files=True)
        prepared.blobs |= {str(file[1]) for file in code_files or ()}
    request = SubmitRequest(
        name=job.name if name is None else name,
        on_failure=job.on_failure,
        retries=job.retries,
        debug=job.debug if debug is None else debug,
        priority=job.priority,
        **sought,
    )
    new = await _build(services, caller, loaded, request, prepared, kept=job, code_files=code_files)
    new = replace(new, again_tasks=tasks)

    def write(tx: Tx) -> str:
        if once is not None and (earlier := once.take(tx, new.id)):
            return earlier
        quotas.check_submit(tx.conn, caller.user_id, 1, services.settings)
        return insert(tx, services, new)[0]

    return await services.store.write(write)


def _insert_plain(tx: Tx, items: list[tuple[Services, NewJob]]) -> list[tuple[str, float] | Problem]:
    """Submissions of plain jobs that came together: one statement for all of them."""
    results: list[tuple[str, float] | Problem] = []
    news = []
    for services, new in items:
        try:
            quotas.check_submit(tx.conn, new.owner_id, 1, services.settings)
        except Problem as problem:
            results.append(problem)
            continue
        news.append(new)
        tx.hints.owners.add(new.owner_id)
        results.append((new.id, tx.now))
        if new.state is State.SUBMITTED:
            tx.hints.pending = True
        else:
            tx.hints.queue = True
    if news:
        job_store.insert_jobs(tx, news)
        tx.hints.after.append(partial(_note_submitted, news))
    return results


def insert(tx: Tx, services: Services, new: NewJob) -> tuple[str, float]:
    """Write a job and tell the loops."""
    job_store.insert_job(tx, new)
    tx.hints.after.append(partial(_note_submitted, [new]))
    tx.hints.owners.add(new.owner_id)
    if new.state is State.SUBMITTED:
        tx.hints.pending = True
    else:
        tx.hints.queue = True
    if new.total == 0:
        tx.hints.pending = True
    return new.id, tx.now


def _note_submitted(news: Sequence[NewJob]) -> None:
    """Counted and logged when they are committed."""
    meters.jobs_submitted(len(news))
    for new in news:
        log.debug("job_submitted", job=new.id, app=new.app_id, owner=new.owner_id, tasks=new.total)


async def _build(
    services: Services,
    caller: Caller,
    loaded: LoadedVersion,
    request: SubmitRequest,
    prepared: Prepared,
    *,
    kept: JobView | None = None,
    code_files: list[list[Any]] | None = None,
) -> NewJob:
    """The row to write. ``kept``: the job that is repeated, whose overrides stay. ``code_files``: in place of the version's own."""
    app, version = loaded.app, loaded.version
    needs, overrides = apply_overrides(app, request.overrides)
    if kept is not None:
        needs, overrides = _needs_again(app, kept), kept.overrides
    labels = labels_for(app.labels, prepared.common, prepared.items)
    kept_at = kept.resources if kept is not None else ()
    bound = await bind(services, caller, app, request.resources, labels=labels, kept=kept_at)
    waits = await _checked_waits(services, caller, request.waits)
    at_submission = app.code.at_submission and app.code.kind in (CodeKind.GIT, CodeKind.GITLAB)
    pending = {
        **({"fetch": sorted(prepared.urls)} if prepared.urls else {}),
        **({"code": True} if at_submission else {}),
        **({"after": waits} if waits else {}),
    }
    items = prepared.items
    total = len(items) if items is not None else 1
    if total == 0:
        raise Problem("invalid_field", "foreach holds no input sets.", field="foreach", expected="at least one")
    settings = services.settings
    return NewJob(
        id=new_id(),
        owner_id=caller.user_id,
        app_id=version.app_id,
        version_id=version.id,
        name=request.name or app.name or app.alias,
        inputs_json=_json(prepared.common),
        total=total,
        many=items is not None,
        items=items or (),
        retries=app.retries if request.retries is None else request.retries,
        state=State.SUBMITTED if pending else State.READY,
        overrides_json=_json(overrides),
        resources_json=json.dumps(bound.resources) if bound.resources else "[]",
        labels_json=_json(bound.labels) if bound.labels else "{}",
        secrets_of=secrets_of(caller, loaded),
        large_json=large_inputs(prepared.common, _own_files(loaded) if code_files is None else _sizes(code_files)),
        priority=request.priority if caller.is_admin else min(0, request.priority),
        cpus=needs.cpus,
        memory_bytes=needs.memory_bytes or 0,
        gpus=needs.gpus,
        nodes=needs.nodes,
        on_failure=OnFailure(
            request.on_failure or ("ignore" if request.sweep is not None or is_planned(loaded) else "continue")
        ),
        debug=request.debug,
        parent_job=caller.attempt.job if caller.attempt else None,
        parent_task=caller.attempt.task if caller.attempt else None,
        again_of=kept.id if kept is not None else None,
        notify_json=_notify(services, caller, request) if kept is None else _notify_again(caller, kept),
        code_version=version.code_version,
        code_files_json=_json(code_files) if code_files is not None else None,
        pending_json=_json(pending) if pending else None,
        retention_s=request.retention_s or app.retention_s or caller.retention_s or settings.retention_s,
        blobs=sorted(prepared.blobs),
        waits=waits,
        criterion_json=_criterion(app, request, many=items is not None),
        open_s=settings.open_s if request.open else None,
    )


def _criterion(app: App, request: SubmitRequest, *, many: bool) -> str | None:
    """What is sought among the tasks, as it is stored. Raises Problem ``invalid_field``."""
    wanted = request.criterion.model_dump(exclude_none=True) if request.criterion else {}
    found = read_criterion(app, wanted, request.stop_when or "")
    if found is None:
        return None
    if not many:
        field = "criterion" if wanted else "stopWhen"
        raise Problem("invalid_field", "A job of one task has nothing to choose from.", field=field, expected="foreach")
    return found.to_json()


def _sought_again(job: JobView) -> dict[str, Any]:
    """What was sought among the tasks of the job that is repeated, as a submission says it."""
    if job.criterion is None or not job.many:
        return {}
    sought = Criterion(**{job.criterion.direction: job.criterion.key}) if job.criterion.key else None
    return {"criterion": sought, "stop_when": job.criterion.stop.text if job.criterion.stop else None}


def apply_overrides(app: App, asked: Overrides | None) -> tuple[Resources, dict[str, Any]]:
    """The needs of one task, and what was changed, as ``wire.agent.OfferedJob.resources``. Raises Problem."""
    base = app.resources
    values: dict[str, Any] = {}
    if asked is not None:
        given = asked.model_dump(exclude_none=True)
        wish = given.pop("keep_alive", None)
        refused = sorted(set(given) - base.override)
        if refused:
            allowed = ", ".join(sorted(base.override)) or "nothing"
            raise Problem(
                "invalid_field",
                f"The application does not let a submission change {', '.join(refused)}; it allows {allowed}.",
                field=f"overrides.{refused[0]}",
            )
        slurm = given.pop("slurm", None)
        values = {_OVERRIDE_NAMES[name]: _override(name, value) for name, value in given.items()}
        if slurm is not None:
            values["slurm"] = {**base.slurm, **_slurm(slurm)}
        if wish is not None:
            values["keep_alive"] = _keep_alive(app, wish=wish)
    changed = Resources(
        cpus=values.get("cpus", base.cpus),
        memory_bytes=values.get("memory_bytes", base.memory_bytes),
        time_s=values.get("time_s", base.time_s),
        gpus=values.get("gpus", base.gpus),
        nodes=values.get("nodes", base.nodes),
        disk_bytes=values.get("disk_bytes", base.disk_bytes),
        override=base.override,
        only=base.only,
        labels=base.labels,
        slurm=values.get("slurm", base.slurm),
    )
    return changed, values


def _needs_again(app: App, kept: JobView) -> Resources:
    base = app.resources
    return Resources(
        cpus=kept.cpus, memory_bytes=kept.memory_bytes or base.memory_bytes, gpus=kept.gpus, nodes=kept.nodes
    )


_OVERRIDE_NAMES = {
    "cpus": "cpus",
    "memory": "memory_bytes",
    "time": "time_s",
    "gpus": "gpus",
    "nodes": "nodes",
    "disk": "disk_bytes",
}


def _keep_alive(app: App, *, wish: bool) -> bool:
    if wish and app.keep_alive is None:
        raise Problem(
            "invalid_field",
            "The application does not say that its program can serve many tasks.",
            field="overrides.keepAlive",
            expected="keep_alive: true in its sirdar.yaml, and a program that does",
        )
    return wish


def _slurm(given: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in given.items():
        if name not in SLURM_FIELDS:
            detail, expected = f"{name[:60]} is no option that may be given.", f"one of {', '.join(SLURM_FIELDS)}"
            raise Problem("invalid_field", detail, field=f"overrides.slurm.{name}", expected=expected)
        if fault := slurm_fault(text):
            raise Problem("invalid_field", f"{name} {fault}.", field=f"overrides.slurm.{name}")
    return given


def _override(name: str, value: int | float | str) -> int | float:
    try:
        if name in ("memory", "disk"):
            amount: int | float = parse_size(value) if isinstance(value, str) else int(value)
        elif name == "time":
            amount = parse_duration(value) if isinstance(value, str) else float(value)
        else:
            amount = int(value)
    except ValueError as error:
        raise Problem("invalid_field", str(error), field=f"overrides.{name}") from None
    if not 0 < amount < 2**60 and name not in ("gpus",):
        raise Problem("invalid_field", f"{value!r} is out of range.", field=f"overrides.{name}")
    return amount


async def _checked_waits(services: Services, caller: Caller, waits: list[str]) -> list[str]:
    if len(waits) > 100:
        raise Problem("invalid_field", "A job may wait for at most 100 others.", field="after")
    found = []
    for job_id in waits:
        seen = await services.store.read(lambda conn, job_id=job_id: seen_job(conn, caller, job_id))  # type: ignore[misc]
        found.append(seen.id)
    return sorted(set(found))


def _notify_again(caller: Caller, kept: JobView) -> str | None:
    """Whoever repeats their own job is told as before; of somebody else's, by their own wishes."""
    return kept.notify_json if kept.owner_id == caller.user_id else caller.notify


def _notify(services: Services, caller: Caller, request: SubmitRequest) -> str | None:
    """Whom to tell: those that the submission names (nobody, by an empty list), else the user's own choice."""
    if "notify" not in request.model_fields_set:
        return caller.notify
    if not request.notify:
        return None
    return _json(checked_targets(services, [target.model_dump() for target in request.notify]))


def _own_files(loaded: LoadedVersion) -> Iterator[tuple[str, int]]:
    return ((file.sha256, file.size_bytes) for file in loaded.version.files)


def _sizes(code_files: Sequence[Sequence[Any]]) -> Iterator[tuple[str, int]]:
    return ((str(file[1]), int(file[2])) for file in code_files)


def _nothing(job_id: str, loaded: LoadedVersion) -> NewJob:
    version = loaded.version
    return NewJob(job_id, "", version.app_id, version.id, "", "{}", 1, 0)


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return to_json(value).decode()
