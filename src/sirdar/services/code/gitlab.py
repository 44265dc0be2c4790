"""Code from GitLab's REST API, version 4: a ref's commit, the archive of a commit, an artifact of a CI job."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sirdar.domain.problems import Problem
from sirdar.services.code.sources import Commit, Sources
from sirdar.services.outbound.fetch import FileSink, open_get, read_body
from sirdar.services.outbound.retry import raise_if_transient, with_retries
from sirdar.services.outbound.transport import http_client

T = TypeVar("T")

IDLE_TIMEOUT_S = 30.0
JSON_BYTES = 4 * 2**20
PIPELINES = 5
PAGES_OF_JOBS = 10

_SHA = re.compile(r"[0-9a-f]{4,64}")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Commit(_Answer):
    id: str
    committed_date: datetime | None = None


class _Project(_Answer):
    default_branch: str | None = None


class _Pipeline(_Answer):
    id: int


class _Job(_Answer):
    id: int
    name: str
    artifacts_file: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GitLab:
    """One project on a GitLab server. ``token`` is a private one (personal, group or project), or None.

    All methods honour rate limits, under the caller's deadline, and raise Problem ``fetch_failed``, ``address_not_allowed``
    or ``too_large``.
    """

    url: str
    project: str  # path (group/name) or number
    token: str | None
    sources: Sources

    async def resolve(self, ref: str | None) -> Commit:
        """The commit that a branch, tag or (short) commit is now; None is the default branch."""
        if ref is None:
            ref = (await self._get("", _Project)).default_branch
        if ref is None:
            raise Problem("fetch_failed", f"The project {self.project} is empty.", hint="Give a ref.")
        found = await self._get(f"/repository/commits/{_quoted(ref)}", _Commit)
        if not _SHA.fullmatch(found.id):
            raise self._unreadable()
        at = found.committed_date
        by_commit = _SHA.fullmatch(ref.lower()) and found.id.startswith(ref.lower())
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() if at is not None else None
        return Commit(found.id, "" if by_commit else ref, seconds)

    async def save_archive(self, commit: Commit, path: Path) -> None:
        """Writes the tar.gz of a commit; all its members lie in one folder that GitLab names."""
        await self._save(f"/repository/archive.tar.gz?{urlencode({'sha': commit.sha})}", path)

    async def find_job(self, commit: Commit, job: str) -> int | None:
        """The newest successful CI job of that name that ran for exactly this commit and kept artifacts, or None."""
        try:
            query = urlencode({"sha": commit.sha, "per_page": PIPELINES})
            pipelines = await self._get(f"/pipelines?{query}", list[_Pipeline])
            for pipeline in pipelines[:PIPELINES]:
                if (found := await self._job_of(pipeline.id, job)) is not None:
                    return found
        except _NotFound:
            pass  # pipelines may be hidden from a token that may still read artifacts
        return None

    async def save_artifact_of(self, job_id: int, artifact: str, path: Path) -> None:
        """Writes one file of the artifacts of a CI job."""
        await self._save(f"/jobs/{job_id}/artifacts/{_quoted(artifact, safe='/')}", path)

    async def save_latest_artifact(self, ref: str, job: str, artifact: str, path: Path) -> None:
        """Writes one file of the artifacts of the last successful pipeline of a branch or tag."""
        place = f"/jobs/artifacts/{_quoted(ref)}/raw/{_quoted(artifact, safe='/')}"
        await self._save(f"{place}?{urlencode({'job': job})}", path)

    async def _job_of(self, pipeline: int, job: str) -> int | None:
        for page in range(1, PAGES_OF_JOBS + 1):
            query = urlencode({"scope[]": "success", "per_page": 100, "page": page})
            jobs = await self._get(f"/pipelines/{pipeline}/jobs?{query}", list[_Job])
            for found in jobs:
                if found.name == job and found.artifacts_file:
                    return found.id
            if len(jobs) < 100:
                break
        return None

    async def _get(self, place: str, kind: type[T]) -> T:
        async def attempt() -> bytes:
            async with self._answer(client, place) as response:
                return b"".join([chunk async for chunk in read_body(response, max_bytes=JSON_BYTES)])

        async with self._client() as client:
            body = await with_retries(attempt)
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValidationError as error:
            raise self._unreadable() from error

    async def _save(self, place: str, path: Path) -> None:
        async def attempt() -> None:
            with FileSink(path) as sink:
                async with self._answer(client, place) as response:
                    async for chunk in read_body(response, max_bytes=self.sources.max_bytes, keep_gzip=True):
                        await sink.write(chunk)

        async with self._client() as client:
            await with_retries(attempt)

    def _client(self) -> httpx.AsyncClient:
        return http_client(self.sources.policy, timeout_s=IDLE_TIMEOUT_S, tls=self.sources.tls())

    @asynccontextmanager
    async def _answer(self, client: httpx.AsyncClient, place: str) -> AsyncIterator[httpx.Response]:
        url = f"{self.url.rstrip('/')}/api/v4/projects/{_quoted(self.project)}{place}"
        async with open_get(client, url, headers=self._headers()) as response:
            raise_if_transient(response)
            if response.status_code != 200:
                raise self._no_answer(response)
            yield response

    def _headers(self) -> Mapping[str, str]:
        if self.token is None:
            return {}
        if not self.token.isascii() or not self.token.isprintable():
            raise Problem("invalid_field", "The token holds characters that no token has.", hint="Set the secret anew.")
        return {"PRIVATE-TOKEN": self.token}

    def _no_answer(self, response: httpx.Response) -> Problem:
        host, status = response.url.host, response.status_code
        if status == 401:
            why = "does not accept the token" if self.token else "asks for a token"
            return Problem("fetch_failed", f"{host} {why} (it answered 401).", hint="Check the secret with the token.")
        if status == 403:
            hint = "The token needs the scope read_api."
            return Problem("fetch_failed", f"The token may not read {self.project} on {host} (403).", hint=hint)
        if status == 404:
            detail = f"{host} has no such project, ref, job or artifact in {self.project}, or does not show it (404)."
            return _NotFound("fetch_failed", detail, hint="Check their names; a private project needs a token.")
        return Problem("fetch_failed", f"{host} answered {status} for {self.project}.", hint="Check the address.")

    def _unreadable(self) -> Problem:
        detail = f"{self.url} does not answer as GitLab's API does."
        return Problem("fetch_failed", detail, hint="Check that it is the address of a GitLab server.")


class _NotFound(Problem):
    """GitLab's 404: it is not there, or the token may not see it."""


def _quoted(text: str, *, safe: str = "") -> str:
    return quote(text, safe=safe)
