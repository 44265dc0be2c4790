"""A job of many tasks: how far it is, its table, what failed and why, and running that again."""

import csv
import html
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.ui.conftest import Site

from sirdar.store import tables as t


def plain(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def numbers(page: httpx.Response) -> list[int]:
    """Of the tasks in the table, as they stand."""
    assert page.status_code == 200, page.text
    return [int(no) for no in re.findall(r'<tr id="task-(\d+)"', page.text)]


@pytest.fixture
def sweep(busy: Site) -> str:
    """The job of 120 tasks: twenty are done, with an error that falls as the number grows; three have failed, two of them alike."""
    job = busy.jobs["many"]
    token = {"authorization": f"Bearer {busy.tokens['anna']}"}
    sent = httpx.post(f"{busy.url}/api/files/temp", files={"file": ("data.csv", b"1\n2\n")}, headers=token).json()
    inputs = {"data": {"$file": {"name": "data.csv", "sha256": sent["sha256"], "size": sent["length"]}}}

    def fill(tx: Any) -> None:
        items = [{"beta": round(0.1 * (no + 1), 1), "folds": 3 + no % 2} for no in range(120)]
        tx.conn.execute(sa.insert(t.job_items).values(job_id=job, first=0, items_json=json.dumps(items)))
        for no in range(20):
            result = json.dumps({"cv_error": 1 - no / 100})
            tx.conn.execute(sa.update(t.tasks).where(*task(job, no)).values(result_json=result))
        other = {"state": "FAILED", "reason": "time_limit", "message": "Took longer than <10 s>.", "ended_at": tx.now}
        tx.conn.execute(sa.update(t.tasks).where(*task(job, 22)).values(**other))
        tx.conn.execute(
            sa.update(t.jobs).where(t.jobs.c.id == job).values(failed=3, leased=7, inputs_json=json.dumps(inputs))
        )

    busy.write(fill)
    return job


def task(job: str, no: int) -> tuple[Any, Any]:
    return t.tasks.c.job_id == job, t.tasks.c.no == no


def test_progress_is_a_bar_and_words(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}/table")
        text = plain(page)
        for words in ("23 of 120 ended", "20 done", "3 failed", "7 running", "90 waiting"):
            assert words in text, words
        widths = [
            float(width) for width in re.findall(r'<rect class="\w+" x="[\d.]+" y="0" width="([\d.]+)"', page.text)
        ]
        assert len(widths) == 4 and abs(sum(widths) - 1000) < 1
        assert "style=" not in page.text


def test_rows_sort_by_any_column(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        address = f"/jobs/{sweep}/table"
        first = anna.get(address)
        assert numbers(first) == list(range(40))
        assert numbers(anna.get(f"{address}?sort=outputs.cv_error"))[:3] == [19, 18, 17]
        largest = anna.get(f"{address}?sort=-inputs.beta")
        assert numbers(largest)[:2] == [119, 118]
        assert re.search(r'<th[^>]*aria-sort="descending"><a [^>]*title="inputs.beta"', largest.text)
        following = html.unescape(re.search(r'href="([^"]+)" rel="next"', largest.text)[1])  # type: ignore[index]
        assert numbers(anna.get(following))[0] == 79 and "41 to 80 of 120" in plain(anna.get(following))
        wrong = anna.get(f"{address}?sort=outputs.nothing")
        assert wrong.status_code == 422 and "has no column" in plain(wrong)


def test_rows_are_narrowed_and_columns_chosen(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        address = f"/jobs/{sweep}/table"
        assert numbers(anna.get(f"{address}?state=failed")) == [20, 21, 22]
        assert numbers(anna.get(f"{address}?state=failed&reason=time_limit")) == [22]
        assert numbers(anna.get(f"{address}?text=longer")) == [22]
        assert "No task fits." in plain(anna.get(f"{address}?text=nowhere"))
        assert anna.get(f"{address}?reason=bad_luck").status_code == 422
        few = anna.get(f"{address}?cols=outputs.cv_error&cols=state")
        assert re.findall(r'<th[^>]*><a [^>]*title="([\w.]+)"', few.text) == ["no", "state", "outputs.cv_error"]
        assert "0.99" in few.text and 'name="cols" value="inputs.beta">' in few.text


def test_the_part_keeps_the_rows_it_was_asked_for(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}/table?state=running&cols=state")
        shown = numbers(page)
        assert shown == list(range(23, 30))
        busy.write(
            lambda tx: tx.conn.execute(sa.update(t.tasks).where(*task(sweep, 25)).values(state="DONE", reason="ok"))
        )
        address = html.unescape(re.search(r'<sirdar-live id="many" src="([^"]+)"', page.text)[1])  # type: ignore[index]
        part = anna.get(address)
        assert numbers(part) == shown and "<html" not in part.text
        assert "Done" in part.text.split('id="task-25"')[1].split("</tr>")[0]
        assert "<sirdar-plot" not in part.text  # it is left as it is


def test_what_failed_and_why(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}/table")
        text = plain(page)
        assert "3 tasks failed" in text and "Exit code 1." in text and "Took longer than <10 s>." in text
        assert "for example task 20" in text and 'href="/docs/reasons/time_limit"' in page.text
        shown = re.findall(r'<a href="([^"]+)" data-into="#many">Took longer', page.text)
        assert numbers(anna.get(html.unescape(shown[0]))) == [22]


def test_failed_ones_are_run_again(busy: Site, sweep: str, secret_of: Callable[[str], str]) -> None:
    with busy.browser("anna") as anna:
        secret = secret_of(anna.get(f"/jobs/{sweep}/table").text)

        def rerun(**fields: str) -> list[dict[str, Any]]:
            made = anna.post(f"/jobs/{sweep}/rerun", data={"csrf": secret, **fields})
            assert made.status_code == 303, made.text
            new = made.headers["location"].split("/")[2]
            told = anna.get(f"/api/jobs/{new}/tasks").json()
            return [one["inputs"] for one in told]

        assert [one["beta"] for one in rerun()] == [2.1, 2.2, 2.3]
        assert [one["beta"] for one in rerun(like="21")] == [2.1, 2.2]
        assert [one["beta"] for one in rerun(like="22", version="latest")] == [2.3]
        refused = anna.post(f"/jobs/{sweep}/rerun", data={"csrf": secret, "like": "1"})
        assert refused.status_code == 409 and "has not failed" in plain(refused)
        assert anna.post(f"/jobs/{sweep}/rerun", data={}).status_code == 403


def test_the_same_rows_as_csv(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}/table?state=failed")
        address = html.unescape(re.search(r'href="([^"]+)" download>CSV', page.text)[1])  # type: ignore[index]
        rows = list(csv.DictReader(anna.get(address).text.splitlines()))
        assert [row["no"] for row in rows] == ["20", "21", "22"] and rows[0]["inputs.beta"] == "2.1"


def test_who_may_see_it(busy: Site, sweep: str) -> None:
    token = {"authorization": f"Bearer {busy.tokens['anna']}"}
    link = httpx.post(f"{busy.url}/api/jobs/{sweep}/share/link", headers=token)
    with busy.browser("boris") as boris, busy.browser() as stranger:
        assert boris.get(f"/jobs/{sweep}/table").status_code == 404
        assert stranger.get(f"/jobs/{sweep}/table").status_code == 303
        share = link.json()["url"].split("share=")[1]
        seen = stranger.get(f"/jobs/{sweep}/table?share={share}")
        assert seen.status_code == 200 and f"share={share}" in seen.text and "Run all failed" not in seen.text
        assert stranger.get(f"/api/jobs/{sweep}/points?share={share}").status_code == 200


def test_the_page_of_one_task_shows_what_that_task_got(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        for no, beta, folds in ((0, "0.1", "3"), (19, "2", "4")):
            text = plain(anna.get(f"/jobs/{sweep}?task={no}"))
            assert f"beta {beta}" in text and f"folds {folds}" in text, text
