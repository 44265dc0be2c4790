"""What tells a page to look again: the events of a list and of one job, over HTTP, with a browser's session."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.system.product import Product, problem

STREAM = {"accept": "text/event-stream"}


class Events:
    """The events of an open stream, one by one; comments count as ``quiet``."""

    def __init__(self, reply: httpx.Response) -> None:
        self.head = reply
        self._lines = reply.iter_lines()

    def __iter__(self) -> Iterator[tuple[str, Any, int | None]]:
        kind, number = "", None
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                number = int(value)
            elif name == "data":
                yield kind, json.loads(value), number


@contextmanager
def events(browser: httpx.Client, address: str, **headers: str) -> Iterator[Events]:
    with browser.stream("GET", address, headers={**STREAM, **headers}, timeout=30) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield Events(reply)


@pytest.fixture(scope="module")
def browser(sirdar: Product) -> Iterator[httpx.Client]:
    sirdar.publish("nap", "sleep ${n}", inputs={"n": {"type": "number", "default": 60}})
    with sirdar.client(cookies={"access_token": sirdar.token()}) as made:
        yield made


def test_a_list_hears_of_a_changed_row_and_of_new_jobs(sirdar: Product, browser: httpx.Client) -> None:
    shown = sirdar.submit("me/nap", name="live one")["id"]
    newest = sirdar.rows("SELECT seq FROM jobs WHERE id = ?", shown)[0][0]
    with events(browser, f"/jobs/live?ids={shown}&newest={newest}&text=live") as told:
        following = iter(told)
        other = sirdar.submit("me/nap", name="quite another")["id"]
        new = sirdar.submit("me/nap", name="live two")["id"]
        for kind, data, _ in following:
            assert kind == "changed"
            assert set(data["ids"]) <= {shown}
            if data["new"] == 1:
                break
        sirdar.admin.post(f"/api/jobs/{shown}/cancel")
        for _kind, data, _ in following:
            if shown in data["ids"]:
                break
    for job_id in (other, new):
        sirdar.admin.post(f"/api/jobs/{job_id}/cancel")
        sirdar.ended(job_id)


def test_a_job_tells_that_it_changed_and_at_last_its_end(sirdar: Product, browser: httpx.Client) -> None:
    job = sirdar.submit("me/nap", {"n": 0.3})["id"]
    with events(browser, f"/jobs/{job}/live?after=0") as told:
        heard = list(told)
    assert [kind for kind, _, _ in heard[:-1]] == ["changed"] * (len(heard) - 1)
    assert heard[-1][0] == "end"
    assert heard[-1][1] == {"state": "DONE"}
    numbers = [number for _, _, number in heard]
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    (last,) = sirdar.rows("SELECT event_seq FROM jobs WHERE id = ?", job)[0]
    assert numbers[-1] == last
    with events(browser, f"/jobs/{job}/live?after=0", **{"last-event-id": str(last)}) as told:
        assert [kind for kind, _, _ in told] == ["end"], "whoever comes again hears only what is new"


def test_events_of_pages_are_for_those_who_may_see_them(sirdar: Product, browser: httpx.Client) -> None:
    stranger = sirdar.user("passer-by")
    job = sirdar.submit("me/nap", {"n": 0})["id"]
    token = str(stranger.headers["authorization"]).removeprefix("Bearer ")
    with sirdar.client(cookies={"access_token": token}) as other:
        assert other.get(f"/jobs/{job}/live").status_code == 404
    with sirdar.client() as nobody:
        assert nobody.get(f"/jobs/{job}/live").status_code == 303
        assert nobody.get("/jobs/live").status_code == 303
        link = sirdar.admin.post(f"/api/jobs/{job}/share/link").json()["url"].partition("share=")[2]
        with events(nobody, f"/jobs/{job}/live?after=0&share={link}") as told:
            assert [kind for kind, _, _ in told][-1] == "end"
    assert browser.get("/jobs/live?ids=a;b").status_code == 422
    assert browser.get("/jobs/live?state=asleep").status_code == 422
    problem(sirdar.admin.get("/api/jobs?state=asleep"), 422, "invalid_field", "state")
    sirdar.ended(job)
