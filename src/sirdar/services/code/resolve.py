"""From where an application's code comes from to its files, in two steps: ``pin`` a ref to a commit, ``gather`` its files.

A caller that has the files of that commit already (kept with an earlier job, say) leaves the second step out.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from sirdar.domain.app import Code, CodeKind, FileEntry
from sirdar.domain.command import as_text, places, split_places
from sirdar.domain.names import path_fault, ref_fault
from sirdar.domain.problems import Problem
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.git import git_at
from sirdar.services.code.git_address import check_address, open_remote
from sirdar.services.code.gitlab import GitLab
from sirdar.services.code.sources import Commit, Sources
from sirdar.wire.archive_formats import open_archive
from sirdar.wire.archives import Limits, unpack, walk

T = TypeVar("T")
PutBlob = Callable[[Path], Awaitable[tuple[str, int]]]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DEFAULT_GITLAB = "https://gitlab.com"


@dataclass(frozen=True, slots=True)
class Resolved:
    """An application's code at one commit. ``version`` is for people; ``files`` are in the blob store, ordered by path."""

    commit: str
    version: str
    files: tuple[FileEntry, ...]


async def resolve(
    code: Code,
    *,
    values: Mapping[str, Any],
    secrets: Mapping[str, str],
    sources: Sources,
    cache: ArchiveCache,
    put_blob: PutBlob,
) -> Resolved:
    """Both steps: what ``code`` of kind GIT or GITLAB is now.

    ``values`` are checked inputs, for a ref such as ``${version}``; ``secrets`` has the private token under the name that
    ``code.token_secret`` says. Problem: ``invalid_field`` (ref, token, path), ``address_not_allowed``, ``fetch_failed``,
    ``too_large``, ``invalid_archive``.
    """
    commit = await pin(code, values=values, secrets=secrets, sources=sources, cache=cache)
    return await gather(code, commit, secrets=secrets, sources=sources, cache=cache, put_blob=put_blob)


async def pin(
    code: Code, *, values: Mapping[str, Any], secrets: Mapping[str, str], sources: Sources, cache: ArchiveCache
) -> Commit:
    """The commit that the ref names at this moment: one or two short requests."""
    ref, token = fill_ref(code, values), _token(code, secrets)
    _check(code, sources)

    async def found() -> Commit:
        if code.kind is CodeKind.GITLAB:
            return await _gitlab(code, token, sources).resolve(ref)
        async with cache.scratch() as work:
            await anyio.Path(work).mkdir()
            remote = await open_remote(code.url or "", token=token, sources=sources, home=work)
            return await (await git_at(work / "git", remote, max_bytes=sources.max_bytes)).resolve(ref)

    return await _in_time(found, sources)


async def gather(
    code: Code,
    commit: Commit,
    *,
    secrets: Mapping[str, str],
    sources: Sources,
    cache: ArchiveCache,
    put_blob: PutBlob,
) -> Resolved:
    """The files of a commit, each put into the blob store by ``put_blob``. The archive comes from the cache if it is there."""
    token = _token(code, secrets)
    _check(code, sources)

    async def gathered() -> Resolved:
        if code.artifact is not None:
            return await _artifact(code, commit, token, sources, cache, put_blob)
        return await _tree(code, commit, token, sources, cache, put_blob)

    return await _in_time(gathered, sources)


def fill_ref(code: Code, values: Mapping[str, Any]) -> str | None:
    """The ref with its inputs' values in it; None where there is none. Problem ``invalid_field`` if git could not take it."""
    if code.ref is None:
        return None
    for name in places(code.ref):
        if values.get(name) is None:
            raise Problem("invalid_field", f"The ref {code.ref!r} needs the input {name!r}.", field=name)
    parts = [part if isinstance(part, str) else as_text(values[part.name]) for part in split_places(code.ref)]
    ref = "".join(parts)
    if fault := ref_fault(ref):
        raise Problem(
            "invalid_field", f"The ref {ref[:200]!r} {fault}.", field="ref", expected="a commit, branch or tag"
        )
    return ref


async def _tree(
    code: Code, commit: Commit, token: str | None, sources: Sources, cache: ArchiveCache, put_blob: PutBlob
) -> Resolved:
    """All files of the commit, or those below ``code.path``."""

    async def produce(path: Path) -> None:
        if code.kind is CodeKind.GITLAB:
            await _gitlab(code, token, sources).save_archive(commit, path)
            return
        async with cache.scratch() as work:
            await anyio.Path(work).mkdir()
            remote = await open_remote(code.url or "", token=token, sources=sources, home=work)
            git = await git_at(work / "git", remote, max_bytes=sources.max_bytes)
            await git.save_archive(commit, path)

    async with cache.borrowed(_key(code, token, commit.sha), produce) as archive:
        at = commit.committed_at
        if at is None:  # the archive's members have the commit's time
            at = await anyio.to_thread.run_sync(_time_of, archive, sources)
        async with _unpacked(archive, sources, cache) as root:
            inside = await anyio.to_thread.run_sync(_only_folder, root) if code.kind is CodeKind.GITLAB else root
            files = await _put_all(_sub_folder(inside, code.path, commit), put_blob)
    return Resolved(commit.sha, Commit(commit.sha, commit.ref, at).version, files)


async def _artifact(
    code: Code, commit: Commit, token: str | None, sources: Sources, cache: ArchiveCache, put_blob: PutBlob
) -> Resolved:
    """What a CI job made: of exactly this commit if the job has run for it, else the latest of the branch or tag."""
    project, job, artifact = _gitlab(code, token, sources), code.job or "", code.artifact or ""
    job_id = await project.find_job(commit, job)
    if job_id is not None:
        key = _key(code, token, f"{commit.sha} {job_id} {artifact}")
        async with cache.borrowed(key, lambda path: project.save_artifact_of(job_id, artifact, path)) as path:
            return Resolved(commit.sha, commit.version, await _artifact_files(code, path, sources, cache, put_blob))
    if not commit.ref:
        raise Problem(
            "fetch_failed",
            f"No successful job {job!r} with artifacts has run for the commit {commit.sha[:12]}.",
            hint="Give a branch or tag, or run the pipeline for that commit.",
        )
    async with cache.scratch() as path:
        await project.save_latest_artifact(commit.ref, job, artifact, path)
        files = await _artifact_files(code, path, sources, cache, put_blob)
    # It may be of an earlier commit of the branch, so it must not pass for this one.
    return Resolved(commit.sha, f"{commit.version} (latest artifact of {job})", files)


async def _artifact_files(
    code: Code, path: Path, sources: Sources, cache: ArchiveCache, put_blob: PutBlob
) -> tuple[FileEntry, ...]:
    """An archive becomes its files, anything else one file that may be executed, for GitLab does not say whether it may."""
    name = (code.artifact or "").rpartition("/")[2]
    if not name.lower().endswith(ARCHIVE_SUFFIXES):
        return (FileEntry(name, *await put_blob(path), mode=0o755),)
    async with _unpacked(path, sources, cache) as root:
        return await _put_all(_sub_folder(root, code.path, None), put_blob)


@asynccontextmanager
async def _unpacked(archive: Path, sources: Sources, cache: ArchiveCache) -> AsyncIterator[Path]:
    async with cache.scratch() as target:
        await anyio.to_thread.run_sync(unpack, archive, target, _limits(sources))
        yield target


async def _put_all(root: Path, put_blob: PutBlob) -> tuple[FileEntry, ...]:
    files = []
    for entry in await anyio.to_thread.run_sync(walk, root):
        if isinstance(entry.source, Path):
            sha256, size = await put_blob(entry.source)
            files.append(FileEntry(entry.name, sha256, size, 0o755 if entry.mode & 0o100 else 0o644))
    if not files:
        raise Problem("fetch_failed", "There are no files in the code that was fetched.", hint="Check ref and path.")
    return tuple(files)


def _only_folder(root: Path) -> Path:
    """The folder that GitLab puts around everything."""
    children = list(root.iterdir())
    return children[0] if len(children) == 1 and children[0].is_dir() and not children[0].is_symlink() else root


def _sub_folder(root: Path, path: str | None, commit: Commit | None) -> Path:
    folder = root / path if path else root
    if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()):
        return folder
    where = f"the commit {commit.sha[:12]}" if commit is not None else "the artifact"
    raise Problem("invalid_field", f"There is no folder {path!r} in {where}.", field="path")


def _check(code: Code, sources: Sources) -> None:
    """What the description was checked for is checked again where it is used: descriptions come from many places."""
    for name, text in (("path", code.path), ("artifact", code.artifact)):
        if text is not None and (fault := path_fault(text)):
            raise Problem("invalid_field", f"{text[:200]!r} {fault}.", field=name)
    if code.kind is CodeKind.GIT:
        check_address(code.url or "", sources)
    elif code.kind is not CodeKind.GITLAB:
        raise ValueError(f"code of kind {code.kind} is not fetched")
    elif not code.project or ".." in code.project.split("/"):
        raise Problem("invalid_field", "The project's path or number is missing.", field="project")
    elif (code.artifact is None) != (code.job is None):
        raise Problem("invalid_field", "An artifact is named by its path and its job.", field="artifact")


def _token(code: Code, secrets: Mapping[str, str]) -> str | None:
    if code.token_secret is None:
        return None
    if token := secrets.get(code.token_secret):
        return token
    raise Problem(
        "invalid_field",
        f"The secret {code.token_secret!r} with the token for the code is not set.",
        field=code.token_secret,
        hint=f"Set the application's secret {code.token_secret}.",
    )


def _gitlab(code: Code, token: str | None, sources: Sources) -> GitLab:
    return GitLab(code.url or DEFAULT_GITLAB, code.project or "", token, sources)


def _key(code: Code, token: str | None, what: str) -> str:
    """The name of an archive in the cache. The token is part of it: who cannot read a project gets nothing from the cache."""
    parts = [code.kind.value, code.url or "", code.project or "", token or "", what]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _time_of(archive: Path, sources: Sources) -> float | None:
    with open_archive(archive, _limits(sources)) as opened:
        return next((entry.modified for entry in opened.entries()), None)


def _limits(sources: Sources) -> Limits:
    return Limits(members=2 * sources.max_files, total_bytes=sources.max_bytes)


async def _in_time(step: Callable[[], Awaitable[T]], sources: Sources) -> T:
    try:
        with anyio.fail_after(sources.timeout_s):
            return await step()
    except TimeoutError as error:
        raise Problem(
            "fetch_failed", f"The code did not arrive within {sources.timeout_s:g} s.", hint="Try again later."
        ) from error
