"""The list of jobs: its filter is its address, its rows keep their order, and many jobs are ended or removed at once."""

import html
import json
import re
import time
from typing import Any

import httpx
import sqlalchemy as sa
from tests.ui.conftest import Site

from sirdar.store import tables as t


def names(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return re.findall(r'<a data-row href="/jobs/\w+">([^<]*)</a>', page.text)


def plain(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# ---------------------------------------------------------------- the filter


def test_states_are_toggles_and_stand_in_the_address(site: Site) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/jobs?state=failed&state=cancelled")
        assert set(names(page)) == {"oscillator, failed", "oscillator, cancelled"}
        checked = re.findall(r'name="state" value="(\w+)" checked', page.text)
        assert checked == ["failed", "cancelled"]
        assert names(browser.get("/jobs?state=failed,cancelled")) == names(page)
        assert "2 jobs fit" in plain(page)
        wrong = browser.get("/jobs?state=unheard")
        assert wrong.status_code == 422 and "is no state" in plain(wrong)


def test_times_are_of_the_readers_zone(site: Site) -> None:
    with site.browser("anna") as browser:
        all_jobs = names(browser.get("/jobs"))
        assert names(browser.get("/jobs?within=hour")) == all_jobs
        assert names(browser.get("/jobs?since=2026-01-01&until=2026-01-02")) == []
        # Where it is already tomorrow, midnight was up to fourteen hours before that of UTC.
        now = site.services.store.clock()
        created = now - 300
        browser.cookies.set("sirdar_zone", "Pacific/Kiritimati")
        there = time.strftime("%Y-%m-%d", time.gmtime(created + 14 * 3600))
        assert names(browser.get(f"/jobs?since={there}&until={there}")) == all_jobs
        for query in ("since=yesterday", "within=century", "until=2026-13-01"):
            assert browser.get(f"/jobs?{query}").status_code == 422


def test_an_empty_list_still_hears_of_new_jobs(site: Site) -> None:
    with site.browser("anna") as browser:
        page = browser.get("/jobs?text=nothing-like-it")
        assert "No job fits." in plain(page) and "newest=0" in page.text and 'events="/jobs/live?' in page.text


# ---------------------------------------------------------------- rows that follow the server


def part_of(page: httpx.Response) -> str:
    found = re.search(r'<sirdar-live src="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def test_rows_keep_their_order_and_say_what_became_of_them(busy: Site) -> None:
    with busy.browser("anna") as browser:
        page = browser.get("/jobs?state=running")
        before, address = names(page), part_of(page)
        assert "oscillator, running" in before
        gone, ended = busy.jobs["unreachable"], busy.jobs["running"]

        def change(tx: Any) -> None:
            tx.conn.execute(sa.delete(t.tasks).where(t.tasks.c.job_id == gone))
            tx.conn.execute(sa.delete(t.jobs).where(t.jobs.c.id == gone))
            end = {"state": "DONE", "ended_at": tx.now, "leased": 0, "done": 1, "reason": "ok"}
            tx.conn.execute(sa.update(t.jobs).where(t.jobs.c.id == ended).values(**end))
            row = dict(tx.conn.execute(sa.select(t.jobs).where(t.jobs.c.id == busy.jobs["many"])).mappings().one())
            del row["seq"]
            for number in (91, 92):
                tx.conn.execute(sa.insert(t.jobs).values(**{**row, "id": f"{number:016d}", "name": f"new {number}"}))

        busy.write(change)
        part = browser.get(address)
        assert "<html" not in part.text
        rows = re.findall(r'<tr id="job-(\w+)"', part.text)
        assert rows == re.findall(r'<tr id="job-(\w+)"', page.text)
        assert "Done" in part.text and f'<tr id="job-{gone}" class="gone">' in part.text
        assert "2 new" in plain(part) and "new 91" not in part.text
        assert names(browser.get("/jobs?state=running"))[:2] == ["new 92", "new 91"]


def test_only_ones_own_rows_are_looked_at_again(busy: Site) -> None:
    with busy.browser("anna") as anna, busy.browser("boris") as boris:
        address = part_of(anna.get("/jobs"))
        assert "oscillator" in anna.get(address).text
        assert "oscillator" not in boris.get(address).text


# ---------------------------------------------------------------- many at once


def ask(browser: httpx.Client, address: str) -> tuple[httpx.Response, dict[str, str]]:
    page = browser.get(address)
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text.split('action="/jobs/act"')[1])
    return page, {name: html.unescape(value) for name, value in fields}


def test_chosen_jobs_are_cancelled_and_what_could_not_be_is_told(busy: Site) -> None:
    running, done = busy.jobs["running"], busy.jobs["done"]
    with busy.browser("anna") as anna:
        page, fields = ask(anna, f"/jobs/ask?verb=cancel&id={running}&id={done}&back=state%3Drunning")
        text = plain(page)
        assert "Cancel 1 job?" in text and "1 has ended already" in text and "oscillator, running" in text
        assert anna.get(f"/jobs/{running}").text.count("Cancelling") == 0  # nothing is done by asking
        told = anna.post("/jobs/act", data=fields)
        assert "1 job was told to end." in plain(told)
        assert f"Job {done} has ended already" in plain(told) and 'href="/jobs?state=running"' in told.text
        assert "Cancelling" in anna.get(f"/jobs/{running}").text
        assert anna.post("/jobs/act", data={**fields, "csrf": "x"}).status_code == 403
    with busy.browser("boris") as boris:
        _, fields = ask(boris, f"/jobs/ask?verb=delete&id={done}")
        assert "With 1 job nothing was done" in plain(boris.post("/jobs/act", data=fields))
    with busy.browser("anna") as anna:
        assert anna.get(f"/jobs/{done}").status_code == 200


def test_all_that_fit_the_filter_are_deleted(busy: Site) -> None:
    with busy.browser("anna") as anna:
        listed = anna.get("/jobs?text=oscillator&state=failed")
        assert "/jobs/ask?verb=delete&amp;all=1&amp;text=oscillator&amp;state=failed" in listed.text
        page, fields = ask(anna, "/jobs/ask?verb=delete&all=1&text=oscillator&state=failed&state=running")
        assert "Delete 4 jobs?" in plain(page) and "3 have not ended" in plain(page)
        told = plain(anna.post("/jobs/act", data=fields))
        assert "1 job is gone." in told and "3 jobs are being cancelled" in told
        assert "oscillator, failed" not in names(anna.get("/jobs"))
        assert "oscillator, done" in names(anna.get("/jobs"))


def test_a_filter_that_says_nothing_means_nobody(site: Site) -> None:
    with site.browser("anna") as anna:
        assert anna.get("/jobs/ask?verb=shred&id=x").status_code == 422
        nobody = anna.get("/jobs/ask?verb=delete")
        assert nobody.status_code == 303 and nobody.headers["location"] == "/jobs"
        sent = json.dumps({"filter": {}})
        token = {"authorization": f"Bearer {site.tokens['anna']}", "content-type": "application/json"}
        assert httpx.post(f"{site.url}/api/jobs/delete", content=sent, headers=token).status_code == 422
