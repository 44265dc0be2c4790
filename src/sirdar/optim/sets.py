"""``solve_all``: a list of models in, solutions out, solved side by side on the resources of a server."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any
from uuid import uuid4

from sirdar.client import profile
from sirdar.client.aio import AsyncClient
from sirdar.client.client import Client
from sirdar.client.errors import ServerUnreachable, SirdarError
from sirdar.client.exchange import Flow
from sirdar.client.requests.jobs import Options
from sirdar.optim.arguments import check_limits, check_models
from sirdar.optim.doubts import doubts_of, told_together
from sirdar.optim.patience import CANCEL_PATIENCE_S, Waits, bearing, not_cancelled
from sirdar.optim.progress import Bar
from sirdar.optim.pyomo_models import Problem, attach, judged, load, objective_of, results_of, write_problem
from sirdar.optim.records import OUT_OF_TIME, Records, Solved, Status
from sirdar.optim.sending import Pace, Sender, kept_open
from sirdar.optim.sol_reader import Sol, read_sol
from sirdar.optim.solver_log import read_log, refusal
from sirdar.optim.solving import APP, WARM_APP, Portion, Submission, TaskEnd, cancelling, solving
from sirdar.optim.stopping import left_by_sigterm

SolverOptions = Mapping[str, Any] | str
NEVER_KEPT = ("highs", "scip", "cbc")


def solve_all(
    models: Iterable[Any],
    solver: str = "ipopt",
    *,
    options: SolverOptions | Sequence[SolverOptions] | None = None,
    options_file: str | Path | None = None,
    resources: Sequence[str] | str | None = None,
    client: Client | None = None,
    name: str | None = None,
    progress: bool | None = None,
    load_solutions: bool = True,
    time_limit_s: float | None = None,
    retries: int | None = None,
    warm: bool = False,
) -> Records:
    """Solve a set of problems, as one job of a task for each, and load the solutions into the models.

    ``models``: Pyomo models, or paths of .nl files. ``options``: of the solver, a mapping or ``"k=v k=v"``; or a list of them, one
    for each problem. ``options_file``: Ipopt's. ``resources``: names or ids; without them wherever the solver is. ``progress``:
    True or False, None for where somebody looks. ``time_limit_s``: wall time of each task, after which it is ended. ``warm``: the
    solver's processes stay between problems, for many small ones; results are the same.

    Returns a record for each, in order; a problem that is infeasible, unbounded, stopped by a limit, or whose solver failed, is
    told by its ``status`` and raises nothing. Values, duals and declared suffixes are loaded where the solver gave them.
    ``client`` None: that of SIRDAR_URL, or of the server that was signed in to last. Where nothing can be solved yet, stderr says
    why, once. Ctrl-C, SIGTERM and any exception that a signal's handler raises cancel the job.

    Raises ApiError, ServerUnreachable, NotConfigured; TypeError and OSError for what is no model, TypeError for one
    that is in no list; ValueError for ``warm`` with a solver that cannot be kept, and for limits that are none.
    """
    work = _Work(models, solver, options, load_solutions, warm=warm)
    used = client or client_of_process()
    submission = work.submission(options_file, resources, name, time_limit_s, retries)
    with left_by_sigterm():
        return _solve(used, work, submission, Bar(work.expected, name or submission.options.name or solver, progress))


def _solve(client: Client, work: "_Work", submission: Submission, bar: Bar) -> Records:
    try:
        with bar:
            job = _follow(client, work, submission, bar)
    except ServerUnreachable:
        raise  # it says that the job runs on
    except BaseException:
        # Ctrl-C, above all; a second one gives up on this too.
        try:
            _cancel(client, submission)
        except SirdarError as why:
            bar.note(not_cancelled(submission, why))
        raise
    return work.finished(job)


async def solve_all_async(
    models: Iterable[Any],
    solver: str = "ipopt",
    *,
    client: AsyncClient,
    options: SolverOptions | Sequence[SolverOptions] | None = None,
    options_file: str | Path | None = None,
    resources: Sequence[str] | str | None = None,
    name: str | None = None,
    load_solutions: bool = True,
    time_limit_s: float | None = None,
    retries: int | None = None,
    warm: bool = False,
) -> Records:
    """As ``solve_all``, for asyncio; cancelling the coroutine cancels the job."""
    work = _Work(models, solver, options, load_solutions, warm=warm)
    submission = work.submission(options_file, resources, name, time_limit_s, retries)
    for _ in work.write():
        pass
    if not work.sent:
        return work.finished(None)
    bar = Bar(len(work.problems), submission.options.name or solver, wanted=False)
    try:
        work.tell_doubts(bar)
        async for told in client.driver.iterate(solving(submission, work.portion(submission), client)):
            if isinstance(told, Waits):
                bar.note(told.text)
            else:
                work.take(told)
    except ServerUnreachable:
        raise
    except BaseException:
        try:
            await client.driver.run(bearing(cancelling(submission), submission, client, CANCEL_PATIENCE_S))
        except SirdarError as why:
            bar.note(not_cancelled(submission, why))
        raise
    return work.finished(submission.job)


class _Work:
    """The problems of one call, and what became of them so far."""

    def __init__(self, models: Iterable[Any], solver: str, options: Any, load_solutions: bool, *, warm: bool) -> None:
        check_models(models)
        if warm:
            _check_kept(solver)
        self.solver = solver
        self.app = WARM_APP if warm else APP
        self._models = models if isinstance(models, Sized) or _is_one(options) else list(models)
        self.expected = len(self._models) if isinstance(self._models, Sized) else None  # None: nobody knows yet
        self._options = _Options(options, self.expected)
        self.problems: list[Problem] = []
        self.sent: list[Problem] = []
        self.records: dict[int, Solved] = {}
        self._load = load_solutions
        self._doubts: dict[int, list[str]] = {}

    def write(self) -> Iterator[Problem]:
        """Writes one problem after another, and gives each. Raises OSError, TypeError, and what a caller's generator raises."""
        for index, given in enumerate(self._models):
            problem = write_problem(index, given)
            self.problems.append(problem)
            if problem.fault is None:
                self.sent.append(problem)
            else:
                self.records[index] = problem.fault
            yield problem
        self.expected = len(self.problems)

    def submission(
        self,
        options_file: str | Path | None,
        resources: Sequence[str] | str | None,
        name: str | None,
        time_limit_s: float | None,
        retries: int | None,
    ) -> Submission:
        """The job to ask for. Raises ValueError for limits that are none."""
        check_limits(time_limit_s, retries)
        common: dict[str, Any] = {"solver": self.solver}
        if self._options.common is not None:
            common["options"] = self._options.common
        chosen = Options(
            name=name or self._name(),
            resources=[resources] if isinstance(resources, str) else resources,
            on_failure="ignore",
            overrides={"time": time_limit_s} if time_limit_s is not None else None,
            retries=retries,
        )
        settings = Path(options_file).read_bytes() if options_file is not None else None
        return Submission(common, chosen, uuid4().hex, settings, self.app)

    def _name(self) -> str:
        if self.expected is None:
            return f"problems, {self.solver}"
        return f"{self.expected} problem{'s' if self.expected != 1 else ''}, {self.solver}"

    def portion(self, submission: Submission) -> Portion:
        """The problems that are written, and not sent yet."""
        fresh = self.sent[submission.sent :]
        rows = [{} if self._options.common is not None else {"options": self._options.of(one.index)} for one in fresh]
        return Portion([(f"{_file_name(one)}.nl", one.nl) for one in fresh], rows)

    def tell_doubts(self, bar: Bar) -> None:
        """Say what the solver will do otherwise than one may think; records have it as ``warnings``."""
        self._doubts = {one.index: doubts_of(one.nl, self.solver, self._options.of(one.index)) for one in self.sent}
        for line in told_together((one.name, self._doubts[one.index]) for one in self.sent):
            bar.note(line)

    def take(self, end: TaskEnd) -> Solved:
        """Make the record of a task that has ended, and load its solution."""
        problem = self.sent[end.number]
        record, sol = self._record(problem, end)
        if problem.model is not None:
            record.results = results_of(problem, record, self.solver)
            if sol is not None and not self._load:
                attach(record.results, problem, sol)
        self.records[problem.index] = record
        return record

    def finished(self, job: Mapping[str, Any] | None) -> Records:
        """Records of all problems, in order. Those that no task told of have not been started."""
        for problem in self.sent:
            if problem.index not in self.records and job is not None:
                self.records[problem.index] = _unstarted(problem, job)
        return Records(self.records[index] for index in sorted(self.records))

    def _record(self, problem: Problem, end: TaskEnd) -> tuple[Solved, Sol | None]:
        record = _of_task(problem, end)
        record.warnings = self._doubts[problem.index]
        if end.document["state"] != "DONE" or end.sol is None:
            return record, None
        try:
            sol = read_sol(end.sol.decode(errors="replace"))
            judged(record, sol)
            if problem.info is not None and self._load and record.status is not Status.FAILED:
                load(problem, sol)
                if sol.x or (record.ok and not problem.info.variables):
                    record.objective = objective_of(problem)
        except ValueError as error:
            record.status, record.reason, record.message = (
                Status.FAILED,
                "solution",
                f"the solution cannot be read: {error}",
            )
            return record, None
        return record, sol


def _of_task(problem: Problem, end: TaskEnd) -> Solved:
    """What the task's row and the solver's log say."""
    task, log = end.document, end.log.decode(errors="replace")
    outcome = task.get("outcome") or {}
    result = task.get("result") or {}
    facts = read_log(log)
    objective = result.get("objective")
    if objective is None and facts.minimised is not None:
        objective = facts.minimised * problem.sign
    return Solved(
        problem.index,
        problem.name,
        _status_of_task(task["state"], outcome.get("reason")),
        message=_message(task, log, end.stderr),
        objective=objective,
        iterations=facts.iterations,
        solver_s=facts.solver_s,
        run_s=task.get("runS"),
        resource=(task.get("resource") or {}).get("name"),
        reason=outcome.get("reason") if task["state"] != "DONE" else None,
        stderr=end.stderr.decode(errors="replace"),
        log=log,
        job_id=str(task["id"]).split("-", 1)[0],
        task=end.number,
    )


def _status_of_task(state: str, reason: str | None) -> Status:
    """Where no solution file says it."""
    if state == "CANCELLED":
        return Status.CANCELLED
    return Status.LIMIT if reason == OUT_OF_TIME else Status.FAILED


def _message(task: Mapping[str, Any], log: str, stderr: bytes) -> str:
    """What the server says of the task's end. Ipopt's own command says why it refused a problem on standard output only."""
    outcome = task.get("outcome") or {}
    said = str(outcome.get("message") or "")
    why = refusal(log) if outcome.get("reason") == "exit_code" and not stderr.strip() else ""
    return f"{said}: {why}" if why else said


def _unstarted(problem: Problem, job: Mapping[str, Any]) -> Solved:
    cancelled = job.get("state") == "CANCELLED"
    outcome = job.get("outcome") or {}
    return Solved(
        problem.index,
        problem.name,
        Status.CANCELLED if cancelled else Status.FAILED,
        message=str(job.get("info") or outcome.get("message") or "it was not started"),
        reason=outcome.get("reason"),
        job_id=str(job["id"]),
    )


# ---------------------------------------------------------------- the call


def _follow(client: Client, work: _Work, submission: Submission, bar: Bar) -> Mapping[str, Any] | None:
    """Write and send all problems, the first while others are written, and take what comes of them. The job; None: none was needed.

    Solutions are loaded when all are written: what is sent must not depend on when a solver was ready.
    """
    pace = Pace(work.expected)
    sender = Sender(client, submission, pace)
    fresh_bytes = 0
    try:
        with kept_open(client, submission):
            for problem in work.write():
                bar.written(len(work.problems))
                fresh_bytes += len(problem.nl)
                if not sender.busy:
                    _tell(sender.settle(), bar)
                    if pace.is_time(len(work.problems), len(work.sent) - submission.sent, fresh_bytes):
                        fresh_bytes = 0
                        sender.begin(work.portion(submission))
            _tell(sender.settle(), bar)
    finally:
        sender.leave()
    bar.expect(len(work.problems))
    if not work.sent:
        return None
    work.tell_doubts(bar)
    bar.show(work.records, None)
    _show(client, solving(submission, work.portion(submission), client), work, bar)
    return submission.job


def _tell(told: Iterable[object], bar: Bar) -> None:
    for one in told:
        if isinstance(one, Waits):
            bar.note(one.text)


def _show(client: Client, flow: Flow[None], work: _Work, bar: Bar) -> None:
    for told in client.driver.iterate(flow):
        if isinstance(told, Waits):
            bar.note(told.text)
        else:
            bar.show(work.records, work.take(told))


def _cancel(client: Client, submission: Submission) -> None:
    client.driver.run(bearing(cancelling(submission), submission, client, CANCEL_PATIENCE_S))


_clients: dict[tuple[str, str | None], Client] = {}
_opening = threading.Lock()


def client_of_process() -> Client:
    """That of SIRDAR_URL, or of the server that was signed in to last; the same for all calls of this process.

    It remembers which files the server has. Raises NotConfigured.
    """
    target = profile.resolve(None, None)
    key = (target.url, target.token)
    with _opening:
        if key not in _clients:
            _clients[key] = Client(target.url, target.token)
        return _clients[key]


# ---------------------------------------------------------------- options


def _check_kept(solver: str) -> None:
    """Raises ValueError for a solver that is started for each problem wherever it is. Whether a machine can keep another one
    is told by its labels."""
    if solver in NEVER_KEPT:
        raise ValueError(f"warm: {solver} cannot be kept between problems, it is started for each; ipopt can be kept")


def _is_one(options: Any) -> bool:
    """For all problems, and not a list with one for each."""
    return options is None or isinstance(options, str | Mapping)


class _Options:
    """Of each problem the words ``k=v``; ``common``: those of all, None where they differ.

    Raises ValueError where there is a list of another number than that of the problems.
    """

    def __init__(self, options: Any, count: int | None) -> None:
        self.common: list[str] | None = None
        self._listed: list[list[str]] = []
        if _is_one(options):
            self.common = option_words(options)
            return
        self._listed = [option_words(one) for one in options]
        if len(self._listed) != count:
            raise ValueError(
                f"options has {len(self._listed)} members for {count} problems; give one for each, or one for all"
            )
        if all(one == self._listed[0] for one in self._listed):
            self.common = self._listed[0] if self._listed else []

    def of(self, index: int) -> list[str]:
        return self._listed[index] if self.common is None else self.common


def option_words(options: SolverOptions | None) -> list[str]:
    """A solver's options as words of a command line: ``{"tol": 1e-8, "linear_solver": "mumps"}`` or ``"tol=1e-8 max_iter=50"``.

    True and False become yes and no; None leaves an option out.
    """
    if not options:
        return []
    if isinstance(options, str):
        return options.split()
    return [f"{name}={_word(value)}" for name, value in options.items() if value is not None]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _file_name(problem: Problem) -> str:
    """A name that any system takes; equal problems under equal names are one file on the server."""
    kept = "".join(char if char.isalnum() or char in "._-" else "_" for char in problem.name)[:60]
    return kept.strip(".") or "problem"
