"""``/healthz`` and ``/metrics``."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

import sirdar
from sirdar.api.deps import ServicesDep
from sirdar.services.metrics import exposition

router = APIRouter(tags=["server"])


@router.get("/healthz")
async def health(services: ServicesDep) -> dict[str, str]:
    """Whether the server answers and its database can be read."""
    await services.store.read(lambda conn: conn.exec_driver_sql("SELECT 1").scalar())
    return {"status": "ok", "version": sirdar.__version__}


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document, where many tools look for it."""
    return JSONResponse(request.app.openapi())


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus metrics of this server."""
    return Response(await exposition(services), media_type=CONTENT_TYPE_LATEST)
