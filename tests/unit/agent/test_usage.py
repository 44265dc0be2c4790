"""What processes use, as this machine tells it, and when the server is told of it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fake_server import wait_for

from sirdar.agent import usage_elsewhere, usage_linux
from sirdar.agent.outbox import Outbox
from sirdar.agent.usage import CpuMeter
from sirdar.wire.agent import Final, SyncReply, Usage

BURNS = "import time\nx = bytearray(30 << 20)\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def session() -> Iterator[int]:
    """The session of a shell that has waited for one program, and has another that sleeps with 30 MB."""
    code = f"{sys.executable} -c '{BURNS}'; {sys.executable} -c '{BURNS}print(1, flush=True); time.sleep(600)'"
    process = subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"1\n"
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("look", [usage_linux.sessions, usage_elsewhere.sessions])
def test_what_a_session_uses(session: int, look: "type[Iterator[tuple[int, float, int]]]") -> None:
    mine = [(cpu_s, rss_bytes) for of, cpu_s, rss_bytes in look() if of == session]
    assert len(mine) == 2
    assert 0.6 <= sum(cpu_s for cpu_s, _ in mine) < 5, "of the one that has ended, too"
    assert sum(rss_bytes for _, rss_bytes in mine) > 30 << 20


def test_how_busy_the_processors_are() -> None:
    meter = CpuMeter()
    code = f"{BURNS}{BURNS}"
    subprocess.run([sys.executable, "-c", code], check=True)
    used = wait_for(meter.used)
    assert 0.05 < used <= 1


def test_both_ways_of_looking_agree() -> None:
    shares = []
    for look in (usage_linux.processor_times, usage_elsewhere.processor_times):
        idle, whole = look()
        shares.append(idle / whole)
    assert abs(shares[0] - shares[1]) < 0.05
    assert usage_elsewhere.memory_free_bytes() > 0


def gauge(key: str, at_s: float = 1.0) -> Usage:
    return Usage(key=key, rows=[(at_s, 1.0, 1)])


def test_gauges_are_told_together_and_not_at_once() -> None:
    box = Outbox(started_delay_s=0, finals_per_sync=9, usage_every_s=0.05)
    box.add_usage(gauge("a"))
    box.add_usage(gauge("b"))
    box.add_usage(gauge("a", 2.0))
    assert not box.has_news() and box.compose("s").usage == []
    request = wait_for(lambda: one if (one := box.compose("s")).usage else None)
    assert [(usage.key, usage.rows[-1][0]) for usage in request.usage] == [("a", 2.0), ("b", 1.0)]
    box.add_usage(gauge("b", 3.0))
    box.settle(request, SyncReply())
    request = wait_for(lambda: one if (one := box.compose("s")).usage else None)
    assert [(usage.key, usage.rows[-1][0]) for usage in request.usage] == [("b", 3.0)]


def test_of_what_has_ended_no_gauge_is_told() -> None:
    box = Outbox(started_delay_s=0, finals_per_sync=9, usage_every_s=0.0)
    box.add_usage(gauge("a"))
    box.add_usage(gauge("b"))
    box.add_finals([Final(key="a", reason="ok", message="", ended_at=1, reported_at=1)])
    box.add_usage(gauge("a"))
    box.drop(["b"])
    assert box.compose("s").usage == []
