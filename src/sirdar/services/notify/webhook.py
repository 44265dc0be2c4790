"""Webhooks: one signed POST of JSON, to an address that the policy allows, and what its answer means."""

import hashlib
import hmac
import json
import random
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import httpx

from sirdar.domain.problems import Problem
from sirdar.services.notify.schedule import Delivered, Delivery, GaveUp, failed
from sirdar.services.outbound.addresses import AddressPolicy, parse_url
from sirdar.services.outbound.retry import TRANSIENT_STATUSES, retry_after_s
from sirdar.services.outbound.transport import http_client

SIGNATURE = "Sirdar-Signature"
TIMEOUT_S = 15.0
TOLERANCE_S = 300.0


async def deliver(
    url: str,
    payload: Mapping[str, Any],
    *,
    secret: str | None,
    delivery_id: str,
    event: str = "job.ended",
    tries: int,
    now: float,
    policy: AddressPolicy,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = TIMEOUT_S,
    draw: Callable[[], float] = random.random,
) -> Delivery:
    """Sends a notice once. Never raises for what the other side does.

    ``tries``: attempts made before this one. ``delivery_id`` is the same in all of them, so that the receiver knows a notice
    that it has seen. ``now``: seconds since 1970, part of the signature. Without a secret there is no signature.
    """
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "Sirdar-Event": event, "Sirdar-Delivery": delivery_id}
    if secret is not None:
        headers[SIGNATURE] = sign(secret, body, at=now)
    try:
        with anyio.fail_after(timeout_s):
            async with (
                http_client(policy, timeout_s=timeout_s, tls=tls) as client,
                client.stream("POST", parse_url(url), content=body, headers=headers) as response,
            ):
                return _judged(response, tries, draw)
    except Problem as problem:
        if problem.code == "address_not_allowed":
            return GaveUp(problem.detail)
        return failed(problem.detail, tries=tries, draw=draw)
    except TimeoutError:
        return failed(f"The webhook did not answer within {timeout_s:g} s.", tries=tries, draw=draw)
    except httpx.TransportError as error:
        reason = str(error).rstrip(".") or type(error).__name__
        return failed(f"The webhook could not be reached: {reason}.", tries=tries, draw=draw)


def sign(secret: str, body: bytes, *, at: float) -> str:
    """The header's value: ``t=SECONDS,v1=HEX``, an HMAC-SHA256 over the seconds, a dot and the body."""
    return f"t={int(at)},v1={_digest(secret, str(int(at)), body)}"


def verify(secret: str, header: str, body: bytes, *, now: float, tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether a request with this header and body comes from who knows the secret, and is no older than the tolerance."""
    fields = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in fields if name == "t"]
    if len(times) != 1 or not times[0].isdecimal() or abs(now - int(times[0][:12])) > tolerance_s:
        return False
    expected = _digest(secret, times[0], body).encode()
    return any(hmac.compare_digest(expected, value.encode()) for name, _, value in fields if name == "v1")


def _judged(response: httpx.Response, tries: int, draw: Callable[[], float]) -> Delivery:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_success:
        return Delivered(status)
    if response.status_code in TRANSIENT_STATUSES or response.status_code >= 500:
        reason = f"The webhook answered {status}."
        return failed(reason, tries=tries, draw=draw, asked_s=retry_after_s(response.headers))
    if response.is_redirect:
        return GaveUp(f"The webhook answered {status}: a notice does not follow redirects; give the final address.")
    return GaveUp(f"The webhook answered {status}.")


def _digest(secret: str, at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
