"""Watching how a task's streams grow: sizes only. Whoever watches fetches the bytes, at the pace at which they can be read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from sirdar.domain.people import Caller
from sirdar.services.context import Services
from sirdar.services.jobs import find_seen
from sirdar.services.streams import read_stream

STREAMS = ("stdout", "stderr")
QUIET_S = 15.0  # after this a comment keeps the connection alive
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
) -> AsyncIterator[Sizes]:
    """The sizes now, then at each change until the task has ended. Raises Problem ``not_found`` at the start."""
    full = (await services.store.read(lambda conn: find_seen(conn, caller, job_id, link=link))).id
    told: Sizes | None = None
    quiet_s, rang = 0.0, False
    wait_s = QUIET_S if services.store.alone else LOGS_S
    with services.hub.listen_all([f"log:{full}", f"job:{full}"]) as bell, services.hub.listen("pause") as pause:
        while True:
            now = await _sizes(services, caller, full, task, link)
            if now != told:
                yield now
                told, quiet_s = now, 0.0
                await pause.wait(LEAST_S)
            elif rang:
                await pause.wait(REST_S)
            if now.complete or services.hub.closed:
                return
            rang = await bell.wait(wait_s)
            quiet_s += 0.0 if rang else wait_s
            if quiet_s >= QUIET_S:
                quiet_s = 0.0
                yield replace(now, quiet=True)


async def _sizes(services: Services, caller: Caller | None, job_id: str, task: int, link: str | None) -> Sizes:
    out, err = [
        await read_stream(services, caller, job_id, name, task=task, limit=1, link=link, newest=True)
        for name in STREAMS
    ]
    return Sizes(out.size, err.size, out.complete and err.complete, (out.omitted, err.omitted))
