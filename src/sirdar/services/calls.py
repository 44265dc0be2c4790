"""The HTTP call that is being answered: its id, who makes it, and how long it was held. Log lines and errors name it.

It stands in a context variable, so that nothing needs to be handed down. The writer's thread and the loops have none.
"""

import itertools
import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = b"x-request-id"
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(1)


@dataclass(slots=True)
class Call:
    """One request. ``held_s``: time in which it waited for somebody else (news, or the rest of its own body)."""

    request_id: str
    user: str | None = None
    resource: str | None = None
    held_s: float = 0.0


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def begin(given: bytes | None = None) -> Call:
    """The call that this coroutine answers from now on. A proxy's id for it is kept where it is harmless to print."""
    request_id = given.decode() if given is not None and _GIVEN.fullmatch(given) else new_id()
    call = Call(request_id)
    _current.set(call)
    return call


def new_id() -> str:
    """An id that no other process gives: chance for the process, and a number."""
    return f"{_PROCESS}-{next(_numbers):x}"


def current() -> Call | None:
    return _current.get()


def held(for_s: float) -> None:
    """The call waited for something that is not the server's work; this does not count as its latency."""
    call = _current.get()
    if call is not None:
        call.held_s += for_s


def made_by(*, user: str | None = None, resource: str | None = None) -> None:
    """Note who makes the call, by name of the user or id of the resource."""
    call = _current.get()
    if call is not None:
        call.user, call.resource = user or call.user, resource or call.resource
