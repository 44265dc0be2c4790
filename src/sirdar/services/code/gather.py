"""The files of a commit or of a CI job's artifact, from the cache or their server, into the blob store."""

import functools
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from sirdar.domain.app import Code, CodeKind, FileEntry
from sirdar.domain.problems import Problem
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.git import git_at
from sirdar.services.code.git_address import open_remote
from sirdar.services.code.gitlab import GitLab
from sirdar.services.code.sources import Commit, Sources
from sirdar.wire.archive_formats import open_archive
from sirdar.wire.archives import Limits, unpack, walk

PutBlob = Callable[[Path], Awaitable[tuple[str, int]]]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DEFAULT_GITLAB = "https://gitlab.com"


@dataclass(frozen=True, slots=True)
class Resolved:
    """An application's code at one commit. ``version`` is for people; ``files`` are in the blob store, ordered by path."""

    commit: str
    version: str
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class Gathering:
    """One commit's files on their way. ``put_blob`` keeps a file's bytes and gives their sha256 and size."""

    code: Code
    commit: Commit
    token: str | None
    sources: Sources
    cache: ArchiveCache
    put_blob: PutBlob

    async def run(self) -> Resolved:
        """All files of the commit or below ``code.path``, or the artifact's."""
        return await (self._artifact() if self.code.artifact is not None else self._tree())

    async def _tree(self) -> Resolved:
        async with self.cache.borrowed(self._key(self.commit.sha), self._save_archive) as archive:
            at = self.commit.committed_at
            if at is None:  # the archive's members have the commit's time
                at = await anyio.to_thread.run_sync(_time_of, archive, self._limits)
            async with self._unpacked(archive) as root:
                around = self.code.kind is CodeKind.GITLAB
                inside = await anyio.to_thread.run_sync(_only_folder, root) if around else root
                files = await self._put_all(inside)
        return Resolved(self.commit.sha, Commit(self.commit.sha, self.commit.ref, at).version, files)

    async def _save_archive(self, path: Path) -> None:
        if self.code.kind is CodeKind.GITLAB:
            await gitlab_of(self.code, self.token, self.sources).save_archive(self.commit, path)
            return
        async with self.cache.scratch() as work:
            await anyio.Path(work).mkdir()
            remote = await open_remote(self.code.url or "", token=self.token, sources=self.sources, home=work)
            git = await git_at(work / "git", remote, max_bytes=self.sources.max_bytes)
            await git.save_archive(self.commit, path)

    async def _artifact(self) -> Resolved:
        """Of exactly this commit if the job has run for it, else the latest of the branch or tag."""
        project, commit = gitlab_of(self.code, self.token, self.sources), self.commit
        job, artifact = self.code.job or "", self.code.artifact or ""
        job_id = await project.find_job(commit, job)
        if job_id is not None:
            key = self._key(f"{commit.sha} {job_id} {artifact}")
            async with self.cache.borrowed(key, lambda path: project.save_artifact_of(job_id, artifact, path)) as path:
                return Resolved(commit.sha, commit.version, await self._artifact_files(path))
        if not commit.ref:
            raise Problem(
                "fetch_failed",
                f"No successful job {job!r} with artifacts has run for the commit {commit.sha[:12]}.",
                hint="Give a branch or tag, or run the pipeline for that commit.",
            )
        async with self.cache.scratch() as path:
            await project.save_latest_artifact(commit.ref, job, artifact, path)
            files = await self._artifact_files(path)
        # It may be of an earlier commit of the branch, so it must not pass for this one.
        return Resolved(commit.sha, f"{commit.version} (latest artifact of {job})", files)

    async def _artifact_files(self, path: Path) -> tuple[FileEntry, ...]:
        """An archive becomes its files, anything else one file that may be executed: GitLab does not say whether it may."""
        name = (self.code.artifact or "").rpartition("/")[2]
        if not name.lower().endswith(ARCHIVE_SUFFIXES):
            return (FileEntry(name, *await self.put_blob(path), mode=0o755),)
        async with self._unpacked(path) as root:
            return await self._put_all(root)

    @asynccontextmanager
    async def _unpacked(self, archive: Path) -> AsyncIterator[Path]:
        async with self.cache.scratch() as target:
            unpacking = functools.partial(unpack, archive, target, self._limits, outward_links="skip")
            await anyio.to_thread.run_sync(unpacking)
            yield target

    async def _put_all(self, root: Path) -> tuple[FileEntry, ...]:
        entries = await anyio.to_thread.run_sync(walk, _sub_folder(root, self.code.path))
        sources = [(entry, entry.source) for entry in entries if isinstance(entry.source, Path)]
        if not sources:
            raise Problem(
                "fetch_failed", "There are no files in the code that was fetched.", hint="Check ref and path."
            )
        if len(sources) > self.sources.max_files:
            raise Problem("too_large", f"The code has {len(sources)} files; {self.sources.max_files} are accepted.")
        files = []
        for entry, path in sources:
            sha256, size = await self.put_blob(path)
            files.append(FileEntry(entry.name, sha256, size, 0o755 if entry.mode & 0o100 else 0o644))
        return tuple(files)

    @property
    def _limits(self) -> Limits:
        # The code may lie in a sub-folder of a repository with far more files.
        return Limits(members=10 * self.sources.max_files, total_bytes=self.sources.max_bytes)

    def _key(self, what: str) -> str:
        """Name of an archive in the cache. The token is part of it: who cannot read a project gets nothing from the cache."""
        parts = [self.code.kind.value, self.code.url or "", self.code.project or "", self.token or "", what]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def gitlab_of(code: Code, token: str | None, sources: Sources) -> GitLab:
    """The project that the code lies in."""
    return GitLab(code.url or DEFAULT_GITLAB, code.project or "", token, sources)


def _only_folder(root: Path) -> Path:
    """The folder that GitLab puts around everything."""
    children = list(root.iterdir())
    return children[0] if len(children) == 1 and children[0].is_dir() and not children[0].is_symlink() else root


def _sub_folder(root: Path, path: str | None) -> Path:
    folder = root / path if path else root
    if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()):
        return folder
    raise Problem("invalid_field", f"There is no folder {path!r} in the code that was fetched.", field="path")


def _time_of(archive: Path, limits: Limits) -> float | None:
    with open_archive(archive, limits) as opened:
        return next((entry.modified for entry in opened.entries()), None)
