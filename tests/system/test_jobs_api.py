"""Jobs over REST, through the real product: submit, wait, lists, log, cancel, delete, resubmit, share, secrets, debug."""

import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.system.product import PASSWORD, Product, await_that, problem

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ECHO = {"text": {"type": "string", "default": "hello"}, "code": {"type": "integer", "default": 0}}


@pytest.fixture(scope="module")
def apps(sirdar: Product) -> Product:
    """Small applications of the administrator's."""
    said = {"said": {"type": "string", "from": "stdout"}}
    sirdar.publish("echo", "echo ${text}", inputs=ECHO, outputs=said)
    sirdar.publish("fail", 'echo "$text"; echo bad >&2; exit ${code}', shell=True, inputs=ECHO, outputs=said)
    sirdar.publish("sleep", "sleep ${seconds}", inputs={"seconds": {"type": "number", "default": 60}})
    sirdar.publish(
        "sum",
        'awk "{ s += \\$1 } END { print s }" "$data" > sum.txt; cp "$data" copy.csv',
        shell=True,
        inputs={"data": {"type": "file", "suffixes": [".csv"], "required": True}},
        outputs={"total": {"type": "number", "from": "sum.txt"}, "copy": {"type": "file", "from": "copy.csv"}},
    )
    return sirdar


# ---------------------------------------------------------------- submit and wait


def test_a_job_is_made_and_shown_whole(apps: Product) -> None:
    reply = apps.admin.post("/api/apps/me/echo", json={"name": "first", "inputs": {"text": "да"}})
    assert reply.status_code == 201
    made = reply.json()
    assert reply.headers["location"] == f"/api/jobs/{made['id']}"
    assert (made["name"], made["state"], made["owner"], made["app"]) == ("first", "READY", "admin", "admin/echo")
    job = apps.ended(made["id"])
    assert job["state"] == "DONE", job
    assert job["result"] == {"said": "да"}
    assert job["inputs"] == {"text": "да", "code": 0}
    for name in ("createdAt", "submittedAt", "readyAt", "startedAt", "endedAt"):
        assert UTC.fullmatch(job[name]), (name, job[name])
    assert job["createdAt"] <= job["readyAt"] <= job["startedAt"] <= job["endedAt"]
    assert job["waitS"] >= 0
    assert job["runS"] >= 0
    assert job["outcome"] == {"reason": "ok", "message": "", "exitCode": 0, "fault": "nobody"}
    assert job["tasks"] == {"total": 1, "waiting": 0, "queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
    assert job["stats"]["maxRssBytes"] > 0
    assert job["resource"] == {"id": apps.admin.get("/api/resources").json()[0]["id"], "name": "local"}
    assert job["url"] == f"{apps.url}/jobs/{job['id']}"
    assert apps.admin.get(job["stdout"]).text == "да\n"
    assert apps.admin.get(job["stderr"]).text == ""
    missing = {"appId", "appAlias", "appVersion", "codeVersion", "info", "statusMessage", "progress", "metrics"} - set(
        job
    )
    assert not missing
    # What POST answered and what GET shows are one shape.
    assert set(made) <= set(job)


@pytest.mark.parametrize("wait", [0.05, 30])
def test_wait_answers_with_the_end_or_with_what_there_is(apps: Product, wait: float) -> None:
    began = time.monotonic()
    reply = apps.admin.post(f"/api/apps/me/sleep?wait={wait}", json={"inputs": {"seconds": 1.5}})
    took_s = time.monotonic() - began
    assert reply.status_code == 201
    state = reply.json()["state"]
    if wait < 1:
        assert state in {"READY", "RUNNING"}
        assert took_s < 1.4
        assert apps.ended(reply.json()["id"])["state"] == "DONE"
    else:
        assert state == "DONE"
        assert took_s >= 1.4


def test_a_job_is_found_by_a_part_of_its_id(apps: Product) -> None:
    job = apps.run("me/echo")
    assert apps.job(job["id"][:8])["id"] == job["id"]
    problem(apps.admin.get(f"/api/jobs/{job['id'][:3]}"), 404, "not_found")


def test_a_failed_job_says_why_and_keeps_what_it_made(apps: Product) -> None:
    job = apps.run("me/fail", {"text": "partial", "code": 3}, state="FAILED")
    assert job["outcome"]["reason"] == "exit_code"
    assert job["outcome"]["exitCode"] == 3
    assert job["outcome"]["fault"] != "nobody"
    assert "3" in job["info"]
    assert job["result"] == {"said": "partial"}
    assert apps.admin.get(job["stderr"]).text == "bad\n"
    why = apps.admin.get(f"/api/jobs/{job['id']}/explain").json()
    assert why["state"] == "FAILED"
    assert "exit" in why["summary"]
    assert why["why"]


def test_a_file_goes_in_and_files_come_out(apps: Product) -> None:
    uri = apps.upload("numbers.csv", b"1\n2\n39\n")
    job = apps.run("me/sum", {"data": uri})
    assert job["result"]["total"] == 42
    copy = job["result"]["copy"]
    assert copy == f"/api/files/jobs/{job['id']}/copy.csv"
    got = apps.admin.get(copy)
    assert got.content == b"1\n2\n39\n"
    part = apps.admin.get(copy, headers={"range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"2\n")
    assert apps.admin.get(copy, headers={"if-none-match": got.headers["etag"]}).status_code == 304
    assert apps.admin.get(job["inputs"]["data"]).content == b"1\n2\n39\n"
    problem(apps.admin.get(f"/api/files/jobs/{job['id']}/other.csv"), 404, "not_found")


# ---------------------------------------------------------------- idempotency


def test_a_repeated_key_gives_the_same_job(apps: Product) -> None:
    key = {"idempotency-key": "replay-1"}
    first = apps.admin.post("/api/apps/me/echo", json={"inputs": {"text": "a"}}, headers=key)
    again = apps.admin.post("/api/apps/me/echo", json={"inputs": {"text": "a"}}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    waited = apps.admin.post("/api/apps/me/echo?wait=30", json={"inputs": {"text": "a"}}, headers=key)
    assert (waited.status_code, waited.json()["state"]) == (200, "DONE")


def test_a_key_with_another_body_is_refused(apps: Product) -> None:
    key = {"idempotency-key": "mismatch-1"}
    first = apps.admin.post("/api/apps/me/echo", json={"inputs": {"text": "a"}}, headers=key).json()
    before = apps.counts()
    reply = apps.admin.post("/api/apps/me/echo", json={"inputs": {"text": "b"}}, headers=key)
    assert first["id"] in problem(reply, 422, "idempotency_mismatch", "Idempotency-Key")["detail"]
    reply = apps.admin.post("/api/apps/me/fail", json={"inputs": {"text": "a"}}, headers=key)
    problem(reply, 422, "idempotency_mismatch")
    assert apps.counts()["jobs"] == before["jobs"]


def test_a_key_is_its_users_own(apps: Product) -> None:
    apps.publish("open", "echo hi")
    assert apps.admin.put("/api/apps/me/open/share/everyone", json={"permission": "run"}).status_code == 200
    key = {"idempotency-key": "shared-key"}
    mine = apps.admin.post("/api/apps/admin/open", json={}, headers=key).json()
    theirs = apps.user("ivan").post("/api/apps/admin/open", json={}, headers=key)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine["id"]


def test_a_key_sent_many_times_at_once_makes_one_job(apps: Product) -> None:
    def send(_: int) -> httpx.Response:
        with apps.client(apps.admin.headers["authorization"][7:]) as client:
            return client.post("/api/apps/me/echo", json={"name": "at once"}, headers={"idempotency-key": "at-once"})

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(send, range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 7 + [201]
    assert len({reply.json()["id"] for reply in replies}) == 1


# ---------------------------------------------------------------- lists


def walk(client: httpx.Client, address: str) -> list[list[dict[str, Any]]]:
    """All pages of a list, by their Link headers."""
    pages = []
    while address:
        reply = client.get(address)
        assert reply.status_code == 200, reply.text
        pages.append(reply.json())
        link = reply.headers.get("link", "")
        assert re.fullmatch(r'(<[^<>]+>; rel="next")?', link)
        address = link[1 : link.index(">")] if link else ""
    return pages


def test_lists_are_paged_by_links_and_lose_nothing(apps: Product) -> None:
    made = [apps.submit("me/echo", name="paged")["id"] for _ in range(7)]
    pages = walk(apps.admin, "/api/jobs?name=paged&limit=3")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job["id"] for page in pages for job in page] == made[::-1]
    assert "inputs" not in pages[0][0]
    assert "result" not in pages[0][0]
    link = apps.admin.get("/api/jobs?name=paged&limit=3").headers["link"]
    query = parse_qs(urlsplit(link[1 : link.index(">")]).query)
    assert query["name"] == ["paged"]
    assert query["limit"] == ["3"]
    for job in made:
        apps.ended(job)


def test_jobs_are_listed_by_what_is_asked_for(apps: Product) -> None:
    done = apps.run("me/echo", {"text": "x"}, name="filtered α")
    failed = apps.run("me/fail", {"code": 1}, name="filtered β", state="FAILED")

    def ids(**query: Any) -> set[str]:
        reply = apps.admin.get("/api/jobs", params={"limit": 1000, **query})
        assert reply.status_code == 200, reply.text
        return {job["id"] for job in reply.json()}

    both = {done["id"], failed["id"]}
    assert ids(text="filtered") & both == both
    assert ids(state="DONE") & both == {done["id"]}
    assert ids(state="done,failed") & both == both
    assert ids(state=["DONE", "FAILED"]) & both == both
    assert ids(app="me/fail") & both == {failed["id"]}
    assert ids(app="admin/echo") & both == {done["id"]}
    assert ids(app=done["appId"]) & both == {done["id"]}
    assert ids(owner="me") & both == both
    assert ids(owner="nobody-at-all") == set()
    assert ids(since=done["createdAt"]) & both == both
    assert ids(since="2100-01-01T00:00:00Z") == set()
    assert ids(until=done["createdAt"]) & {failed["id"]} == set()
    assert ids(since="2020-01-01", until="2100-01-01") & both == both
    assert ids(text="filtered β") & both == {failed["id"]}


# ---------------------------------------------------------------- log, streams


def test_the_log_is_in_everests_format(apps: Product) -> None:
    job = apps.run("me/fail", {"code": 2}, state="FAILED")
    reply = apps.admin.get(f"/api/jobs/{job['id']}/log")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    lines = reply.text.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", line) for line in lines), lines
    task = f"{job['id']}-0-0"
    resource = apps.admin.get("/api/resources").json()[0]["id"]
    assert any(f"[{resource}/" in line and f'["TASK_STATE", "{task}", "RUNNING"' in line for line in lines)
    assert any(f'["TASK_STATE", "{task}", "COMPLETED"' in line for line in lines)
    assert any(f'["TASK_STATE", "{task}", "FAILED"' in line for line in lines)


def test_streams_are_read_while_they_grow(apps: Product) -> None:
    apps.publish(
        "talk",
        'for i in 1 2 3; do echo "line $i"; echo "err $i" >&2; while [ ! -e "$gate$i" ]; do sleep 0.02; done; done',
        shell=True,
        inputs={"gate": "string"},
    )
    gate = apps.root / "gate"
    job = apps.submit("me/talk", {"gate": str(gate)})
    address = f"/api/jobs/{job['id']}/stdout"

    def said(text: str) -> httpx.Response:
        reply: httpx.Response = await_that(
            lambda: (reply := apps.admin.get(address)).text == text and reply, what=repr(text)
        )
        return reply

    first = said("line 1\n")
    assert first.headers["sirdar-complete"] == "false"
    assert first.headers["sirdar-size"] == "7"
    gate.with_name("gate1").touch()
    said("line 1\nline 2\n")
    assert apps.admin.get(f"{address}?offset=7").text == "line 2\n"
    assert apps.admin.get(f"{address}?offset=-3").text == " 2\n"
    assert apps.admin.get(f"{address}?offset=5&limit=4").text == "1\nli"
    assert apps.admin.get(f"{address}?offset=1000").text == ""
    assert apps.admin.get(f"/api/jobs/{job['id']}/stderr").text == "err 1\nerr 2\n"
    for number in (2, 3):
        gate.with_name(f"gate{number}").touch()
    assert apps.ended(job["id"])["state"] == "DONE"
    last = apps.admin.get(address)
    assert last.text == "line 1\nline 2\nline 3\n"
    assert last.headers["sirdar-complete"] == "true"
    for number in (1, 2, 3):
        gate.with_name(f"gate{number}").unlink()


def test_a_long_stream_is_kept_whole(apps: Product) -> None:
    apps.publish("long", "seq 1 50000")
    job = apps.run("me/long")
    expected = "".join(f"{n}\n" for n in range(1, 50001))
    assert apps.admin.get(job["stdout"], params={"limit": 2**20}).text == expected
    read, offset = b"", 0
    while piece := apps.admin.get(job["stdout"], params={"offset": offset, "limit": 100_000}).content:
        read += piece
        offset += len(piece)
    assert read.decode() == expected


# ---------------------------------------------------------------- cancel, delete


def test_a_running_job_is_cancelled(apps: Product) -> None:
    job = apps.submit("me/sleep")
    await_that(lambda: apps.job(job["id"])["state"] == "RUNNING", what="the start")
    reply = apps.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert reply.status_code == 200, reply.text
    assert UTC.fullmatch(reply.json()["cancelRequestedAt"])
    assert reply.json()["cancelRequestedBy"] == "admin"
    ended = apps.ended(job["id"])
    assert ended["state"] == "CANCELLED"
    assert ended["outcome"]["reason"] == "cancelled"
    assert ended["info"]
    problem(apps.admin.post(f"/api/jobs/{job['id']}/cancel"), 409, "conflict")


def test_a_waiting_job_is_cancelled_at_once(apps: Product) -> None:
    first = apps.submit("me/sleep")
    waiting = apps.submit("me/echo", after=first["id"])
    assert apps.job(waiting["id"])["state"] == "SUBMITTED"
    assert apps.admin.post(f"/api/jobs/{waiting['id']}/cancel").status_code == 200
    assert apps.ended(waiting["id"])["state"] == "CANCELLED"
    apps.admin.post(f"/api/jobs/{first['id']}/cancel")
    apps.ended(first["id"])


def test_an_ended_job_is_deleted_with_its_files(apps: Product) -> None:
    job = apps.run("me/sum", {"data": apps.upload("n.csv", b"7\n")})
    assert apps.admin.delete(f"/api/jobs/{job['id']}").json() == {"deleted": True}
    for address in (f"/api/jobs/{job['id']}", job["result"]["copy"], f"/api/jobs/{job['id']}/log", job["stdout"]):
        problem(apps.admin.get(address), 404, "not_found")
    problem(apps.admin.delete(f"/api/jobs/{job['id']}"), 404, "not_found")
    assert apps.rows("SELECT count(*) FROM tasks WHERE job_id = ?", job["id"]) == [(0,)]


def test_a_running_job_is_cancelled_and_then_deleted(apps: Product) -> None:
    job = apps.submit("me/sleep")
    await_that(lambda: apps.job(job["id"])["state"] == "RUNNING", what="the start")
    assert apps.admin.delete(f"/api/jobs/{job['id']}").json() == {"deleted": False}
    await_that(lambda: apps.admin.get(f"/api/jobs/{job['id']}").status_code == 404, what="the deletion")


def test_jobs_are_deleted_by_name_and_only_ones_own(apps: Product) -> None:
    apps.publish("open", "echo hi")
    apps.admin.put("/api/apps/me/open/share/everyone", json={"permission": "run"})
    ivan = apps.user("ivan")
    mine = [apps.run("me/echo", name="to delete")["id"] for _ in range(2)]
    his = apps.run("admin/open", who=ivan, name="to delete")["id"]
    assert apps.admin.delete("/api/jobs", params={"name": "to delete"}).json() == {"deleted": 2}
    assert [apps.admin.get(f"/api/jobs/{job}").status_code for job in mine] == [404, 404]
    assert ivan.get(f"/api/jobs/{his}").status_code == 200
    assert apps.admin.delete("/api/jobs", params={"name": "to delete"}).json() == {"deleted": 0}
    problem(apps.admin.delete("/api/jobs"), 422, "invalid_field", "name")
    problem(apps.admin.delete("/api/jobs", params={"name": ""}), 422, "invalid_field", "name")


# ---------------------------------------------------------------- resubmit


def test_a_job_is_submitted_again_with_changes(apps: Product) -> None:
    first = apps.run("me/fail", {"text": "one", "code": 1}, name="again", state="FAILED")
    reply = apps.admin.post(f"/api/jobs/{first['id']}/resubmit", json={"inputs": {"code": 0}})
    assert reply.status_code == 201, reply.text
    assert reply.headers["location"] == f"/api/jobs/{reply.json()['id']}"
    again = apps.ended(reply.json()["id"])
    assert (again["state"], again["name"]) == ("DONE", "again")
    assert again["inputs"] == {"text": "one", "code": 0}
    defaulted = apps.admin.post(f"/api/jobs/{first['id']}/resubmit", json={"inputs": {"text": None, "code": 0}})
    assert apps.ended(defaulted.json()["id"])["inputs"]["text"] == "hello"
    plain = apps.admin.post(f"/api/jobs/{first['id']}/resubmit")
    assert apps.ended(plain.json()["id"])["state"] == "FAILED"


def test_a_job_is_submitted_again_with_its_files_though_the_upload_is_gone(apps: Product) -> None:
    uri = apps.upload("gone.csv", b"5\n6\n")
    first = apps.run("me/sum", {"data": uri})
    assert apps.admin.delete(uri).status_code == 200
    again = apps.admin.post(f"/api/jobs/{first['id']}/resubmit", json={}).json()
    assert apps.ended(again["id"])["result"]["total"] == 11


def test_resubmission_chooses_the_version(apps: Product) -> None:
    apps.publish("versioned", "echo one", outputs={"said": {"type": "string", "from": "stdout"}})
    first = apps.run("me/versioned")
    apps.publish("versioned", "echo two", outputs={"said": {"type": "string", "from": "stdout"}})
    said = {}
    for version in ("same", "latest"):
        made = apps.admin.post(f"/api/jobs/{first['id']}/resubmit", json={"version": version}).json()
        said[version] = apps.ended(made["id"])["result"]["said"]
    assert said == {"same": "one", "latest": "two"}


# ---------------------------------------------------------------- share


def test_a_job_is_shared_with_users_groups_and_by_link(apps: Product) -> None:
    ivan, olga = apps.user("ivan"), apps.user("olga")
    assert apps.admin.post("/api/groups", json={"name": "lab"}).status_code in {201, 409}
    assert apps.admin.put("/api/groups/lab/members/olga").status_code == 200
    job = apps.run("me/sum", {"data": apps.upload("n.csv", b"7\n")})
    address, share = f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/share"
    problem(ivan.get(address), 404, "not_found")
    problem(olga.get(job["result"]["copy"]), 404, "not_found")
    apps.admin.put(f"{share}/user:ivan")
    apps.admin.put(f"{share}/group:lab")
    assert apps.admin.get(share).json() == {"subjects": ["group:lab", "user:ivan"], "link": False}
    for friend in (ivan, olga):
        seen = friend.get(address).json()
        assert seen["state"] == "DONE"
        assert seen["permissions"] == {"act": False}
        assert friend.get(job["result"]["copy"]).content == b"7\n"
        assert friend.get(f"{address}/log").status_code == 200
        assert job["id"] in {one["id"] for one in friend.get("/api/jobs?limit=1000").json()}
        for call in (friend.post(f"{address}/cancel"), friend.delete(address), friend.put(f"{share}/user:olga")):
            problem(call, 403, "forbidden")
    apps.admin.delete(f"{share}/user:ivan")
    problem(ivan.get(address), 404, "not_found")

    made = apps.admin.post(f"{share}/link")
    assert made.status_code == 201
    token = parse_qs(urlsplit(made.json()["url"]).query)["share"][0]
    with apps.client() as stranger:
        for what in (
            address,
            f"{address}/log",
            f"{address}/tasks",
            job["result"]["copy"],
            job["stdout"],
            f"{address}/explain",
        ):
            problem(stranger.get(what), 401, "unauthenticated")
            assert stranger.get(what, params={"share": token}).status_code == 200, what
            problem(stranger.get(what, params={"share": token[:-1] + "!"}), 404, "not_found")
        problem(stranger.post(f"{address}/cancel", params={"share": token}), 401, "unauthenticated")
        problem(stranger.delete(address, params={"share": token}), 401, "unauthenticated")
        apps.admin.delete(f"{share}/link")
        problem(stranger.get(address, params={"share": token}), 404, "not_found")
    problem(apps.admin.put(f"{share}/user:nobody-here"), 404, "not_found")
    problem(apps.admin.put(f"{share}/planet:mars"), 422, "invalid_field")


# ---------------------------------------------------------------- secrets, debug, overrides, retries


def test_secrets_are_never_seen(apps: Product) -> None:
    given, kept = "given-S3cret-42", "kept-S3cret-43"
    apps.publish(
        "secretive",
        'test "${#given}-${#KEPT}" = 15-14 && echo "it is $given, $KEPT" && echo "$given" >&2; sleep 0.5',
        shell=True,
        inputs={"given": {"type": "secret", "required": True}},
        app_secrets={"KEPT": kept},
        secrets=["KEPT"],
    )
    made = apps.admin.post("/api/apps/me/secretive", json={"inputs": {"given": given}})
    assert given not in made.text
    job = apps.ended(made.json()["id"])
    assert job["state"] == "DONE", job
    assert given not in str(job)
    for part in ("", "/log", "/tasks", "/tasks/0", "/stdout", "/stderr", "/explain"):
        reply = apps.admin.get(f"/api/jobs/{job['id']}{part}")
        assert reply.status_code == 200
        assert given not in reply.text, part
        assert kept not in reply.text, part
    assert apps.admin.get(job["stdout"]).text.startswith("it is ")
    events = apps.admin.get(f"/api/jobs/{job['id']}/events", headers={"accept": "application/json"})
    assert given not in events.text
    with apps.admin.stream("GET", f"/api/jobs/{job['id']}/events?log=stdout,stderr") as told:
        assert given not in "".join(told.iter_text())
    assert given not in apps.admin.get("/api/audit?limit=1000").text
    assert [path for path in apps.files_with(given) + apps.files_with(kept) if "/work/slot-" not in path] == []
    again = apps.admin.post(f"/api/jobs/{job['id']}/resubmit", json={})
    assert given not in again.text
    assert apps.ended(again.json()["id"])["state"] == "DONE"
    assert [path for path in apps.files_with(given) + apps.files_with(kept) if "/work/slot-" not in path] == []


def test_no_secret_stays_in_the_agents_stream_files(apps: Product) -> None:
    secret = "slot-S3cret-44"
    apps.publish("tells", 'echo "$word"', shell=True, inputs={"word": {"type": "secret", "required": True}})
    apps.run("me/tells", {"word": secret})
    assert apps.files_with(secret) == []


def test_the_whole_directory_comes_as_an_archive_where_it_is_asked_for(apps: Product) -> None:
    apps.publish("litter", "mkdir -p deep; echo one > deep/a.txt; echo two > b.txt; exit 1", shell=True)
    job = apps.run("me/litter", debug=True, state="FAILED")
    reply = apps.admin.get(job["debugArchive"])
    assert reply.status_code == 200, job
    names = set(zipfile.ZipFile(BytesIO(reply.content)).namelist()) if reply.content[:2] == b"PK" else None
    listed = {member["name"] for member in apps.admin.get(f"{job['debugArchive']}?list=1").json()}
    assert {"b.txt", "deep/a.txt"} <= {name.removeprefix("./") for name in listed}, (names, listed)
    assert "debugArchive" not in apps.run("me/litter", state="FAILED")


def test_what_an_application_allows_is_overridden(apps: Product) -> None:
    apps.publish(
        "limited",
        "sleep ${seconds}",
        inputs={"seconds": "number"},
        resources={"cpus": 1, "time": "1 min", "override": ["time"]},
    )
    job = apps.run("me/limited", {"seconds": 30}, overrides={"time": "1 s"}, state="FAILED")
    assert job["outcome"]["reason"] == "time_limit"
    reply = apps.admin.post("/api/apps/me/limited", json={"inputs": {"seconds": 1}, "overrides": {"cpus": 2}})
    assert "time" in problem(reply, 422, "invalid_field", "cpus")["detail"]


def test_a_programs_own_failure_is_not_tried_again(apps: Product) -> None:
    job = apps.run("me/fail", {"code": 1}, retries=3, state="FAILED")
    assert job["attempts"] == 1


def test_a_job_waits_for_anothers_success(apps: Product) -> None:
    first = apps.submit("me/sleep", {"seconds": 0.5})
    second = apps.submit("me/echo", after=[first["id"]])
    waiting = apps.job(second["id"])
    assert waiting["state"] == "SUBMITTED"
    assert waiting["after"] == [first["id"]]
    why = apps.admin.get(f"/api/jobs/{second['id']}/explain").json()
    assert first["id"] in str(why)
    done = apps.ended(second["id"])
    assert done["state"] == "DONE"
    assert done["startedAt"] >= apps.job(first["id"])["endedAt"]
    failed = apps.run("me/fail", {"code": 1}, state="FAILED")
    never = apps.run("me/echo", after=failed["id"], state="FAILED")
    assert never["outcome"]["reason"] == "dependency_failed"
    assert failed["id"] in never["info"]


def test_who_signs_in_sees_nothing_of_others(apps: Product) -> None:
    apps.user("petr")
    petr = apps.signed_in("petr", PASSWORD)
    job = apps.run("me/echo")
    for part in ("", "/log", "/tasks", "/tasks/0", "/stdout", "/events", "/explain", "/children", "/share"):
        problem(petr.get(f"/api/jobs/{job['id']}{part}"), 404, "not_found")
    for verb, part in (("POST", "/cancel"), ("DELETE", ""), ("POST", "/resubmit"), ("PUT", "/share/user:petr")):
        problem(petr.request(verb, f"/api/jobs/{job['id']}{part}"), 404, "not_found")
    assert petr.get("/api/jobs").json() == []
    assert petr.get("/api/jobs?owner=admin").json() == []
    problem(petr.post("/api/apps/admin/echo", json={}), 404, "not_found")
