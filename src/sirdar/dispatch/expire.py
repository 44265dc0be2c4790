"""Expire: offers that nobody accepted, leases that ran out, agents that are lost, open jobs to which nobody adds.

A lost lease is not a failure.
"""

import asyncio
from functools import partial

import structlog

from sirdar.dispatch.trouble import tell
from sirdar.domain.outcome import Outcome, Reason
from sirdar.services import meters, open_jobs
from sirdar.services.report import new_batch
from sirdar.services.settings import Settings
from sirdar.store import open_jobs as open_store
from sirdar.store import resources as resource_store
from sirdar.store import tasks as task_store
from sirdar.store.clock import WatchedClock
from sirdar.store.engine import Store, Tx
from sirdar.store.listening import others_listen
from sirdar.store.people import Conn

log = structlog.get_logger()


async def run(store: Store, settings: Settings) -> None:
    """The loop. It writes only where a read has found something to do.

    Time in which the server itself was away (stopped, suspended, without its disk or its database) does not count against agents: a
    round that comes late, counted from the last one that succeeded, gives every lease its time again, and looks at nothing else. So
    does one that comes too early, since the clock was set back, or in time, since it was set twice.
    """
    due: float | None = None  # when this round was to begin; None: nobody knows
    set_back = False  # and what was noted by the clock before is not brought back yet
    while True:
        began = store.clock()
        slip_s = 0.0 if due is None else began - due
        swung = store.watched.swing_s > settings.lease_s / 4
        set_back = set_back or swung or slip_s < -settings.lease_s / 4
        try:
            if due is None or swung or abs(slip_s) > settings.lease_s / 4:
                store.watched.settle()
                await store.write(partial(_begin_anew, name=store.name, settings=settings, set_back=set_back))
                set_back = False
            elif await store.read(partial(_is_needed, settings=settings, now=began)):
                await store.write(partial(_expire_in_time, clock=store.watched, settings=settings, began=began))
            due = began + settings.expire_every_s  # stays in the past while rounds fail
        except Exception as error:
            due = None if swung else due
            tell("expire_failed", error)
        await asyncio.sleep(settings.expire_every_s)


def _begin_anew(tx: Tx, *, name: str, settings: Settings, set_back: bool) -> None:
    """Where another server was there meanwhile, agents could renew their leases with that one, by its clock."""
    if others_listen(tx.conn, name):
        return
    resource_store.extend_all_leases(tx, settings.lease_s)
    open_store.extend_all(tx, settings.open_s)
    if set_back:  # what was noted by the clock before lies in the future now
        resource_store.bring_back(tx)
        task_store.bring_back(tx, settings.retry_max_s)


def _is_needed(conn: Conn, *, settings: Settings, now: float) -> bool:
    return (
        resource_store.has_expired_lease(conn, now)
        or bool(task_store.expired_offers(conn, now - settings.accept_s))
        or bool(resource_store.lost_resources(conn, now))
        or bool(open_store.silent_jobs(conn, now))
    )


def _expire_in_time(tx: Tx, *, clock: WatchedClock, settings: Settings, began: float) -> None:
    """Where the clock jumped since the round began, or the writer was held up: nothing; the next round sees it."""
    if max(abs(tx.now - began), clock.swing_s) <= settings.lease_s / 4:
        expire(tx, settings)


def expire(tx: Tx, settings: Settings) -> None:
    """One round, in one transaction."""
    silent = list(resource_store.mark_unreachable(tx, settings.lease_s))
    tx.hints.after.append(partial(meters.leases_expired, len(silent)))
    for resource_id in silent:
        log.warning("resource_unreachable", resource=resource_id)
        for key in task_store.live_attempts_of_resource(tx.conn, resource_id):
            tx.hints.jobs.add(key.job)
    _expire_offers(tx, settings)
    open_jobs.close_silent(tx, settings)
    for row in resource_store.lost_resources(tx.conn, tx.now, lock=True):
        batch = new_batch(tx, settings)
        keys = list(task_store.live_attempts_of_resource(tx.conn, row.id))
        batch.load(keys)
        for key in keys:
            batch.lose(key)
        batch.flush()


def _expire_offers(tx: Tx, settings: Settings) -> None:
    late = list(task_store.expired_offers(tx.conn, tx.now - settings.accept_s))
    if not late:
        return
    batch = new_batch(tx, settings)
    batch.load(late)
    outcome = Outcome(Reason.OFFER_EXPIRED, f"The agent did not accept the task within {settings.accept_s:.0f} s")
    for key in late:
        batch.withdraw_offer(key, outcome)
    batch.flush()
    tx.hints.queue = True
