"""Clears up behind throw-away agents that were killed: nobody comes back to their homes."""

import os
import sys
from pathlib import Path

from sirdar.agent.directories import remove
from sirdar.agent.events import get_logger
from sirdar.agent.home import throwaway_homes, try_lock
from sirdar.agent.porter.launch import held
from sirdar.agent.programs import programs_here

log = get_logger(__name__)


def sweep_throwaways() -> list[Path]:
    """Removes the homes of this user's throw-away agents that were killed, with what tasks had there; which those were.

    One with a porter that lives, or programs that run, stays: it is removed when an agent starts after their end.
    """
    gone = [place for place in throwaway_homes() if _sweep(place)]
    if gone:
        log.info("homes_removed", homes=[str(place) for place in gone])
    return gone


def _sweep(place: Path) -> bool:
    if sys.platform == "win32":  # there are no locks that tell who lives
        return False
    try:
        lock = os.open(place / "agent.lock", os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:  # held until all is gone: nobody else sweeps there
        if not try_lock(lock) or held(place) or programs_here(place):
            return False
        remove(place)
    except (OSError, KeyError, ValueError) as error:  # what lies there need not be whole
        log.warning("home_not_removed", home=str(place), error=str(error))
        return False
    finally:
        os.close(lock)
    return not place.exists()
