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
from tests.store.ledger import count_failures
from tests.ui.conftest import Site

from sirdar.domain.criterion import Criterion
from sirdar.domain.failures import kind_of
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
        count_failures(tx, job)

    busy.write(fill)
    return job


def task(job: str, no: int) -> tuple[Any, Any]:
    return t.tasks.c.job_id == job, t.tasks.c.no == no


def test_it_is_the_job_s_own_page_and_earlier_addresses_lead_to_it(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}")
        for part in ('id="plot"', 'id="tasks"', 'class="stack"', 'class="failures"', 'data-key="c"'):
            assert part in page.text, part
        assert len(re.findall(r"<table\b[^>]*\btasks\b", page.text)) == 1
        for earlier in ("/table", "/table?state=failed&sort=-inputs.beta&after=2&x=no"):
            moved = anna.get(f"/jobs/{sweep}{earlier}")
            assert moved.status_code == 303
            assert moved.headers["location"] == f"/jobs/{sweep}" + (
                "?state=failed&sort=-inputs.beta&after=2&x=no" if "?" in earlier else ""
            )
        for address in ("?tab=tasks", "?tab=tasks&task=3", "?tab=nothing", "?tab=tasks&after=39"):
            other = anna.get(f"/jobs/{sweep}{address}")
            assert 'id="plot"' in other.text, address
            assert numbers(other)[0] == (40 if "after" in address else 0)


def test_what_its_owner_may_do_stands_above_each_tab_and_in_the_live_part(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}")
        part = anna.get(html.unescape(re.search(r'<sirdar-live id="many" src="([^"]+)"', page.text)[1]))  # type: ignore[index]
        for shown in (page, part, anna.get(f"/jobs/{sweep}?tab=timeline"), anna.get(f"/jobs/{sweep}?task=3")):
            for action in ("resubmit", "share", "cancel"):
                assert f"/jobs/{sweep}/{action}" in shown.text, action
            assert "23 of 120 ended" in plain(shown)
        assert '<noscript><meta http-equiv="refresh"' in page.text
        end(busy, sweep, "FAILED", failed=100, waiting=0, leased=0, cancelled=0)
        ended = anna.get(f"/jobs/{sweep}")
        assert f"/jobs/{sweep}/delete" in ended.text and f"/jobs/{sweep}/cancel" not in ended.text
        assert 'http-equiv="refresh"' not in ended.text and " events=" not in ended.text


def end(busy: Site, job: str, state: str, **values: Any) -> None:
    def write(tx: Any) -> None:
        reason = {"FAILED": "tasks_failed", "CANCELLED": "cancelled", "DONE": "ok"}[state]
        tx.conn.execute(
            sa.update(t.jobs).where(t.jobs.c.id == job).values(state=state, reason=reason, ended_at=tx.now, **values)
        )

    busy.write(write)


def test_a_job_that_is_done_without_any_success_has_no_tick(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        end(busy, sweep, "DONE", done=1, failed=119, waiting=0, leased=0, cancelled=0)
        assert '<span class="state done">Done</span>' in anna.get(f"/jobs/{sweep}").text
        end(busy, sweep, "DONE", done=0, failed=120, waiting=0, leased=0, cancelled=0)
        for address in (f"/jobs/{sweep}", "/jobs"):
            assert '<span class="state none">Done, none succeeded</span>' in anna.get(address).text


def test_that_it_was_called_off_is_said_once_and_by_whom(busy: Site, sweep: str) -> None:
    message = "Cancelled by boris: 20 of 120 tasks done, 3 failed, 97 cancelled"
    rest = sa.and_(t.tasks.c.job_id == sweep, t.tasks.c.state.in_(("READY", "RUNNING")))
    busy.write(lambda tx: tx.conn.execute(sa.update(t.tasks).where(rest).values(state="CANCELLED", reason="cancelled")))
    end(busy, sweep, "CANCELLED", waiting=0, leased=0, cancelled=97, message=message, cancel_requested_by="boris")
    with busy.browser("anna") as anna:
        for address in ("", "?tab=timeline", "?tab=code"):
            page = anna.get(f"/jobs/{sweep}{address}")
            head = plain(page).split("oscillator, many")[-1].split("submitted by")[0]
            assert head.count("Cancelled") == 1 and "by boris" in head, head
            assert head.count("97 cancelled") == 1 and head.count("20 done") == 1, head
        page = anna.get(f"/jobs/{sweep}")
        assert "failed and cancelled ones again (100)" in plain(page)
        secret = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]  # type: ignore[index]
        for only, count in (("failed", 3), ("not_done", 100)):
            made = anna.post(f"/jobs/{sweep}/rerun", data={"csrf": secret, "only": only})
            assert made.status_code == 303
            told = anna.get(f"/api{made.headers['location']}").json()
            assert told["tasks"]["total"] == count, only


def test_cancelling_says_whose_outputs_stay(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        asked = plain(anna.get(f"/jobs/{sweep}/cancel"))
        assert "20 done tasks keep their outputs." in asked and "have ended" not in asked


def test_progress_is_a_bar_and_words(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}")
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
        address = f"/jobs/{sweep}"
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
        address = f"/jobs/{sweep}"
        assert numbers(anna.get(f"{address}?state=failed")) == [20, 21, 22]
        assert numbers(anna.get(f"{address}?state=failed&reason=time_limit")) == [22]
        assert numbers(anna.get(f"{address}?text=longer")) == [22]
        assert "No task fits." in plain(anna.get(f"{address}?text=nowhere"))
        assert anna.get(f"{address}?reason=bad_luck").status_code == 422
        few = anna.get(f"{address}?cols=outputs.cv_error&cols=state")
        assert re.findall(r'<th[^>]*><a [^>]*title="([\w.]+)"', few.text) == ["no", "state", "outputs.cv_error"]
        assert "0.99" in few.text and 'name="cols" value="inputs.beta" data-usual>' in few.text


def test_the_part_keeps_the_rows_it_was_asked_for(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}?state=running&cols=state")
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
        page = anna.get(f"/jobs/{sweep}")
        text = plain(page)
        assert "3 tasks failed" in text and "Exit code 1." in text and "Took longer than <10 s>." in text
        assert "for example task 20" in text and 'href="/docs/reasons/time_limit"' in page.text
        shown = re.findall(r'<a href="([^"]+)" data-into="#many">Took longer', page.text)
        alike = anna.get(html.unescape(shown[0]))
        assert numbers(alike) == [22] and "failed as task 22" in plain(alike)
        csv_of = html.unescape(re.search(r'href="([^"]+)" download>CSV', alike.text)[1])  # type: ignore[index]
        assert [row["no"] for row in csv.DictReader(anna.get(csv_of).text.splitlines())] == ["22"]


def test_a_hundred_failures_that_are_alike_are_one(busy: Site, sweep: str) -> None:
    def fill(tx: Any) -> None:
        for no in range(23, 30):
            text = f"the program ended with exit code 1: ValueError: no point {no}"
            failed = {
                "state": "FAILED",
                "reason": "exit_code",
                "message": text,
                "failure": kind_of(text),
                "exit_code": 1,
            }
            tx.conn.execute(sa.update(t.tasks).where(*task(sweep, no)).values(**failed))
        tx.conn.execute(sa.update(t.jobs).where(t.jobs.c.id == sweep).values(failed=10, leased=0))
        count_failures(tx, sweep)

    busy.write(fill)
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}")
        failures = plain(page).split("10 tasks failed")[1].split("Plot")[0]
        assert "7 such as: the program ended with exit code 1: ValueError: no point 23" in failures
        assert "for example task 23" in failures and "no point 24" not in failures
        assert "2 Exit code 1." in failures  # the same code, another error
        assert numbers(anna.get(f"/jobs/{sweep}?like=26")) == list(range(23, 30))
        assert anna.get(f"/jobs/{sweep}?like=x").status_code == 422


def test_facts_of_the_tasks_are_columns_for_whoever_asks_for_them(busy: Site, sweep: str) -> None:
    facts = ["totalS", "stagedInBytes", "stagedOutBytes", "attempts"]
    with busy.browser("anna") as anna:
        usual = anna.get(f"/jobs/{sweep}")
        for name in facts:
            assert f'name="cols" value="{name}"> ' in usual.text, name
            assert f'title="{name}"' not in usual.text, name
        asked = anna.get(f"/jobs/{sweep}?" + "&".join(f"cols={name}" for name in facts))
        row = " ".join(re.sub(r"<[^>]+>", " ", asked.text.split('id="task-0"')[1].split("</tr>")[0]).split())
        assert row.endswith("4 min 50 s 48 KB 512 B 1"), row
        assert numbers(anna.get(f"/jobs/{sweep}?sort=-stagedInBytes"))[0] == 0


def test_units_stand_where_the_description_gives_them(busy: Site) -> None:
    with busy.browser("anna") as anna:
        token = {"authorization": f"Bearer {busy.tokens['anna']}"}
        sent = httpx.post(f"{busy.url}/api/files/temp", files={"file": ("data.csv", b"1\n")}, headers=token).json()
        body = {
            "inputs": {"data": sent["uri"]},
            "foreach": [{"beta": 0.1}, {"beta": 0.2}],
            "criterion": {"minimize": "cv_error"},
            "stopWhen": "cv_error < 0",
        }
        made = httpx.post(f"{busy.url}/api/apps/anna/svf", json=body, headers=token)
        assert made.status_code in {200, 201, 202}, made.text
        job = made.json()["id"]
        page = anna.get(f"/jobs/{job}")
        heads = [" ".join(re.sub(r"<[^>]+>", "", head).split()) for head in re.findall(r"<th\b.*?</th>", page.text)]
        assert "in beta, 1/K" in heads and "out cv_error, mm" in heads, heads
        assert ">beta, 1/K</option>" in page.text
        assert "It stops when cv_error < 0 holds for a task." in plain(page)
        points = anna.get(f"/api/jobs/{job}/points").json()
        assert (points["x"]["unit"], points["y"]["unit"], points["ended"]) == ("1/K", "mm", False)
        assert points["color"] is None  # both that there is to see stands on the axes
        chosen = {"": "none", "?y=runS": "outputs.cv_error", "?color=none": "none", "?color=inputs.beta": "inputs.beta"}
        for asked, name in chosen.items():
            colors = (
                anna.get(f"/jobs/{job}{asked}").text.partition('<select name="color">')[2].partition("</select>")[0]
            )
            assert re.findall(r'value="([^"]+)"[^>]* selected', colors) == [name]
            told = anna.get(f"/api/jobs/{job}/points{asked}").json()["color"]
            assert (told["name"] if told else "none") == name
        assert "that all tasks have in common" in plain(page) and "data.csv" in plain(page)
        httpx.post(f"{busy.url}/api/jobs/{job}/cancel", headers=token)
        told = plain(anna.get(f"/jobs/{job}"))
        assert "No task met cv_error < 0 (done: 0)." in told and "0 of 2 ended by themselves" in told


def test_the_best_is_among_the_points_however_few_of_many_are(
    busy: Site, sweep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sirdar.services.task_table.MOST_POINTS", 4)
    token = {"authorization": f"Bearer {busy.tokens['anna']}"}
    address = f"{busy.url}/api/jobs/{sweep}/points"
    drawn = [row[0] for row in httpx.get(address, headers=token).json()["points"]]
    other = next(no for no in range(20) if no not in drawn)
    sought = Criterion("cv_error").to_json()
    busy.write(
        lambda tx: tx.conn.execute(
            sa.update(t.jobs)
            .where(t.jobs.c.id == sweep)
            .values(criterion_json=sought, best_task=other, best_value=1 - other / 100)
        )
    )
    found = httpx.get(address, headers=token).json()
    assert (
        found["best"] == other and found["sampled"] and [row[0] for row in found["points"]] == sorted([*drawn, other])
    )
    assert httpx.get(f"{address}?y=runS", headers=token).json()["best"] is None


def test_failed_ones_are_run_again(busy: Site, sweep: str, secret_of: Callable[[str], str]) -> None:
    with busy.browser("anna") as anna:
        secret = secret_of(anna.get(f"/jobs/{sweep}").text)

        def rerun(**fields: str) -> list[dict[str, Any]]:
            made = anna.post(f"/jobs/{sweep}/rerun", data={"csrf": secret, **fields})
            assert made.status_code == 303, made.text
            new = made.headers["location"].split("/")[2]
            told = anna.get(f"/api/jobs/{new}/tasks").json()
            shown = anna.get(f"/jobs/{new}")
            assert (
                f'<a class="soft" href="/jobs/{sweep}?task={told[0]["againOf"]}">was {told[0]["againOf"]}</a>'
                in shown.text
            )
            assert f"repeats {sweep}" in plain(shown)
            assert (
                f'href="/jobs/{new}"><code>' in anna.get(f"/jobs/{sweep}").text.split("repeated by")[1].split("</p>")[0]
            )
            return [one["inputs"] for one in told]

        assert [one["beta"] for one in rerun()] == [2.1, 2.2, 2.3]
        assert [one["beta"] for one in rerun(like="21")] == [2.1, 2.2]
        assert [one["beta"] for one in rerun(like="22", version="latest")] == [2.3]
        refused = anna.post(f"/jobs/{sweep}/rerun", data={"csrf": secret, "like": "1"})
        assert refused.status_code == 409 and "has not failed" in plain(refused)
        assert anna.post(f"/jobs/{sweep}/rerun", data={}).status_code == 403


def test_the_same_rows_as_csv(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        page = anna.get(f"/jobs/{sweep}?state=failed")
        address = html.unescape(re.search(r'href="([^"]+)" download>CSV', page.text)[1])  # type: ignore[index]
        rows = list(csv.DictReader(anna.get(address).text.splitlines()))
        assert [row["no"] for row in rows] == ["20", "21", "22"] and rows[0]["inputs.beta"] == "2.1"


def test_who_may_see_it(busy: Site, sweep: str) -> None:
    token = {"authorization": f"Bearer {busy.tokens['anna']}"}
    link = httpx.post(f"{busy.url}/api/jobs/{sweep}/share/link", headers=token)
    with busy.browser("boris") as boris, busy.browser() as stranger:
        assert boris.get(f"/jobs/{sweep}").status_code == 404
        assert stranger.get(f"/jobs/{sweep}").status_code == 303
        share = link.json()["url"].split("share=")[1]
        seen = stranger.get(f"/jobs/{sweep}?share={share}")
        assert seen.status_code == 200 and f"share={share}" in seen.text and "failed ones again" not in seen.text
        assert stranger.get(f"/api/jobs/{sweep}/points?share={share}").status_code == 200


def test_the_page_of_one_task_shows_what_that_task_got(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        for no, beta, folds in ((0, "0.1", "3"), (19, "2", "4")):
            text = plain(anna.get(f"/jobs/{sweep}?task={no}"))
            assert f"beta {beta}" in text and f"folds {folds}" in text, text


def test_the_page_of_one_task_says_how_it_stands(busy: Site, sweep: str) -> None:
    with busy.browser("anna") as anna:
        failed = anna.get(f"/jobs/{sweep}?task=22")
        text = plain(failed).split("Task 22")[1].split("Outputs")[0]
        for told in ("Failed", "time limit", "Took longer than <10 s>.", "Resource lab1", "Attempts 1"):
            assert told in text, told
        assert "Bytes in 48" in plain(anna.get(f"/jobs/{sweep}?task=0")).split("Task 0")[1].split("Outputs")[0]
        assert f'rel="next" href="/jobs/{sweep}?tab=log&amp;task=23"' in failed.text
        assert f'rel="prev" href="/jobs/{sweep}?tab=log&amp;task=21"' in failed.text
        assert 'rel="prev"' not in anna.get(f"/jobs/{sweep}?task=0").text


def test_the_best_task_and_what_stopped_it_stand_above(busy: Site, sweep: str) -> None:
    """In each language; the best with its inputs and a link to it."""
    sought = {"key": "cv_error", "maximize": False, "stop": "cv_error < 0.9", "kinds": {"cv_error": "number"}}

    def seek(**values: Any) -> None:
        more = {"criterion_json": json.dumps(sought), **values}
        busy.write(lambda tx: tx.conn.execute(sa.update(t.jobs).where(t.jobs.c.id == sweep).values(**more)) and None)

    with busy.browser("anna") as anna:
        seek()
        assert "No task has given a number cv_error yet (done: " in plain(anna.get(f"/jobs/{sweep}"))
        seek(best_task=19, best_value=0.81)
        page = anna.get(f"/jobs/{sweep}")
        told = plain(page).split("Best so far")[1][:80]
        assert told.replace(" ,", ",").startswith(": cv_error = 0.81, task 19 (beta 2, folds 4)"), told
        assert f'href="/jobs/{sweep}?task=19"' in page.text
        stopped = {"met_task": 11, "cancel_requested_by": "stop_when: met", "cancel_requested_at": 1.0}
        seek(best_task=19, best_value=0.81, **stopped)
        page = anna.get(f"/jobs/{sweep}")
        assert "It stops early: task 11 met cv_error < 0.9." in plain(page)
        assert "Stopping" in plain(page) and "by stop_when" not in plain(page)
        assert "format=parquet" in page.text
