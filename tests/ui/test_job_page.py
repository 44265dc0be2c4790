"""A job's page over real HTTP: its tabs, the part that follows the server, its files' contents, sharing, what is asked first."""

import asyncio
import html
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from sirdar.domain.ids import AttemptKey, JobId
from sirdar.domain.outcome import MEANING
from sirdar.store import tables as t
from sirdar.store.engine import Tx
from sirdar.web.job_words import SMALL_BYTES

TABS = ("log", "tasks", "timeline", "machine", "children", "code")
TEXT = re.compile(r"<[^>]*>")


def words(page: httpx.Response) -> str:
    return " ".join(html.unescape(TEXT.sub(" ", page.text)).split())


class Elements(HTMLParser):
    """Attributes of each element, by its name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[dict[str, str]]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.setdefault(tag, []).append({name: value or "" for name, value in attrs})


def elements(page: httpx.Response, tag: str) -> list[dict[str, str]]:
    return Elements(page.text).found.get(tag, [])


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


LOG = b"".join(b"line %d of a long log\n" % number for number in range(40_000)) + b"ValueError: the end\nlast"
FILES: dict[str, bytes] = {
    "wells.csv": b"well,depth\nW1,1.5\n<b>W2</b>,2.5\n",
    "result.json": b'{"cv": 0.186, "folds": [1, 2], "name": "<script>"}',
    "report.md": b"# Findings\n\nThe **best** beta. <script>alert(1)</script>\n",
    "bundle.zip": zipped(a__table=b"x" * 2000, **{"..__..__evil": b"y"}),
    "broken.zip": b"PK\x03\x04 and nothing more",
    "fit.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "notes.txt": b"plain\x1b[31m words\n",
    "model.bin": b"\0\1\2" * 1000,
    "broken.json": b'{"cv": ',
    "curve.csv": b"beta,error\n" + b"".join(b"%d,%d\n" % (no, no * no) for no in range(50)),
}


@pytest.fixture(scope="module")
def job_with_files(site: Any) -> Iterator[str]:
    """Like the one that is done, with files of every kind and a long log in a blob."""
    job_id = "f" * 16
    blobs = {name: asyncio.run(site.services.blobs.put_bytes(content)) for name, content in FILES.items()}
    log = asyncio.run(site.services.blobs.put_bytes(LOG))
    result = {
        name.replace(".", "_"): {"$file": {"name": name, "sha256": blob.sha256, "size": blob.size_bytes}}
        for name, blob in blobs.items()
    }

    def insert(tx: Tx) -> None:
        done = site.jobs["done"]
        job = dict(tx.conn.execute(sa.select(t.jobs).where(t.jobs.c.id == done)).mappings().one())
        job.pop("seq")
        tx.conn.execute(
            sa.insert(t.jobs).values(**job | {"id": job_id, "share_hash": None, "name": "files <i>of every kind</i>"})
        )
        task = dict(tx.conn.execute(sa.select(t.tasks).where(t.tasks.c.job_id == done)).mappings().one())
        more = {"job_id": job_id, "result_json": json.dumps(result)}
        more["stdout_json"] = json.dumps({"size": len(LOG), "sha256": log.sha256})
        more["stderr_json"] = json.dumps({"size": 15, "text": "warning: slow\n"})
        tx.conn.execute(sa.insert(t.tasks).values(**task | more))

    site.write(insert)
    yield job_id
    site.write(lambda tx: tx.conn.execute(sa.delete(t.jobs).where(t.jobs.c.id == job_id)))


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize("kind", ["running", "done", "failed", "waiting", "cancelled", "many", "unreachable"])
def test_every_tab_is_a_page_that_needs_no_script(site: Any, kind: str) -> None:
    with site.browser("anna") as browser:
        for tab in TABS:
            page = browser.get(f"/jobs/{site.jobs[kind]}?tab={tab}")
            assert page.status_code == 200, (tab, page.text)
            assert f"oscillator, {kind}" in words(page)
            current = [
                link for link in elements(page, "a") if link.get("aria-current") == "page" and "tab=" in link["href"]
            ]
            assert any(f"tab={tab}" in link["href"] for link in current), (tab, current)


def test_the_answer_comes_first_and_follows_the_server(site: Any) -> None:
    job = site.jobs["running"]
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job}?tab=tasks")
        live = elements(page, "sirdar-live")[0]
        assert live["src"] == f"/jobs/{job}/part?tab=tasks"
        assert live["events"].startswith(f"/jobs/{job}/live?after=")
        assert page.text.index("fold 3 of 7") < page.text.index('id="outputs"') < page.text.index('class="tabs"')
        assert "<noscript><meta http-equiv=" in page.text
        part = browser.get(live["src"])
        assert "<html" not in part.text and "fold 3 of 7, CV error 0.186" in words(part)
        assert part.text.strip() in page.text or words(part)[:200] in words(page)
        ended = browser.get(f"/jobs/{site.jobs['done']}")
        assert "events" not in elements(ended, "sirdar-live")[0] and "http-equiv" not in ended.text


def test_the_timeline_and_the_machine_in_words(site: Any) -> None:
    with site.browser("anna") as browser:
        timeline = browser.get(f"/jobs/{site.jobs['running']}?tab=timeline")
        assert "Attempt 1" in words(timeline) and "on lab1" in words(timeline) and "until now" in words(timeline)
        assert elements(timeline, "rect")
        waiting = words(browser.get(f"/jobs/{site.jobs['waiting']}?tab=timeline"))
        assert "Now" in waiting and "waiting" in waiting and "until now" in waiting
        machine = words(browser.get(f"/jobs/{site.jobs['done']}?tab=machine"))
        assert "Exit code 0" in machine and "173 MiB" in machine and "No curve was measured" in machine
        assert "It has not run yet" in words(browser.get(f"/jobs/{site.jobs['waiting']}?tab=machine"))


def test_the_curve_of_a_task_is_drawn_with_its_limit(site: Any) -> None:
    job = site.jobs["unreachable"]
    rows = json.dumps([[1.0, 0.5, 50 << 20], [2.0, 1.4, 80 << 20]])
    site.write(
        lambda tx: tx.conn.execute(
            sa.insert(t.task_usage).values(job_id=job, task_no=0, attempt=1, since_s=0.0, rows_json=rows)
        )
    )
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job}?tab=machine")
        assert "0.9 of 1 cores now, 0.9 at most" in words(page)
        assert "Memory: 80 MiB now" in words(page)
        assert len(elements(page, "path")) >= 4 and elements(page, "line")[0]["class"] == "limit"
        assert elements(page, "sirdar-live")[0]["every"] == "3"


def test_a_reason_leads_to_its_page(site: Any) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{site.jobs['failed']}")
        assert {"href": "/docs/reasons/exit_code"} in elements(page, "a")
        for reason, meaning in MEANING.items():
            told = browser.get(f"/docs/reasons/{reason.value}")
            assert told.status_code == 200 and meaning in words(told)
            assert f"/docs/reasons/{reason.value}" in browser.get("/docs/reasons").text
        assert browser.get("/docs/reasons/none").status_code == 404


def test_the_same_job_as_code(site: Any) -> None:
    job = site.jobs["done"]
    with site.browser("anna") as browser:
        page = words(browser.get(f"/jobs/{job}?tab=code"))
        assert f"{site.url}/jobs/{job}" in page and "sirdar run anna/svf@1" in page
        assert f"client.file('/api/files/jobs/{job}/inputs/data/data%20%26%20more.csv')" in page
        assert "os.environ['KEY']" in page and "sealed" not in page
        assert "/resubmit" in words(browser.get(f"/jobs/{site.jobs['many']}?tab=code"))


def test_why_it_failed_is_one_step_away(site: Any) -> None:
    """By a link of the page, not by a command."""
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{site.jobs['failed']}?tab=tasks")
        (why,) = (link["href"] for link in elements(page, "a") if link["href"].endswith("#log"))
        assert why == f"/jobs/{site.jobs['failed']}?tab=log&stream=stderr#log" and "sirdar job logs" not in words(page)
        assert "no such file" in words(browser.get(why))
        told = elements(browser.get(f"/jobs/{site.jobs['failed']}"), "sirdar-streams")[0]
        assert told["shown"] == "stderr" and "by-hand" not in told  # where the cause stands
        by_hand = browser.get(f"/jobs/{site.jobs['failed']}?tab=log&stream=stdout")
        streams = elements(by_hand, "sirdar-streams")[0]
        assert (streams["shown"], streams["telling"]) == ("stdout", "stderr") and "by-hand" in streams
        assert "may say why it failed" in words(by_hand)
        running = elements(browser.get(f"/jobs/{site.jobs['running']}"), "sirdar-streams")[0]
        part = browser.get(running["src"])
        assert part.status_code == 200 and "<html" not in part.text and elements(part, "sirdar-log")


def test_a_job_that_was_called_off_says_so_once(site: Any) -> None:
    with site.browser("anna") as browser, site.browser("admin") as other:
        page = browser.get(f"/jobs/{site.jobs['cancelled']}")
        answer = TEXT.sub(" ", page.text.partition("</h1>")[2].partition('class="files"')[0])
        assert len(re.findall("cancelled", answer, re.IGNORECASE)) == 1, answer
        assert "by you" in answer and "by anna" in words(other.get(f"/jobs/{site.jobs['cancelled']}"))


def test_numbers_have_their_units(site: Any) -> None:
    with site.browser("anna") as browser:
        page = words(browser.get(f"/jobs/{site.jobs['done']}"))
        assert "beta 0.03 1/K" in page and "cv_error 0.186 mm" in page


def test_each_phase_has_a_name_of_its_own(site: Any) -> None:
    """A task that waits for a slot after its files are there was queued before, too."""
    job = site.jobs["done"]
    now = site.services.store.clock()
    times = {"accepted_at": now - 258, "staging_at": now - 256, "staged_at": now - 254, "started_at": now - 252}
    times |= {"ended_at": now - 11, "reported_at": now - 10}
    site.write(lambda tx: tx.conn.execute(sa.update(t.attempts).where(t.attempts.c.job_id == job).values(**times)))
    with site.browser("anna") as browser:
        page = words(browser.get(f"/jobs/{job}?tab=timeline"))
        for phase in ("queued there", "staging in", "waiting there for a free slot", "staging out"):
            assert page.count(phase) == 1, (phase, page)


def test_a_timeline_begins_with_the_submission_and_ends_with_the_end(site: Any) -> None:
    """By the ledger's times; of a task of many, with that task's end."""
    with site.browser("anna") as browser:

        def rows(address: str) -> list[str]:
            page = browser.get(f"/jobs/{address}").text.partition('class="attempt"')[2]
            found = re.findall(r'<tr><th scope="row">.*?</tr>', page, re.DOTALL)
            return [" ".join(TEXT.sub(" ", row).split()) for row in found]

        for address, word in (
            (f"{site.jobs['done']}?tab=timeline", "Done"),
            (f"{site.jobs['failed']}?tab=timeline", "Failed"),
            (f"{site.jobs['cancelled']}?tab=timeline", "Cancelled"),
            (f"{site.jobs['many']}?tab=timeline&task=3", "Done"),
        ):
            told = rows(address)
            assert re.fullmatch(r"submitted .+", told[0]), told
            assert re.fullmatch(rf"ended .+ {word}", told[-1]) and len(told) > 3, told
        running = rows(f"{site.jobs['running']}?tab=timeline")
        assert running[0].startswith("submitted") and "until now" in running[-1], running


# ---------------------------------------------------------------- asking first


def test_cancelling_and_deleting_ask_first(site: Any, secret_of: Callable[[str], str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{site.jobs['running']}")
        cancel = next(link for link in elements(page, "a") if link.get("data-key") == "c")
        asked = browser.get(cancel["href"])
        assert "Cancel this job?" in words(asked) and "Let it run" in words(asked)
        assert browser.get(f"/api/jobs/{site.jobs['running']}").json()["state"] == "RUNNING"  # asking does nothing
        assert "It has ended already." in words(browser.get(f"/jobs/{site.jobs['done']}/cancel"))
        assert "cannot be undone" in words(browser.get(f"/jobs/{site.jobs['done']}/delete"))
        like = f"/apps/anna/svf@1/run?like={site.jobs['running']}"
        assert {"href": like} in elements(page, "a")


def test_sharing_with_people_and_by_link(site: Any, secret_of: Callable[[str], str]) -> None:
    job = site.jobs["cancelled"]
    place = f"/jobs/{job}/share"
    with site.browser("anna") as browser, site.browser("boris") as other:
        page = browser.get(place)
        assert "Nobody else yet." in words(page)
        csrf = {"csrf": secret_of(page.text)}
        wrong = browser.post(place, data={**csrf, "kind": "user", "name": "nobody <b>"})
        assert wrong.status_code == 404 and "There is no user 'nobody <b>'" in words(wrong)
        assert 'value="nobody &lt;b&gt;"' in wrong.text
        assert other.get(f"/jobs/{job}").status_code == 404
        assert browser.post(place, data={**csrf, "kind": "user", "name": " boris "}).status_code == 303
        seen = other.get(f"/jobs/{job}?tab=log")
        assert seen.status_code == 200 and "Resubmit" not in words(seen)
        assert other.get(place).status_code == 403
        assert "user boris" in words(browser.get(place))
        assert browser.post(f"/jobs/{job}/unshare", data={**csrf, "subject": "user:boris"}).status_code == 303
        assert other.get(f"/jobs/{job}").status_code == 404
        made = browser.post(f"{place}/link", data=csrf)
        found = re.search(rf"{site.url}/jobs/{job}\?share=[\w-]+", made.text)
        assert found and found[0] not in browser.get(place).text  # shown once
        with site.browser() as stranger:
            assert stranger.get(found[0] + "&tab=log").status_code == 200
            assert browser.post(f"/jobs/{job}/unshare/link", data=csrf).status_code == 303
            assert stranger.get(found[0]).status_code == 404


# ---------------------------------------------------------------- the log


def test_a_log_is_found_one_s_way_in(site: Any, job_with_files: str) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job_with_files}?tab=log&stream=stdout")
        viewer = elements(page, "sirdar-log")[0]
        assert "events" not in viewer  # it has ended
        assert "line 39999 of a long log" in words(page) and "line 100 of" not in words(
            page
        )  # the end, without scripts
        index = browser.get(viewer["index"]).json()
        assert sum(index["lines"]) == 40_001 and index["size"] == len(LOG) and index["open"] and index["complete"]
        assert index["lines"] == [LOG[at : at + 65536].count(b"\n") for at in range(0, len(LOG), 65536)]
        assert browser.get(f"{viewer['index']}&block=3").json()["lines"] == index["lines"][3:]
        assert browser.get(f"{viewer['find']}&text=Line 3999 ").json()["lines"] == [3999]
        assert browser.get(viewer["find"]).json()["lines"] == [40_000]  # what looks like an error
        many = browser.get(f"{viewer['find']}&text=long").json()
        assert many["more"] and many["lines"] == list(range(2000))
        rest = browser.get(f"{viewer['find']}&text=long&offset={many['offset']}&line={many['line']}").json()
        assert rest["lines"][0] == 2000
        piece = browser.get(f"{viewer['bytes']}&offset=65536&limit=65536").content
        assert piece == LOG[65536:131072]
        saved = browser.get(f"/jobs/{job_with_files}/log/stdout/file?download=1")
        assert saved.content == LOG and "attachment" in saved.headers["content-disposition"]
    with site.browser("boris") as other:
        for address in (
            viewer["index"],
            viewer["find"],
            f"/jobs/{job_with_files}/log/live",
            "/jobs/none/log/stdout/file",
        ):
            assert other.get(address).status_code == 404, address


def test_what_did_not_fail_opens_on_its_stdout(site: Any, job_with_files: str) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job_with_files}")
        shown = elements(page, "sirdar-streams")[0]
        assert (shown["shown"], shown.get("telling")) == ("stdout", None) and "warning: slow" not in words(page)
        assert browser.get(shown["find"]).json()["lines"] == []  # what its tab tells of errors in stderr
        only = browser.get(f"/jobs/{site.jobs['waiting']}")
        assert elements(only, "sirdar-streams")[0]["shown"] == "stdout"


def test_a_line_is_told_of_when_it_is_written(site: Any) -> None:
    job = site.jobs["unreachable"]
    key = AttemptKey(JobId(job), 0, 1)
    with site.browser("anna") as browser, browser.stream("GET", f"/jobs/{job}/log/live") as stream:
        lines = stream.iter_lines()
        assert next_data(lines) == {"stdout": 0, "stderr": 0}
        site.services.logs.append(key, "stderr", 0, b"Traceback\n", 10**6)
        ring(site, f"log:{job}")
        assert next_data(lines) == {"stdout": 0, "stderr": 10}


def test_a_long_log_says_what_is_left_out_while_it_runs(site: Any) -> None:
    """And where, with the lines behind it; downloads, pages without scripts and searches tell the same text."""
    job, logs = site.jobs["many"], site.services.logs
    key = AttemptKey(JobId(job), 22, 1)
    lines = [b"line %d of it\n" % number for number in range(5000)]
    logs.append(key, "stdout", 0, b"".join(lines[:100]), 10**6)
    logs.append_newest(key, "stdout", len(b"".join(lines[:4000])), 4000, b"".join(lines[4000:]))
    logs.note(key, "stdout", [(0, 1000.5), (len(b"".join(lines[:50])), None), (len(b"".join(lines[:4500])), 1003.0)])
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job}?tab=log&task=22&stream=stdout")
        assert "line 4999 of it" in words(page)
        viewer = elements(page, "sirdar-log")[0]
        index = browser.get(viewer["index"]).json()
        left_out = len(b"".join(lines[100:4000]))
        assert index["gap"] == {"line": 100, "then": 4000} and index["omitted"] == left_out and not index["complete"]
        assert sum(index["lines"]) == 100 + 1 + 1000
        text = b"".join(lines[:100]) + b"[... %d bytes left out here ...]\n" % left_out + b"".join(lines[4000:])
        assert browser.get(f"{viewer['bytes']}&offset=1000&limit=1000").content == text[1000:2000]
        assert browser.get(f"{viewer['bytes']}&limit=10").headers["sirdar-omitted"] == str(left_out)
        assert browser.get(f"{viewer['find']}&text=line 4000 ").json()["lines"] == [101]
        assert browser.get(f"/jobs/{job}/log/stdout/file?task=22").content == text
        assert browser.get(viewer["times"]).json()["seen"] == [
            [0, 1000.5], [len(b"".join(lines[:50])), None], [text.index(lines[4500]), 1003.0],
        ]  # fmt: skip
        api = browser.get(f"/api/jobs/{job}/stdout?task=22")  # a follower gets what does not change
        assert api.content == b"".join(lines[:100])
    with site.browser("boris") as other:
        assert other.get(viewer["times"]).status_code == other.get(viewer["bytes"]).status_code == 404
    logs.remove_jobs([job])


def next_data(lines: Iterator[str]) -> Any:
    """Told by a bell, and not because there was time to look."""
    for line in lines:
        assert not line.startswith(": "), line
        if line.startswith("data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")


def ring(site: Any, topic: str) -> None:
    """As the service does that takes a chunk from an agent, on the server's loop."""
    site.loop.call_soon_threadsafe(site.services.hub.ring, topic)


# ---------------------------------------------------------------- previews


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wells.csv", ["well depth", "<b>W2</b>"]),
        ("result.json", ["cv 0.186", '"<script>"', "2 entries"]),
        ("report.md", ["Findings", "The best beta.", "<script>alert(1)</script>"]),
        ("bundle.zip", ["2 entries", "a/table", "../../evil", "2.0 KB"]),
        ("broken.zip", ["broken.zip", "archive"]),
        ("notes.txt", ["plain", "words"]),
        ("model.bin", ["It is no text, table or picture."]),
        ("broken.json", ['{"cv":']),
    ],
)
def test_what_is_in_a_file(site: Any, job_with_files: str, name: str, expected: list[str]) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job_with_files}")
        address = next(one["hx-get"] for one in elements(page, "details") if one.get("hx-get", "").endswith(name))
        whole = browser.get(address)
        part = browser.get(address, headers={"hx-request": "true"})
        assert whole.status_code == part.status_code == 200
        for text in expected:
            assert text in words(whole).replace("\u202f", " "), words(whole)
            assert text == name or text in words(part).replace("\u202f", " ")
        assert "<html" not in part.text
        assert "<script>alert" not in whole.text and "unsafe" not in whole.headers["content-security-policy"]
    with site.browser("boris") as other:
        assert other.get(address).status_code == 404


def test_what_is_in_a_small_file_is_shown_at_once(site: Any, job_with_files: str) -> None:
    with site.browser("anna") as browser:
        found = elements(browser.get(f"/jobs/{job_with_files}"), "details")
        previews = {one["hx-get"].rpartition("/")[2]: one for one in found if "hx-get" in one}
        assert "open" in previews["result.json"] and previews["result.json"]["hx-trigger"] == "load"
        assert {"open", "class"} <= previews["wells.csv"].keys() and "brief" in previews["wells.csv"]["class"]
        assert len(FILES["curve.csv"]) <= SMALL_BYTES and "open" not in previews["curve.csv"]  # fifty rows
        assert "open" not in previews["bundle.zip"] and previews["bundle.zip"]["hx-trigger"] == "toggle once"


def test_a_drawing_is_a_picture_and_no_page(site: Any, job_with_files: str) -> None:
    with site.browser("anna") as browser:
        page = browser.get(f"/jobs/{job_with_files}/preview/fit.svg")
        picture = next(one["src"] for one in elements(page, "img"))
        got = browser.get(picture)
        assert got.headers["content-type"] == "image/svg+xml"
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy and policy.endswith("sandbox") and "script" not in policy
        assert browser.get(f"/jobs/{job_with_files}/drawing/report.md").status_code == 404
        assert browser.get(f"/jobs/{job_with_files}/preview/none.csv").status_code == 404
