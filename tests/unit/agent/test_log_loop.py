"""``agent.loops.logs`` against the fake server, with files that grow as the test wants."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_server import FakeServer

from sirdar.agent.attempts import Attempt, Attempts
from sirdar.agent.identity import Identity
from sirdar.agent.link import Link
from sirdar.agent.live_streams import MARKS, Seen
from sirdar.agent.loops.logs import LogLoop
from sirdar.agent.settings import Settings

KEY = "job-0-1"
PEM = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nqNTXvbGh0qSi0mVx\n-----END KEY-----\n"
MADE = PEM.encode()
AMID = b"amid\n-----BEGIN SONG-----\n"


class Sent:
    """An attempt whose stdout is written by the test, and what the server has of it."""

    def __init__(self, server: FakeServer, folder: Path, secrets: dict[str, str]) -> None:
        self._server = server
        self.path = folder / "stdout"
        self.path.touch()
        self.attempt = Attempt(KEY, "job", {}, secrets, "", folder=folder, started_at=1.0)

    def write(self, raw: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(raw)

    @property
    def pieces(self) -> list[tuple[int, bytes]]:
        newest = self._server.newest.get((KEY, "stdout"), [])
        return [(0, self._server.logs.get((KEY, "stdout"), b"")), *((start, raw) for start, _, raw in newest)]

    @property
    def reached(self) -> int:
        return max(start + len(raw) for start, raw in self.pieces)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def drive(server: FakeServer, sent: Sent, story: Callable[[], Any], **settings: Any) -> None:
    """Runs the loop for the attempt while the story is told."""

    told, idle = asyncio.Event(), asyncio.Event()

    async def running() -> list[Attempt]:
        if not told.is_set():
            return [sent.attempt]
        idle.set()
        return []

    async def scenario() -> None:
        made = Settings(home=sent.path.parent, server=server.url, token=server.token, log_late_flush_s=0.0, **settings)
        link = Link(made, Identity(b"k" * 32))
        loop = LogLoop(made, link, Attempts(), cast(Any, SimpleNamespace(running=running)))
        work = asyncio.create_task(loop.run())
        try:
            await story()
        finally:
            told.set()
            await idle.wait()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await link.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("head_bytes", [1 << 20, 5, 30, 45])
def test_a_secret_of_many_lines_is_hidden_wherever_it_is_cut(
    server: FakeServer, tmp_path: Path, head_bytes: int
) -> None:
    sent = Sent(server, tmp_path, {"PEM": PEM})
    stages = [
        (b"begin\n" + MADE[:20], 6),  # what the program wrote, and how much of the stream may be sent then
        (MADE[20:40], 6),
        (MADE[40:] + AMID + MADE[:37], 6 + len(MADE + AMID)),
        (MADE[37:] + b"end\n", 6 + len(MADE + AMID + MADE) + 4),
    ]
    whole = b"".join(raw for raw, _ in stages)
    hidden = whole.replace(MADE, b"*" * len(MADE))

    async def story() -> None:
        for raw, safe in stages:
            sent.write(raw)
            await sent.until(lambda safe=safe: sent.reached >= safe)
            for start, piece in sent.pieces:
                assert piece == hidden[start : start + len(piece)]
            assert sent.reached == safe

    drive(server, sent, story, log_head_bytes=head_bytes)


def test_many_marks_go_in_several_calls(server: FakeServer, tmp_path: Path) -> None:
    sent = Sent(server, tmp_path, {})
    marks = [(10**9 + number, 1763841000.5) for number in range(MARKS)]
    sent.attempt.seen["stdout"] = Seen(0.0, untold=list(marks))

    async def story() -> None:
        for number in range(20):
            sent.write(b"more\n")
            await sent.until(lambda number=number: sent.reached == 5 * number + 5)
            if {f"{start}:{at}" for start, at in marks[1:]} <= set(server.seen):
                return

    drive(server, sent, story)
    assert {f"{start}:{at}" for start, at in marks[1:]} <= set(server.seen)
    assert len(set(server.seen)) == len(server.seen)


@pytest.mark.parametrize("limit", [{"most_address_chars": 120}, {"most_address_chars": 60}, {"most_piece_bytes": 2000}])
def test_a_proxy_that_takes_little_does_not_end_the_live_log(
    server: FakeServer, tmp_path: Path, limit: dict[str, int]
) -> None:
    vars(server).update(limit)
    sent = Sent(server, tmp_path, {})
    sent.attempt.seen["stdout"] = Seen(0.0, untold=[(number, 1763841000.5) for number in range(1, 80)])
    whole = b"".join(b"line %d\n" % number for number in range(1000))

    async def story() -> None:
        sent.write(whole)
        await sent.until(lambda: sent.reached == len(whole))
        assert sent.pieces == [(0, whole)]

    drive(server, sent, story)
