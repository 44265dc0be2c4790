"""Looking at jobs and acting on them: show, list, cancel, delete, share."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sirdar.domain.failures import FailureGroup
from sirdar.domain.people import Caller, Scope
from sirdar.domain.plan_app import of_the_author
from sirdar.domain.problems import Problem
from sirdar.services import audit
from sirdar.services.access import own_job, require_scope, seen_job
from sirdar.services.context import Services
from sirdar.services.report import new_batch
from sirdar.services.signin import token_hash
from sirdar.store import job_lists, job_places, job_shares, job_views, task_views
from sirdar.store import jobs as job_store
from sirdar.store.engine import Tx
from sirdar.store.failures import failure_groups
from sirdar.store.job_lists import JobFilter
from sirdar.store.job_places import Place
from sirdar.store.job_views import JobView
from sirdar.store.notices import NoticeView, notices_of_job
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView

ID_CHARS = 16
PREFIX_CHARS = 4
FAILURES_SHOWN = 10  # kinds; the list of a job's failures has more
REPEATS_SHOWN = 10
DELETE_AT_ONCE = 200  # in one transaction


@dataclass(frozen=True, slots=True)
class Shown:
    """A job with its only task (None for a job of many), as a caller may see it.

    Of a job of many: why tasks failed, the most frequent kinds first; what the best task's own input set gives. ``repeated_by``:
    the newest of the caller's jobs that repeat it, or some of its tasks.
    """

    job: JobView
    task: TaskView | None
    may_act: bool
    notices: tuple[NoticeView, ...] = ()  # for whoever may act on it
    failures: tuple[FailureGroup, ...] = ()
    best_inputs: dict[str, Any] = field(default_factory=dict)
    repeated_by: tuple[str, ...] = ()


async def show_job(services: Services, caller: Caller | None, job_id: str, *, link: str | None = None) -> Shown:
    """A job that the caller, or whoever holds its link, may see. Raises Problem ``not_found``."""
    return await services.store.read(lambda conn: show_now(conn, caller, job_id, link=link))


async def show_own(services: Services, caller: Caller, job_id: str) -> Shown:
    """A job that this very request has made: nobody has to ask whether its caller may see it."""
    return await services.store.read(lambda conn: _shown(conn, caller, _found(conn, job_id, job_id)))


def show_now(conn: Conn, caller: Caller | None, job_id: str, *, link: str | None = None) -> Shown:
    """``show_job`` on a connection."""
    return _shown(conn, caller, find_seen(conn, caller, job_id, link=link))


def _shown(conn: Conn, caller: Caller | None, job: JobView) -> Shown:
    task = task_views.find_task(conn, job, 0) if not job.many else None
    may_act = caller is not None and (caller.user_id == job.owner_id or caller.administers) and caller.has(Scope.RUN)
    asked = may_act and job.notify_json is not None and job.ended_at is not None
    notices = tuple(notices_of_job(conn, job.id)) if asked else ()
    failures = tuple(failure_groups(conn, job.id, FAILURES_SHOWN)) if job.many and job.failed else ()
    best = job_store.load_items(conn, job.id, [job.best.task])[job.best.task] if job.best is not None else {}
    own = of_the_author(job.app_owner, job.app_alias, best)
    return Shown(job, task, may_act, notices, failures, own, repeats_of(conn, caller, job))


def repeats_of(conn: Conn, caller: Caller | None, job: JobView) -> tuple[str, ...]:
    """Jobs that repeat this one or some of its tasks, as far as the caller may see them; the newest first."""
    if caller is None or not caller.has(Scope.READ):
        return ()
    visible = None if caller.administers else visible_to(caller)
    return tuple(job_views.repeating(conn, job.id, visible, REPEATS_SHOWN))


def find_seen(conn: Conn, caller: Caller | None, job_id: str, *, link: str | None = None) -> JobView:
    """The job, also by a unique beginning of at least four characters of its id. Raises Problem ``not_found``."""
    full = job_id
    if caller is not None and PREFIX_CHARS <= len(job_id) < ID_CHARS and job_id.isalnum():
        visible = None if caller.administers else visible_to(caller)
        found = job_views.job_id_of_prefix(conn, job_id, visible)
        if len(found) > 1:
            raise Problem("not_found", f"Several jobs begin with {job_id}.", hint="Give more of the id.")
        full = found[0] if found else job_id
    seen = seen_job(conn, caller, full, link=link)
    return _found(conn, seen.id, job_id)


def _found(conn: Conn, job_id: str, asked: str) -> JobView:
    job = job_views.find_job(conn, job_id)
    if job is None:
        raise Problem("not_found", f"There is no job {asked}.")
    return job


def visible_to(caller: Caller) -> tuple[str, frozenset[str]]:
    return caller.user_id, caller.subjects


async def list_jobs(services: Services, caller: Caller, wanted: JobFilter, limit: int) -> list[JobView]:
    """Jobs that the caller may see, the newest first. Administrators see everybody's where they ask for an owner."""
    narrowed = narrow(caller, wanted)
    return await services.store.read(lambda conn: job_lists.list_jobs(conn, narrowed, limit))


@dataclass(frozen=True, slots=True)
class Listing:
    """Jobs of a list, each with its place. ``fitting``: how many fit, ``new``: how many since; both where they were asked for."""

    jobs: list[JobView]
    places: dict[str, Place]
    fitting: int = 0
    new: int = 0


async def look_at_list(
    services: Services, caller: Caller, wanted: JobFilter, *, before: int | None, limit: int, count: int = 0
) -> Listing:
    """A page of the list, the newest first, and how many fit, counted up to ``count``. Raises Problem ``forbidden``."""
    narrowed = narrow(caller, wanted)

    def read(conn: Conn) -> Listing:
        found = job_lists.list_jobs(conn, replace(narrowed, before_seq=before), limit)
        whole = before is None and len(found) < limit
        fitting = len(found) if whole else job_lists.count_jobs(conn, narrowed, count) if count else 0
        return Listing(found, job_places.places_of(conn, [job.id for job in found]), fitting)

    return await services.store.read(read)


async def look_again(
    services: Services, caller: Caller, wanted: JobFilter, ids: Sequence[str], newest: int | None, *, most: int
) -> Listing:
    """These jobs, as far as they are there still; and how many that fit came after ``newest``. Raises Problem ``forbidden``."""
    narrowed = replace(narrow(caller, wanted), before_seq=None, after_seq=newest)

    def read(conn: Conn) -> Listing:
        new = job_lists.count_jobs(conn, narrowed, most) if newest is not None else 0
        return Listing(job_lists.list_these(conn, narrowed, ids), job_places.places_of(conn, ids), new=new)

    return await services.store.read(read)


def narrow(caller: Caller, wanted: JobFilter) -> JobFilter:
    """The filter, of what this caller may see. Raises Problem ``forbidden`` for a token that may not look."""
    require_scope(caller, Scope.READ)
    everything = caller.administers and wanted.owner is not None
    return replace(wanted, visible_to=None if everything else visible_to(caller), apps=caller.apps)


def children_filter(
    caller: Caller, job: JobView, *, state: Sequence[str] = (), before_seq: int | None = None
) -> JobFilter:
    """Of the jobs that this job's tasks submitted, those that the caller may see: a shared job does not share them."""
    owner = job.owner if caller.administers else None  # of whom an administrator sees everything
    return narrow(caller, JobFilter(parent=job.id, state=state, before_seq=before_seq, owner=owner))


# ---------------------------------------------------------------- cancel


async def cancel_job(services: Services, caller: Caller, job_id: str) -> JobView:
    """Wish the job and the jobs that its tasks submitted ended. Raises Problem ``conflict`` where it has ended already."""

    def run(tx: Tx) -> JobView:
        job = find_own(tx.conn, caller, job_id)
        if job.ended_at is not None:
            raise Problem("conflict", f"Job {job.id} has ended already: it is {job.state}.")
        cancel_now(tx, services, [job.id], caller.name)
        audit.record(tx, caller, "job.cancel", f"job:{job.id}")
        after = job_views.find_job(tx.conn, job.id)
        assert after is not None
        return after

    return await services.store.write(run)


def cancel_now(tx: Tx, services: Services, job_ids: Sequence[str], by: str) -> None:
    """Write the wish for these jobs and all that descend from them."""
    family: dict[str, None] = dict.fromkeys(job_ids)
    for job_id in job_ids:
        family.update(dict.fromkeys(job_views.descendants_in_flight(tx.conn, job_id)))
    batch = new_batch(tx, services.settings)
    batch.lock(family)
    for job_id in family:
        if batch.job(job_id) is not None:
            batch.cancel(job_id, by)
    batch.flush()


# ---------------------------------------------------------------- delete


async def delete_job(services: Services, caller: Caller, job_id: str) -> bool:
    """Remove a job. One that runs is cancelled first and goes when it has ended. True: it is gone now."""

    def run(tx: Tx) -> bool:
        job = find_own(tx.conn, caller, job_id)
        audit.record(tx, caller, "job.delete", f"job:{job.id}")
        return _delete(tx, services, job, caller)

    return await services.store.write(run)


async def delete_by_name(services: Services, caller: Caller, name: str) -> int:
    """Remove the caller's jobs of that name, however many; how many there were. Other writers get their turn in between."""
    if not name:
        raise Problem("invalid_field", "Which jobs? Give their name.", field="name")
    require_scope(caller, Scope.RUN)
    wanted = JobFilter(visible_to=visible_to(caller), owner=caller.name, name=name, apps=caller.apps)
    deleted, before = 0, None
    while True:
        n, before = await services.store.write(
            partial(_delete_some, services=services, caller=caller, wanted=replace(wanted, before_seq=before))
        )
        deleted += n
        if n < DELETE_AT_ONCE:
            return deleted


def _delete_some(tx: Tx, services: Services, caller: Caller, wanted: JobFilter) -> tuple[int, int | None]:
    """Some of the jobs, the newest first: how many, and where the next ones begin. Those that run stay until they end."""
    found = job_lists.list_jobs(tx.conn, wanted, DELETE_AT_ONCE)
    for job in found:
        _delete(tx, services, job, caller)
    if found:
        audit.record(tx, caller, "job.delete", f"name:{wanted.name}", jobs=len(found))
    return len(found), found[-1].seq if found else None


def _delete(tx: Tx, services: Services, job: JobView, caller: Caller) -> bool:
    if job.ended_at is not None:
        job_store.delete_jobs(tx, [job.id])
        tx.hints.jobs.add(job.id)
        return True
    job_store.wish_delete(tx, job.id)
    if job.cancel_requested_at is None:
        cancel_now(tx, services, [job.id], caller.name)
    tx.hints.pending = True
    return False


# ---------------------------------------------------------------- share


async def share_job(services: Services, caller: Caller, job_id: str, subject: str) -> list[str]:
    """Let a user or group look at the job; who may, now. Raises Problem."""
    return await services.store.write(lambda tx: _share(tx, caller, job_id, subject, wanted=True))


async def unshare_job(services: Services, caller: Caller, job_id: str, subject: str) -> list[str]:
    return await services.store.write(lambda tx: _share(tx, caller, job_id, subject, wanted=False))


def _share(tx: Tx, caller: Caller, job_id: str, subject: str, *, wanted: bool) -> list[str]:
    job = find_own(tx.conn, caller, job_id)
    kind, _, name = subject.partition(":")
    if kind not in ("user", "group") or not name:
        raise Problem(
            "invalid_field", f"{subject[:80]!r} is nobody.", field="subject", expected="user:NAME or group:NAME"
        )
    if wanted:
        if not job_shares.exists(tx.conn, kind, name):
            raise Problem("not_found", f"There is no {kind} {name[:80]!r}.", field="subject")
        job_shares.add(tx, job.id, subject)
    else:
        job_shares.remove(tx, job.id, subject)
        tx.hints.jobs.add(job.id)  # whoever watches it looks whether they still may
    audit.record(tx, caller, "job.share" if wanted else "job.unshare", f"job:{job.id}", subject=subject)
    return job_shares.shares_of_job(tx.conn, job.id)


async def share_link(services: Services, caller: Caller, job_id: str) -> str:
    """A new address under which anybody may look at the job; the one before stops working."""
    token = secrets.token_urlsafe(24)

    def run(tx: Tx) -> str:
        job = find_own(tx.conn, caller, job_id)
        job_shares.set_link(tx, job.id, token_hash(token))
        tx.hints.jobs.add(job.id)
        audit.record(tx, caller, "job.share_link", f"job:{job.id}")
        return job.id

    full = await services.store.write(run)
    return f"{services.settings.url}/jobs/{full}?share={token}"


async def revoke_link(services: Services, caller: Caller, job_id: str) -> None:
    def run(tx: Tx) -> None:
        job = find_own(tx.conn, caller, job_id)
        job_shares.set_link(tx, job.id, None)
        tx.hints.jobs.add(job.id)
        audit.record(tx, caller, "job.unshare_link", f"job:{job.id}")

    await services.store.write(run)


def find_own(conn: Conn, caller: Caller, job_id: str) -> JobView:
    """The job, for somebody who acts on it. Raises Problem ``not_found`` or ``forbidden``."""
    job = find_seen(conn, caller, job_id)
    own_job(conn, caller, job.id)
    return job
