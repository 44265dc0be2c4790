"""When a request is sent again, and after how long. Pure but for the jitter's random number."""

import random
from dataclasses import dataclass

from sirdar.client.errors import ApiError, ServerUnreachable, api_error
from sirdar.client.exchange import Flow, Once, Pause, Reply, Request

GATEWAY_STATUSES = frozenset({502, 503, 504})
LONGEST_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``retries``: how often a request is sent again; the pauses double from ``first_s`` up to ``longest_s``."""

    retries: int = 4
    first_s: float = 0.25
    longest_s: float = 8.0

    def pause_s(self, failures: int) -> float:
        """Seconds before the next try after ``failures`` (from 1) failed ones; jittered down to one half."""
        whole = min(self.longest_s, self.first_s * 2.0 ** (failures - 1))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, not a secret)


def exchange(request: Request, policy: RetryPolicy) -> Flow[Reply]:
    """Send a request until it is answered, within the policy. Raises ApiError for an answer that is not 2xx."""
    failures = 0
    while True:
        try:
            reply: Reply = yield Once(request)
        except ServerUnreachable as error:
            failures += 1
            if failures > policy.retries or not (request.may_repeat or not error.sent):
                raise
            yield Pause(policy.pause_s(failures))
            continue
        if 200 <= reply.status < 300:
            return reply
        failures += 1
        problem = api_error(reply.status, reply.headers, reply.body)
        if failures > policy.retries or not worth_repeating(request, problem):
            raise problem
        told = problem.retry_after_s
        yield Pause(policy.pause_s(failures) if told is None else min(told, LONGEST_RETRY_AFTER_S))


def worth_repeating(request: Request, problem: ApiError) -> bool:
    """True for refusals that pass by themselves.

    A 429 did nothing, so any request may follow it, but a used-up quota does not refill while we wait. A 502 with a
    code of its own is the server's considered answer about a third party, not a gateway's.
    """
    if problem.status == 429:
        return problem.code != "quota_exceeded"
    passing = problem.status in GATEWAY_STATUSES and problem.code in {f"http_{problem.status}", "unavailable"}
    return passing and request.may_repeat
