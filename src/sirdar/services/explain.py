"""Why a job waits, or why it ended so: from the scheduler's own decision, not from guesses beside it."""

import shutil
from dataclasses import dataclass, replace

from sirdar.domain.ids import ResourceId
from sirdar.domain.outcome import MEANING, Fault, Reason
from sirdar.domain.people import Caller
from sirdar.domain.placement import Place, plan
from sirdar.domain.states import STATES
from sirdar.services.context import Services
from sirdar.services.holders import words_of_holders
from sirdar.services.jobs import find_seen
from sirdar.services.places import places_now
from sirdar.store import job_views, task_views
from sirdar.store import jobs as job_store
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView

WHO = {
    Fault.NOBODY: "Nobody has to act.",
    Fault.PROGRAM: "It is the program's own doing: look at its output.",
    Fault.USER: "It is up to whoever submitted it.",
    Fault.PLATFORM: "It is the platform's fault; such ends are tried again by themselves.",
}


@dataclass(frozen=True, slots=True)
class Why:
    """One reason: a stable code and a sentence."""

    code: str
    text: str


LITTLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Explanation:
    state: str
    summary: str
    why: tuple[Why, ...]
    hint: str | None = None


async def explain(services: Services, caller: Caller | None, job_id: str, *, link: str | None = None) -> Explanation:
    """Raises Problem ``not_found``."""
    told = await services.store.read(
        lambda conn: explain_now(conn, caller, job_id, now=services.store.clock(), link=link)
    )
    free_bytes = shutil.disk_usage(services.settings.home).free
    if STATES[told.state].ended or free_bytes >= LITTLE_BYTES:
        return told
    text = f"The server's disk has {free_bytes // 1024} KiB left: nothing can be written down, so nothing goes on."
    return replace(told, summary=text, why=(Why("disk_full", text), *told.why))


def explain_now(conn: Conn, caller: Caller | None, job_id: str, *, now: float, link: str | None = None) -> Explanation:
    """``explain`` on a connection."""
    job = find_seen(conn, caller, job_id, link=link)
    if job.ended_at is not None:
        return _ended(conn, job)
    if job.state == "SUBMITTED":
        return _preparing(conn, job)
    tasks = task_views.list_tasks(conn, job, limit=200)
    return _on_its_way(conn, caller, job, tasks, now)


def _ended(conn: Conn, job: JobView) -> Explanation:
    reason = Reason(job.reason or "ok")
    why = [Why("meaning", MEANING[reason])] if job.message else []
    if reason is not Reason.OK:
        why.append(Why("who", WHO[reason.fault]))
    if job.state == "CANCELLED" and job.cancel_requested_by:
        why.append(Why("cancelled_by", f"Cancelled by {job.cancel_requested_by}."))
    hint = None
    if reason.fault is Fault.PROGRAM:
        failed = task_views.list_tasks(conn, job, state="FAILED", limit=1) if job.many else []
        hint = f"sirdar job logs {job.id}" + (f" --task {failed[0].no}" if failed else "")
    return Explanation(job.state, job.message or MEANING[reason], tuple(why), hint)


def _preparing(conn: Conn, job: JobView) -> Explanation:
    why = []
    for address in job.pending.get("fetch", []):
        why.append(Why("fetching", f"The server fetches {address}."))
    if job.pending.get("code"):
        why.append(Why("code", "The server resolves the version of the program's code."))
    for other_id in job.pending.get("after", []):
        other = job_views.find_job(conn, other_id)
        state = other.state if other else "gone"
        why.append(Why("after", f"It waits for job {other_id}, which is {state}."))
    summary = why[0].text if why else "The server is preparing it."
    return Explanation(job.state, summary, tuple(why) or (Why("preparing", summary),))


def _on_its_way(conn: Conn, caller: Caller | None, job: JobView, tasks: list[TaskView], now: float) -> Explanation:
    why: list[Why] = []
    if job.cancel_requested_at is not None:
        text = f"It is being cancelled for {job.cancel_requested_by}; {job.leased} task(s) have not confirmed yet."
        why.append(Why("cancelling", text))
    places = places_now(conn)
    unreachable = {place.name for place in places if not place.reachable}
    why += [reason for task in tasks[:20] if (reason := _of_task(task, unreachable, now))]
    waits_on = {place.id for place in places if any(_queued(task) and task.resource == place.name for task in tasks)}
    if job.waiting > sum(reason.code == "retry" for reason in why):
        fitting, reasons = _of_queue(conn, job, places)
        waits_on |= fitting
        why += reasons
    why += [Why("held", text) for text in words_of_holders(conn, caller, job.id, waits_on)]
    if not why:
        why.append(
            Why("running", f"{job.leased} task(s) are with agents, {job.done + job.failed} of {job.total} have ended.")
        )
    return Explanation(job.state, why[0].text, tuple(why))


def _of_task(task: TaskView, unreachable: set[str], now: float) -> Why | None:
    name = f"Task {task.no}"
    if task.reason is not None:
        return None
    if task.resource in unreachable and (task.attempt or task.leased):
        return Why("unreachable", f"{name} is on {task.resource}, which is unreachable; it is still counted.")
    if task.not_before and task.not_before > now:
        return Why("retry", f"{name} is tried again in {task.not_before - now:.0f} s, after {task.faults} fault(s).")
    if task.state == "RUNNING":
        again = f", tried again after {task.faults} fault(s) of the platform" if task.faults else ""
        return Why("running", f"{name} runs on {task.resource} since {now - (task.started_at or now):.0f} s{again}.")
    if task.leased and task.phase == "OFFERED":
        return Why("offered", f"{name} is offered to {task.resource}, which has not accepted it yet.")
    if _queued(task):
        return Why("queued", f"{name} is queued on {task.resource}: its slots are taken.")
    if task.leased:
        return Why("staging", f"{name} is staging on {task.resource}.")
    return None


def _queued(task: TaskView) -> bool:
    return task.leased and task.phase == "ACCEPTED"


def _of_queue(conn: Conn, job: JobView, places: list[Place]) -> tuple[set[ResourceId], list[Why]]:
    """The resources for a slot of which its tasks wait, and why they wait: what the scheduler would decide for it alone."""
    if not places:
        return set(), [Why("no_resource", "No resource is attached: start 'sirdar up' or attach a machine.")]
    queue = job_store.waiting_jobs(conn)
    mine = next((wanted for wanted in queue if wanted.job == job.id), None)
    if mine is None:
        return set(), [Why("behind", "More than 1,000 jobs of higher priority or greater age wait before it.")]
    alone = plan([replace(mine, n=len(places))], [replace(place, room=1) for place in places])
    fitting = {assignment.resource for assignment in alone.assignments}
    if not fitting:
        return set(), [Why("no_fit", text) for text in alone.reasons[mine.job]]
    names = ", ".join(place.name for place in places if place.id in fitting)
    ahead = queue.index(mine)
    behind = f" {ahead} job(s) wait before it." if ahead else " It is the first in the queue."
    return fitting, [Why("no_room", f"{job.waiting} task(s) wait for a free slot on {names}.{behind}")]
