"""A set of problems as one job: sent, watched, and told one by one as they end. A flow, for blocking and asynchronous callers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sirdar.client.aio import AsyncClient
from sirdar.client.client import Client
from sirdar.client.errors import ApiError, Conflict, InvalidRequest, SirdarError
from sirdar.client.exchange import Emit, Flow, Reply, Request
from sirdar.client.flows.basic import document, read, sent
from sirdar.client.flows.batches import KnownFiles, carried, content_of, contents, taken
from sirdar.client.flows.jobs import wait
from sirdar.client.flows.uploads import UploadLimits
from sirdar.client.requests import jobs as requests
from sirdar.client.requests.address import next_page
from sirdar.client.requests.jobs import Options, has_ended
from sirdar.client.views import explanation_of
from sirdar.optim.patience import OF_DOWNLOADS, Waits, patient

APP, WARM_APP = "sirdar/solve", "sirdar/solve-kept"
ENDED = "DONE,FAILED,CANCELLED"
PAGE = 1000
LOOK_S = 1.0
BEFORE = ("SUBMITTED", "READY")
WANTED = ("stdout", "solution")  # of each task
QUIET_S = 10.0  # a job that has not begun by then is explained
TASKS_A_SECOND = 1000  # a list of more is read less often than each second


@dataclass(frozen=True, slots=True)
class Portion:
    """Problems that are sent together. ``rows``: inputs of each task but its problem."""

    files: Sequence[tuple[str, bytes]]
    rows: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Submission:
    """What is asked of the server, and what became of it. ``options_file``: bytes. ``job_id``: set as soon as it is known;
    ``sent``: how many problems; ``refused``: the job took no more of them, since somebody has called it off; ``job``: its
    document, when it has ended."""

    common: Mapping[str, Any]
    options: Options
    key: str
    options_file: bytes | None = None
    app: str = APP
    job_id: str = ""
    request: Request | None = None
    sent: int = 0
    refused: bool = False
    warnings: list[str] = field(default_factory=list)
    job: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """A task that has ended, with what it wrote. ``sol`` None: there is none."""

    number: int
    document: Mapping[str, Any]
    sol: bytes | None
    log: bytes
    stderr: bytes


@dataclass(slots=True)
class _Seen:
    """Tasks that were told of already."""

    numbers: set[int] = field(default_factory=set)


@patient
def beginning(submission: Submission, portion: Portion, client: Client | AsyncClient) -> Flow[None]:
    """Sends the next problems, which are not the last. Raises what the client raises."""
    yield from _send(submission, portion, client.known_files, client.limits, last=False, wait_s=None)


@patient
def solving(submission: Submission, portion: Portion, client: Client | AsyncClient) -> Flow[None]:
    """Sends the last problems; then emits ``TaskEnd`` for each task, until the job has ended; before them ``Waits``, once, where
    it does not begin.

    Raises what the client raises.
    """
    look_s = max(LOOK_S, (submission.sent + len(portion.rows)) / TASKS_A_SECOND)
    job = yield from _send(submission, portion, client.known_files, client.limits, last=True, wait_s=look_s)
    seen = _Seen()
    if submission.warnings:
        yield Emit(Waits("\n".join(submission.warnings)))
    told, looks = bool(submission.warnings), 0
    while True:
        if "taskList" in job:
            yield from _tell(job["taskList"], submission.job_id, seen, client.url)
        elif has_ended(job) or _ended(job) > len(seen.numbers):
            yield from _tell_new(submission.job_id, seen, client.url)
        if has_ended(job):
            submission.job = job
            return
        job = yield from wait(submission.job_id, look_s)
        looks += 1
        if not told and job["state"] in BEFORE and looks * look_s >= QUIET_S:
            told = True
            yield from _tell_why(submission.job_id)


def _tell_why(job_id: str) -> Flow[None]:
    """Emits the server's explanation. Where there is none to be had, the job is waited for as before."""
    with suppress(SirdarError):
        explained = yield from document(requests.explain(job_id))
        yield Emit(Waits(str(explanation_of(explained))))


def _send(
    submission: Submission,
    portion: Portion,
    known: KnownFiles,
    limits: UploadLimits,
    *,
    last: bool,
    wait_s: float | None,
) -> Flow[dict[str, Any]]:
    """Bring the problems, and submit or add them. Files that the server has lost meanwhile are brought anew, once."""
    for again in (True, False):
        if submission.refused:
            break
        try:
            if submission.job_id:
                job = yield from _add(submission, portion, known, limits, last=last, wait_s=wait_s)
            else:
                job = yield from _submit(submission, portion, known, limits, last=last, wait_s=wait_s)
        except InvalidRequest as error:
            if not again or not known or not _about_problems(error):
                raise
            known.clear()
        except Conflict as error:
            if not submission.job_id or error.field is not None:
                raise
            submission.refused = True
        else:
            submission.sent += len(portion.rows)
            return job
    return (yield from document(requests.show(submission.job_id)))


def _submit(
    submission: Submission,
    portion: Portion,
    known: KnownFiles,
    limits: UploadLimits,
    *,
    last: bool,
    wait_s: float | None,
) -> Flow[dict[str, Any]]:
    more = [] if submission.options_file is None else [("ipopt.opt", submission.options_file)]
    files = yield from carried([*portion.files, *more], known, limits)
    common = {**submission.common, "options_file": files[-1]} if more else submission.common
    rows, options = _rows(portion, files[: len(portion.files)]), submission.options
    request = requests.submit(
        submission.app,
        common,
        options,
        key=submission.key,
        foreach=rows,
        wait_s=wait_s,
        stays_open=not last,
        files=WANTED if last else (),
    )
    submission.request = request
    job = yield from document(request)
    taken(files, known)
    submission.job_id = str(job["id"])
    submission.warnings = list(map(str, job.get("warnings") or ()))
    return job


def _add(
    submission: Submission,
    portion: Portion,
    known: KnownFiles,
    limits: UploadLimits,
    *,
    last: bool,
    wait_s: float | None,
) -> Flow[dict[str, Any]]:
    files = yield from carried(portion.files, known, limits)
    first = submission.sent
    key = f"{submission.key} {first}{' last' if last else ''}"
    rows, wanted = _rows(portion, files), WANTED if last else ()
    request = requests.add(submission.job_id, rows, first=first, last=last, key=key, wait_s=wait_s, files=wanted)
    job = yield from document(request)
    taken(files, known)
    return job


def _rows(portion: Portion, files: Sequence[Any]) -> list[dict[str, Any]]:
    return [{**row, "problem": file} for row, file in zip(portion.rows, files, strict=True)]


def _about_problems(error: ApiError) -> bool:
    fields = [error.field, *(one.get("field") for one in error.errors)]
    return any(str(name).endswith(".problem") for name in fields)


def _ended(job: Mapping[str, Any]) -> int:
    tasks = job.get("tasks") or {}
    return sum(int(tasks.get(name, 0)) for name in ("done", "failed", "cancelled"))


def _tell_new(job_id: str, seen: _Seen, base_url: str) -> Flow[None]:
    following: Request | None = requests.tasks(job_id, state=ENDED, limit=PAGE)
    while following is not None:
        reply: Reply = yield following
        yield from _tell(read(reply, Reply.json) or [], job_id, seen, base_url)
        following = next_page(following, reply)


def _tell(tasks: Sequence[Mapping[str, Any]], job_id: str, seen: _Seen, base_url: str) -> Flow[None]:
    """Emits those that are new, with what they wrote, which is fetched as far as it did not come along."""
    new = [task for task in tasks if int(task["no"]) not in seen.numbers]
    uris = {int(task["no"]): _uris(job_id, task) for task in new}
    found: dict[str, bytes | ApiError | None] = {}
    for task in new:
        along = task.get("files") or {}
        found |= {uri: content_of(along[name]) for name, uri in uris[int(task["no"])].items() if name in along}
    wanted = [uri for of_task in uris.values() for uri in of_task.values() if uri not in found]
    if wanted:
        found |= yield from contents(wanted, base_url, OF_DOWNLOADS)
    for task in new:
        number = int(task["no"])
        seen.numbers.add(number)
        yield Emit(_task_end(task, {name: found.get(uri) for name, uri in uris[number].items()}))


def _uris(job_id: str, task: Mapping[str, Any]) -> dict[str, str]:
    """What is worth fetching of a task: its log and solution; stderr where it failed."""
    if task["state"] == "CANCELLED":
        return {}
    prefix = f"/api/files/jobs/{job_id}/tasks/{task['no']}/"
    uris = {"stdout": f"{prefix}stdout"}
    if solution := (task.get("result") or {}).get("solution"):
        uris["solution"] = str(solution)
    if task["state"] == "FAILED":
        uris["stderr"] = f"{prefix}stderr"
    return uris


def _task_end(task: Mapping[str, Any], found: Mapping[str, bytes | ApiError | None]) -> TaskEnd:
    def whole(name: str) -> bytes | None:
        content = found.get(name)
        return content if isinstance(content, bytes) else None

    return TaskEnd(int(task["no"]), task, whole("solution"), whole("stdout") or b"", whole("stderr") or b"")


def cancelling(submission: Submission) -> Flow[None]:
    """Ends the job, also where the answer to the submission never came: the same key gives the job that it made."""
    if not submission.job_id and submission.request is not None:
        job = yield from document(submission.request)
        submission.job_id = str(job["id"])
    if submission.job_id:
        yield from sent(requests.cancel(submission.job_id))
