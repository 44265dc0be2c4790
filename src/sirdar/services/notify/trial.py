"""A notice on trial: what would be told at a job's end, sent once and now, so that one learns at once whether it comes."""

import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.notify import mail, webhook
from sirdar.services.notify.schedule import Delivery, GaveUp
from sirdar.services.notify.send import mail_settings
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.store.ids import new_id

EVERY_S = 10.0  # of one user: it is no way to fill somebody's letter box
REMEMBERED = 1000
EVENT = "test"

_sent: OrderedDict[str, float] = (
    OrderedDict()
)  # by user, when the last one went out (monotonic); used on the event loop


async def send_trial(services: Services, caller: Caller, target: dict[str, Any]) -> Delivery:
    """Send it once, whatever becomes of it. ``target`` as it is stored. Raises Problem ``too_many_requests``."""
    _take_turn(caller.user_id)
    now = services.store.clock()
    trial_id = new_id()
    if "webhook" in target:
        sealed = target.get("secret")
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return await webhook.deliver(
            target["webhook"],
            {"event": EVENT, "owner": caller.name, "sent": at, "url": services.settings.url},
            secret=services.keys.unseal(sealed) if sealed else None,
            delivery_id=trial_id,
            event=EVENT,
            tries=0,
            now=now,
            policy=AddressPolicy.from_lines(services.settings.fetch_allow),
        )
    if not services.settings.smtp_host:
        return GaveUp("The server has no SMTP host: set SIRDAR_SMTP_HOST.")
    text = f"{caller.name} tries out notices of {services.settings.url}: when a job ends, a letter like this comes.\n"
    return await mail.send(
        mail_settings(services.settings),
        to=target["email"],
        subject="Sirdar: a notice on trial",
        text=text,
        delivery_id=trial_id,
        tries=0,
        now=now,
    )


def _take_turn(user_id: str) -> None:
    now = time.monotonic()
    wait_s = _sent.get(user_id, float("-inf")) + EVERY_S - now
    if wait_s > 0:
        raise Problem(
            "too_many_requests",
            "A notice was tried out just now.",
            hint=f"Try the next one in {wait_s:.0f} s.",
            retry_after_s=max(1, round(wait_s)),
        )
    _sent.pop(user_id, None)
    _sent[user_id] = now
    while len(_sent) > REMEMBERED:
        _sent.popitem(last=False)
