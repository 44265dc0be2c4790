"""From where an application's code comes from to its files, in two steps: ``pin`` a ref to a commit, ``gather`` its files.

A caller that has the files of that commit already (kept with an earlier job, say) leaves the second step out.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio

from sirdar.domain.app import Code, CodeKind
from sirdar.domain.command import as_text, places, split_places
from sirdar.domain.names import path_fault, ref_fault
from sirdar.domain.problems import Problem
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.gather import Gathering, PutBlob, Resolved, gitlab_of
from sirdar.services.code.git import git_at
from sirdar.services.code.git_address import check_address, open_remote
from sirdar.services.code.sources import Commit, Sources

T = TypeVar("T")

__all__ = ["PutBlob", "Resolved", "fill_ref", "gather", "pin", "resolve"]


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
            return await gitlab_of(code, token, sources).resolve(ref)
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

    return await _in_time(Gathering(code, commit, token, sources, cache, put_blob).run, sources)


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
        hint=f"Set the application's secret {code.token_secret}, or ask the administrator for a token for that server.",
    )


async def _in_time(step: Callable[[], Awaitable[T]], sources: Sources) -> T:
    try:
        with anyio.fail_after(sources.timeout_s):
            return await step()
    except TimeoutError as error:
        raise Problem(
            "fetch_failed", f"The code did not arrive within {sources.timeout_s:g} s.", hint="Try again later."
        ) from error
