"""Open jobs: a client adds tasks while those that it has submitted run, says when these are all, or falls silent."""

from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.job import Added, Job
from sirdar.domain.labels import labels_for
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.units import format_duration
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.apps import load_version
from sirdar.services.context import Services
from sirdar.services.foreach import read_items
from sirdar.services.inline_files import bring_inline
from sirdar.services.job_inputs import Prepared, prepare_more
from sirdar.services.jobs import find_own
from sirdar.services.once import Once
from sirdar.services.report import new_batch
from sirdar.services.settings import Settings
from sirdar.store import blobs as blob_store
from sirdar.store import open_jobs as open_store
from sirdar.store.engine import Tx
from sirdar.store.job_views import JobView
from sirdar.wire.submit import AddRequest


async def add_tasks(
    services: Services, caller: Caller, job_id: str, request: AddRequest, *, key: str | None = None
) -> str:
    """Add tasks to an open job, and close it with the last. The job's whole id.

    With no tasks, and more to come, it is a sign of life: the job stays open for another while.
    ``key``: of idempotency. Raises Problem ``conflict`` where the job takes no more, or where ``first`` is not its next number.
    """
    once = Once.of(services, caller, key, f"tasks {job_id}", request.model_dump_json().encode())
    job = await services.store.read(lambda conn: find_own(conn, caller, job_id))
    if once is not None and await once.earlier():
        return job.id
    prepared = await _prepared(services, caller, job, request)

    def write(tx: Tx) -> None:
        if once is None or not once.take(tx, job.id):
            add_now(tx, services.settings, job.id, prepared, first=request.first, last=request.last)

    await services.store.write(write)
    return job.id


def add_now(tx: Tx, settings: Settings, job_id: str, prepared: Prepared, *, first: int, last: bool) -> None:
    """Write the tasks. Raises Problem ``conflict``."""
    items = prepared.items or []
    batch = new_batch(tx, settings)
    batch.lock([job_id])
    row = batch.job(job_id)
    if row is None:
        raise Problem("not_found", f"There is no job {job_id}.")
    _check(row.job, first, len(items), settings)
    if not items and not last:  # a sign of life, of which nobody has to be told
        open_store.extend(tx, job_id, settings.open_s)
        return
    if items:
        open_store.add_items(tx, job_id, first, items)
    if prepared.blobs:
        blob_store.refer(tx, f"job:{job_id}", prepared.blobs)
    batch.add(job_id, Added(len(items), None if last else tx.now + settings.open_s))
    batch.flush()


async def _prepared(services: Services, caller: Caller, job: JobView, request: AddRequest) -> Prepared:
    """The input sets, ready to be stored. Raises Problem where one is not what the job's application takes."""
    items = await read_items(services, caller, request.foreach) or []
    if not items:
        return Prepared({}, [])
    loaded = await load_version(services, job.version_id)
    sets = [(f"foreach[{no}]", item) for no, item in enumerate(items)]
    items = await bring_inline(services, caller, loaded.app, sets)
    prepared = await prepare_more(services, caller, loaded.app, job.inputs, items)
    if prepared.urls:
        raise Problem(
            "invalid_field",
            f"{min(prepared.urls)} would have to be fetched; tasks that are added name files that the server has.",
            field="foreach",
            hint="Upload the file, and give its URI.",
        )
    _check_labels(loaded, job, prepared.items or [])
    return prepared


def _check_labels(loaded: LoadedVersion, job: JobView, items: Sequence[Mapping[str, Any]]) -> None:
    """Where a job may run was decided at its submission."""
    wanted = labels_for(loaded.app.labels, job.inputs, items)
    for key, value in wanted.items():
        if job.labels.get(key) != value:
            raise Problem(
                "invalid_field",
                f"A task asks for a resource labelled {key}={value}, and the job was submitted without that.",
                field="foreach",
                hint="Submit another job for such tasks.",
            )


def _check(job: Job, first: int, count: int, settings: Settings) -> None:
    """Raises Problem where the job takes no more tasks, or not these."""
    if not job.open:
        raise Problem("conflict", f"Job {job.id} takes no more tasks: {_why_closed(job)}.")
    if first != job.total:
        raise Problem(
            "conflict",
            f"Job {job.id} has {job.total} tasks, and the next one is number {job.total}, not {first}.",
            field="first",
            expected=str(job.total),
        )
    if job.total + count > settings.foreach_items:
        raise Problem(
            "too_large",
            f"With {count} more the job would have {job.total + count} tasks; at most {settings.foreach_items} are allowed.",
            field="foreach",
        )


def _why_closed(job: Job) -> str:
    if job.outcome is not None:
        return f"it is {job.state.value} ({job.outcome.message})"
    if job.cancel_requested_at is not None:
        return f"it is being cancelled for {job.cancel_requested_by}"
    return job.cut_short or "those that it has are all, as was said"


def close_silent(tx: Tx, settings: Settings) -> None:
    """Close open jobs to which nobody has added in time: they end with what they have."""
    silent = open_store.silent_jobs(tx.conn, tx.now)
    if not silent:
        return
    batch = new_batch(tx, settings)
    batch.lock(silent)
    for job_id in silent:
        row = batch.job(job_id)
        if row is not None and row.job.open_until is not None and row.job.open_until <= tx.now:
            after = f"no more tasks came within {format_duration(settings.open_s)} after the first {row.job.total}"
            batch.add(job_id, Added(cut_short=after))
    batch.flush()
