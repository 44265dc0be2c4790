"""Bells: what waits for one can be told to stop at any moment."""

import asyncio

import pytest

from sirdar.services.hub import Bell

WITHIN_S = 5.0


def test_a_bell_that_rang_is_used_up() -> None:
    async def run() -> list[bool]:
        bell = Bell()
        bell.ring()
        return [await bell.wait(WITHIN_S), await bell.wait(0)]

    assert asyncio.run(run()) == [True, False]


def test_who_is_told_to_stop_as_the_bell_rings_stops() -> None:
    """With asyncio.wait_for of Python 3.11 the ring swallowed the cancellation, and a loop went round once more."""

    async def run() -> None:
        bell = Bell()
        loop = asyncio.create_task(bell.wait(WITHIN_S))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it waits now
        bell.ring()
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop

    asyncio.run(run())
