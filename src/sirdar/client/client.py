"""The blocking client."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx

from sirdar.client import profile, wiring
from sirdar.client.app import App
from sirdar.client.driver_sync import SyncDriver
from sirdar.client.exchange import Reply, Request
from sirdar.client.flows.basic import document, pages, sent, value
from sirdar.client.flows.batches import KnownFiles
from sirdar.client.flows.publish import publish
from sirdar.client.flows.results import OutputSpecs
from sirdar.client.flows.uploads import UploadLimits, upload_file, upload_path
from sirdar.client.folder import find_description, read_folder
from sirdar.client.job import Job
from sirdar.client.remote_file import RemoteFile, uploaded_uri
from sirdar.client.requests import apps, jobs, people
from sirdar.client.retry import RetryPolicy
from sirdar.client.views import Published
from sirdar.client.watcher import Watcher


class Client:
    """Speaks to one server. Safe to use from several threads; close it, or use it in a ``with`` statement."""

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
        self._http = httpx.Client(**wiring.settings(self.url, token))
        self.driver = SyncDriver(self._http, self.policy)
        self._watcher = Watcher(lambda since: self.iterate(jobs.listing(since=since or None, limit=1000)))

    # ------------------------------------------------------------ applications

    def app(self, ref: str) -> App:
        """An application by ``owner/alias``, with ``@version`` for an older one, or by id. ``me/`` is the caller."""
        return App(ref, self)

    def apps(self, *, owner: str | None = None, text: str | None = None) -> Iterator[dict[str, Any]]:
        """Applications that the caller may run, page by page."""
        return self.iterate(apps.listing(owner, text))

    def publish(self, folder: str | Path = ".", *, note: str | None = None) -> Published:
        """Publish a folder with its ``sirdar.yaml``; the same bytes again make no new version."""
        path = find_description(Path(folder))
        return self.driver.run(publish(path.read_text(encoding="utf-8"), read_folder(path.parent), note))

    # ------------------------------------------------------------ jobs

    def job(self, job_id: str) -> Job:
        """A job by its id, or by an unambiguous beginning of it (four characters or more)."""
        return Job(self.driver.run(document(jobs.show(job_id))), self)

    def jobs(self, *, limit: int | None = None, **filters: Any) -> Iterator[Job]:
        """Jobs, newest first. Filters: state, app, text, owner, since, until, parent."""
        found = self.iterate(jobs.listing(**filters), limit)
        return (Job(summary, self) for summary in found)

    # ------------------------------------------------------------ files, people, resources

    def upload(self, source: str | Path | BinaryIO, name: str | None = None) -> RemoteFile:
        """Upload a file for later use as an input; it expires where nothing uses it."""
        if isinstance(source, str | Path):
            flow = upload_path(Path(source), name, self.limits)
        else:
            flow = upload_file(source, name or Path(str(getattr(source, "name", "file"))).name, self.limits)
        return self.file(uploaded_uri(self.driver.run(flow)))

    def file(self, uri: str) -> RemoteFile:
        """A file on the server by its URI."""
        return RemoteFile(uri, self)

    def me(self) -> dict[str, Any]:
        """Who the token belongs to, with quotas and usage."""
        return self.driver.run(document(people.me()))

    def resources(self) -> list[dict[str, Any]]:
        """Machines that run jobs, and how they stand."""
        return list(self.driver.run(value(people.resources())))

    # ------------------------------------------------------------ any call

    def call(self, request: Request) -> Any:
        """Any request of ``sirdar.client.requests``; the reply's JSON."""
        return self.driver.run(value(request))

    def send(self, request: Request) -> Reply:
        """Any request; the reply as it came."""
        return self.driver.run(sent(request))

    def iterate(self, request: Request, limit: int | None = None) -> Iterator[Any]:
        """Members of a paged list."""
        return self.driver.iterate(pages(request, limit))

    def watch(self, job: Job) -> None:
        """Have the background thread settle a job's future when the job ends."""
        self._watcher.add(job)

    def close(self) -> None:
        self._watcher.close()
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.url}>"


def connect(url: str | None = None, token: str | None = None, *, insecure: bool = False) -> Client:
    """A client of the server at ``url``; without it of SIRDAR_URL's, else of the one that was signed in to last.

    ``insecure`` allows the token to travel over plain HTTP beyond this machine. Raises NotConfigured.
    """
    target = profile.resolve(url, token, insecure=insecure)
    return Client(target.url, target.token)
