"""(e) A page of a job list over 100,000 jobs, through REST and as a web page: 95th percentiles of single requests, in milliseconds.

The jobs are of twenty users; a page is what one of them may see, the newest first. Filters are measured one by one, with those
that find little or nothing, and with pages deep in the list. Beside each stands a bare reply of the same HTTP server.
"""

import html
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import bare, ledger
from bench.ledger import Past
from bench.product import Http, Product, publish
from bench.report import Config, Row, percentile

JOBS, JOBS_QUICK = 100_000, 20_000
REQUESTS, REQUESTS_QUICK = 60, 15
WARM = 5
GOAL_MS, PAGE_GOAL_MS = 50.0, 100.0
LONGEST = "limit=1000"  # measured too; the goal is of pages as people see them


def run(config: Config) -> list[Row]:
    """One row for each kind of page."""
    jobs = JOBS_QUICK if config.quick else JOBS
    requests = REQUESTS_QUICK if config.quick else REQUESTS
    product = Product(_folder(config.work))
    try:
        past = fill_home(product, jobs)
        product.start()
        with bare.running(config.work) as bare_url:
            took_ms = measure(pages_of(product, past, bare_url), requests)
    finally:
        product.close()
    limit_ms = percentile(took_ms.pop("bare"), 0.95)
    return [row(what, values, limit_ms, jobs) for what, values in took_ms.items()]


def _folder(work: Path) -> Path:
    folder = work / "product"
    folder.mkdir()
    return folder


def fill_home(product: Product, jobs: int) -> Past:
    """A home of which the server has made the tables and one application, with a past of so many jobs."""
    product.start()
    connection = product.http()
    publish(connection, "true", command="/bin/true")
    connection.close()
    product.stop()
    return ledger.fill(product.home / "sirdar.db", jobs)


def row(what: str, values: list[float], limit_ms: float, jobs: int) -> Row:
    return Row(
        f"{what}, p95 over {jobs} jobs",
        percentile(values, 0.95),
        "ms",
        limit=limit_ms,
        limit_what="bare reply",
        at_most=None if LONGEST in what else GOAL_MS if what.startswith("REST") else PAGE_GOAL_MS,
        note=f"median {percentile(values, 0.5):.3g}, longest {max(values):.3g} of {len(values)}",
    )


def pages_of(product: Product, past: Past, bare_url: str) -> dict[str, Callable[[], None]]:
    """Each kind of page as a call."""
    busy, rare, admin, web = (
        Http(product.url, past.busy_token),
        Http(product.url, past.rare_token),
        product.http(),
        Http(product.url),
    )
    cookie = f"access_token={past.busy_token}"
    deep = f"after={past.middle_seq}"
    asked = {
        "REST, no filter": (busy, "/api/jobs"),
        "REST, no filter, half way back": (busy, f"/api/jobs?{deep}"),
        "REST, user of few old jobs": (rare, "/api/jobs"),
        "REST, shared ones among them": (admin, "/api/jobs"),
        "REST, everybody's, by an administrator's filter": (admin, "/api/jobs?owner=researcher5"),
        "REST, state=FAILED": (busy, "/api/jobs?state=FAILED"),
        "REST, state=RUNNING": (busy, "/api/jobs?state=RUNNING"),
        "REST, app": (busy, f"/api/jobs?app={past.app}"),
        "REST, app, half way back": (busy, f"/api/jobs?app={past.app}&{deep}"),
        "REST, text": (busy, "/api/jobs?text=lung"),
        "REST, text that is in no name": (busy, "/api/jobs?text=nowhere"),
        "REST, a day": (busy, f"/api/jobs?{_day(45)}"),
        "REST, three states of a month two months ago": (
            busy,
            f"/api/jobs?state=FAILED,CANCELLED,READY&{_span(75, 45)}",
        ),
        "REST, nothing in an hour long ago": (busy, f"/api/jobs?state=READY&app={past.app}&{_span(80.02, 80)}"),
        "REST, of one name by an administrator, a week": (
            admin,
            f"/api/jobs?owner=researcher5&text=tsp&{_span(37, 30)}",
        ),
        "REST, state, app and text": (busy, f"/api/jobs?state=FAILED&app={past.app}&text=tsp"),
        f"REST, {LONGEST}": (busy, f"/api/jobs?{LONGEST}"),
    }
    made: dict[str, Callable[[], None]] = {what: partial(ask, http, path, b"[") for what, (http, path) in asked.items()}
    for what, query in {
        "page, no filter": "",
        "page, half way back": f"?{deep}",
        "page, failed ones": "?state=failed",
        "page, app": f"?app={past.app}",
        "page, text": "?text=lung",
        "page, failed and running ones of a month": "?state=failed&state=running&within=month",
        "page, text that is in no name": "?text=nowhere",
    }.items():
        made[what] = partial(ask, web, f"/jobs{query}", b"<!", cookie=cookie)
    made["rows of a page, looked at again"] = partial(ask, web, _rows_address(web, cookie), b"<p", cookie=cookie)
    return {"bare": partial(ask_bare, Http(bare_url)), **made}


def _rows_address(web: Http, cookie: str) -> str:
    """Of what a page fetches when one of its rows has changed."""
    _, page = web.call("GET", "/jobs", cookie=cookie)
    found = re.search(rb'<sirdar-live src="([^"]+)"', page)
    assert found is not None, page[:500]
    return html.unescape(found[1].decode())


def _day(back: int) -> str:
    days = [time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * (back - more))) for more in (0, 1)]
    return f"since={days[0]}&until={days[1]}"


def _span(first: float, last: float) -> str:
    """From so many days ago to so many."""
    moments = [time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - 86400 * back)) for back in (first, last)]
    return f"since={moments[0]}&until={moments[1]}"


def measure(asked: dict[str, Callable[[], None]], requests: int) -> dict[str, list[float]]:
    """Milliseconds of each kind, one of each in turn."""
    took: dict[str, list[float]] = {what: [] for what in asked}
    for turn in range(requests + WARM):
        for what, ask_page in asked.items():
            began = time.perf_counter()
            ask_page()
            if turn >= WARM:
                took[what].append(1000 * (time.perf_counter() - began))
    return took


def ask(http: Http, path: str, begins: bytes, cookie: str = "") -> None:
    status, content = http.call("GET", path, cookie=cookie)
    assert status == 200 and content.lstrip()[: len(begins)] == begins, (path, status, content[:200])


def ask_bare(http: Http) -> None:
    assert http.call("POST", "/reply", b"{}")[0] == 201
