"""Builders and readers, purely."""

import io
from datetime import UTC, datetime

import pytest

from sirdar.client.exchange import FilePart, Reply, Request
from sirdar.client.requests import apps, files, jobs, people
from sirdar.client.requests.address import instant, local_path, next_page
from sirdar.client.requests.jobs import Options


@pytest.mark.parametrize(
    ("request_", "method", "path", "params", "json"),
    [
        (apps.describe("me/sumsq@3"), "GET", "/api/apps/me/sumsq@3", {}, None),
        (apps.describe("7f3k2a"), "GET", "/api/apps/7f3k2a", {}, None),
        (apps.share("me/a", "group:lab", "view"), "PUT", "/api/apps/me/a/share/group:lab", {}, {"permission": "view"}),
        (apps.set_secret("me/a", "KEY", "v"), "PUT", "/api/apps/me/a/secrets/KEY", {}, {"value": "v"}),
        (apps.search("ip opt"), "GET", "/api/apps/search", {"name": "ip opt"}, None),
        (jobs.show("7f3k"), "GET", "/api/jobs/7f3k", {}, None),
        (jobs.task("7f3k", 2), "GET", "/api/jobs/7f3k/tasks/2", {}, None),
        (
            jobs.stream("7f3k", "stderr", offset=9, task=0),
            "GET",
            "/api/jobs/7f3k/stderr",
            {"offset": "9", "task": "0"},
            None,
        ),
        (jobs.delete_named("a b"), "DELETE", "/api/jobs", {"name": "a b"}, None),
        (jobs.share("7f3k", "user:anna"), "PUT", "/api/jobs/7f3k/share/user:anna", {}, {}),
        (people.add_member("lab", "anna"), "PUT", "/api/groups/lab/members/anna", {}, {}),
        (
            people.change_user("anna", {"email": None, "disabled": True}),
            "PATCH",
            "/api/users/anna",
            {},
            {"disabled": True},
        ),
        (
            people.sign_in("a", "b", "cli"),
            "POST",
            "/api/auth/access_token",
            {},
            {"username": "a", "password": "b", "label": "cli"},
        ),
        (files.start_upload("a.csv", 5), "POST", "/api/files/uploads", {}, {"filename": "a.csv", "length": 5}),
        (files.list_archive("/api/files/temp/1/a.zip", ""), "GET", "/api/files/temp/1/a.zip", {"list": "1"}, None),
    ],
)
def test_requests(request_: Request, method: str, path: str, params: dict[str, str], json: object) -> None:
    assert (request_.method, request_.path, dict(request_.params), request_.json) == (method, path, params, json)


def test_a_submission_says_only_what_was_given() -> None:
    plain = jobs.submit("me/a", {"x": 1}, Options(), key="k")
    assert plain.json == {"inputs": {"x": 1}}
    assert plain.headers == {"Idempotency-Key": "k"} and plain.may_repeat
    full = jobs.submit(
        "me/a",
        {},
        Options(
            name="n",
            on_failure="stop",
            overrides={"cpus": 2},
            debug=True,
            after=["j1"],
            retention_s=5.0,
            resources=("lab1",),
        ),
        key="k",
        foreach=[{"x": 1}],
        wait_s=30,
    )
    assert full.json == {
        "name": "n", "inputs": {}, "foreach": [{"x": 1}], "resources": ["lab1"], "onFailure": "stop",
        "overrides": {"cpus": 2}, "debug": True, "after": ["j1"], "retentionS": 5.0,
    }  # fmt: skip
    assert full.params == {"wait": "30"} and full.timeout_s == 60


@pytest.mark.parametrize("ref", ["", "a/b/c", "/a", "a/", "..", "a/.."])
def test_what_names_no_application_is_refused(ref: str) -> None:
    with pytest.raises(ValueError, match=r"names no application|cannot stand"):
        apps.describe(ref)


@pytest.mark.parametrize("name", ["a b", "ä/ö", "x?y#z", "%2e%2e", "a\nb"])
def test_names_are_quoted(name: str) -> None:
    path = files.put_temp(name, FilePart(io.BytesIO(), 0, 0)).path.removeprefix("/api/files/temp/")
    assert path.isascii() and not set(path) & set(" /?#\n")


def test_what_may_be_sent_twice() -> None:
    assert jobs.show("j").may_repeat and jobs.cancel("j").may_repeat
    assert apps.publish("d", []).may_repeat
    assert not people.create_token("ci").may_repeat and not jobs.share_link("j").may_repeat
    assert files.put_temp("a", FilePart(io.BytesIO(), 0, 5)).may_repeat
    assert not files.put_temp("a", FilePart(io.BytesIO())).may_repeat, "a pipe is read once"
    assert not files.continue_upload("u", FilePart(io.BytesIO(), 0, 5), 0).may_repeat


def test_times_are_sent_in_utc() -> None:
    since = datetime(2026, 11, 22, 6, 40, tzinfo=UTC)
    assert jobs.listing(since=since).params == {"since": "2026-11-22T06:40:00.000Z"}
    assert instant("2026-11-22T06:40:00.123Z") == datetime(2026, 11, 22, 6, 40, 0, 123000, tzinfo=UTC)
    assert instant(None) is None


def test_pages_follow_the_link_header() -> None:
    first = jobs.listing(limit=2)
    reply = Reply(
        200, {"link": '<https://x/api/jobs?limit=2>; rel="prev", <https://x/api/jobs?limit=2&after=c%2F1>; rel="next"'}
    )
    following = next_page(first, reply)
    assert following is not None and following.path == "/api/jobs?limit=2&after=c%2F1"
    assert next_page(first, Reply(200, {})) is None


def test_addresses_of_other_servers_are_refused() -> None:
    assert local_path("/api/files/a?x=1") == "/api/files/a?x=1"
    assert local_path("https://here/api/files/a", "https://here") == "/api/files/a"
    for uri in ("https://there/api/files/a", "//there/a", "file:///etc/passwd", "relative"):
        with pytest.raises(ValueError, match="not an address"):
            local_path(uri, "https://here")


def test_a_piece_of_a_stream_says_whether_there_is_more() -> None:
    piece = jobs.read_stream_piece(Reply(200, {"sirdar-size": "9", "sirdar-complete": "false"}, b"abc"), 4)
    assert (piece.content, piece.size_bytes, piece.complete) == (b"abc", 9, False)
    whole = jobs.read_stream_piece(Reply(200, {}, b"abc"), 4)
    assert (whole.size_bytes, whole.complete) == (7, True)
