"""A job, as a future."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sirdar.client.errors import JobError
from sirdar.client.flows import jobs as flows
from sirdar.client.flows.basic import document, value
from sirdar.client.flows.results import download_outputs, outputs
from sirdar.client.flows.values import ValueUploads
from sirdar.client.remote_file import RemoteFile
from sirdar.client.requests import jobs as requests
from sirdar.client.requests.jobs import has_ended
from sirdar.client.sse import Event
from sirdar.client.table import Table, table_of
from sirdar.client.views import Explanation, JobView, Task, error_of, explanation_of, task_of

if TYPE_CHECKING:
    from sirdar.client.client import Client

FRESH_S = 0.5
_NOT_YET = object()


class Job(JobView, Future[Any]):
    """A job on the server, usable wherever a ``concurrent.futures.Future`` is.

    ``state``, ``progress``, ``status_message`` and the like ask the server (at most twice a second) until the job has
    ended. ``running`` is true from the program's start; ``cancel`` asks the server and is true unless the job has
    ended already, ``cancelled`` once it has ended so. ``concurrent.futures.wait`` and ``as_completed``, callbacks and
    ``asyncio.wrap_future`` work: the first of them starts one background thread for all jobs of the client.
    """

    def __init__(self, document: Mapping[str, Any], client: "Client") -> None:
        self._client = client
        self._seen_at = time.monotonic()
        self._outputs: Any = _NOT_YET
        self._waiting: list[Any] = []
        JobView.__init__(self, document)
        Future.__init__(self)

    # ------------------------------------------------------------ the future

    def result(self, timeout: float | None = None) -> Any:
        """Outputs by name (files as ``RemoteFile``); of a job made by ``map`` a list of them.

        Raises JobFailed or JobCancelled, or TimeoutError where it has not ended after ``timeout`` seconds.
        """
        self.wait(timeout)
        if (error := error_of(self._document)) is not None:
            raise error
        if self._outputs is _NOT_YET:
            self._outputs = self._fetch_outputs()
        return self._outputs

    def exception(self, timeout: float | None = None) -> JobError | None:
        """The error that ``result`` would raise, None for a job that is DONE."""
        self.wait(timeout)
        return error_of(self._document)

    def wait(self, timeout: float | None = None) -> "Job":
        """Wait for the end, whatever it is. Raises TimeoutError where it has not ended after ``timeout`` seconds."""
        if not has_ended(self._document):
            self._take(self._client.driver.run(flows.wait(self.id, timeout)))
        if not has_ended(self._document):
            state = self._document.get("state")
            raise TimeoutError(f"job {self.id} is {state} after {timeout:g} s")
        return self

    def done(self) -> bool:
        return has_ended(self._latest())

    def running(self) -> bool:
        return self.state == "RUNNING"

    def cancelled(self) -> bool:
        return self.state == "CANCELLED"

    def cancel(self) -> bool:
        """Ask for the job's end. False where it has ended already."""
        if has_ended(self._document):
            return False
        reply = self._client.driver.run(value(requests.cancel(self.id)))
        self._take(reply if isinstance(reply, dict) and "state" in reply else self._fetch())
        return not has_ended(self._document) or self._document.get("state") == "CANCELLED"

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call ``fn(job)`` when the job has ended, in a background thread (at once where it has)."""
        super().add_done_callback(fn)
        self._client.watch(self)

    # ------------------------------------------------------------ looking closer

    def refresh(self) -> "Job":
        """Ask the server how the job stands."""
        self._take(self._fetch())
        return self

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """The job's events from the first on, until it ends (or the time does)."""
        return self._client.driver.iterate(flows.events(self.id, timeout_s=timeout))

    def stream_logs(self, stream: str = "stdout", *, task: int | None = None, follow: bool = True) -> Iterator[str]:
        """Lines of ``stdout``, ``stderr`` or ``both`` as they come; each has an attribute ``stream``."""
        names = ("stdout", "stderr") if stream == "both" else (stream,)
        return self._client.driver.iterate(flows.stream_lines(self.id, names, task=task, follow=follow))

    def tasks(self, state: str | None = None) -> Iterator[Task]:
        """The job's tasks, page by page."""
        return map(task_of, self._client.iterate(requests.tasks(self.id, state=state)))

    def table(self) -> Table:
        """All tasks so far: state, times, inputs that differ, outputs that are values. ``pandas.DataFrame(job.table())``."""
        return table_of(self._client.driver.run(document(requests.table(self.id, "json"))))

    def children(self) -> list["Job"]:
        """Jobs that this job's tasks submitted."""
        return [Job(child, self._client) for child in self._client.iterate(requests.children(self.id))]

    def explain(self) -> Explanation:
        """Why it waits, or why it ended so."""
        return explanation_of(self._client.driver.run(document(requests.explain(self.id))))

    @property
    def stdout(self) -> RemoteFile:
        return RemoteFile(str(self._document.get("stdout") or f"{requests.job_path(self.id)}/stdout"), self._client)

    @property
    def stderr(self) -> RemoteFile:
        return RemoteFile(str(self._document.get("stderr") or f"{requests.job_path(self.id)}/stderr"), self._client)

    def download(self, to: str | Path = ".") -> list[Path]:
        """Download all output files into a folder (of many tasks: into one for each, by number). The paths."""
        self.wait()
        client = self._client
        flow = download_outputs(self._document, Path(to), client.url, client.known_outputs, client.policy)
        return client.driver.run(flow)

    # ------------------------------------------------------------ acting on it

    def resubmit(
        self,
        *,
        _name: str | None = None,
        _version: str | None = None,
        _only: str | None = None,
        _tasks: Sequence[int] | None = None,
        **changed: Any,
    ) -> "Job":
        """A new job with these inputs changed, of the same version or (``_version="latest"``) the newest one.

        Of a job of many tasks ``_only="failed"`` takes those that failed, ``_only="not_done"`` those that were cancelled too,
        ``_tasks`` those of these numbers.
        """
        driver = self._client.driver
        inputs = driver.run(ValueUploads(self._client.limits).resolve(changed))
        request = requests.resubmit(
            self.id, key=uuid4().hex, inputs=inputs, name=_name, version=_version, only=_only, tasks=_tasks
        )
        return Job(driver.run(document(request)), self._client)

    def share(self, subject: str) -> None:
        """Let a user (``anna`` or ``user:anna``) or a group (``group:lab``) see the job."""
        self._client.send(requests.share(self.id, subject if ":" in subject else f"user:{subject}"))

    def unshare(self, subject: str) -> None:
        self._client.send(requests.unshare(self.id, subject if ":" in subject else f"user:{subject}"))

    def share_link(self) -> str:
        """An address by which anybody may see the job, until ``revoke_link``."""
        return str(self._client.driver.run(document(requests.share_link(self.id)))["url"])

    def revoke_link(self) -> None:
        self._client.send(requests.revoke_link(self.id))

    def delete(self) -> None:
        """Remove the job and its files; one that runs is cancelled first."""
        self._client.send(requests.delete(self.id))

    # ------------------------------------------------------------ inside

    def _latest(self) -> dict[str, Any]:
        if not has_ended(self._document) and time.monotonic() - self._seen_at > FRESH_S:
            self._take(self._fetch())
        return self._document

    def _fetch(self) -> dict[str, Any]:
        return self._client.driver.run(document(requests.show(self.id)))

    def _take(self, found: dict[str, Any]) -> None:
        self._document = found
        self._seen_at = time.monotonic()
        if has_ended(found) and Future.done(self) is False:
            self._settle(error_of(found))

    @property
    def is_over(self) -> bool:
        """True where the job was known to have ended when it was last looked at. Asks nobody."""
        return has_ended(self._document)

    @property
    def since(self) -> str:
        """When it was made, as the server writes times."""
        return str(self._document.get("createdAt") or self._document.get("submittedAt") or "")

    def fail(self, error: Exception) -> None:
        """End the future of the standard library without the job's end: nobody can tell any more."""
        self._settle(error)

    def _settle(self, error: Exception | None) -> None:
        try:
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(None)  # ``result`` fetches the outputs when it is asked for them
        except InvalidStateError:
            pass  # the watching thread and the caller's may both see the end

    def _fetch_outputs(self) -> Any:
        client = self._client
        known = client.known_outputs
        return client.driver.run(outputs(self._document, client.url, client.file, known, client.policy))

    @property
    def _waiters(self) -> list[Any]:
        """``concurrent.futures.wait`` and ``as_completed`` put themselves into this list: that starts the watch."""
        if not Future.done(self):
            self._client.watch(self)
        return self._waiting

    @_waiters.setter
    def _waiters(self, waiters: list[Any]) -> None:
        self._waiting = waiters
