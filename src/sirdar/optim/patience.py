"""A set of problems outlives its server's restart: calls are made again, and it is said that nobody answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Protocol, TypeVar, TypeVarTuple
from weakref import WeakSet

from sirdar.client.errors import ApiError, ServerUnreachable, SirdarError
from sirdar.client.exchange import Clock, Effect, Emit, Flow, Pause, Request
from sirdar.client.flows.jobs import PATIENCE_S
from sirdar.client.retry import GATEWAY_STATUSES, RetryPolicy, worth_repeating

PAUSE_S = 1.0  # between calls, each of which the client repeats by itself for some seconds
CANCEL_PATIENCE_S = 60.0  # whoever presses Ctrl-C does not want to wait for ten minutes
OF_DOWNLOADS = RetryPolicy(retries=150, first_s=0.25, longest_s=5.0)  # some ten minutes

# Clients that a server has answered. A server that never did is no server that is restarting: the address is wrong, say.
_answered: WeakSet[object] = WeakSet()


class Asked(Protocol):
    """What is known of a job. ``job_id``: empty before the server has told it; ``request``: the submission, once it is sent."""

    @property
    def job_id(self) -> str: ...

    @property
    def request(self) -> Request | None: ...


@dataclass(frozen=True, slots=True)
class Waits:
    """Why nothing is solved at present, in words for the user. Told once."""

    text: str


T = TypeVar("T")
A = TypeVar("A", bound=Asked)
More = TypeVarTuple("More")


def patient(make: Callable[[A, *More], Flow[T]]) -> Callable[[A, *More], Flow[T]]:
    """For flows of (what is asked, ..., client): their requests bear a server that does not answer for ten minutes."""

    @wraps(make)
    def made(asked: A, *more: *More) -> Flow[T]:
        last: tuple[object, ...] = more
        return bearing(make(asked, *more), asked, last[-1])

    return made


def bearing(
    flow: Flow[T], asked: Asked, client: object, patience_s: float = PATIENCE_S, clock: Clock = time.monotonic
) -> Flow[T]:
    """The flow, each of whose requests is made again while the server does not answer. Emits ``Waits`` when that begins.

    Raises what the flow raises; ServerUnreachable says what became of the job.
    """
    answer, failure = None, None
    try:
        while True:
            try:
                effect = flow.throw(failure) if failure is not None else flow.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, failure = None, None
            try:
                answer = yield from _borne(effect, client, patience_s, clock)
            except SirdarError as error:
                failure = error
    except ServerUnreachable as error:
        raise _with_its_job(error, asked) from error
    finally:
        flow.close()


def _borne(effect: Effect, client: object, patience_s: float, clock: Clock) -> Flow[object]:
    silent_since: float | None = None
    while True:
        try:
            answer: object = yield effect
        except (ServerUnreachable, ApiError) as error:
            if not isinstance(effect, Request) or client not in _answered or not _passes(effect, error):
                raise
            if silent_since is None:
                silent_since = clock()
                yield Emit(Waits(f"{error.message}; tried again for {patience_s / 60:.0f} min"))
            if clock() - silent_since > patience_s:
                raise
            yield Pause(PAUSE_S)
            continue
        if isinstance(effect, Request):
            _answered.add(client)
        return answer


def _passes(request: Request, error: SirdarError) -> bool:
    if isinstance(error, ServerUnreachable):
        return request.may_repeat or not error.sent
    return isinstance(error, ApiError) and error.status in GATEWAY_STATUSES and worth_repeating(request, error)


def _with_its_job(error: ServerUnreachable, asked: Asked) -> ServerUnreachable:
    if asked.job_id:
        more = f"job {asked.job_id} runs on"
        hint: str | None = (
            f"when the server is back: sirdar job show {asked.job_id}, or sirdar job cancel {asked.job_id}"
        )
    elif asked.request is not None:
        more = "whether the job was submitted is not known, and if so, it runs on"
        hint = "when the server is back: sirdar job list"
    else:
        return error
    return ServerUnreachable(f"{error.message}; {more}", hint, error.sent)


def not_cancelled(asked: Asked, why: SirdarError) -> str:
    """For whoever wanted the job to end."""
    job = f"job {asked.job_id}" if asked.job_id else "the job, if it was submitted,"
    return f"{job} could not be cancelled, and runs on: {getattr(why, 'message', why)}"
