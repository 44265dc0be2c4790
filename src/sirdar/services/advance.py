"""Bringing a SUBMITTED job to READY: the jobs it waits for, the files it names by address, the version of its code."""

import json
from collections.abc import Mapping
from typing import Any

from sirdar.domain.app import App, FileRef
from sirdar.domain.job import Prepared, Refused
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.problems import Problem
from sirdar.domain.value_files import file_fault
from sirdar.services.apps import load_version
from sirdar.services.appsecrets import open_secrets
from sirdar.services.binding import large_inputs
from sirdar.services.context import Services
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.outbound.blob_sink import fetch_blob
from sirdar.services.publish_code import resolve_code
from sirdar.services.report import new_batch
from sirdar.store import blobs as blob_store
from sirdar.store import job_views, preparing
from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn


async def advance(services: Services, job_id: str) -> bool:
    """Do what is left to do for one job.

    False: it waits for other jobs, whose end will ask again; or another server is at it, and should that one die, the next
    look finds it.
    """
    job = await services.store.read(lambda conn: job_views.find_job(conn, job_id))
    if job is None or job.state != "SUBMITTED":
        return True
    waits = await services.store.read(lambda conn: _unfinished(conn, job))
    if isinstance(waits, Outcome):
        await _refuse(services, job_id, waits)
        return True
    if waits:
        return False
    if not (job.pending.get("fetch") or job.pending.get("code")):
        await _ready(services, job, {}, None)
        return True
    async with services.store.hold(f"prepare {job_id}") as mine:
        if mine:
            await _bring(services, job_id)
    return mine


async def _bring(services: Services, job_id: str) -> None:
    """Fetch what the job names, and write that it is here."""
    job = await services.store.read(lambda conn: job_views.find_job(conn, job_id))
    if job is None or job.state != "SUBMITTED":  # another server was quicker
        return
    try:
        fetched = await _fetch_all(services, job)
        code = await _resolve(services, job) if job.pending.get("code") else None
        await _ready(services, job, fetched, code)
    except Problem as problem:
        if problem.code in ("disk_full", "unavailable"):
            raise
        await _refuse(services, job_id, _refusal(problem))


def _unfinished(conn: Conn, job: JobView) -> Outcome | list[str]:
    """Jobs that it still waits for; or why it will never run."""
    waiting = []
    for other_id in job.pending.get("after", []):
        other = job_views.find_job(conn, other_id)
        if other is None:
            return Outcome(Reason.DEPENDENCY_FAILED, f"Job {other_id}, which it waited for, was deleted")
        if other.ended_at is None:
            waiting.append(other_id)
        elif other.state != "DONE":
            return Outcome(Reason.DEPENDENCY_FAILED, f"Job {other_id}, which it waited for, is {other.state}")
    return waiting


# ---------------------------------------------------------------- files by address


async def _fetch_all(services: Services, job: JobView) -> dict[str, FileRef]:
    settings = services.settings
    policy = AddressPolicy.from_lines(settings.fetch_allow)
    fetched: dict[str, FileRef] = {}
    for url in job.pending.get("fetch", []):
        try:
            found, blob = await fetch_blob(
                url, blobs=services.blobs, policy=policy, max_bytes=settings.fetch_bytes, timeout_s=settings.fetch_s
            )
        except Problem as problem:
            raise Problem(problem.code, f"{url}: {problem.detail}", field="inputs") from None
        fetched[url] = FileRef(found.name, blob.sha256, blob.size_bytes)
    return fetched


def _filled(app: App, inputs: Mapping[str, Any], fetched: Mapping[str, FileRef]) -> dict[str, Any]:
    """Inputs with files in the places of addresses. Raises Problem where a file is not what the input takes."""

    def fill(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [fill(name, item) for item in value]
        if not (isinstance(value, dict) and len(value) == 1 and "$url" in value):
            return value
        ref = fetched[value["$url"]]
        spec = app.input(name)
        one = spec.items if spec is not None and spec.items is not None else spec
        fault = file_fault(one, ref) if one is not None else None
        if fault:
            raise Problem("invalid_input", f"{value['$url']}: {fault}", field=f"inputs.{name}")
        return ref.to_json()

    return {name: fill(name, value) for name, value in inputs.items()}


# ---------------------------------------------------------------- code


async def _resolve(services: Services, job: JobView) -> tuple[list[Any], str]:
    loaded = await load_version(services, job.version_id)
    app = loaded.app
    wanted = [app.code.token_secret] if app.code.token_secret else []
    secrets = await services.store.read(lambda conn: open_secrets(services, conn, job.app_id, wanted))
    try:
        resolved = await resolve_code(services, app, job.inputs, secrets)
    except Problem as problem:
        raise Problem(problem.code, problem.detail, field="code", hint=problem.hint) from None
    return [[file.path, file.sha256, file.size_bytes, file.mode] for file in resolved.files], resolved.version


# ---------------------------------------------------------------- the end of preparing


async def _ready(
    services: Services, job: JobView, fetched: Mapping[str, FileRef], code: tuple[list[Any], str] | None
) -> None:
    loaded = await load_version(services, job.version_id)
    filled = _filled(loaded.app, job.inputs, fetched) if fetched else None
    inputs = json.dumps(filled, ensure_ascii=False) if filled is not None else None
    files = (
        [(file[1], file[2]) for file in code[0]] if code else [(f.sha256, f.size_bytes) for f in loaded.version.files]
    )

    def write(tx: Tx) -> None:
        batch = new_batch(tx, services.settings)
        batch.lock([job.id])
        row = batch.job(job.id)
        if row is None or row.job.state != "SUBMITTED":
            return
        for ref in fetched.values():
            blob_store.register(tx, ref.sha256, ref.size_bytes)
        named = [ref.sha256 for ref in fetched.values()] + [file[1] for file in (code[0] if code else [])]
        if named:
            blob_store.refer(tx, f"job:{job.id}", named)
        if job.many and fetched:
            preparing.replace_items(tx, job.id, lambda item: _filled(loaded.app, item, fetched))
        preparing.save_prepared(
            tx,
            job.id,
            inputs_json=inputs,
            code_files_json=json.dumps(code[0]) if code else None,
            code_version=code[1] if code else None,
            large_json=large_inputs(filled or job.inputs, files) if fetched or code else None,
        )
        batch.happen(job.id, Prepared())
        batch.flush()

    await services.store.write(write)


async def _refuse(services: Services, job_id: str, outcome: Outcome) -> None:
    def write(tx: Tx) -> None:
        batch = new_batch(tx, services.settings)
        batch.lock([job_id])
        row = batch.job(job_id)
        if row is not None and row.job.state == "SUBMITTED":
            batch.happen(job_id, Refused(outcome))
            batch.flush()

    await services.store.write(write)


def _refusal(problem: Problem) -> Outcome:
    reason = Reason.CODE_UNRESOLVED if problem.field == "code" else Reason.INPUT_UNREACHABLE
    return Outcome(reason, problem.detail)


async def remove_unwanted(services: Services) -> int:
    """Delete jobs that shall be deleted and have ended; how many there were."""
    ids = await services.store.read(job_store.ended_and_unwanted)
    if ids:
        await services.store.write(lambda tx: job_store.delete_jobs(tx, ids))
    return len(ids)
