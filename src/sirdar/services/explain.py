"""Why a job waits, or why it ended so: from the scheduler's own decision, not from guesses beside it."""

import shutil
from dataclasses import dataclass, replace

from sirdar.domain.ids import ResourceId
from sirdar.domain.outcome import MEANING, Fault, Reason
from sirdar.domain.people import Caller
from sirdar.domain.placement import Place, Wanted, misfits, shortage, welcome
from sirdar.domain.states import STATES
from sirdar.domain.units import format_duration
from sirdar.services.access import may_attach, may_see_resource
from sirdar.services.context import Services
from sirdar.services.holders import words_of_holders
from sirdar.services.jobs import find_seen
from sirdar.services.places import places_now
from sirdar.store import job_views, resource_use, task_views
from sirdar.store import queue as queue_store
from sirdar.store import resources as resource_store
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.resources import ResourceRow
from sirdar.store.task_views import TaskView

WHO = {
    Fault.NOBODY: "Nobody has to act.",
    Fault.PROGRAM: "It is the program's own doing: look at its output.",
    Fault.USER: "It is up to whoever submitted it.",
    Fault.PLATFORM: "It is the platform's fault.",
}
WHO_OF = {
    Reason.REFUSED: "It is up to whoever submitted it, or to whoever runs the machine.",
    Reason.ENVIRONMENT: "It is up to the application: what it asks for could not be made there.",
}


@dataclass(frozen=True, slots=True)
class Why:
    """One reason: a stable code and a sentence."""

    code: str
    text: str


LITTLE_BYTES = 1 << 20
MOST_PLACES = 10
ATTACH = " Attach a machine: sirdar resource create NAME."
ASK = " Ask an administrator, or whoever has a machine, to share one."
HIDDEN = "a resource that is not shared with you"


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
        why.append(Why("who", WHO_OF.get(reason, WHO[reason.fault]) + _of_retries(job, reason)))
    if job.state == "CANCELLED" and job.cancel_requested_by:
        why.append(Why("cancelled_by", f"Cancelled by {job.cancel_requested_by}."))
    hint = None
    if reason.fault is Fault.PROGRAM:
        failed = task_views.list_tasks(conn, job, state="FAILED", limit=1) if job.many else []
        hint = f"sirdar job logs {job.id}" + (f" --task {failed[0].no}" if failed else "")
    return Explanation(job.state, job.message or MEANING[reason], tuple(why), hint)


def _of_retries(job: JobView, reason: Reason) -> str:
    """Why such an end was not tried again, though the platform's ends are."""
    if not reason.retryable:
        return ""
    used = f"its {job.retries} retries are used up" if job.retries > 1 else "its one retry is used up"
    return f" It is not tried again: {used if job.retries else 'its application allows no retries'}."


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
        if job.stopped_early:
            text = f"It stops early: {job.condition_met}; {job.leased} task(s) have not confirmed yet."
        why.append(Why("cancelling", text))
    places = places_now(conn)
    words = _Words(conn, caller, job)
    silent = {row.name: row for row in resource_store.list_resources(conn) if row.unreachable_since is not None}
    batch = {place.name for place in places if place.batch}
    why += [reason for task in tasks[:20] if (reason := _of_task(job, task, silent, batch, words, now))]
    queued = {task.resource for task in tasks if _queued(task)} - batch
    waits_on = {place.id for place in places if place.name in queued}
    if job.waiting > sum(reason.code == "retry" for reason in why):
        fitting, reasons = _of_queue(conn, job, [replace(place, name=words.of(place.name)) for place in places], words)
        waits_on |= fitting
        why += reasons
    waits_on = {place.id for place in places if place.id in waits_on and words.of(place.name) == place.name}
    why += [Why("held", text) for text in words_of_holders(conn, caller, job.id, waits_on)]
    if job.open and not job.waiting and not job.leased:
        why.append(Why("open", _of_open(job, now)))
    if not why:
        why.append(
            Why("running", f"{job.leased} task(s) are with agents, {job.done + job.failed} of {job.total} have ended.")
        )
    return Explanation(job.state, why[0].text, tuple(why))


def _of_open(job: JobView, now: float) -> str:
    left_s = max(0, round((job.open_until or now) - now))
    return (
        f"All {job.total} task(s) that it has so far have ended. It waits for more from the client that submitted it;"
        f" if none come within {format_duration(left_s)}, the server closes it."
    )


class _Words:
    """What resources are called for whoever asks: a name that they may not know is not told."""

    def __init__(self, conn: Conn, caller: Caller | None, job: JobView) -> None:
        self._open = self.tells_all = caller is not None and caller.administers
        self.way_out = ""  # for the job's owner, where there is no resource for them
        if caller is not None and caller.user_id == job.owner_id:
            self.way_out = ATTACH if may_attach(caller) else ASK
        self._seen: set[str] = set()
        shares = resource_use.all_shares(conn)
        for row in [] if self._open else resource_store.list_with_revoked(conn):
            subjects = shares.get(row.id, set())
            if may_see_resource(caller, row.owner_id, subjects) if caller else resource_use.EVERYONE in subjects:
                self._seen.add(row.name)

    def of(self, name: str | None) -> str:
        """Also of one that was shared once: what was told then is told no more."""
        return name or "?" if self._open or name in self._seen else HIDDEN


def _of_task(
    job: JobView, task: TaskView, silent: dict[str, ResourceRow], batch: set[str], words: _Words, now: float
) -> Why | None:
    """``batch``: names of resources whose batch system decides what runs when."""
    name, place = f"Task {task.no}", words.of(task.resource)
    if task.reason is not None:
        return None
    if task.resource in silent and (task.attempt or task.leased):
        return Why("unreachable", f"{name} is on {place}, {_of_silence(job, task, silent[task.resource], now)}")
    if task.not_before and task.not_before > now:
        return Why("retry", f"{name} is tried again in {task.not_before - now:.0f} s, after {task.faults} fault(s).")
    if task.state == "RUNNING":
        again = f", tried again after {task.faults} fault(s) of the platform" if task.faults else ""
        return Why("running", f"{name} runs on {place} since {now - (task.started_at or now):.0f} s{again}.")
    if task.leased and task.phase == "OFFERED":
        return Why("offered", f"{name} is offered to {place}, which has not accepted it yet.")
    if _queued(task) and not task.status_message and task.resource in batch:
        return Why("queued", f"{name} is on {place}, and is being given to the batch system there.")
    if _queued(task) and not task.status_message:
        return Why("queued", f"{name} is queued on {place}: its slots are taken.")
    if task.leased and task.status_message:  # its agent's word: the program has not begun
        return Why("waits_there", f"{name} is on {place}: {task.status_message}.")
    if task.leased:
        return Why("staging", f"{name} is staging on {place}.")
    return None


def _of_silence(job: JobView, task: TaskView, row: ResourceRow, now: float) -> str:
    """Since when, until when its agent is waited for, and what happens then."""
    since = row.unreachable_since or now
    told = f"which is unreachable since {format_duration(round(now - since))}"
    if not task.leased:
        return f"{told} and given up for lost: it is tried again; what it does there counts until then."
    left_s = max(since + row.lost_after_s, row.lease_until or 0.0) - now
    wait = f"It is waited for {format_duration(round(left_s))} more" if left_s >= 1 else "It is waited for no longer"
    if job.cancel_requested_at is not None:
        then = "it counts as cancelled"
    elif task.faults >= job.retries:
        then = "it fails, for no retry is left"
    else:
        then = "it is tried again elsewhere"
    return f"{told}. {wait} (lost after {format_duration(row.lost_after_s)}); then {then}."


def _queued(task: TaskView) -> bool:
    return task.leased and task.phase == "ACCEPTED"


def _of_queue(conn: Conn, job: JobView, places: list[Place], words: _Words) -> tuple[set[ResourceId], list[Why]]:
    """The resources for room on which its tasks wait, and why they wait: by the rules that the scheduler decides by."""
    if not places and words.tells_all:
        return set(), [Why("no_resource", "No resource is attached: start 'sirdar up' or attach a machine.")]
    queue = queue_store.waiting_jobs(conn)
    mine = next((wanted for wanted in queue if wanted.job == job.id), None)
    if mine is None:
        return set(), [Why("behind", "More than 1,000 jobs of higher priority or greater age wait before it.")]
    usable = [place for place in places if welcome(mine, place)]
    wrong = {place.id: misfits(mine, place) for place in usable}
    fitting = [place for place in usable if not wrong[place.id]]
    chosen = [place for place in usable if not mine.resources or place.id in mine.resources]
    why = _of_fitting(job, mine, fitting, queue) if fitting else []
    why += [Why("no_fit", text) for place in chosen[:MOST_PLACES] for text in wrong[place.id]]
    if not usable:  # how many others have is nothing to tell
        whose = " and the owner of its application, whose secrets it carries" if mine.secrets_of else ""
        why.append(Why("not_shared", f"No resource is shared with {job.owner}{whose}.{words.way_out}"))
    if not chosen and mine.resources:
        why += _of_absent(conn, sorted(mine.resources), words)
    return {place.id for place in fitting}, why


def _of_absent(conn: Conn, chosen: list[str], words: _Words) -> list[Why]:
    """None of the resources that it was sent to takes work of its owner now."""
    why = []
    for resource_id in chosen[:MOST_PLACES]:
        row = resource_store.find_resource(conn, resource_id)
        name = words.of(row.name) if row is not None else HIDDEN
        if row is None or row.deleted_at is not None:
            why.append(Why("no_fit", "A resource that it was sent to has been deleted."))
        elif row.revoked_at is not None:
            why.append(Why("no_fit", f"It was sent to {name}, whose access was revoked."))
        elif row.session is None:
            why.append(
                Why("no_agent", f"It was sent to {name}, where no agent runs: sirdar agent start, on that machine.")
            )
    return why or [Why("no_fit", "No resource that it was sent to is shared with its owner.")]


def _of_fitting(job: JobView, mine: Wanted, fitting: list[Place], queue: list[Wanted]) -> list[Why]:
    """It could run there: what holds the room, and how many stand before it."""
    short = {place.id: text for place in fitting if (text := shortage(mine, place)) is not None}
    names = ", ".join(place.name for place in fitting[:MOST_PLACES])
    more = f" and {len(fitting) - MOST_PLACES} more" if len(fitting) > MOST_PLACES else ""
    ahead = _ahead(mine, fitting, queue)
    behind = f" {ahead} job(s) wait before it." if ahead else " It is the first in the queue."
    what = "room" if len(short) == len(fitting) else "a free slot"
    first = Why("no_room", f"{job.waiting} task(s) wait for {what} on {names}{more}.{behind}")
    return [first, *(Why("no_room", f"{text}.") for text in list(short.values())[:MOST_PLACES])]


def _ahead(mine: Wanted, fitting: list[Place], queue: list[Wanted]) -> int:
    """Jobs before it that could run where it could; jobs alike are asked once."""
    known: dict[Wanted, bool] = {}
    found = 0
    for other in queue[: queue.index(mine)]:
        alike = replace(other, job=mine.job, n=0, priority=0, inputs=())
        if alike not in known:
            known[alike] = any(welcome(other, place) and not misfits(other, place) for place in fitting)
        found += known[alike]
    return found
