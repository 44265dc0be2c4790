"""Code from plain git: a ref becomes a commit, and a commit an archive of its files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirdar.domain.problems import Problem
from sirdar.services.code.git_address import Remote
from sirdar.services.code.process import Ended, run
from sirdar.services.code.sources import Commit

_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{4,39}")
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@dataclass(frozen=True, slots=True)
class Git:
    """A remote, and a bare repository for what is fetched from it. Made by ``git_at``, used for one of its methods."""

    remote: Remote
    directory: Path
    max_bytes: int

    async def resolve(self, ref: str | None) -> Commit:
        """The commit that a tag, branch or (short) commit is now; None is the default branch. Its date is not known yet.

        Where a tag and a branch have the same name the tag counts, as in git itself.
        """
        if ref is not None and _FULL_SHA.fullmatch(ref.lower()):
            return Commit(ref.lower())
        if ref is None:
            return await self._default_branch()
        names = [ref] if ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
        found = await self._advertised([pattern for name in names for pattern in (name, name + "^{}")])
        for name in names:
            if sha := found.get(name + "^{}") or found.get(name):  # an annotated tag is an object that names a commit
                return Commit(sha, re.sub(r"^refs/(tags|heads)/", "", ref))
        if _SHORT_SHA.fullmatch(ref.lower()):
            return await self._by_short_sha(ref.lower())
        raise _unknown(ref)

    async def save_archive(self, commit: Commit, path: Path) -> None:
        """Writes a tar of all files of a commit; its members' times are the commit's."""
        await self._fetch(commit.sha)
        if (await self._try("cat-file", "-e", commit.sha + "^{commit}")).exit_code != 0:
            raise _unknown(commit.sha)
        await self._run("archive", "--format=tar", commit.sha, stdout_path=path)

    async def _default_branch(self) -> Commit:
        output = await self._run("ls-remote", "--symref", "--", self.remote.url, "HEAD")
        lines = [line.split("\t") for line in output.stdout.decode("utf-8", "replace").splitlines()]
        shas = [first for first, name in lines if name == "HEAD" and not first.startswith("ref: ")]
        branches = [
            first.removeprefix("ref: ") for first, name in lines if name == "HEAD" and first.startswith("ref: ")
        ]
        if not shas:
            raise Problem("fetch_failed", "The repository is empty, or has no default branch.", hint="Give a ref.")
        return Commit(shas[0], branches[0].removeprefix("refs/heads/") if branches else "")

    async def _advertised(self, patterns: Sequence[str]) -> Mapping[str, str]:
        output = await self._run("ls-remote", "--", self.remote.url, *patterns)
        lines = [line.split("\t") for line in output.stdout.decode("utf-8", "replace").splitlines()]
        return {line[1]: line[0] for line in lines if len(line) == 2}

    async def _by_short_sha(self, short: str) -> Commit:
        """No server resolves a short commit: all commits are fetched, without their files where the server can do that."""
        await self._fetch_everything("--filter=tree:0")
        ended = await self._try("rev-parse", "--verify", "--quiet", "--end-of-options", short + "^{commit}")
        sha = ended.stdout.decode().strip()
        if ended.exit_code != 0 or not _FULL_SHA.fullmatch(sha):
            raise _unknown(short)
        return Commit(sha)

    async def _fetch(self, sha: str) -> None:
        """The commit alone; and where the server gives no single commit, or cannot be shallow, everything."""
        ended = await self._try("fetch", "--quiet", "--no-tags", "--depth=1", "--", self.remote.url, sha)
        if ended.exit_code != 0:
            await self._fetch_everything()

    async def _fetch_everything(self, *options: str) -> None:
        await self._run("fetch", "--quiet", "--no-tags", "--force", *options, "--", self.remote.url, *_EVERYTHING)

    async def _run(self, *arguments: str, stdout_path: Path | None = None) -> Ended:
        ended = await self._try(*arguments, stdout_path=stdout_path)
        if ended.exit_code != 0:
            raise _failed(ended)
        return ended

    async def _try(self, *arguments: str, stdout_path: Path | None = None) -> Ended:
        return await run(
            ["git", f"--git-dir={self.directory}", *arguments],
            env=self.remote.env,
            stdout_path=stdout_path,
            watched=self.directory,
            max_bytes=self.max_bytes,
        )


async def git_at(directory: Path, remote: Remote, *, max_bytes: int) -> Git:
    """A ``Git`` with a new repository at ``directory``, which is the caller's to remove."""
    git = Git(remote, directory, max_bytes)
    await git._run("init", "--quiet", "--bare", "--template=", str(directory))
    return git


def _unknown(ref: str) -> Problem:
    return Problem(
        "fetch_failed",
        f"The repository has no branch, tag or commit {ref!r}.",
        field="ref",
        hint="Check its spelling, and that it was pushed.",
    )


def _failed(ended: Ended) -> Problem:
    said = [line for line in ended.stderr.splitlines() if line.startswith(("fatal: ", "error: ", "remote: "))]
    why = said[0].partition(": ")[2] if said else f"git ended with exit code {ended.exit_code}"
    return Problem(
        "fetch_failed", f"The code could not be fetched: {why[:300].rstrip('.')}.", hint="Check address, ref and token."
    )
