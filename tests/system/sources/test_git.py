"""Code from a real git server over smart HTTP."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sirdar.domain.app import Code, CodeKind, FileEntry
from sirdar.domain.problems import Problem
from sirdar.services.code.cache import ArchiveCache
from sirdar.services.code.git_address import open_remote
from sirdar.services.code.resolve import Resolved, pin, resolve
from sirdar.services.code.sources import Sources
from sirdar.services.outbound.addresses import AddressPolicy

pytestmark = pytest.mark.needs("git")

FILES: dict[str, bytes | str] = {
    "sirdar.yaml": b"sirdar: 1\n",
    "!run.sh": b"#!/bin/sh\n",
    "model/main.py": b"print(1)\n",
    "model/data/a.csv": b"1\n",
    "model/link.py": "main.py",
    "outside": "/etc/passwd",
}


def git_code(url: str, ref: str | None = None, **changes: Any) -> Code:
    return Code(kind=CodeKind.GIT, url=url, ref=ref, **changes)


def test_the_default_branch_comes_with_modes_links_and_version(
    repository: Any, take: Callable[..., Resolved], blobs: Any
) -> None:
    sha = repository.commit("main", FILES)
    got = take(git_code(repository.url))
    assert (got.commit, got.version) == (sha, f"main {sha[:7]}, 2026-11-20")
    assert [(f.path, f.mode) for f in got.files] == [
        ("model/data/a.csv", 0o644),
        ("model/link.py", 0o644),
        ("model/main.py", 0o644),
        ("run.sh", 0o755),
        ("sirdar.yaml", 0o644),
    ], "a link that leads out is left out, one that stays inside is its file"
    assert all(isinstance(f, FileEntry) and len(blobs.kept[f.sha256]) == f.size_bytes for f in got.files)


def test_branch_tag_commit_and_short_commit(repository: Any, take: Callable[..., Resolved]) -> None:
    old = repository.commit("main", {"v": b"1"})
    new = repository.commit("main", {"v": b"2"}, parent=old)
    feature = repository.commit("feature/x", {"v": b"3"}, parent=old)
    repository.git("tag", "light", old)
    repository.git("tag", "-a", "-m", "m", "v1.0", old)
    repository.git("tag", "both", old)
    repository.git("branch", "both", new)
    versions = {
        "main": (new, f"main {new[:7]}, 2026-11-20"),
        "feature/x": (feature, f"feature/x {feature[:7]}, 2026-11-20"),
        "light": (old, f"light {old[:7]}, 2026-11-20"),
        "v1.0": (old, f"v1.0 {old[:7]}, 2026-11-20"),
        "refs/heads/both": (new, f"both {new[:7]}, 2026-11-20"),
        "both": (old, f"both {old[:7]}, 2026-11-20"),
        old: (old, f"{old[:7]}, 2026-11-20"),
        old[:8]: (old, f"{old[:7]}, 2026-11-20"),
    }
    got = {ref: take(git_code(repository.url, ref)) for ref in versions}
    assert {ref: (r.commit, r.version) for ref, r in got.items()} == versions


def test_a_sub_folder_is_taken_and_a_missing_one_told(
    fails: Callable[..., Problem], repository: Any, take: Callable[..., Resolved]
) -> None:
    repository.commit("main", FILES)
    got = take(git_code(repository.url, "main", path="model"))
    assert [f.path for f in got.files] == ["data/a.csv", "link.py", "main.py"]
    fails(git_code(repository.url, "main", path="none"), "invalid_field", "no folder 'none'")
    fails(git_code(repository.url, "main", path="../x"), "invalid_field", "leads out")


def test_a_ref_may_be_an_input_and_is_checked_then(
    fails: Callable[..., Problem], repository: Any, take: Callable[..., Resolved]
) -> None:
    repository.commit("main", FILES)
    repository.git("branch", "release-2", "main")
    code = git_code(repository.url, "release-${version}", at_submission=True)
    assert take(code, {"version": 2}).version.startswith("release-2 ")
    for bad in ("a b", "x..y", "a\nb", "~1", "x:y", "", "a" * 300, "@{1}"):
        fails(git_code(repository.url, "${version}"), "invalid_field", values={"version": bad})
    for bad in ("-x", "--upload-pack=touch /tmp/x"):
        fails(git_code(repository.url, "${version}"), "invalid_field", values={"version": bad})
    fails(code, "invalid_field", "needs the input", values={})


def test_refs_and_repositories_that_are_not_there_are_told(fails: Callable[..., Problem], repository: Any) -> None:
    fails(git_code(repository.url), "fetch_failed", "empty")
    repository.commit("main", FILES)
    for ref in ("none", "deadbeef", "0" * 40):
        fails(git_code(repository.url, ref), "fetch_failed", f"no branch, tag or commit '{ref}'")
    fails(git_code(repository.web.url("/git/other.git")), "fetch_failed", "no such repository")


def test_a_private_repository_takes_the_token_from_a_secret(
    fails: Callable[..., Problem], repository: Any, take: Callable[..., Resolved], tmp_path: Path, sources: Sources
) -> None:
    repository.commit("main", FILES)
    repository.token = "glpat-S3cret"
    code = git_code(repository.url, "main", token_secret="TOKEN")
    assert take(code, secrets={"TOKEN": "glpat-S3cret"}).files
    fails(git_code(repository.url, "main"), "fetch_failed", "asks for a token")
    wrong = fails(code, "fetch_failed", "does not accept the token", secrets={"TOKEN": "wrong-one"})
    assert "wrong-one" not in str(wrong.to_json())
    fails(code, "invalid_field", "'TOKEN'", secrets={})
    fails(code, "invalid_field", secrets={"TOKEN": "a\nb"})
    remote = asyncio.run(open_remote(repository.url, token="glpat-S3cret", sources=sources, home=tmp_path))
    assert "S3cret" not in remote.url, "a token never stands on a command line"


def test_what_one_may_not_read_is_not_given_from_the_cache(
    fails: Callable[..., Problem], repository: Any, take: Callable[..., Resolved]
) -> None:
    sha = repository.commit("main", FILES)
    repository.token = "right"
    take(git_code(repository.url, sha, token_secret="T"), secrets={"T": "right"})
    fails(git_code(repository.url, sha), "fetch_failed")
    fails(git_code(repository.url, sha, token_secret="T"), "fetch_failed", secrets={"T": "wrong"})


def test_the_archive_of_a_commit_is_fetched_once(repository: Any, take: Callable[..., Resolved]) -> None:
    repository.commit("main", FILES)
    first = take(git_code(repository.url, "main"))
    posts = [seen for seen in repository.web.seen if seen.method == "POST"]
    repository.web.seen.clear()
    assert take(git_code(repository.url, "main")) == first
    again = [seen for seen in repository.web.seen if seen.method == "POST"]
    assert len(again) < len(posts), "the second time only the ref is asked for"


def test_concurrent_resolutions_of_a_commit_share_one_fetch(
    repository: Any, sources: Sources, cache: ArchiveCache, blobs: Any
) -> None:
    sha = repository.commit("main", FILES)

    async def many() -> list[Resolved]:
        code = git_code(repository.url, sha)
        return await asyncio.gather(
            *(resolve(code, values={}, secrets={}, sources=sources, cache=cache, put_blob=blobs.put) for _ in range(5))
        )

    assert len(set(asyncio.run(many()))) == 1
    fetches = [seen for seen in repository.web.seen if seen.method == "POST"]
    assert len(fetches) <= 2, "one fetch is a listing of refs and a pack"


def test_the_address_policy_holds_for_git_and_its_redirects(
    fails: Callable[..., Problem], repository: Any, other_web: Any, take: Callable[..., Resolved], sources: Sources
) -> None:
    repository.commit("main", FILES)
    closed = replace(sources, policy=AddressPolicy())
    fails(git_code(repository.url), "address_not_allowed", sources=closed)
    assert repository.web.seen == []
    other_web.routes["/moved.git/info/refs"] = lambda x: x.reply(
        301, location=repository.url + "/info/refs?service=git-upload-pack"
    )
    moved = other_web.url("/moved.git")
    assert take(git_code(moved, "main")).files
    only_first = replace(sources, policy=AddressPolicy(allow=(f"127.0.0.1:{other_web.port}",)))
    fails(git_code(moved, "main"), "address_not_allowed", sources=only_first)
    other_web.routes["/page/info/refs"] = lambda x: x.reply(302, location=repository.web.url("/login"))
    repository.web.routes["/login"] = lambda x: x.reply(200, b"<html>")
    fails(git_code(other_web.url("/page")), "fetch_failed", "no git repository")


def test_git_connects_to_the_address_that_was_checked(
    repository: Any, take: Callable[..., Resolved], sources: Sources
) -> None:
    async def resolve_name(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    sha = repository.commit("main", FILES)
    pinned = replace(sources, policy=AddressPolicy(allow=("127.0.0.0/8",), resolve=resolve_name))
    url = repository.url.replace("127.0.0.1", "git.nowhere.invalid")  # no resolver knows it
    assert take(git_code(url, "main"), sources=pinned).commit == sha


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c id",
        "fd::17",
        "file:///etc",
        "/etc",
        "../x",
        "git://127.0.0.1/x",
        "ftp://127.0.0.1/x",
        "http://user:pw@127.0.0.1/x.git",
        "ssh://-oProxyCommand=x/y",
        "ssh://host/",
        "a b",
        "",
    ],
)
def test_addresses_that_git_would_misuse_are_refused(fails: Callable[..., Problem], url: str) -> None:
    fails(git_code(url, "main"), "address_not_allowed")


def test_a_local_repository_is_taken_only_where_the_administrator_allows_it(
    fails: Callable[..., Problem], repository: Any, take: Callable[..., Resolved], sources: Sources
) -> None:
    sha = repository.commit("main", FILES)
    fails(git_code(str(repository.path)), "address_not_allowed")
    local = replace(sources, git_schemes=("file",))
    assert take(git_code(f"file://{repository.path}", "main"), sources=local).commit == sha
    fails(git_code(repository.url), "address_not_allowed", sources=local)


def test_code_beyond_the_limits_is_refused(fails: Callable[..., Problem], repository: Any, sources: Sources) -> None:
    repository.commit("main", {"big": os.urandom(3_000_000)})
    fails(git_code(repository.url), "too_large", sources=replace(sources, max_bytes=1_000_000))
    repository.commit("many", {f"f{number}": b"x" for number in range(20)})
    fails(git_code(repository.url, "many"), "too_large", "20 files", sources=replace(sources, max_files=10))


def test_a_server_that_never_answers_is_left_in_time(fails: Callable[..., Problem], web: Any, sources: Sources) -> None:
    web.routes["/*"] = lambda x: x.wait_for_stop(20)
    fails(git_code(web.url("/x.git")), "fetch_failed", "within 0.5 s", sources=replace(sources, timeout_s=0.5))


def test_a_server_that_stalls_in_the_middle_of_git_is_left_in_time(
    fails: Callable[..., Problem], repository: Any, sources: Sources
) -> None:
    repository.commit("main", FILES)

    def stalling(exchange: Any) -> None:
        exchange.wait_for_stop(20) if exchange.command == "POST" else repository.serve(exchange)

    repository.web.routes["/git/model.git/*"] = stalling
    fails(git_code(repository.url), "fetch_failed", "within 1 s", sources=replace(sources, timeout_s=1))


def test_names_in_a_repository_that_lead_out_are_refused(fails: Callable[..., Problem], repository: Any) -> None:
    blob = repository.git("hash-object", "-w", "--stdin", body=b"x")
    tree = repository.git("mktree", body=f"100644 blob {blob}\ta\\b\n".encode())
    commit = repository.git("commit-tree", "-m", "x", tree)
    repository.git("update-ref", "refs/heads/main", commit)
    fails(git_code(repository.url), "invalid_archive", "backslash")


def test_pinning_alone_fetches_no_files(repository: Any, sources: Sources, cache: ArchiveCache) -> None:
    sha = repository.commit("main", {"big": os.urandom(2_000_000)})
    small = replace(sources, max_bytes=200_000)
    commit = asyncio.run(pin(git_code(repository.url, "main"), values={}, secrets={}, sources=small, cache=cache))
    assert (commit.sha, commit.ref) == (sha, "main")


SSH = """#!/bin/sh
printf '%s\\n' "$@" > "{record}"
for last; do :; done
exec sh -c "$last"
"""


@pytest.mark.parametrize(
    ("form", "alias"), [("ssh://git@code.example{}", "code.example"), ("git@code.example:{}", "code.example"),
                        ("ssh://git@code.example:2222{}", "[code.example]:2222")]
)  # fmt: skip
def test_ssh_goes_to_the_checked_address_and_asks_for_the_hosts_own_key(
    repository: Any,
    take: Callable[..., Resolved],
    sources: Sources,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    alias: str,
) -> None:
    """The ``ssh`` on PATH is a script that notes its arguments and runs the command here."""

    async def resolve_name(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    sha = repository.commit("main", FILES)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/ssh"
    script.write_text(SSH.format(record=tmp_path / "record"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    pinned = replace(sources, policy=AddressPolicy(allow=("127.0.0.0/8",), resolve=resolve_name))
    assert take(git_code(form.format(repository.path), "main"), sources=pinned).commit == sha
    arguments = (tmp_path / "record").read_text().splitlines()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "HostName=127.0.0.1", f"HostKeyAlias={alias}"):
        assert f"-o{option}" in arguments
    assert "git@code.example" in arguments


def test_ssh_to_what_is_not_allowed_is_refused(fails: Callable[..., Problem], sources: Sources) -> None:
    closed = replace(sources, policy=AddressPolicy())
    fails(git_code("ssh://git@10.0.0.1/x.git", "main"), "address_not_allowed", sources=closed)
    fails(git_code("git@127.0.0.1:x.git", "main"), "address_not_allowed", sources=closed)
