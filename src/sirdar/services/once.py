"""Idempotency keys: a request that is sent again with its key makes no second job. Per user, kept for a day."""

import hashlib
from dataclasses import dataclass

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.store import idempotency
from sirdar.store.engine import Tx

KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class Once:
    """A key and the hash of the request that came with it."""

    services: Services
    user_id: str
    key: str
    body_hash: str

    @classmethod
    def of(cls, services: Services, caller: Caller, key: str | None, what: str, body: bytes) -> "Once | None":
        """None where there is no key. ``what``: the address, which the hash covers too. Raises Problem for a key too long."""
        if not key:
            return None
        if len(key) > KEY_CHARS:
            raise Problem(
                "invalid_field", f"An idempotency key has at most {KEY_CHARS} characters.", field="Idempotency-Key"
            )
        return cls(services, caller.user_id, key, hashlib.sha256(what.encode() + b"\0" + body).hexdigest())

    async def earlier(self) -> str | None:
        """The job that an earlier call with this key made. Raises Problem where that call was another request."""
        store = self.services.store
        known = await store.read(lambda conn: idempotency.find(conn, self.user_id, self.key))
        return self._same(known, store.clock())

    def take(self, tx: Tx, job_id: str) -> str | None:
        """In the transaction that makes the job: an earlier one after all, or None, and the key stands for this job."""
        known = self._known_now(tx)
        if known is None:
            expired_before = tx.now - self.services.settings.idempotency_s
            if not idempotency.remember(
                tx, self.user_id, self.key, self.body_hash, job_id, expired_before=expired_before
            ):
                known = self._known_now(tx)
        return known

    def _known_now(self, tx: Tx) -> str | None:
        return self._same(idempotency.find(tx.conn, self.user_id, self.key), tx.now)

    def _same(self, known: idempotency.Remembered | None, now: float) -> str | None:
        if known is None or known.created_at < now - self.services.settings.idempotency_s:
            return None
        if known.body_hash != self.body_hash:
            raise Problem(
                "idempotency_mismatch",
                f"The key was used for another request, which made job {known.job_id}.",
                field="Idempotency-Key",
                hint="Use a new key for a new request.",
            )
        return known.job_id
