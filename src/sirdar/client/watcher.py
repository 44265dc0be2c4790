"""One background thread that notices the ends of all jobs that somebody waits for as futures."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sirdar.client.errors import ServerUnreachable, SirdarError
from sirdar.client.flows.jobs import PATIENCE_S
from sirdar.client.requests.jobs import has_ended

if TYPE_CHECKING:
    from sirdar.client.job import Job

FIRST_PERIOD_S = 0.05
LONGEST_PERIOD_S = 1.0
ASKED_ONE_BY_ONE = 8
Listing = Callable[[str], Iterable[Mapping[str, Any]]]  # summaries of all jobs since an instant, newest first


class Watcher:
    """Asks for the states of the watched jobs: a few one by one, many by the list of jobs.

    The thread is a daemon and ends by itself when nothing is watched.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._jobs: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, job: "Job") -> None:
        """Have the job refreshed until it has ended."""
        with self._lock:
            if id(job) in self._jobs:
                return
            self._jobs[id(job)] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sirdar-watcher", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Stop watching; futures that have not ended stay so."""
        with self._lock:
            self._jobs.clear()
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        period_s = FIRST_PERIOD_S
        heard_at = time.monotonic()
        while jobs := self._watched():
            self._wake.clear()
            try:
                ended = sum(self._ask(job) for job in self._candidates(jobs))
                heard_at = time.monotonic()
                period_s = FIRST_PERIOD_S if ended else min(LONGEST_PERIOD_S, period_s * 1.3)
            except ServerUnreachable as error:
                period_s = LONGEST_PERIOD_S
                if time.monotonic() - heard_at > PATIENCE_S:
                    self._give_up(jobs, error)
            except SirdarError as error:
                self._give_up(jobs, error)
            if self._wake.wait(period_s):
                period_s = FIRST_PERIOD_S

    def _watched(self) -> list["Job"]:
        with self._lock:
            if not self._jobs:
                self._thread = None
            return list(self._jobs.values())

    def _candidates(self, jobs: list["Job"]) -> list["Job"]:
        """Those worth asking for: of many only the ones that the list shows as ended, or does not show."""
        if len(jobs) <= ASKED_ONE_BY_ONE:
            return jobs
        running = {job.id: job for job in jobs}
        unseen = set(running)
        for summary in self._listing(min(job.since for job in jobs)):
            unseen.discard(str(summary["id"]))
            if not has_ended(summary) and summary["id"] in running:
                del running[summary["id"]]
            if not unseen:
                break
        return list(running.values())

    def _ask(self, job: "Job") -> bool:
        """True where the job is over, or will never be known to be."""
        try:
            ended = job.refresh().is_over
        except ServerUnreachable:
            raise
        except SirdarError as error:  # deleted, or not ours any more
            job.fail(error)
            ended = True
        if ended:
            self._drop(job)
        return ended

    def _give_up(self, jobs: Iterable["Job"], error: SirdarError) -> None:
        for job in jobs:
            self._drop(job)
            job.fail(error)

    def _drop(self, job: "Job") -> None:
        with self._lock:
            self._jobs.pop(id(job), None)
