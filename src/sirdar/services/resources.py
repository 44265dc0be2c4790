"""Resources as people see and keep them: made, renamed, drained, revoked, deleted.

Who may use one, its owner says (``resource_shares``); others do not learn that it is there.
"""

import ipaddress
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.domain.states import AttemptState
from sirdar.services import access, attach, audit, tokens
from sirdar.services.context import Services
from sirdar.services.settings import Settings
from sirdar.store import app_lists, resource_tasks, resource_tokens, resource_use
from sirdar.store import resources as resource_store
from sirdar.store.app_lists import Viewer
from sirdar.store.engine import Tx
from sirdar.store.people import Conn, user_by_id
from sirdar.store.resource_tasks import Held
from sirdar.store.resource_tokens import ResourceToken
from sirdar.store.resources import ResourceRow
from sirdar.wire.agent import GoodbyeRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONGEST_LOST_AFTER_S = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of something a resource has, and what the tasks at work there were given of it.

    ``total`` 0: not known. What was given is what tasks asked for, not what they use.
    """

    total: int
    held: int

    @property
    def free(self) -> int:
        """What could be given to others; of a resource that cannot be reached, what could have been."""
        return max(0, self.total - self.held)


@dataclass(frozen=True, slots=True)
class ResourceView:
    """A resource, whether it can be reached and since when, and what it does now.

    ``row.load`` is what its agent said last, at ``row.load_at``. ``cpus`` are those that may be used: its slots.
    """

    row: ResourceRow
    state: str  # online, unreachable, draining, offline (no agent) or revoked
    since: float | None
    running: int
    accepted: int
    owner: str = ""
    cpus: Amount = Amount(0, 0)
    memory_bytes: Amount = Amount(0, 0)
    gpus: Amount = Amount(0, 0)

    @property
    def reachable(self) -> bool:
        """Whether what it said last is of now."""
        return self.state in {"online", "draining"}


@dataclass(frozen=True, slots=True)
class NewJoin:
    """What lets one machine join, once."""

    row: ResourceRow
    token: str
    expires_at: float


# ---------------------------------------------------------------- looking


async def list_resources(services: Services, caller: Caller) -> list[ResourceView]:
    """Those that the caller may see, by name."""

    def read(conn: Conn) -> list[ResourceView]:
        shares = resource_use.all_shares(conn)
        return [
            view
            for view in views_now(conn)
            if access.may_see_resource(caller, view.row.owner_id, shares.get(view.row.id, ()))
        ]

    return await services.store.read(read)


def views_now(conn: Conn) -> list[ResourceView]:
    """Every resource that has not been deleted, by name."""
    held = resource_tasks.held(conn)
    return [_view(conn, row, held.get(row.id, {})) for row in resource_store.list_with_revoked(conn)]


async def show(services: Services, caller: Caller, ref: str) -> ResourceView:
    """One of them, by name or id. Raises Problem ``not_found``."""

    def read(conn: Conn) -> ResourceView:
        row = named(conn, caller, ref)
        return _view(conn, row, resource_tasks.held(conn, row.id).get(row.id, {}))

    return await services.store.read(read)


def named(conn: Conn, caller: Caller, ref: str) -> ResourceRow:
    """The resource of that name or id, which the caller may see. Raises Problem ``not_found``."""
    row = resource_store.find_resource_by_name(conn, ref)
    if row is None and ref.isascii() and ref.isalnum():
        row = resource_store.find_resource(conn, ref)
    if row is not None and not access.may_see_resource(caller, row.owner_id, resource_use.list_shares(conn, row.id)):
        row = None
    if row is None or row.deleted_at is not None:
        raise Problem(
            "not_found",
            f"There is no resource {ref[:80]}.",
            hint="sirdar resource list (GET /api/resources) names them.",
        )
    return row


def _view(conn: Conn, row: ResourceRow, held: Mapping[str, Held]) -> ResourceView:
    busy = (AttemptState.STAGING_IN, AttemptState.RUNNING, AttemptState.STAGING_OUT)
    at_work = sum((held.get(state.value, Held()) for state in busy), Held())
    owner = user_by_id(conn, row.owner_id)
    state, since = _state(row)
    has = row.capabilities
    return ResourceView(
        row,
        state,
        since,
        running=at_work.n,
        accepted=held.get(AttemptState.ACCEPTED.value, Held()).n,
        owner=owner.name if owner else "",
        cpus=Amount(int(has.get("slots") or has.get("cpus") or 0), at_work.cpus),
        memory_bytes=Amount(int(has.get("memory_bytes") or 0), at_work.memory_bytes),
        gpus=Amount(int(has.get("gpus") or 0), at_work.gpus),
    )


def _state(row: ResourceRow) -> tuple[str, float | None]:
    if row.revoked_at is not None:
        return "revoked", row.revoked_at
    if row.session is None:
        return "offline", row.seen_at
    if row.unreachable_since is not None:
        return "unreachable", row.unreachable_since
    if row.mode == "drain":
        return "draining", row.drained_at
    return "online", row.online_since or row.seen_at


# ---------------------------------------------------------------- keeping


async def create(services: Services, caller: Caller, name: str, lost_after_s: float | None) -> NewJoin:
    """A new resource of the caller's, and what lets its machine join. Raises Problem."""
    access.require_attach(caller)
    _check({"name": name, "lost_after_s": lost_after_s})

    def make(tx: Tx) -> NewJoin:
        _check_free(tx.conn, name)
        resource_id, token = attach.create_resource(tx, services.settings, name=name, owner_id=caller.user_id)
        if lost_after_s is not None:
            resource_store.change(tx, resource_id, {"lost_after_s": lost_after_s})
        audit.record(tx, caller, "resource.create", f"resource:{name}")
        return _joining(tx, services.settings, resource_id, token)

    return await services.store.write(make)


async def new_join(services: Services, caller: Caller, ref: str) -> NewJoin:
    """Another machine (or the same one again) may join as the resource; the key of the one before is worthless then."""

    def make(tx: Tx) -> NewJoin:
        row = own(tx.conn, caller, ref, but_embedded=True)
        token = attach.new_join_token(tx, services.settings, row.id)
        audit.record(tx, caller, "resource.join", f"resource:{row.name}")
        return _joining(tx, services.settings, row.id, token)

    return await services.store.write(make)


def _joining(tx: Tx, settings: Settings, resource_id: str, token: str) -> NewJoin:
    row = resource_store.find_resource(tx.conn, resource_id)
    assert row is not None
    return NewJoin(row, token, tx.now + settings.join_token_s)


def join_command(made: NewJoin, settings: Settings) -> str:
    """What is to be run on the machine."""
    return f"sirdar agent join {shlex.quote(settings.url)} --token {made.token}"


def is_known_here_only(settings: Settings) -> bool:
    """Whether the server's address, as users and agents are told it, is this machine's own: no other machine finds it there."""
    host = urlsplit(settings.url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def change(services: Services, caller: Caller, ref: str, values: Mapping[str, Any]) -> ResourceRow:
    """Set ``name``, ``mode`` (active or drain) or ``lost_after_s``. The agent hears of it with its next call.

    Returns it as it was.
    """
    _check(values)

    def write(tx: Tx) -> ResourceRow:
        row = own(tx.conn, caller, ref, but_embedded="name" in values)
        if values.get("name", row.name) != row.name:
            _check_free(tx.conn, values["name"])
        resource_store.change(tx, row.id, dict(values))
        audit.record(tx, caller, "resource.change", f"resource:{row.name}", **values)
        tx.hints.queue = True
        return row

    return await services.store.write(write)


async def warnings_of_rename(services: Services, caller: Caller, old: str) -> list[str]:
    """Applications name a resource by its name (or by its id, which stays); the old one leads nowhere now."""
    viewer = Viewer(caller.user_id, caller.subjects, caller.administers, caller.apps)
    bound = await services.store.read(lambda conn: app_lists.count_bound(conn, viewer, old))
    if not bound:
        return []
    words = "1 application runs" if bound == 1 else f"{bound} applications run"
    return [f"{words} on {old} only, a name that is not there any more: publish with the new name, or with the id."]


async def revoke(services: Services, caller: Caller, ref: str) -> ResourceRow:
    """End the agent's access at once; what runs there is tried again elsewhere. Name and settings stay."""
    return await services.store.write(partial(_revoke, services=services, caller=caller, ref=ref))


async def delete(services: Services, caller: Caller, ref: str) -> ResourceRow:
    """Revoke it, and free its name. What ran there still says so."""

    def write(tx: Tx) -> ResourceRow:
        row = _revoke(tx, services=services, caller=caller, ref=ref)
        resource_store.delete(tx, row.id)
        audit.record(tx, caller, "resource.delete", f"resource:{row.name}")
        return row

    return await services.store.write(write)


def _revoke(tx: Tx, *, services: Services, caller: Caller, ref: str) -> ResourceRow:
    row = own(tx.conn, caller, ref, but_embedded=True)
    outcome = Outcome(Reason.AGENT_LOST, f"{row.name} was detached from the server by {caller.name}")
    attach.give_back(tx, services.settings, row.id, outcome)
    resource_store.revoke(tx, row.id)
    audit.record(tx, caller, "resource.revoke", f"resource:{row.name}")
    return row


# ---------------------------------------------------------------- tokens of resources


async def new_token(
    services: Services, caller: Caller, ref: str, *, label: str, lifetime_s: float | None
) -> tuple[ResourceRow, str, ResourceToken]:
    """A token that attaches an agent without a home: the resource, the token's text, its row. It ends a revocation."""
    tokens.check(tokens.TokenRequest(label=label, lifetime_s=lifetime_s))

    def make(tx: Tx) -> tuple[ResourceRow, str, ResourceToken]:
        row = own(tx.conn, caller, ref, but_embedded=True)
        resource_store.change(tx, row.id, {"revoked_at": None})
        text, token = attach.new_resource_token(tx, row.id, label=label, lifetime_s=lifetime_s)
        audit.record(tx, caller, "resource.token", f"resource:{row.name}", label=label, id=token.id)
        return row, text, token

    return await services.store.write(make)


async def list_tokens(services: Services, caller: Caller, ref: str) -> list[ResourceToken]:
    """Those that still attach an agent."""
    now = services.store.clock()
    return await services.store.read(lambda conn: resource_tokens.of_resource(conn, own(conn, caller, ref).id, now))


async def revoke_token(services: Services, caller: Caller, ref: str, token_id: str) -> ResourceRow:
    """The agent that is attached by it has no access any more. Raises Problem ``not_found``."""

    def write(tx: Tx) -> ResourceRow:
        row = own(tx.conn, caller, ref)
        if not resource_tokens.revoke(tx, row.id, token_id):
            raise Problem("not_found", f"{row.name} has no token {token_id[:80]} that works.")
        audit.record(tx, caller, "resource.token_revoke", f"resource:{row.name}", id=token_id)
        return row

    return await services.store.write(write)


# ---------------------------------------------------------------- what the machine's own owner does


def goodbye(
    tx: Tx, settings: Settings, row: ResourceRow, request: GoodbyeRequest, *, resource_token: str | None = None
) -> None:
    """The agent goes, or leaves for ever.

    ``resource_token``: the one that it calls with. Whoever has it ends that token alone by leaving, not the resource's access.
    """
    if resource_token is not None and request.leave:
        attach.goodbye(tx, settings, row, request.model_copy(update={"leave": False}))
        attach.end_resource_token(tx, resource_token)
    else:
        attach.goodbye(tx, settings, row, request)
    if request.leave:
        audit.record(tx, None, "resource.leave", f"resource:{row.name}")


def farewell(tx: Tx, settings: Settings, row: ResourceRow, request: GoodbyeRequest) -> None:
    """The last word of an agent whose resource token was revoked or has expired."""
    outcome = Outcome(Reason.AGENT_LOST, f"The access of the agent on {row.name} has ended")
    attach.goodbye(tx, settings, row, request.model_copy(update={"leave": False}), outcome=outcome)


def change_mode(tx: Tx, row: ResourceRow, mode: str) -> None:
    """Drain or resume, asked for on the machine itself."""
    resource_store.set_mode(tx, row.id, mode)
    audit.record(tx, None, "resource.change", f"resource:{row.name}", mode=mode)
    tx.hints.queue = True


# ---------------------------------------------------------------- rules


def own(conn: Conn, caller: Caller, ref: str, *, but_embedded: bool = False) -> ResourceRow:
    """The resource that the caller may change. Raises Problem."""
    row = named(conn, caller, ref)
    if not caller.administers:
        if caller.user_id != row.owner_id:
            raise Problem("forbidden", f"Only its owner and administrators change the resource {row.name}.")
        access.require_scope(caller, Scope.ALL)
    if but_embedded and row.embedded:
        raise Problem(
            "conflict",
            f"{row.name} is the machine of the server itself: its agent is started with the server.",
            hint="To run nothing there: sirdar up --slots 0, or drain it.",
        )
    return row


def _check(values: Mapping[str, Any]) -> None:
    if "name" in values and not NAME.fullmatch(values["name"]):
        raise Problem(
            "invalid_field",
            f"{values['name'][:80]!r} cannot be a resource's name.",
            field="name",
            expected="up to 64 letters, digits, dots, dashes and underscores, a letter or digit first",
        )
    lost_after_s = values.get("lost_after_s")
    if lost_after_s is not None and not 0 < lost_after_s <= LONGEST_LOST_AFTER_S:
        raise Problem(
            "invalid_field",
            f"{lost_after_s:g} s is no time after which an agent is lost.",
            field="lostAfterS",
            expected="seconds, more than 0 and at most 2592000 (30 days)",
        )


def _check_free(conn: Conn, name: str) -> None:
    if resource_store.find_resource_by_name(conn, name):
        raise Problem("already_exists", f"There is a resource {name} already.", field="name")
