"""Whether the server lives and may be sent requests, and what Prometheus asks for."""

import hmac
import ipaddress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

import sirdar
from sirdar.api.deps import ServicesDep, bearer
from sirdar.domain.problems import FieldError, Problem
from sirdar.services.context import Services
from sirdar.services.metrics import exposition
from sirdar.services.readiness import Readiness

router = APIRouter(tags=["server"])
# What a proxy adds: such a request comes from somewhere else, although the connection comes from this machine.
_FORWARDED = ("x-forwarded-for", "x-real-ip", "forwarded", "via", "x-forwarded-host", "x-forwarded-proto")
_LOCAL_NAMES = frozenset({"localhost", "localhost."})


@router.get("/healthz", include_in_schema=False)
@router.get("/api/health", summary="Whether the server lives")
async def health() -> dict[str, str]:
    """Answers as long as the process does; whether it can do its work says ``/api/ready``."""
    return {"status": "ok", "version": sirdar.__version__}


@router.get("/api/ready", summary="Whether the server can do its work")
async def ready(request: Request) -> dict[str, Any]:
    """Database answers and has this release's schema, blob store takes writes, server is not shutting down; else a problem
    (503) whose ``errors`` say which of them fails, and why.
    """
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks()
    wrong = [FieldError(check.name, check.detail) for check in checks if not check.ok]
    if wrong:
        detail = " ".join(error.detail for error in wrong)
        raise Problem(
            "unavailable", detail, errors=wrong, retry_after_s=5, hint="Ask another server, or a little later."
        )
    return {"status": "ready", "checks": {check.name: check.detail for check in checks}}


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document, where many tools look for it."""
    return JSONResponse(request.app.openapi())


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Prometheus metrics: for administrators, holders of the metrics token, and (unless there is one) programs on this machine."""
    await _check_reader(request, services)
    return Response(await exposition(services), media_type=CONTENT_TYPE_LATEST)


async def _check_reader(request: Request, services: Services) -> None:
    """Raises ``unauthenticated`` or ``forbidden`` for those who may not read the metrics."""
    token, wanted = bearer(request), services.settings.metrics_token
    if not token:
        if wanted or not _is_local(request):
            hint = (
                "Send 'Authorization: Bearer TOKEN' with an administrator's token, or the one in SIRDAR_METRICS_TOKEN."
            )
            raise Problem("unauthenticated", "The metrics are not for everybody.", hint=hint)
        return
    if wanted and hmac.compare_digest(token.encode(), wanted.encode()):
        return
    caller = await services.auth.caller(token)
    if not caller.administers:
        raise Problem("forbidden", "The metrics are for administrators.")


def _is_local(request: Request) -> bool:
    """Asked by a program on this machine, by its own address, and not on behalf of another: no proxy, no page's script."""
    host = request.url.hostname or ""
    direct = not any(name in request.headers for name in _FORWARDED)
    return (
        direct
        and _is_loopback(request.client.host if request.client else "")
        and (host in _LOCAL_NAMES or _is_loopback(host))
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
