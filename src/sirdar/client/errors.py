"""Errors of the client. Each says what failed; ``hint`` says what to try.

* SirdarError
  + NotConfigured         no server is known, or its address cannot be used
  + ServerUnreachable     no answer: connection refused, broken or timed out
  + ApiError              the server answered with a problem (status, code, detail, field, expected, hint, errors)
    . InvalidRequest      400, 413, 422: something in the request is wrong (``field`` and ``errors`` say what)
    . Unauthenticated     401: no token, or it has expired
    . Forbidden           403: the token or the user may not do this
    . NotFound            404, 410: there is no such thing, or it is not yours
    . Conflict            409: the present state does not allow it
    . TooManyRequests     429: slow down, or a quota is used up
    . ServerError         5xx: something broke on the server
  + BadReply              the answer is not what a Sirdar server sends (often: the address is another server's)
  + DamagedTransfer       bytes that arrived are not the bytes that were sent
  + FolderError           a folder cannot be published as it is
  + JobError              a job did not end DONE (``job``, ``outcome``, ``outputs`` that exist nevertheless)
    . JobFailed
    . JobCancelled        also a ``concurrent.futures.CancelledError``
"""

import concurrent.futures
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class SirdarError(Exception):
    """Base of all. ``code`` is stable, ``hint`` says what to try (or is None)."""

    code = "error"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message


class NotConfigured(SirdarError):
    """No server is known, or its address cannot be used."""

    code = "not_configured"


class ServerUnreachable(SirdarError):
    """No answer. ``sent`` is False where the request cannot have reached the server."""

    code = "unreachable"

    def __init__(self, message: str, hint: str | None = None, sent: bool = True) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, sent)
        self.sent = sent


class BadReply(SirdarError):
    """The answer is not what a Sirdar server sends."""

    code = "bad_reply"


class DamagedTransfer(SirdarError):
    """Bytes that arrived are not the bytes that were sent."""

    code = "damaged_transfer"


class FolderError(SirdarError):
    """A folder cannot be published as it is."""

    code = "bad_folder"


class ApiError(SirdarError):
    """The server's problem document. ``errors`` is a list of ``{field, detail, expected?}``."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        detail = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
        super().__init__(detail, problem.get("try"))
        self.args = (status, problem, retry_after_s)
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = detail
        self.field: str | None = problem.get("field")
        self.expected: Any = problem.get("expected")
        self.errors: list[dict[str, Any]] = list(problem.get("errors") or [])
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        lines = [f"{self.detail} [{self.code}]"]
        lines += [f"  {error.get('field')}: {error.get('detail')}" for error in self.errors]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class InvalidRequest(ApiError):
    """Something in the request is wrong."""


class Unauthenticated(ApiError):
    """No token, or it has expired."""


class Forbidden(ApiError):
    """The token or the user may not do this."""


class NotFound(ApiError):
    """There is no such thing, or it is not yours to see."""


class Conflict(ApiError):
    """The present state does not allow it."""


class TooManyRequests(ApiError):
    """Slow down, or a quota is used up."""


class ServerError(ApiError):
    """Something broke on the server."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended: ``reason`` is stable, ``message`` a sentence, ``fault`` says who has to act."""

    reason: str
    message: str
    exit_code: int | None = None
    fault: str | None = None


class JobError(SirdarError):
    """A job did not end DONE. ``outputs`` are those that it produced nevertheless."""

    def __init__(self, job_id: str, outcome: JobOutcome, outputs: Any = None) -> None:
        super().__init__(f"job {job_id}: {outcome.message}", f"sirdar explain {job_id}")
        self.args = (job_id, outcome, outputs)
        self.job_id = job_id
        self.outcome = outcome
        self.outputs = outputs


class JobFailed(JobError):
    """The job ended FAILED."""

    code = "job_failed"


class JobCancelled(JobError, concurrent.futures.CancelledError):
    """The job ended CANCELLED."""

    code = "job_cancelled"


BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    429: TooManyRequests,
}


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The typed error of a reply that is not 2xx. Bodies that are no problem documents give their first words."""
    problem = _problem(status, headers, body)
    kind = BY_STATUS.get(status, ServerError if status >= 500 else InvalidRequest)
    return kind(status, problem, retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, or None (dates, which no Sirdar server sends, are not read)."""
    text = headers.get("retry-after", "").strip()
    return float(text) if text.replace(".", "", 1).isdecimal() else None


def _problem(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    if 300 <= status < 400:
        where = headers.get("location", "elsewhere")
        return {"detail": f"the server redirects to {where}", "code": "redirected", "try": "use that address"}
    text = body[:200].decode(errors="replace").strip() if "html" not in headers.get("content-type", "") else ""
    return {"detail": text or f"the server answered with status {status}"}
