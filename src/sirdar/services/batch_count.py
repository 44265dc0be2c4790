"""What a batch did to attempts, counted and logged once it is committed."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from sirdar.domain.ids import AttemptKey
from sirdar.domain.outcome import Outcome
from sirdar.services import meters
from sirdar.services.batch_rows import Rows
from sirdar.store.engine import Tx

log = structlog.get_logger()
Ended = Sequence[tuple[AttemptKey, Outcome, str | None]]


def count_after(tx: Tx, rows: Rows) -> None:
    """Note what is to be counted; what went well is logged at the level ``debug``, whatever else at ``info``."""
    if rows.accepts:
        tx.hints.after.append(partial(meters.attempts_accepted, len(rows.accepts)))
    if not rows.ends:
        return
    verbose = logging.getLogger().isEnabledFor(logging.DEBUG)
    by_reason = Counter(outcome.reason.value for outcome, _ in rows.ends.values())
    told = [
        (key, outcome, rows.resources.get((key.job, key.task)))
        for key, (outcome, _) in rows.ends.items()
        if verbose or not outcome.ok
    ]
    tx.hints.after.append(partial(_ended, by_reason, told))


def _ended(by_reason: Mapping[str, int], told: Ended) -> None:
    meters.attempts_ended(by_reason)
    for key, outcome, resource in told:
        level = logging.DEBUG if outcome.ok else logging.INFO
        reason, code = outcome.reason.value, outcome.exit_code
        log.log(level, "attempt_ended", job=key.job, attempt=key.text, resource=resource, reason=reason, exit_code=code)
