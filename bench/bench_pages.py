"""(g) Pages in a browser: what a job's page weighs, when it is first painted, how soon a line of the program is seen, and what
browsers that only watch cost the server.

Chromium without a window, by Playwright, on this machine. Pages are measured with the assets in the browser's cache, as in all
visits but the first; the weight is what comes over the line, compressed. A line of the log carries the time at which the program
printed it, and the page tells when it stands in the document; both are of the same clock.
"""

import http.client
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
from playwright.sync_api import BrowserContext, Page, sync_playwright

from bench.product import Http, Product, publish, running
from bench.report import Config, Row, percentile

VISITS, VISITS_QUICK = 20, 5
LINES, LINES_QUICK = 200, 40
WATCHERS, WATCHERS_QUICK = 200, 50
IDLE_S, IDLE_QUICK_S = 30.0, 8.0
SETTLE_S = 3.0
GOAL_KB, GOAL_PAINT_MS, GOAL_LINE_MS, GOAL_CPU_PERCENT = 100.0, 300.0, 500.0, 5.0
TALKS = """import time
for _ in range(LINES):
    print(f"stamp {time.time():.4f} end", flush=True)
    time.sleep(0.15)
"""
SEEN = """() => {
  window.seen = new Map();
  const look = () => {
    const now = Date.now() / 1000;
    const said = document.body.innerText.matchAll(/stamp (\\d+\\.\\d+) end/g);
    for (const [, stamp] of said) if (!window.seen.has(stamp)) window.seen.set(stamp, now);
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
  look();
}"""


def run(config: Config) -> list[Row]:
    """Weight, first paint, log line, watchers."""
    quick = config.quick
    with running(config.work, slots=4) as (product, http_client):
        publish(http_client, "sleep", command="sleep 600")
        lines = LINES_QUICK if quick else LINES
        publish(http_client, "talk", command=["python3", "-c", TALKS.replace("LINES", str(lines))])
        done = http_client.json("POST", "/api/apps/me/true?wait=60", {})["id"]
        with _browser(product) as context:
            rows = [*_page(context, product, f"/jobs/{done}", "a job's page", VISITS_QUICK if quick else VISITS)]
            rows.append(_line(context, product, http_client, lines))
        rows.append(
            _watchers(product, http_client, WATCHERS_QUICK if quick else WATCHERS, IDLE_QUICK_S if quick else IDLE_S)
        )
        return rows


@contextmanager
def _browser(product: Product) -> Iterator[BrowserContext]:
    place = shutil.which("chromium")
    if place is None:
        raise RuntimeError("needs chromium (scripts/debian-packages bench)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=place, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        context.add_cookies([{"name": "access_token", "value": product.token, "url": product.url}])
        yield context
        browser.close()


# ---------------------------------------------------------------- weight and first paint


def _page(context: BrowserContext, product: Product, path: str, name: str, visits: int) -> Iterator[Row]:
    page = context.new_page()
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    weights: list[float] = []
    line.on("Network.loadingFinished", lambda told: weights.append(told["encodedDataLength"]))
    page.goto(product.url + path, wait_until="networkidle")  # the assets come into the cache
    bytes_, paints = [], []
    for _ in range(visits):
        weights.clear()
        page.goto(product.url + path, wait_until="networkidle" if not bytes_ else "load")
        paints.append(_first_paint_ms(page))
        bytes_.append(sum(weights))
    page.close()
    yield Row(f"{name}, over the line, assets cached", statistics.median(bytes_) / 1000, "KB", at_most=GOAL_KB)
    yield Row(
        f"{name}, first contentful paint, median of {visits}", statistics.median(paints), "ms", at_most=GOAL_PAINT_MS
    )


def _first_paint_ms(page: Page) -> float:
    return float(
        page.evaluate(
            """() => new Promise(done => {
                const told = () => performance.getEntriesByName('first-contentful-paint')[0];
                if (told()) return done(told().startTime);
                new PerformanceObserver(() => told() && done(told().startTime)).observe({type: 'paint', buffered: true});
            })"""
        )
    )


# ---------------------------------------------------------------- a line of the log


def _line(context: BrowserContext, product: Product, http_client: Http, lines: int) -> Row:
    job = http_client.json("POST", "/api/apps/me/talk", {})["id"]
    page = context.new_page()
    page.goto(f"{product.url}/jobs/{job}")
    page.evaluate(SEEN)
    http_client.json("GET", f"/api/jobs/{job}?wait=120")
    page.wait_for_timeout(1000)
    seen: list[tuple[str, float]] = page.evaluate("() => [...window.seen]")
    page.close()
    live = [(at - float(stamp)) * 1000 for stamp, at in seen][10:]  # the first came with the page
    if len(live) < lines / 2:
        raise RuntimeError(f"only {len(seen)} of {lines} lines were seen")
    note = f"median {statistics.median(live):.0f} ms, {len(live)} lines, one each 150 ms, in a job's first minute"
    return Row(
        "a line from the program to the browser, p95", percentile(live, 0.95), "ms", at_most=GOAL_LINE_MS, note=note
    )


# ---------------------------------------------------------------- watchers


def _watchers(product: Product, http_client: Http, watchers: int, idle_s: float) -> Row:
    job = http_client.json("POST", "/api/apps/me/sleep", {})["id"]
    with ExitStack() as stack:
        for _ in range(watchers):
            stack.callback(_watch(product, f"/jobs/{job}/live").close)
        time.sleep(SETTLE_S)
        server = psutil.Process(product.server_pid)
        before, began = sum(server.cpu_times()[:2]), time.monotonic()
        time.sleep(idle_s)
        used = (sum(server.cpu_times()[:2]) - before) / (time.monotonic() - began) * 100
    http_client.json("POST", f"/api/jobs/{job}/cancel")
    http_client.json("GET", f"/api/jobs/{job}?wait=60")
    what = f"{watchers} browsers that watch a job in which nothing happens: the server's CPU"
    return Row(what, used, "% of a core", at_most=GOAL_CPU_PERCENT, note=f"over {idle_s:.0f} s")


def _watch(product: Product, path: str) -> Any:
    connection = http.client.HTTPConnection(product.url.removeprefix("http://"), timeout=60)
    connection.request("GET", path, headers={"cookie": f"access_token={product.token}", "accept": "text/event-stream"})
    reply = connection.getresponse()
    if reply.status != 200:
        raise RuntimeError(f"{path}: {reply.status}")
    return connection
