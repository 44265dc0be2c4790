"""Watching a list of jobs: which of those shown have changed, and how many new ones fit, so that a page need not reorder itself.

The bells say when to look; the ledger is asked again only then, and once a minute for what no bell told.
"""

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sirdar.domain.people import Caller
from sirdar.services.context import Services
from sirdar.services.jobs import narrow
from sirdar.services.standing import EARLY, quiet_s
from sirdar.store import job_lists
from sirdar.store import people as people_store
from sirdar.store.job_lists import JobFilter
from sirdar.store.people import Conn

LEAST_S = 2.0  # between two messages
LOOK_S = 60.0  # hints may be lost: the ledger is looked at this often anyway
MOST_NEW = 1000  # as far as new jobs are counted
MOST_SHOWN = 200  # rows of one page


@dataclass(frozen=True, slots=True)
class ListNews:
    """One message. ``ids``: jobs shown that have changed or are gone; ``new``: jobs since the newest one shown, up to MOST_NEW.

    ``quiet``: there was nothing to tell for a while.
    """

    ids: tuple[str, ...] = ()
    new: int = 0
    quiet: bool = False


async def watch_list(
    services: Services,
    caller: Caller,
    wanted: JobFilter,
    ids: Collection[str] | Mapping[str, int | None],
    newest: int | None,
) -> AsyncGenerator[ListNews, None]:
    """Tells until it is closed (or the server stops), at most one message in ``LEAST_S``.

    ``ids``: the jobs shown, perhaps each with the number of its last event when it was shown, so that nothing is missed in
    between; those that the caller may not see are left out. ``newest``: the ``seq`` of the newest job that was there when the
    page was made; None: no jobs are counted. Raises Problem ``forbidden``.
    """
    marks: dict[str, int | None] = dict(ids) if isinstance(ids, Mapping) else dict.fromkeys(ids)
    narrowed = replace(narrow(caller, wanted), before_seq=None, after_seq=newest)
    owner = await services.store.read(lambda conn: _whose(conn, caller, narrowed))
    known = await services.store.read(lambda conn: job_lists.marks_of(conn, narrowed, marks))
    topics = [*(f"job:{job_id}" for job_id in known), *([f"new:{owner}"] if newest is not None else [])]
    # What the page has shown may have changed before the bells were hung up: the first look compares.
    shown = {job_id: known[job_id] if mark is None else mark for job_id, mark in marks.items() if job_id in known}
    told_new = 0
    rang: set[str] = set()
    spoke_at, silence_s = time.monotonic(), quiet_s(services)
    with services.hub.listen_each(topics) as bell, services.hub.listen("pause") as pause:
        while not services.hub.closed:
            looked_at = time.monotonic()
            now, new = await services.store.read(partial(_look, wanted=narrowed, shown=shown.keys()))
            changed = {job_id for job_id, mark in shown.items() if now.get(job_id) != mark or job_id in rang}
            if changed or new != told_new:
                spoke_at = time.monotonic()
                yield ListNews(tuple(sorted(changed)), new)
            if changed or new != told_new or rang:
                await pause.wait(LEAST_S)
            shown, told_new, rang = now, new, bell.take_names()
            while not rang and not services.hub.closed and time.monotonic() - looked_at < LOOK_S:
                if await bell.wait(silence_s):
                    rang = bell.take_names()
                if time.monotonic() - spoke_at >= EARLY * silence_s:
                    spoke_at = time.monotonic()
                    yield ListNews(quiet=True)


def _look(conn: Conn, *, wanted: JobFilter, shown: Collection[str]) -> tuple[dict[str, int], int]:
    new = job_lists.count_jobs(conn, wanted, MOST_NEW) if wanted.after_seq is not None else 0
    return job_lists.marks_of(conn, wanted, shown) if shown else {}, new


def _whose(conn: Conn, caller: Caller, wanted: JobFilter) -> str:
    """Whose new jobs may come into the list: the caller's own, or those of the user that an administrator looks at."""
    if wanted.visible_to is not None or wanted.owner is None:
        return caller.user_id
    found = people_store.user_by_name(conn, wanted.owner)
    return found.id if found is not None else ""
