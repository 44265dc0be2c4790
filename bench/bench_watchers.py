"""(i) Two hundred pages that watch lists of jobs over server-sent events: what the server takes for them while nothing happens."""

import socket
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

from bench.bench_idle import SETTLE_S, cpu_ticks
from bench.bench_list import fill_home
from bench.ledger import Past
from bench.product import Product
from bench.report import Config, Row

JOBS, JOBS_QUICK = 10_000, 2_000
WATCHERS = 200
SHOWN = 40
IDLE_S, IDLE_QUICK_S = 60.0, 20.0
GOAL_CPU_PERCENT = 5.0
TICKS = 100  # of a second


def run(config: Config) -> list[Row]:
    """CPU of the server over a minute in which nothing happens, with and without watchers."""
    folder = config.work / "product"
    folder.mkdir()
    product = Product(folder)
    idle_s = IDLE_QUICK_S if config.quick else IDLE_S
    try:
        past = fill_home(product, JOBS_QUICK if config.quick else JOBS)
        product.start()
        alone = spent_percent(product, idle_s)
        with ExitStack() as open_streams:
            for _ in range(WATCHERS):
                open_streams.enter_context(closing(watch(product, past)))
            watched = spent_percent(product, idle_s)
    finally:
        product.close()
    return [
        Row(
            f"CPU of all processes while {WATCHERS} pages watch {SHOWN} idle jobs each, over {idle_s:.0f} s",
            watched,
            "% of one core",
            at_most=GOAL_CPU_PERCENT,
            note=f"without them {alone:.2f}",
        )
    ]


def watch(product: Product, past: Past) -> socket.socket:
    """An open stream, of which the first bytes have come."""
    http = product.http()
    http.headers["authorization"] = f"Bearer {past.busy_token}"
    jobs = http.json("GET", f"/api/jobs?limit={SHOWN}")
    http.close()
    ids = ",".join(job["id"] for job in jobs)
    split = urlsplit(product.url)
    stream = socket.create_connection((split.hostname or "127.0.0.1", split.port or 80), timeout=30)
    head = f"GET /jobs/live?ids={ids}&newest={past.middle_seq * 2} HTTP/1.1\r\nhost: {split.netloc}\r\n"
    stream.sendall(f"{head}cookie: access_token={past.busy_token}\r\n\r\n".encode())
    answer = stream.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return stream


def spent_percent(product: Product, idle_s: float) -> float:
    """Of one core, by all processes of the product."""
    time.sleep(SETTLE_S)  # not synchronisation: the bench measures what passes while nothing happens
    before = {pid: cpu_ticks(pid) for pid in product.processes()}
    began = time.monotonic()
    time.sleep(idle_s)
    spent = sum(cpu_ticks(pid) - ticks for pid, ticks in before.items())
    return 100 * spent / TICKS / (time.monotonic() - began)
