"""Notify: delivers what was asked for at a job's end. It never blocks a job, and tries again for about a day and a half."""

import structlog

from sirdar.dispatch.trouble import tell
from sirdar.services.context import Services
from sirdar.services.notify.schedule import Delivered, Delivery, Retry
from sirdar.services.notify.send import send_notice
from sirdar.store import notices
from sirdar.store.engine import Tx
from sirdar.store.notices import Notice

log = structlog.get_logger()
HOLD_S = 120.0  # longer than one delivery may take
LONGEST_WAIT_S = 60.0


async def run(services: Services) -> None:
    """The loop."""
    while True:
        try:
            due = await services.store.write(lambda tx: notices.claim_due(tx, hold_s=HOLD_S))
            for notice in due:
                await _send(services, notice)
            wait_s = 0.0 if due else await _until_next(services)
        except Exception as error:
            tell("notify_failed", error)
            wait_s = LONGEST_WAIT_S
        if wait_s:
            await services.hub.notices.wait(wait_s)


async def _until_next(services: Services) -> float:
    at = await services.store.read(notices.next_due)
    if at is None:
        return LONGEST_WAIT_S * 60
    return min(LONGEST_WAIT_S, max(0.05, at - services.store.clock()))


async def _send(services: Services, notice: Notice) -> None:
    delivery = await send_notice(services, notice)
    await services.store.write(lambda tx: _record(tx, notice, delivery))
    log.info("notice", job=notice.job_id, outcome=type(delivery).__name__, tries=notice.tries + 1)


def _record(tx: Tx, notice: Notice, delivery: Delivery) -> None:
    if isinstance(delivery, Delivered):
        notices.mark_delivered(tx, notice.id)
    elif isinstance(delivery, Retry):
        at = tx.now + delivery.after_s
        notices.mark_retry(tx, notice.id, tries=notice.tries + 1, next_at=at, error=delivery.reason)
    else:
        notices.mark_given_up(tx, notice.id, tries=notice.tries + 1, error=delivery.reason)
