"""Watching how a task's streams grow: sizes only. Whoever watches fetches the bytes, at the pace at which they can be read."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.services.standing import EARLY, quiet_s
from sirdar.services.streams import read_stream

STREAMS = ("stdout", "stderr")
LOGS_S = 0.5  # pieces of a log that come to another server are not told of: they are looked for this often
LEAST_S = 0.05  # between two messages
REST_S = 0.25  # after a bell that rang for something else


@dataclass(frozen=True, slots=True)
class Sizes:
    """``stdout``, ``stderr``: in bytes, as far as the server has them; ``complete``: the task has ended, they are final.

    ``omitted``: bytes of stdout and of stderr that are left out of the middle.
    """

    stdout: int
    stderr: int
    complete: bool
    omitted: tuple[int, int] = (0, 0)
    quiet: bool = False


async def watch_log(
    services: Services, caller: Caller | None, job_id: str, *, task: int = 0, link: str | None = None
) -> AsyncGenerator[Sizes, None]:
    """The sizes now, then at each change until the task has ended, or may not be seen any more.

    Raises Problem ``not_found`` at the start.
    """
    full = (await services.store.read(lambda conn: find_seen(conn, caller, job_id, link=link))).id
    told: Sizes | None = None
    spoke_at, rang, silence_s = time.monotonic(), False, quiet_s(services)
    wait_s = silence_s if services.store.alone else min(LOGS_S, silence_s)
    with services.hub.listen_all([f"log:{full}", f"job:{full}"]) as bell, services.hub.listen("pause") as pause:
        while True:
            try:
                now = await _sizes(services, caller, full, task, link)
            except Problem:
                return  # it is gone, or not to be seen any more: the watcher comes again, and is told so
            if now != told:
                yield now
                told, spoke_at = now, time.monotonic()
                await pause.wait(LEAST_S)
            elif rang:
                await pause.wait(REST_S)
            if now.complete or services.hub.closed:
                return
            rang = await bell.wait(wait_s)
            if time.monotonic() - spoke_at >= EARLY * silence_s:
                spoke_at = time.monotonic()
                yield replace(now, quiet=True)


async def _sizes(services: Services, caller: Caller | None, job_id: str, task: int, link: str | None) -> Sizes:
    out, err = [
        await read_stream(services, caller, job_id, name, task=task, limit=1, link=link, newest=True)
        for name in STREAMS
    ]
    return Sizes(out.size, err.size, out.complete and err.complete, (out.omitted, err.omitted))
