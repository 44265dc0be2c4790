"""Errors that a user sees: a stable code, a sentence, the field, what was expected and what to try.

Every code stands in ``CODES`` with its HTTP status and title, and has a page under ``docs/reference/errors``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CODES: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "The request is not well-formed"),
    "invalid_description": (422, "The application's description has errors"),
    "invalid_input": (422, "An input is not what the application expects"),
    "invalid_field": (422, "A field is not what is expected"),
    "invalid_archive": (422, "The archive cannot be accepted"),
    "unauthenticated": (401, "Sign in first"),
    "wrong_credentials": (401, "Wrong user name or password"),
    "sign_in_failed": (401, "Whoever was asked to vouch for you did not"),
    "token_expired": (401, "The token has expired or was revoked"),
    "forbidden": (403, "You may not do this"),
    "csrf": (403, "The form is not from this site, or too old"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This address does not take that method"),
    "conflict": (409, "The present state does not allow this"),
    "already_exists": (409, "The name is taken"),
    "unknown_session": (409, "The server does not know this session"),
    "attached_elsewhere": (409, "Another agent is attached as this resource"),
    "offset_mismatch": (409, "The upload continues elsewhere"),
    "idempotency_mismatch": (422, "The idempotency key was used for another request"),
    "gone": (410, "It was here, and is not any more"),
    "detached": (410, "The agent is not attached any more"),
    "too_large": (413, "It is larger than the limit"),
    "range_not_satisfiable": (416, "The range lies outside the file"),
    "quota_exceeded": (429, "A quota is used up"),
    "too_many_requests": (429, "Too many requests"),
    "too_many_streams": (429, "Too many open event streams"),
    "address_not_allowed": (422, "The server may not fetch that address"),
    "fetch_failed": (502, "Another server did not give what was asked for"),
    "disk_full": (507, "The server's disk is full"),
    "internal": (500, "Something broke on the server"),
    "unavailable": (503, "The server cannot answer now"),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong in a request: where, what, and what was expected."""

    field: str
    detail: str
    expected: str | None = None


class Problem(Exception):
    """What is raised for a user's error. ``detail`` names the value; ``hint`` says what to try."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
        server_time: float | None = None,
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown problem code {code!r}")
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.expected = expected
        self.hint = hint
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.server_time = server_time  # for an agent whose clock is another; seconds since 1970

    @property
    def status(self) -> int:
        return CODES[self.code][0]

    def to_json(self) -> dict[str, Any]:
        """The body of an ``application/problem+json`` reply (RFC 9457)."""
        body: dict[str, Any] = {
            "type": f"/docs/errors/{self.code}",
            "title": CODES[self.code][1],
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        optional = {
            "field": self.field,
            "expected": self.expected,
            "try": self.hint,
            "server_time": self.server_time,
        }
        body.update({key: value for key, value in optional.items() if value is not None})
        if self.errors:
            body["errors"] = [
                {"field": e.field, "detail": e.detail, **({"expected": e.expected} if e.expected else {})}
                for e in self.errors
            ]
        return body
