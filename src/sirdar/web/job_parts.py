"""What a job's page shows, gathered in one look at the ledger: the answer, its files, and the tab that is open."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from sirdar.domain.app import App, InputSpec, OutputSpec
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.timeline import Span
from sirdar.services import apps, jobs, task_usage
from sirdar.services.explain import Explanation, explain_now
from sirdar.services.job_files import inputs_with_uris, job_prefix, result_with_uris
from sirdar.services.jobs import Shown
from sirdar.services.task_usage import UsageView
from sirdar.services.timelines import timeline_now
from sirdar.store import job_lists, job_places, job_shares, task_views
from sirdar.store import jobs as job_store
from sirdar.store.job_places import Place
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn
from sirdar.store.task_views import TaskView
from sirdar.web import job_charts, job_code, job_log, job_many_head, job_words, service_words, words
from sirdar.web.job_many_head import Head
from sirdar.web.job_words import Named
from sirdar.web.pages import Page

ROWS = 40
CHILDREN = 40
CHILDREN_COUNTED = 1000
REASONS = 5
EVERY_S = 3  # how often a tab is looked at whose changes no event tells
PLAIN = frozenset({"running", "ok"})  # reasons that only say what the state says
TABS = ("log", "tasks", "timeline", "machine", "children", "code")
OTHER_TABS = frozenset(TABS) - {"tasks"}
OF_ONE_TASK = frozenset({"log", "timeline", "machine"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A job's page as its address says. ``tab``: empty for the one that fits; ``before``: where the next children begin."""

    job_id: str
    tab: str = ""
    task: int | None = None
    stream: str = ""
    after: int = -1
    before: int | None = None
    share: str = ""

    def address(self, page: str = "", **changes: Any) -> str:
        """Of the same page with something else; ``page``: of one below the job's."""
        other = replace(self, **changes)
        given = {"tab": other.tab, "task": other.task, "stream": other.stream, "share": other.share}
        given |= {"after": other.after if other.after >= 0 else None, "before": other.before}
        kept = {name: value for name, value in given.items() if value not in (None, "")}
        return f"/jobs/{other.job_id}{page}" + (f"?{urlencode(kept)}" if kept else "")

    def at(self, page: str = "") -> str:
        """A page below the job's, with nothing of this one but the link's secret."""
        return f"/jobs/{self.job_id}{page}" + (f"?{urlencode({'share': self.share})}" if self.share else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one look at the ledger gives for a page. ``task``: the only one, or the one that was chosen."""

    asked: Asked
    shown: Shown
    task: TaskView | None
    place: Place | None
    shares: list[str]
    explained: Explanation
    caller: Caller | None
    children: int  # up to CHILDREN_COUNTED
    tasks: list[TaskView] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    head: Head | None = None  # of a job of many tasks
    usage: UsageView | None = None
    child_jobs: list[JobView] = field(default_factory=list)
    item: dict[str, Any] = field(default_factory=dict)  # the inputs that the task has of its own
    culprit: TaskView | None = None  # whose log says why the job failed, where it is the program's own doing


async def load(page: Page, asked: Asked) -> dict[str, Any]:
    """The values of ``job.html``. Raises Problem ``not_found``."""
    caller = page.caller if asked.share else page.user
    if not asked.job_id.isalnum() or not asked.job_id.isascii():
        raise Problem("not_found", f"There is no job {asked.job_id[:80]}.")
    now = page.services.store.clock()
    facts = await page.services.store.read(words.elsewhere(partial(_look, caller=caller, asked=asked, now=now)))
    version = await apps.load_version(page.services, facts.shown.job.version_id)
    logs = {}
    if facts.asked.tab == "log" and facts.task is not None:
        logs = await job_log.tails(page.services, facts.shown.job.id, facts.task)
    return {
        "facts": facts,
        "asked": facts.asked,
        "job": facts.shown.job,
        "may_act": facts.shown.may_act,
        "share": asked.share,
        "head": facts.head,
        "shares": facts.shares,
        "repeated_by": facts.shown.repeated_by,
        **_answer(facts, now),
        **_files(facts, _Words.of(version.app)),
        **_tab(facts, now, page.services.settings.url),
        "logs": logs,
        "stream": job_log.chosen_stream(asked.stream, logs, facts.task),
        "by_hand": asked.stream in job_log.CHOICES,
        "telling": "stderr" if job_log.tells_why(logs, facts.task) else "",
        "every_s": EVERY_S if facts.shown.job.ended_at is None and facts.asked.tab in {"machine", "children"} else None,
    }


def _look(conn: Conn, *, caller: Caller | None, asked: Asked, now: float) -> Facts:
    shown = jobs.show_now(conn, caller, asked.job_id, link=asked.share or None)
    job = shown.job
    fitting = "tasks" if job.many and asked.task is None else "log"
    asked = replace(asked, job_id=job.id, tab=asked.tab if asked.tab in TABS else fitting)
    task = _chosen(conn, shown, asked)
    facts = Facts(
        asked=asked,
        shown=shown,
        task=task,
        item=job_store.load_items(conn, job.id, [task.no]).get(task.no, {}) if job.many and task is not None else {},
        place=job_places.places_of(conn, [job.id]).get(job.id),
        shares=job_shares.shares_of_job(conn, job.id) if shown.may_act else [],
        explained=explain_now(conn, caller, job.id, now=now, link=asked.share or None),
        caller=caller,
        children=count_children(conn, caller, job),
        head=job_many_head.load_now(conn, caller, job, now, share=asked.share) if job.many else None,
    )
    if facts.explained.hint is not None:
        facts = replace(
            facts, culprit=task if task is not None and task.state == "FAILED" else _failed_first(conn, job)
        )
    if asked.tab == "tasks":
        return replace(facts, tasks=task_views.list_tasks(conn, job, after=asked.after, limit=ROWS + 1))
    if asked.tab == "timeline" and task is not None:
        return replace(facts, spans=timeline_now(conn, job, task))
    if asked.tab == "machine" and task is not None:
        return replace(facts, usage=task_usage.show_now(conn, caller, job.id, task.no, link=asked.share or None))
    if asked.tab == "children" and caller is not None:
        found = job_lists.list_jobs(conn, jobs.children_filter(caller, job, before_seq=asked.before), CHILDREN + 1)
        return replace(facts, child_jobs=found)
    return facts


def _failed_first(conn: Conn, job: JobView) -> TaskView | None:
    return next(iter(task_views.list_tasks(conn, job, state="FAILED", limit=1)), None)


def count_children(conn: Conn, caller: Caller | None, job: JobView) -> int:
    return job_lists.count_jobs(conn, jobs.children_filter(caller, job), CHILDREN_COUNTED) if caller is not None else 0


def _chosen(conn: Conn, shown: Shown, asked: Asked) -> TaskView | None:
    """The task that is shown: the only one, the one that was asked for, or, in a tab that is of one task, a telling one."""
    job = shown.job
    if not job.many:
        return shown.task
    if asked.task is not None:
        return task_views.find_task(conn, job, asked.task)
    if asked.tab not in OF_ONE_TASK:
        return None
    for state in ("FAILED", "RUNNING", "DONE"):
        if found := task_views.list_tasks(conn, job, state=state, limit=1):
            return found[0]
    return task_views.find_task(conn, job, 0)


# ---------------------------------------------------------------- the answer


def _answer(facts: Facts, now: float) -> dict[str, Any]:
    job, only = facts.shown.job, facts.shown.task
    done = job_words.share_done(job, only)
    return {
        "state": job_words.state_words(job, now, facts.place),
        "done": done,
        "left_s": job_words.left_s(job, only, done, now),
        "refresh_s": job_words.refresh_s(job, now),
        "status_message": (only.status_message if only else None) or job.status_message,
        "metrics": (only.metrics if only else None) or job.metrics,
        "reasons": _reasons(facts.explained, job),
        "reason_code": job.reason if job.ended_at is not None and job.state not in {"DONE", "CANCELLED"} else None,
        "ended_by": _ended_by(facts),
        "said_why": _said_why(facts),
    }


def _ended_by(facts: Facts) -> str:
    """Of a job that was called off: whose wish it was."""
    job = facts.shown.job
    if job.state != "CANCELLED" or not job.cancel_requested_by:
        return ""
    early = job.started_at is None
    if facts.caller is not None and facts.caller.name == job.cancel_requested_by:
        return words.gettext("by you, before it started") if early else words.gettext("by you")
    name = job.cancel_requested_by
    return (
        words.gettext("by %(name)s, before it started", name=name) if early else words.gettext("by %(name)s", name=name)
    )


def _said_why(facts: Facts) -> str | None:
    """The address of what the program said before it failed."""
    task, asked = facts.culprit, facts.asked
    if task is None or facts.shown.job.state != "FAILED":
        return None
    stream = next((name for name, kept in (("stderr", task.stderr), ("stdout", task.stdout)) if kept.get("size")), None)
    no = task.no if facts.shown.job.many else None
    return asked.address(tab="log", stream=stream, task=no, after=-1, before=None) + "#log" if stream else None


def _reasons(explained: Explanation, job: JobView) -> list[Markup]:
    """What is worth reading above the fold: nothing of a job that runs or is done as it should, but what was left out."""
    if job.state == "DONE":
        return [service_words.advise(job.message)] if job.message and job.total == 1 else []
    if job.state == "CANCELLED":  # who did it stands beside the state
        message, who = job.message or "", job.cancel_requested_by or "?"
        told = message.rstrip(".").lower() in {"", "cancelled"} or who in message
        return [] if told else [service_words.advise(message)]
    texts = [explained.summary] if job.ended_at is not None else []
    texts += [why.text for why in explained.why if why.code not in PLAIN and why.text]
    return [service_words.advise(text) for text in list(dict.fromkeys(texts))[:REASONS]]


# ---------------------------------------------------------------- inputs and outputs


@dataclass(frozen=True, slots=True)
class _Words:
    """What the application's description calls its inputs and outputs, and the units of their numbers."""

    titles: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, app: App) -> "_Words":
        specs: list[InputSpec | OutputSpec] = [*app.inputs, *app.outputs]
        return cls({spec.name: spec.title for spec in specs}, {spec.name: spec.unit for spec in specs if spec.unit})

    def unit_of(self, name: str, value: Any) -> str:
        numbers = value if isinstance(value, list) and value else [value]
        return self.units.get(name, "") if all(type(one) in {int, float} for one in numbers) else ""


def _files(facts: Facts, known: "_Words") -> dict[str, Any]:
    job, link = facts.shown.job, f"?{urlencode({'share': facts.asked.share})}" if facts.asked.share else ""
    told = facts.asked.task is not None or not job.many  # a task that nobody asked for shows its log, not its outputs
    return {
        "link": link,
        "of_task": facts.task if job.many and told else None,
        "outputs": _outputs(job, facts.task if told else None, known, link),
        "inputs": _inputs(facts, told, known, link),
    }


def _inputs(facts: Facts, told: bool, known: "_Words", link: str) -> list[Named]:
    """The job's; of one task of many what that task got."""
    job, of_task = facts.shown.job, told and facts.shown.job.many and facts.task is not None
    given = {**job.inputs, **facts.item} if of_task else job.inputs
    number = facts.task.no if of_task and facts.task is not None else None
    return _named(given, inputs_with_uris(given, job_prefix(job.id, number)), known, link)


def _outputs(job: JobView, task: TaskView | None, known: "_Words", link: str) -> list[Named]:
    if task is None:
        return []
    prefix = job_prefix(job.id, task.no if job.many else None)
    outputs = _named(task.result, result_with_uris(task.result, prefix), known, link)
    if task.debug is not None:
        title = words.gettext("debug archive")
        name = str(task.debug.get("$file", {}).get("name", ""))
        outputs += _named({title: task.debug}, {title: prefix + quote(name, safe="")}, _Words(), link)
    return outputs


def _named(stored: dict[str, Any], shown: dict[str, Any], known: "_Words", link: str) -> list[Named]:
    return [
        Named(
            name, known.titles.get(name, ""), job_words.items_of(value, shown[name], link), known.unit_of(name, value)
        )
        for name, value in stored.items()
    ]


# ---------------------------------------------------------------- the tab


def _task_end(job: JobView, task: TaskView | None) -> tuple[float, str] | None:
    """When the task came to its end, and the word of its state; None while it has not. The end of the only one is its job's."""
    if task is None or task.reason is None:
        return None
    at = task.reported_at if task.reported_at is not None else task.ended_at
    at = at if job.many or job.ended_at is None else job.ended_at
    return None if at is None else (at, job_words.word_of(task.state))


def _tab(facts: Facts, now: float, url: str) -> dict[str, Any]:
    job = facts.shown.job
    children = facts.child_jobs
    return {
        "row": job_words.task_row(job, facts.task, now) if job.many and facts.task is not None else None,
        "task_rows": [job_words.task_row(job, row, now) for row in facts.tasks[:ROWS]],
        "following": facts.tasks[ROWS - 1].no if len(facts.tasks) > ROWS else None,
        "bars": job_charts.bars(facts.spans, now),
        "task_end": _task_end(job, facts.task),
        "charts": job_charts.charts(facts.usage) if facts.usage is not None else None,
        "usage": facts.usage,
        "child_rows": [(child, job_words.state_words(child, now)) for child in children[:CHILDREN]],
        "older_children": children[CHILDREN - 1].seq if len(children) > CHILDREN else None,
        "children_most": CHILDREN_COUNTED,
        "examples": job_code.examples(job, url) if facts.asked.tab == "code" else {},
    }
