"""Where the input sets of a job of many tasks come from: the form's text, a file that was chosen, or another job."""

from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync

from sirdar.domain.app import App
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.context import Services
from sirdar.services.files import resolve_uri
from sirdar.services.job_files import inputs_with_uris, job_prefix
from sirdar.services.jobs import find_seen
from sirdar.store import jobs as job_store
from sirdar.store.job_views import JobView
from sirdar.web.form_fields import Given, Kept
from sirdar.web.form_sets import Sets, read_sets
from sirdar.web.words import gettext

TEXT, JOB = "foreach", "foreach_job"  # parts of the form
MOST_BYTES = 64 * 2**20  # of a file
QUICK_BYTES = 2**20  # of a file that is looked at while one types
QUICK_ITEMS = 2_000  # of a job


async def read(services: Services, caller: Caller, loaded: LoadedVersion, given: Given, *, quick: bool = False) -> None:
    """Puts the sets, or what is wrong with them, into ``given.sets``; nothing where the form asks for one task.

    ``quick``: large ones, which would take a while, are left unread. Raises Problem ``not_found`` for another's job.
    """
    text, job_id = given.texts.get(TEXT, ""), given.option(JOB)
    if given.sets_file is not None:
        await _name(services, caller, given)
    ways = [way for way in (text.strip(), given.sets_file, job_id) if way]
    if len(ways) > 1:
        told = gettext("The sets stand here more than once: as text, in a file, or in a job. Keep one of them.")
        given.sets = Sets(errors=[FieldError("foreach", told)])
    elif text.strip():
        given.sets = await _read(services, loaded.app, text)
    elif given.sets_file is not None and given.sets is None:
        given.sets = await _of_file(services, caller, loaded.app, given.sets_file, quick=quick)
    elif job_id:
        given.sets = await _of_job(services, caller, loaded, job_id, quick=quick)


async def _read(services: Services, app: App, text: str) -> Sets:
    """In a thread that keeps the page's language."""
    return await run_sync(read_sets, app.inputs, text, services.settings.foreach_items)


async def _name(services: Services, caller: Caller, given: Given) -> None:
    assert given.sets_file is not None
    try:
        ref = await resolve_uri(services, caller, given.sets_file.uri)
    except Problem as problem:
        given.sets_file = None
        given.sets = Sets(errors=[FieldError("foreach", problem.detail, problem.expected)])
        return
    given.sets_file = Kept(given.sets_file.uri, ref.name, ref.size_bytes)


async def _of_file(services: Services, caller: Caller, app: App, file: Kept, *, quick: bool) -> Sets | None:
    ref = await resolve_uri(services, caller, file.uri)
    if quick and ref.size_bytes > QUICK_BYTES:
        return None
    if ref.size_bytes > MOST_BYTES:
        told = gettext("%(name)s is larger than a form takes: send it with the CLI or the API.", name=ref.name)
        return Sets(errors=[FieldError("foreach", told)])
    content = b"".join([piece async for piece in services.blobs.read(ref.sha256)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        told = gettext("Line %(line)s: %(what)s", line=line, what=gettext("not UTF-8 text"))
        return Sets(errors=[FieldError("foreach", told)])
    sets = await _read(services, app, text)
    sets.name = ref.name
    return sets


async def _of_job(
    services: Services, caller: Caller, loaded: LoadedVersion, job_id: str, *, quick: bool
) -> Sets | None:
    job = await services.store.read(lambda conn: find_seen(conn, caller, job_id))
    check_app(job, loaded)
    if not job.many:
        raise Problem("not_found", f"Job {job.id} has no input sets: it is of one task.")
    if quick and job.total > QUICK_ITEMS:
        return None
    items = await services.store.read(lambda conn: job_store.load_items(conn, job.id, range(job.total)))
    return Sets([plain_set(items[number], job, number) for number in range(job.total)], job=job.id)


def check_app(job: JobView, loaded: LoadedVersion) -> None:
    """Raises ``not_found`` where the job is of another application."""
    if job.app_id != loaded.version.app_id:
        raise Problem(
            "not_found",
            f"Job {job.id} is of {job.app_owner}/{job.app_alias}, not of this application.",
            hint=f"/apps/{job.app_owner}/{job.app_alias}/run?like={job.id}",
        )


def plain_set(item: Mapping[str, Any], job: JobView, number: int | None = None) -> dict[str, Any]:
    """Stored inputs as they are typed: files by their uris, addresses as they were given; secrets left out."""
    shown = inputs_with_uris(item, job_prefix(job.id, number))
    return {
        name: _address(value) for name, value in shown.items() if not (isinstance(value, dict) and "$secret" in value)
    }


def _address(value: Any) -> Any:
    if isinstance(value, list):
        return [_address(item) for item in value]
    return value["$url"] if isinstance(value, dict) and value.keys() == {"$url"} else value
