"""Signing a command line in by a browser, whatever way the browser was signed in.

The command line keeps a secret and shows its sha256, the challenge, to the browser. Who is signed in there allows it, which makes
a code; the code goes back to the command line, by a redirect to loopback or by hand, and is worth a token only together with
the secret. Nothing is written before somebody who is signed in has said yes.
"""

import hashlib
import re
import secrets
from functools import partial

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import access, audit, tokens
from sirdar.services.context import Services
from sirdar.services.signin import token_hash
from sirdar.services.tokens import Issued, TokenRequest
from sirdar.store import grants
from sirdar.store.engine import Tx
from sirdar.store.grants import Grant

WITHIN_S = 300.0
CHALLENGE = re.compile(r"[0-9a-f]{64}")


def check(challenge: str, wanted: TokenRequest) -> None:
    """Raises ``invalid_field`` where a command line cannot have asked like that."""
    tokens.check(wanted)
    if not CHALLENGE.fullmatch(challenge):
        raise Problem("invalid_field", "That is no challenge.", field="challenge", expected="64 hexadecimal digits")


async def allow(services: Services, caller: Caller, challenge: str, wanted: TokenRequest) -> str:
    """The code that the command line is to have. It works once, for five minutes."""
    access.require_account(caller)
    check(challenge, wanted)
    code = secrets.token_urlsafe(24)
    await services.store.write(partial(_allow, caller=caller, code=code, challenge=challenge, wanted=wanted))
    return code


def _allow(tx: Tx, *, caller: Caller, code: str, challenge: str, wanted: TokenRequest) -> None:
    expires_at = tx.now + WITHIN_S
    grant = Grant(token_hash(code), caller.user_id, challenge, wanted.label, wanted.lifetime_s, expires_at)
    grants.insert_grant(tx, grant)
    audit.record(tx, caller, "user.allow_cli", f"user:{caller.name}", label=wanted.label)


async def redeem(services: Services, code: str, secret: str, *, address: str) -> Issued:
    """A token for the command line that knows the secret. Raises ``gone`` where the code was used, or is too old."""
    challenge = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
    now, code_hash = services.store.clock(), token_hash(code)
    if not await services.store.read(lambda conn: grants.is_grant(conn, code_hash, challenge, now)):
        raise _gone()
    default_s = services.settings.token_s
    return await services.store.write(
        partial(_redeem, code_hash=code_hash, challenge=challenge, default_s=default_s, address=address)
    )


def _redeem(tx: Tx, *, code_hash: str, challenge: str, default_s: float, address: str) -> Issued:
    taken = grants.take_grant(tx, code_hash, challenge)
    if taken is None or taken[1].disabled_at is not None:
        raise _gone()
    grant, user = taken
    issued = tokens.issue(tx, user.id, TokenRequest(grant.label, grant.lifetime_s), default_s=default_s)
    audit.record(tx, user.name, "user.sign_in", f"user:{user.name}", label=grant.label, address=address, by="browser")
    return issued


def _gone() -> Problem:
    return Problem(
        "gone", "This code was used, has expired, or is for another command line.", hint="Run sirdar login again."
    )
