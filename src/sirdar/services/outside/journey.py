"""A browser's way to the provider and back: what it carries in the meantime, and that it comes back once."""

import hashlib
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.outside.identity import Attempt
from sirdar.services.sessions import sign_in_identity
from sirdar.services.tokens import Issued
from sirdar.store import grants

if TYPE_CHECKING:  # its libraries stand in an extra
    from sirdar.services.outside.oidc import OidcProvider

WITHIN_S = 600.0
PURPOSE = "oidc"


async def depart(services: Services, provider: "OidcProvider", next_page: str) -> tuple[str, str]:
    """The address to send the browser to, and a sealed text that it keeps until it is back."""
    url, attempt = await provider.begin()
    carried = {
        "for": PURPOSE,
        "state": attempt.state,
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
        "next": next_page,
        "until": time.time() + WITHIN_S,
    }
    return url, services.keys.seal(json.dumps(carried))


async def arrive(
    services: Services, provider: "OidcProvider", answer: Mapping[str, str], sealed: str, *, address: str
) -> tuple[Issued, str]:
    """A session for whoever is back, and the page that they wanted. Raises ``sign_in_failed`` and others."""
    carried = _unsealed(services, sealed)
    throttle = services.auth.throttle
    guessed = f"{PURPOSE} {address}"
    throttle.enter(guessed, address)
    try:
        issued = await _vouched(services, provider, answer, carried, address)
    except Problem as problem:
        if problem.code != "sign_in_failed":
            throttle.undone(guessed, address)
        raise
    throttle.succeeded(guessed, address)
    return issued, str(carried["next"])


async def _vouched(
    services: Services, provider: "OidcProvider", answer: Mapping[str, str], carried: Mapping[str, str], address: str
) -> Issued:
    spent = hashlib.sha256(carried["state"].encode()).hexdigest()
    until = services.store.clock() + 2 * WITHIN_S
    if not await services.store.write(partial(grants.spend_state, state_hash=spent, expires_at=until)):
        raise Problem("sign_in_failed", "This sign-in has come back already.", hint="Begin it anew.")
    attempt = Attempt(carried["state"], carried["nonce"], carried["verifier"])
    identity = await provider.finish(attempt, answer)
    return await sign_in_identity(services, identity, provider.rules, address=address)


def _unsealed(services: Services, sealed: str) -> dict[str, str]:
    """What ``depart`` gave the browser. Another browser has no such text: nobody can be signed in by somebody else's link."""
    try:
        carried = json.loads(services.keys.unseal(sealed))
    except ValueError:
        carried = {}
    if carried.get("for") != PURPOSE or carried["until"] < time.time():
        raise Problem(
            "sign_in_failed",
            "This sign-in was not begun in this browser, or too long ago.",
            hint="Begin it anew, and let the browser keep cookies.",
        )
    return dict(carried)
