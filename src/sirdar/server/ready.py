"""What a start says last: that the server is ready, or why it is not."""

import asyncio
from collections.abc import Callable

from sirdar.domain.problems import Problem
from sirdar.server.process import say
from sirdar.services.context import Services
from sirdar.services.readiness import Readiness

ANSWER_S = 5.0  # servers that were here before answer a newcomer at once, those that hang do not
LOOK_S = 0.02
AGAIN_S = 2.5


async def _check_key(services: Services) -> None:
    """Wait for what other servers of the database say to us. Raises Problem ``conflict`` where they have another key."""
    store = services.store
    for _ in range(round(ANSWER_S / LOOK_S)):
        if store.alone or store.greeted:
            break
        await asyncio.sleep(LOOK_S)
    if store.stranger:
        raise Problem(
            "conflict",
            f"Other servers of the database have another key than {services.settings.home}: it is not the home that they share.",
            hint="Give it their home (--home), or a database of its own (--database).",
        )


async def until_stopped(
    services: Services, greet: Callable[[], None], stop: asyncio.Event, serving: "asyncio.Task[None]"
) -> BaseException | None:
    """Say how the start went, and wait for the end. What is returned stands in the way of a server with these settings."""
    stopped = asyncio.create_task(stop.wait())
    readying = asyncio.create_task(_say_ready(services, greet))
    await asyncio.wait({stopped, serving, readying}, return_when=asyncio.FIRST_COMPLETED)
    refused = readying.exception() if readying.done() else None
    if refused is None:
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, readying):
        task.cancel()
    return refused


async def _say_ready(services: Services, greet: Callable[[], None]) -> None:
    """``greet`` and say that it is ready, or why not yet, and then when it is. Raises Problem ``conflict``.

    A home's own disk has just been written; blobs that lie elsewhere are looked for.
    """
    await _check_key(services)
    url, told = services.settings.url, ""
    readiness = Readiness(services)
    while services.settings.blobs:
        wrong = " ".join(check.detail for check in await readiness.checks() if not check.ok)
        if not wrong:
            break
        if wrong != told:
            told = wrong
            say(f"not ready: {wrong} The log has more; {url}/api/ready says how it stands")
        await asyncio.sleep(AGAIN_S)
    greet()
    say(f"ready {url}")
