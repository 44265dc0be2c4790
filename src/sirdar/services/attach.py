"""Resources: creating, joining, tokens of agents, sessions, heartbeats and the comparison of what both sides believe."""

import base64
import hashlib
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sirdar.domain.ids import AttemptKey
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.problems import Problem
from sirdar.domain.states import AttemptState
from sirdar.services.batch import Batch
from sirdar.services.keys import Keys
from sirdar.services.report import new_batch
from sirdar.services.settings import Settings
from sirdar.store import people as people_store
from sirdar.store import resource_tokens, resource_use
from sirdar.store import resources as resource_store
from sirdar.store import tasks as task_store
from sirdar.store.engine import Tx
from sirdar.store.ids import new_id
from sirdar.store.people import Conn
from sirdar.store.resource_tokens import ResourceToken
from sirdar.store.resources import ResourceRow
from sirdar.store.tasks import Loaded
from sirdar.wire.agent import (
    PROTOCOL_VERSIONS,
    GoodbyeRequest,
    HeartbeatRequest,
    HelloRequest,
    JoinRequest,
    OwnedAttempt,
    TokenRequest,
)

JOIN_PREFIX = "j1."
AGENT_PREFIX = "a1."
RESOURCE_PREFIX = "r1."
RECHECK_S = 60.0  # another server of the same ledger may have revoked it
CLOCK_SKEW_S = 300.0


def create_resource(tx: Tx, settings: Settings, *, name: str, owner_id: str, embedded: bool = False) -> tuple[str, str]:
    """A new resource and its single-use join token: (resource id, token). The name must be free.

    The server's own machine is for everyone; any other is its owner's until it is shared.
    """
    resource_id = new_id()
    resource_store.insert_resource(
        tx, id=resource_id, name=name, owner_id=owner_id, lost_after_s=settings.lost_after_s, embedded=embedded
    )
    if embedded:
        resource_use.put_share(tx, resource_id, resource_use.EVERYONE)
    return resource_id, new_join_token(tx, settings, resource_id)


def new_join_token(tx: Tx, settings: Settings, resource_id: str) -> str:
    """A single-use token that makes one key pair the resource's."""
    token = JOIN_PREFIX + secrets.token_urlsafe(32)
    resource_store.insert_join_token(
        tx, token_hash=_hash(token), resource_id=resource_id, expires_at=tx.now + settings.join_token_s
    )
    return token


def join(tx: Tx, request: JoinRequest) -> ResourceRow:
    """Make the request's key the resource's. Raises Problem where the token is wrong, used or too old."""
    try:
        Ed25519PublicKey.from_public_bytes(_unbase64(request.public_key))
    except ValueError:
        raise Problem("invalid_field", "public_key is not an Ed25519 key of 32 bytes.", field="public_key") from None
    token_hash = _hash(request.token)
    again = resource_store.joined_with(tx.conn, token_hash, request.public_key)
    if again is not None:  # the answer was lost on the way: the same key gets the same one
        return again
    resource_id = resource_store.use_join_token(tx, token_hash)
    if resource_id is None:
        raise Problem(
            "unauthenticated",
            "The join token is unknown, used, or older than 15 minutes.",
            hint="Make a new one: sirdar resource join NAME.",
        )
    resource_store.set_public_key(tx, resource_id, request.public_key)
    row = resource_store.find_resource(tx.conn, resource_id)
    assert row is not None
    return row


def new_resource_token(tx: Tx, resource_id: str, *, label: str, lifetime_s: float | None) -> tuple[str, ResourceToken]:
    """A token that attaches an agent without a key, as in a throw-away container: its text, which is kept nowhere, and its row."""
    text = RESOURCE_PREFIX + secrets.token_urlsafe(32)
    expires_at = None if lifetime_s is None else tx.now + lifetime_s
    token = ResourceToken(new_id(), _hash(text), resource_id, label, tx.now, expires_at, None)
    resource_tokens.insert(tx, token)
    return text, token


# ---------------------------------------------------------------- who calls


def detached(
    detail: str = "The resource was revoked or deleted: this agent has no access any more.", *, by_key: bool = True
) -> Problem:
    """What an agent is told that shall stop asking. Not ``by_key``: it has only a resource token."""
    command = "sirdar resource join NAME" if by_key else "sirdar resource token create NAME"
    return Problem("detached", detail, hint=f"Make a new token on the server: {command}.")


def another_key() -> Problem:
    return Problem("token_expired", "The agent's token was made for another key; ask for a new one.")


def check_signature(row: ResourceRow | None, request: TokenRequest, now: float) -> None:
    """Raises Problem unless the request is signed, now, by the key that joined as that resource.

    ``detached`` where asking again would change nothing: the resource is no more, or another key has joined as it since.
    """
    if row is None or row.public_key is None or row.revoked_at is not None:
        raise detached()
    if abs(now - request.at) > CLOCK_SKEW_S:
        raise Problem(
            "unauthenticated",
            f"The agent's clock differs from the server's by {abs(now - request.at):.0f} s; 300 s are allowed.",
            hint="Set the machine's clock. Sirdar's own agents take the time from this answer and ask again.",
            server_time=now,
        )
    text = f"sirdar-agent-token:{request.resource_id}:{request.at!r}:{request.nonce}"
    try:
        key = Ed25519PublicKey.from_public_bytes(_unbase64(row.public_key))
        key.verify(_unbase64(request.signature), text.encode())
    except (InvalidSignature, ValueError):
        raise detached("The resource has another key by now: another machine has joined as it.") from None


@dataclass(frozen=True, slots=True)
class AgentToken:
    """A token that holds until ``until``. ``key``: the print of the key that it was made for; None: a resource token."""

    resource_id: str
    until: float
    key: str | None


def key_print(public_key: str | None) -> str:
    """Few characters that tell one key from another; empty where there is none."""
    return _hash(public_key)[:12] if public_key else ""


def agent_token(keys: Keys, resource_id: str, expires_at: float, public_key: str | None = None) -> str:
    """A short-lived bearer token of an agent: no row; dead when the resource is revoked, or another key joins as it."""
    text = f"{resource_id}:{math.floor(expires_at)}:{key_print(public_key)}"
    return f"{AGENT_PREFIX}{text}.{keys.sign('agent', text)}"


def resource_of_token(keys: Keys, token: str, now: float) -> AgentToken:
    """What a valid agent token says. Raises Problem."""
    text, _, signature = token.removeprefix(AGENT_PREFIX).partition(".")
    if not token.startswith(AGENT_PREFIX) or not keys.checks("agent", text, signature):
        raise Problem(
            "unauthenticated",
            "This is not an agent's token.",
            hint="A machine is attached by a token of its resource: sirdar resource create, or sirdar resource token.",
        )
    resource_id, expires, key = [*text.split(":"), ""][:3]  # earlier releases' named no key: it is asked for anew
    if float(expires) < now:
        raise Problem("token_expired", "The agent's token has expired; ask for a new one.")
    return AgentToken(resource_id, float(expires), key)


def resource_of_resource_token(conn: Conn, token: str, now: float) -> AgentToken:
    """What a resource token attaches to, and until when that need not be asked again. Raises Problem."""
    row = resource_tokens.by_hash(conn, _hash(token))
    if row is None or row.revoked_at is not None:
        raise detached("The resource token is unknown or was revoked.", by_key=False)
    if row.expires_at is not None and row.expires_at < now:
        raise detached("The resource token has expired.", by_key=False)
    return AgentToken(row.resource_id, min(row.expires_at or math.inf, now + RECHECK_S), None)


def end_resource_token(tx: Tx, token: str) -> None:
    """It attaches nobody any more."""
    row = resource_tokens.by_hash(tx.conn, _hash(token))
    if row is not None:
        resource_tokens.revoke(tx, row.resource_id, row.id)


def resource_that_was_left(conn: Conn, token: str) -> ResourceRow | None:
    """The resource of a resource token that was revoked or has expired: its agent ends its programs, and may say goodbye."""
    row = resource_tokens.by_hash(conn, _hash(token)) if token.startswith(RESOURCE_PREFIX) else None
    return resource_store.find_resource(conn, row.resource_id) if row is not None else None


# ---------------------------------------------------------------- sessions


@dataclass(frozen=True, slots=True)
class Greeting:
    """What hello decided: the wishes for what the agent owns."""

    row: ResourceRow
    protocol: int
    desired: dict[str, str]
    owner: str


def hello(
    tx: Tx,
    settings: Settings,
    resource_id: str,
    request: HelloRequest,
    *,
    by_key: bool = True,
    key: str | None = None,
) -> Greeting:
    """Begin a session, and compare: what the agent does not own any more is lost, what it should not own it forgets.

    A resource has one agent at a time. A new life of an agent on its own home takes the place of the one before; an agent
    that was replaced, and one that has only a resource token (``by_key`` False), wait until the other's lease is over. So does an
    earlier life, whose hello the network brought late. ``key``: the print of the key that its token was checked against, which must
    still be the resource's.
    """
    common = set(request.protocols) & set(PROTOCOL_VERSIONS)
    row = resource_store.find_resource(tx.conn, resource_id)
    if row is None or row.revoked_at is not None:
        raise detached(by_key=by_key)
    if key is not None and key != key_print(row.public_key):
        raise another_key()
    waits = request.renews or not by_key or _is_earlier(request.session, row.session)
    if row.session not in (None, request.session) and waits and _is_held(row, tx.now):
        raise Problem(
            "attached_elsewhere",
            f"Another agent is attached as {row.name}.",
            hint="It is let in when the other has ended. Make a resource for each agent: sirdar resource create.",
        )
    if not common:
        raise Problem(
            "conflict",
            f"The agent speaks protocol {request.protocols}, this server {list(PROTOCOL_VERSIONS)}.",
            hint="Install a Sirdar of the server's release on that machine.",
        )
    renewed = row.session == request.session
    resource_store.begin_session(
        tx,
        resource_id,
        session=request.session,
        capabilities=request.capabilities.model_dump(),
        agent_version=request.agent_version,
        lease_s=settings.lease_s,
        load=request.load,
    )
    desired = _reconcile(tx, settings, row, request.owned, lost=lambda loaded: not renewed)
    tx.hints.queue = True
    owner = people_store.user_by_id(tx.conn, row.owner_id)
    return Greeting(row, max(common), desired, owner.name if owner is not None else "")


def _is_earlier(session: str, other: str | None) -> bool:
    """Whether a session is of an earlier life of the agent than another one. False where they do not say."""
    mine, theirs = (
        int(name.partition(".")[0]) if re.match(r"\d{1,15}\.", name) else 0 for name in (session, other or "")
    )
    return 0 < mine < theirs


def _is_held(row: ResourceRow, now: float) -> bool:
    return row.unreachable_since is None and row.lease_until is not None and row.lease_until > now


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat decided. ``mode`` and ``capabilities``: as the ledger has them now, whichever server changed them."""

    desired: dict[str, str]
    absent: set[AttemptKey]
    mode: str
    capabilities: dict[str, Any]


def heartbeat(tx: Tx, settings: Settings, row: ResourceRow, request: HeartbeatRequest, missed: set[AttemptKey]) -> Beat:
    """Renew the lease and compare. An attempt that two heartbeats in a row do not name is lost: one may cross an accept.

    ``missed``: what the heartbeat before did not name; ``absent``: what this one does not. Raises Problem ``detached``.
    """
    found = resource_store.find_resource(tx.conn, row.id)
    if found is None or found.revoked_at is not None:
        raise detached()
    if found.session != request.session:
        raise Problem("unknown_session", "Another session of this agent is known here.", hint="Say hello.")
    if request.stops:
        _note_stop(tx, settings, found)
        return Beat({}, set(), found.mode, found.capabilities)
    resource_store.renew_lease(tx, row.id, lease_s=settings.lease_s, load=request.load)
    if request.labels is not None and request.labels != found.capabilities.get("labels"):
        found = replace(found, capabilities={**found.capabilities, "labels": request.labels})
        resource_store.keep_capabilities(tx, row.id, found.capabilities)
        tx.hints.queue = True
    live = task_store.live_attempts_of_resource(tx.conn, row.id)
    named = {owned.key for owned in request.owned}
    absent = {
        key
        for key, loaded in live.items()
        if key.text not in named and loaded.attempt.state is not AttemptState.OFFERED
    }
    desired = _reconcile(tx, settings, row, request.owned, lost=lambda loaded: loaded.attempt.key in missed)
    return Beat(desired, absent, found.mode, found.capabilities)


def _note_stop(tx: Tx, settings: Settings, row: ResourceRow) -> None:
    """The agent says that it ends: it is unreachable from now on, not lost. What it has not accepted is offered to others."""
    resource_store.mark_stopped(tx, row.id)
    live = task_store.live_attempts_of_resource(tx.conn, row.id)
    batch = new_batch(tx, settings)
    batch.load(live)
    for key, loaded in live.items():
        tx.hints.jobs.add(key.job)
        if loaded.attempt.state is AttemptState.OFFERED:
            batch.withdraw_offer(
                key, Outcome(Reason.OFFER_EXPIRED, f"The agent on {row.name} stopped before it accepted")
            )
    batch.flush()
    tx.hints.queue = True


def goodbye(
    tx: Tx, settings: Settings, row: ResourceRow, request: GoodbyeRequest, *, outcome: Outcome | None = None
) -> None:
    """The agent has ended its programs and goes: its tasks are tried elsewhere at once. ``leave``: for ever.

    ``outcome``: what is told of them, where it did not go by itself.
    """
    found = resource_store.find_resource(tx.conn, row.id)  # its session may have begun on another server
    if found is None or (found.session != request.session and not request.leave):
        return
    stopped = Outcome(Reason.PREEMPTED, f"The agent on {row.name} was stopped")
    give_back(tx, settings, row.id, outcome or stopped)
    resource_store.end_session(tx, row.id)
    if request.leave:
        resource_store.revoke(tx, row.id)


def give_back(tx: Tx, settings: Settings, resource_id: str, outcome: Outcome) -> None:
    """Whatever the resource has is ended so, and returns to the queue where it may be tried again."""
    live = task_store.live_attempts_of_resource(tx.conn, resource_id)
    if not live:
        return
    batch = new_batch(tx, settings)
    batch.load(live)
    _end_all(batch, live.items(), outcome, outcome)
    batch.flush()
    tx.hints.queue = True


def _end_all(batch: Batch, gone: Iterable[tuple[AttemptKey, Loaded]], ended: Outcome, withdrawn: Outcome) -> None:
    """``ended`` for what was accepted, ``withdrawn`` for what was only offered."""
    for key, loaded in gone:
        if loaded.attempt.state is AttemptState.OFFERED:
            batch.withdraw_offer(key, withdrawn)
        else:
            batch.end(key, ended, {"ended_at": batch.tx.now, "reported_at": batch.tx.now})


def _reconcile(  # type: ignore[no-untyped-def]
    tx: Tx, settings: Settings, row: ResourceRow, owned: list[OwnedAttempt], *, lost
) -> dict[str, str]:
    """Wishes for what the agent owns; what it should own and does not, and ``lost(loaded)`` holds, goes back to the queue."""
    live = task_store.live_attempts_of_resource(tx.conn, row.id)
    by_text = {key.text: loaded for key, loaded in live.items()}
    desired = {item.key: _wish(by_text.get(item.key)) for item in owned}
    gone = {key: loaded for key, loaded in live.items() if key.text not in desired and lost(loaded)}
    back = [key for key, loaded in live.items() if key.text in desired and _was_given_up(key, loaded)]
    if gone or back:
        batch = new_batch(tx, settings)
        batch.load([*gone, *back])
        for key in back:
            batch.recover(key)
        outcome = Outcome(Reason.AGENT_LOST, f"The agent on {row.name} does not know the task any more")
        withdrawn = Outcome(Reason.OFFER_EXPIRED, "The agent began a new session")
        _end_all(batch, gone.items(), outcome, withdrawn)
        batch.flush()
        tx.hints.queue = True
    return desired


def _was_given_up(key: AttemptKey, loaded: Loaded) -> bool:
    """The attempt's task waits for a replacement, or one is offered that nobody has accepted yet."""
    return loaded.task.attempt == key.attempt and (not loaded.task.leased or loaded.task.offer > 0)


def _wish(loaded: Loaded | None) -> str:
    """An attempt whose final the agent still has to deliver is unknown here only if the ledger ended it: then it is forgotten."""
    if loaded is None:
        return "forget"
    if loaded.attempt.cancel_at is not None:
        return "cancel"
    unstarted = loaded.attempt.state in (AttemptState.ACCEPTED, AttemptState.STAGING_IN)
    return "give_back" if loaded.attempt.give_back_at is not None and unstarted else "run"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
