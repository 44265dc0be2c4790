"""Code from GitLab's REST API: a small stand-in over real HTTP that knows commits, archives, jobs and artifacts."""

import io
import json
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sirdar.domain.app import Code, CodeKind
from sirdar.domain.problems import Problem
from sirdar.services.code.resolve import Resolved

OLD, NEW = "1" * 40, "a" * 40
BASE = "/api/v4/projects/"


@dataclass
class GitLabStandIn:
    """The project ``group/sub/model``: branch main at NEW, tag v1 at OLD; ``jobs`` are (job id, commit, name, artifacts)."""

    web: Any
    token: str | None = None
    refuse_first: int = 0  # so many requests are answered with 429
    pipelines_hidden: bool = False
    refs: dict[str, str] = field(default_factory=lambda: {"main": NEW, "v1": OLD, "HEAD": NEW, "release/2": NEW})
    jobs: list[tuple[int, str, str, dict[str, bytes]]] = field(default_factory=list)
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def serve(self, x: Any) -> None:
        url = urlsplit(x.path)
        project, _, place = url.path.removeprefix(BASE).partition("/")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if len(self.web.seen) <= self.refuse_first:
            x.reply(429, b'{"message": "Too many"}', retry_after="1")
        elif self.token is not None and x.headers.get("PRIVATE-TOKEN") != self.token:
            x.reply(401 if "PRIVATE-TOKEN" in x.headers else 404, b"{}")
        elif unquote(project) != "group/sub/model" or "/" in project:
            x.reply(404, b"{}")
        else:
            self.answer(x, place, query)

    def answer(self, x: Any, place: str, query: dict[str, str]) -> None:
        parts = place.split("/")
        if place == "":
            self.json(x, {"id": 7, "default_branch": "main"})
        elif place.startswith("repository/commits/"):
            self.commit(x, unquote(parts[2]))
        elif place == "repository/archive.tar.gz":
            self.archive(x, query["sha"])
        elif place == "pipelines" and not self.pipelines_hidden:
            self.json(x, [{"id": number} for number, sha, _, _ in self.jobs if sha == query["sha"]])
        elif parts[0] == "pipelines" and parts[-1] == "jobs" and not self.pipelines_hidden:
            found = [job for job in self.jobs if str(job[0]) == parts[1]]
            self.json(x, [{"id": n, "name": name, "artifacts_file": {"filename": "a.zip"}} for n, _, name, _ in found])
        elif parts[:2] == ["jobs", "artifacts"] and parts[3] == "raw":
            sent = [job for job in self.jobs if job[2] == query["job"] and unquote(parts[2]) in self.refs]
            self.file(x, sent[0][3] if sent else {}, "/".join(parts[4:]))
        elif parts[0] == "jobs" and parts[2] == "artifacts":
            self.file(x, next(job for job in self.jobs if str(job[0]) == parts[1])[3], "/".join(parts[3:]))
        else:
            x.reply(404, b"{}")

    def commit(self, x: Any, ref: str) -> None:
        sha = self.refs.get(ref) or next((s for s in (OLD, NEW) if len(ref) >= 7 and s.startswith(ref)), None)
        if sha is None:
            x.reply(404, b'{"message": "404 Commit Not Found"}')
        else:
            self.json(
                x, {"id": sha, "short_id": sha[:8], "title": "t", "committed_date": "2026-11-20T23:30:00.000+03:00"}
            )

    def archive(self, x: Any, sha: str) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, body in self.trees.get(sha, {}).items():
                info = tarfile.TarInfo(f"model-{sha}/{name}")
                info.size, info.mode = len(body), 0o755 if name.endswith(".sh") else 0o644
                tar.addfile(info, io.BytesIO(body))
        x.reply(200, out.getvalue(), content_type="application/octet-stream")

    def file(self, x: Any, artifacts: dict[str, bytes], name: str) -> None:
        x.reply(200, artifacts[unquote(name)]) if unquote(name) in artifacts else x.reply(404, b"{}")

    def json(self, x: Any, body: Any) -> None:
        x.reply(200, json.dumps(body).encode(), content_type="application/json")


@pytest.fixture
def gitlab(web: Any) -> Iterator[GitLabStandIn]:
    made = GitLabStandIn(web)
    web.routes[BASE + "*"] = made.serve
    made.trees = {NEW: {"sirdar.yaml": b"new", "src/run.sh": b"#!"}, OLD: {"sirdar.yaml": b"old"}}
    yield made


def code_of(gitlab: GitLabStandIn, ref: str | None = None, **changes: Any) -> Code:
    return Code(
        **{"kind": CodeKind.GITLAB, "url": gitlab.web.url(""), "project": "group/sub/model", "ref": ref, **changes}
    )


Take, Fails = Callable[..., Resolved], Callable[..., Problem]


def test_branch_tag_commit_and_default_become_a_commit_with_its_date(gitlab: GitLabStandIn, take: Take) -> None:
    expected = {
        "main": (NEW, "main aaaaaaa, 2026-11-20"),
        "release/2": (NEW, "release/2 aaaaaaa, 2026-11-20"),
        "v1": (OLD, "v1 1111111, 2026-11-20"),
        OLD: (OLD, "1111111, 2026-11-20"),
        OLD[:9]: (OLD, "1111111, 2026-11-20"),
        None: (NEW, "main aaaaaaa, 2026-11-20"),
    }
    got = {ref: take(code_of(gitlab, ref)) for ref in expected}
    assert {ref: (r.commit, r.version) for ref, r in got.items()} == expected


def test_the_archives_own_folder_is_taken_off_and_modes_are_kept(gitlab: GitLabStandIn, take: Take) -> None:
    assert [(f.path, f.mode) for f in take(code_of(gitlab, "main")).files] == [
        ("sirdar.yaml", 0o644),
        ("src/run.sh", 0o755),
    ]
    assert [f.path for f in take(code_of(gitlab, "main", path="src")).files] == ["run.sh"]


def test_archives_are_cached_by_commit(gitlab: GitLabStandIn, take: Take) -> None:
    for _ in range(3):
        take(code_of(gitlab, "main"))
    assert len([seen for seen in gitlab.web.seen if "archive.tar.gz" in seen.path]) == 1
    assert len([seen for seen in gitlab.web.seen if "/commits/" in seen.path]) == 3


def test_the_private_token_is_sent_and_refusals_are_told(gitlab: GitLabStandIn, take: Take, fails: Fails) -> None:
    gitlab.token = "glpat-right"
    code = code_of(gitlab, "main", token_secret="GITLAB_TOKEN")
    assert take(code, secrets={"GITLAB_TOKEN": "glpat-right"}).files
    wrong = fails(code, "fetch_failed", "does not accept the token", secrets={"GITLAB_TOKEN": "glpat-wrong"})
    assert "glpat-wrong" not in str(wrong.to_json())
    fails(code_of(gitlab, "main"), "fetch_failed", "no such project")
    fails(code, "invalid_field", "'GITLAB_TOKEN'", secrets={})


@pytest.mark.parametrize(("status", "words"), [(403, "may not read"), (404, "no such project"), (400, "answered 400")])
def test_other_answers_are_told(gitlab: GitLabStandIn, fails: Fails, status: int, words: str) -> None:
    gitlab.web.routes[BASE + "*"] = lambda x: x.reply(status, b"{}")
    fails(code_of(gitlab, "main"), "fetch_failed", words)
    assert len(gitlab.web.seen) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"id": "../../x"}'])
def test_what_is_no_gitlab_is_told(gitlab: GitLabStandIn, fails: Fails, body: bytes) -> None:
    gitlab.web.routes[BASE + "*"] = lambda x: x.reply(200, body)
    fails(code_of(gitlab, "main"), "fetch_failed", "as GitLab's API does")


def test_a_rate_limit_is_honoured(gitlab: GitLabStandIn, take: Take, fails: Fails, sources: Any) -> None:
    gitlab.refuse_first = 1
    started = time.monotonic()
    assert take(code_of(gitlab, "main")).commit == NEW
    assert time.monotonic() - started >= 1
    gitlab.web.routes[BASE + "*"] = lambda x: x.reply(429, ratelimit_reset=str(int(time.time()) + 3600))
    assert (fails(code_of(gitlab, "main"), "fetch_failed", "asks to wait").retry_after_s or 0) > 3000


def test_an_artifact_of_exactly_the_commit_is_preferred(gitlab: GitLabStandIn, take: Take, fails: Fails) -> None:
    gitlab.jobs = [(31, OLD, "build", {"bin/solver": b"old"}), (32, NEW, "build", {"bin/solver": b"new"})]
    code = code_of(gitlab, "main", artifact="bin/solver", job="build")
    got = take(code)
    assert [(f.path, f.size_bytes, f.mode) for f in got.files] == [("solver", 3, 0o755)]
    assert got.version == "main aaaaaaa, 2026-11-20"
    assert any(seen.path.endswith("/jobs/32/artifacts/bin/solver") for seen in gitlab.web.seen)
    assert take(code_of(gitlab, OLD, artifact="bin/solver", job="build")).commit == OLD
    fails(code_of(gitlab, "main", artifact="bin/other", job="build"), "fetch_failed", "artifact")


def test_without_a_job_for_the_commit_the_branchs_latest_artifact_is_taken_and_said_so(
    gitlab: GitLabStandIn, take: Take, fails: Fails
) -> None:
    gitlab.jobs = [(31, OLD, "build", {"solver": b"old"})]
    got = take(code_of(gitlab, "main", artifact="solver", job="build"))
    assert got.version == "main aaaaaaa, 2026-11-20 (latest artifact of build)"
    fails(code_of(gitlab, NEW, artifact="solver", job="build"), "fetch_failed", "No successful job 'build'")
    gitlab.pipelines_hidden = True
    assert take(code_of(gitlab, "main", artifact="solver", job="build")).files


def test_an_artifact_that_is_an_archive_becomes_its_files(gitlab: GitLabStandIn, take: Take, fails: Fails) -> None:
    packed, bad = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app/run.py", "1")
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../run.py", "1")
    gitlab.jobs = [(5, NEW, "pack", {"dist/app.zip": packed.getvalue(), "bad.zip": bad.getvalue()})]
    got = take(code_of(gitlab, "main", artifact="dist/app.zip", job="pack", path="app"))
    assert [f.path for f in got.files] == ["run.py"]
    fails(code_of(gitlab, "main", artifact="bad.zip", job="pack"), "invalid_archive", "../run.py")


def test_an_artifact_in_an_object_store_is_fetched_without_the_token(
    gitlab: GitLabStandIn, other_web: Any, take: Take
) -> None:
    gitlab.token = "glpat-right"
    gitlab.jobs = [(5, NEW, "build", {"solver": b"x"})]
    gitlab.web.routes[f"{BASE}group%2Fsub%2Fmodel/jobs/5/artifacts/solver"] = lambda x: x.reply(
        302, location=other_web.url("/bucket/solver")
    )
    other_web.routes["/bucket/solver"] = lambda x: x.reply(200, b"stored")
    code = code_of(gitlab, "main", artifact="solver", job="build", token_secret="T")
    assert take(code, secrets={"T": "glpat-right"}).files[0].size_bytes == 6
    assert "private-token" not in {name.lower() for name in other_web.seen[0].headers}


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact": "../../../user", "job": "b"},
        {"artifact": "a"},
        {"path": "/etc"},
        {"project": "../../user"},
        {"project": None},
        {"ref": "a b"},
        {"ref": "../x"},
    ],
)
def test_descriptions_that_would_reach_elsewhere_in_the_api_are_refused(
    gitlab: GitLabStandIn, fails: Fails, changes: dict[str, Any]
) -> None:
    fails(code_of(gitlab, **{"ref": "main", **changes}), "invalid_field")
    assert gitlab.web.seen == []
