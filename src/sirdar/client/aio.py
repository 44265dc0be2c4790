"""The asynchronous twin: the same flows and requests, awaited."""

from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

import httpx

from sirdar.client import profile, wiring
from sirdar.client.app import read_options, split_options, split_sweep
from sirdar.client.driver_async import AsyncDriver
from sirdar.client.errors import JobError
from sirdar.client.exchange import Reply, Request
from sirdar.client.flows import jobs as flows
from sirdar.client.flows.basic import document, pages, sent, value
from sirdar.client.flows.batches import KnownFiles
from sirdar.client.flows.downloads import download_to
from sirdar.client.flows.publish import publish
from sirdar.client.flows.results import OutputSpecs, download_outputs, outputs
from sirdar.client.flows.uploads import UploadLimits, upload_file, upload_path
from sirdar.client.flows.values import ValueUploads
from sirdar.client.folder import find_description, read_folder
from sirdar.client.remote_file import FileView, read_bytes, size_in, uploaded_uri
from sirdar.client.requests import apps, files, jobs, people
from sirdar.client.requests.jobs import has_ended
from sirdar.client.retry import RetryPolicy
from sirdar.client.sse import Event
from sirdar.client.table import Table, table_of
from sirdar.client.views import Explanation, JobView, Published, Task, error_of, explanation_of, task_of


class AsyncFile(FileView):
    """A file on the server."""

    def __init__(self, uri: str, client: "AsyncClient") -> None:
        super().__init__(uri, client.url)
        self._client = client

    async def size(self) -> int:
        return size_in(await self._client.send(files.head(self.uri, self._client.url)))

    async def download(self, to: str | Path = ".") -> Path:
        flow = download_to(self.uri, self._client.url, self.target(to), self._client.policy)
        return await self._client.driver.run(flow)

    async def read_bytes(self) -> bytes:
        return await self._client.driver.run(read_bytes(self.uri, self._client.url, self._client.policy))

    async def members(self) -> list[dict[str, Any]]:
        return list(await self._client.driver.run(value(files.list_archive(self.uri, self._client.url))))

    async def delete(self) -> None:
        await self._client.send(files.delete(self.uri, self._client.url))


class AsyncJob(JobView):
    """A job; ``await job`` gives its outputs. Properties show the job as it was last looked at (see ``refresh``)."""

    def __init__(self, document: Mapping[str, Any], client: "AsyncClient") -> None:
        super().__init__(document)
        self._client = client

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> Any:
        """Outputs by name. Raises JobFailed, JobCancelled, or TimeoutError."""
        await self.wait(timeout)
        if (error := error_of(self._document)) is not None:
            raise error
        client = self._client
        flow = outputs(self._document, client.url, client.file, client.known_outputs, client.policy)
        return await client.driver.run(flow)

    async def exception(self, timeout: float | None = None) -> JobError | None:
        await self.wait(timeout)
        return error_of(self._document)

    async def wait(self, timeout: float | None = None) -> "AsyncJob":
        """Wait for the end, whatever it is. Raises TimeoutError."""
        if not has_ended(self._document):
            self._document = await self._client.driver.run(flows.wait(self.id, timeout))
        if not has_ended(self._document):
            raise TimeoutError(f"job {self.id} is {self._document.get('state')} after {timeout:g} s")
        return self

    async def refresh(self) -> "AsyncJob":
        self._document = await self._client.driver.run(document(jobs.show(self.id)))
        return self

    async def done(self) -> bool:
        return has_ended(self._document) or has_ended((await self.refresh())._document)

    async def cancel(self) -> bool:
        """Ask for the job's end. False where it has ended already."""
        if has_ended(self._document):
            return False
        await self._client.send(jobs.cancel(self.id))
        await self.refresh()
        return not has_ended(self._document) or self._document.get("state") == "CANCELLED"

    def events(self, timeout: float | None = None) -> AsyncIterator[Event]:
        return self._client.driver.iterate(flows.events(self.id, timeout_s=timeout))

    def stream_logs(
        self, stream: str = "stdout", *, task: int | None = None, follow: bool = True
    ) -> AsyncIterator[str]:
        names = ("stdout", "stderr") if stream == "both" else (stream,)
        return self._client.driver.iterate(flows.stream_lines(self.id, names, task=task, follow=follow))

    async def tasks(self, state: str | None = None) -> AsyncIterator[Task]:
        async for task in self._client.iterate(jobs.tasks(self.id, state=state)):
            yield task_of(task)

    async def children(self) -> list["AsyncJob"]:
        return [AsyncJob(child, self._client) async for child in self._client.iterate(jobs.children(self.id))]

    async def explain(self) -> Explanation:
        return explanation_of(await self._client.driver.run(document(jobs.explain(self.id))))

    async def download(self, to: str | Path = ".") -> list[Path]:
        """Download all output files into a folder."""
        await self.wait()
        client = self._client
        flow = download_outputs(self._document, Path(to), client.url, client.known_outputs, client.policy)
        return await client.driver.run(flow)

    async def resubmit(
        self,
        *,
        _name: str | None = None,
        _version: str | None = None,
        _only: str | None = None,
        _tasks: Sequence[int] | None = None,
        **changed: Any,
    ) -> "AsyncJob":
        driver = self._client.driver
        inputs = await driver.run(ValueUploads(self._client.limits).resolve(changed))
        request = jobs.resubmit(
            self.id, key=uuid4().hex, inputs=inputs, name=_name, version=_version, only=_only, tasks=_tasks
        )
        return AsyncJob(await driver.run(document(request)), self._client)

    async def table(self) -> Table:
        """All tasks so far; see ``sirdar.client.job.Job.table``."""
        return table_of(await self._client.driver.run(document(jobs.table(self.id, "json"))))

    async def share(self, subject: str) -> None:
        await self._client.send(jobs.share(self.id, subject))

    async def share_link(self) -> str:
        return str((await self._client.driver.run(document(jobs.share_link(self.id))))["url"])

    async def delete(self) -> None:
        await self._client.send(jobs.delete(self.id))


class AsyncApp:
    """An application by its address."""

    def __init__(self, ref: str, client: "AsyncClient") -> None:
        apps.app_path(ref)
        self.ref = ref
        self._client = client

    async def describe(self) -> dict[str, Any]:
        return await self._client.driver.run(document(apps.describe(self.ref)))

    async def run(self, /, **inputs: Any) -> AsyncJob:
        """Submit a job; arguments that begin with an underscore are options of ``submit``."""
        given, options = split_options(inputs)
        return await self.submit(given, **options)

    async def submit(
        self,
        inputs: Mapping[str, Any],
        *,
        foreach: Iterable[Mapping[str, Any]] | None = None,
        sweep: Mapping[str, Any] | None = None,
        wait: float | None = None,
        key: str | None = None,
        **options: Any,
    ) -> AsyncJob:
        """Submit a job; see ``sirdar.client.app.App.submit``."""
        flow = flows.submit(
            self.ref,
            inputs,
            read_options(options),
            key=key or uuid4().hex,
            limits=self._client.limits,
            foreach=None if foreach is None else list(foreach),
            sweep=sweep,
            wait_s=wait,
        )
        return AsyncJob(await self._client.driver.run(flow), self._client)

    async def map(self, inputs: Iterable[Mapping[str, Any]], /, **common: Any) -> AsyncJob:
        """One job with a task for each member of ``inputs``, merged over ``common``; see ``sirdar.client.app.App.map``."""
        shared, options = split_options(common)
        return await self.submit(shared, foreach=inputs, **{"on_failure": "ignore", **options})

    async def sweep(
        self,
        /,
        *,
        _where: str | Sequence[str] = (),
        _zip: bool = False,
        _inputs: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> AsyncJob:
        """One job with a task for each combination; see ``sirdar.client.app.App.sweep``."""
        given, options = split_options(inputs)
        common, sweep = split_sweep(given, where=_where, paired=_zip)
        return await self.submit({**common, **(_inputs or {})}, sweep=sweep, **options)

    def __repr__(self) -> str:
        return f"<AsyncApp {self.ref}>"


class AsyncClient:
    """Speaks to one server; use it in an ``async with`` statement."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        policy: RetryPolicy | None = None,
        limits: UploadLimits | None = None,
    ) -> None:
        self.url = profile.normal_url(url)
        self.policy = policy or RetryPolicy()
        self.limits = limits or UploadLimits()
        self.known_outputs: OutputSpecs = {}
        self.known_files: KnownFiles = {}
        self._http = httpx.AsyncClient(**wiring.settings(self.url, token))
        self.driver = AsyncDriver(self._http, self.policy)

    def app(self, ref: str) -> AsyncApp:
        return AsyncApp(ref, self)

    def apps(self, *, owner: str | None = None, text: str | None = None) -> AsyncIterator[dict[str, Any]]:
        return self.iterate(apps.listing(owner, text))

    async def publish(self, folder: str | Path = ".", *, note: str | None = None) -> Published:
        path = find_description(Path(folder))
        return await self.driver.run(publish(path.read_text(encoding="utf-8"), read_folder(path.parent), note))

    async def job(self, job_id: str) -> AsyncJob:
        return AsyncJob(await self.driver.run(document(jobs.show(job_id))), self)

    async def jobs(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[AsyncJob]:
        async for summary in self.iterate(jobs.listing(**filters), limit):
            yield AsyncJob(summary, self)

    async def upload(self, source: str | Path | BinaryIO, name: str | None = None) -> AsyncFile:
        if isinstance(source, str | Path):
            flow = upload_path(Path(source), name, self.limits)
        else:
            flow = upload_file(source, name or Path(str(getattr(source, "name", "file"))).name, self.limits)
        return self.file(uploaded_uri(await self.driver.run(flow)))

    def file(self, uri: str) -> AsyncFile:
        return AsyncFile(uri, self)

    async def me(self) -> dict[str, Any]:
        return await self.driver.run(document(people.me()))

    async def resources(self) -> list[dict[str, Any]]:
        return list(await self.driver.run(value(people.resources())))

    async def call(self, request: Request) -> Any:
        return await self.driver.run(value(request))

    async def send(self, request: Request) -> Reply:
        return await self.driver.run(sent(request))

    def iterate(self, request: Request, limit: int | None = None) -> AsyncIterator[Any]:
        return self.driver.iterate(pages(request, limit))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient {self.url}>"


def connect_async(url: str | None = None, token: str | None = None, *, insecure: bool = False) -> AsyncClient:
    """As ``connect``; the client is to be used in ``async with``."""
    target = profile.resolve(url, token, insecure=insecure)
    return AsyncClient(target.url, target.token)
