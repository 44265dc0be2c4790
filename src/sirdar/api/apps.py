"""Applications over HTTP: lists, descriptions, versions, sharing, secrets.

``{app}`` is ``owner/alias``, ``me/alias`` or an id, each with ``@N`` for one version; ``owner/alias`` holds a slash, so the
parameter does too, and the words that may follow it are no aliases (``domain.app.RESERVED_ALIASES``). Publishing and export
stand in ``api/publish.py``, whose router comes before this one; submission in ``api/submit.py``.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from sirdar.api import app_views, shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.paging import DEFAULT_LIMIT, After, Limit, page
from sirdar.domain.problems import Problem
from sirdar.services import apps, appsecrets
from sirdar.services.apps import Cursor, Filter
from sirdar.store.apps import AppRecord
from sirdar.wire.description_text import canonical_yaml
from sirdar.wire.openapi import app_openapi

router = APIRouter(tags=["applications"])

AppPath = Annotated[str, Path(description="owner/alias, me/alias or an id; with @N one version", max_length=300)]
SearchText = Annotated[str, Query(max_length=apps.SEARCH_MAX)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Share(Body):
    permission: Literal["run", "view"] = "run"


class Archive(Body):
    archived: bool


class Secret(Body):
    value: Annotated[str, Field(description="Never shown again")]


# ---------------------------------------------------------------- lists


@router.get(
    "/api/apps",
    summary="Applications that you may see, the last updated first",
    responses={200: {"model": list[shapes.AppSummary]}},
)
async def list_apps(
    *,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    owner: Annotated[str | None, Query(max_length=64)] = None,
    text: SearchText = "",
    archived: bool = False,
    limit: Limit = DEFAULT_LIMIT,
    after: After = "",
) -> Response:
    """Each word of `text` must stand in the owner's name, alias, name, annotation or keywords. `owner` may be `me`."""
    which = Filter(owner, text, archived)
    found = await apps.list_apps(services, caller, which, limit=limit + 1, after=parse_cursor(after))
    return page(request, found, limit, cursor=cursor_of, show=app_views.summary)


@router.get(
    "/api/apps/search",
    summary="Applications by a part of their name",
    responses={200: {"model": list[shapes.AppSummary]}},
)
async def search_apps(
    *,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    name: SearchText = "",
    limit: Limit = DEFAULT_LIMIT,
    after: After = "",
) -> Response:
    found = await apps.list_apps(services, caller, Filter(text=name), limit=limit + 1, after=parse_cursor(after))
    return page(request, found, limit, cursor=cursor_of, show=app_views.summary)


def cursor_of(app: AppRecord) -> str:
    return f"{app.updated_at!r}_{app.id}"


def parse_cursor(text: str) -> Cursor | None:
    """Inverse of ``cursor_of``; None for the first page."""
    if not text:
        return None
    at, _, app_id = text.partition("_")
    try:
        updated_at = float(at)
    except ValueError:
        updated_at = float("nan")
    if not 0 <= updated_at < 1e12 or not (app_id.isascii() and app_id.isalnum()):
        raise Problem(
            "invalid_field", "This is no place in the list.", field="after", expected="what the Link header gave"
        )
    return Cursor(updated_at, app_id)


# ---------------------------------------------------------------- one application, in part
# These stand before the whole: there the parameter would swallow their last word.


@router.get(
    "/api/apps/{app:path}/versions",
    summary="Versions, the newest first",
    responses={200: {"model": list[shapes.AppVersion]}},
)
async def list_versions(
    *,
    app: AppPath,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    limit: Limit = DEFAULT_LIMIT,
    after: Annotated[int | None, Query(ge=1, le=apps.MAX_NUMBER)] = None,
) -> Response:
    record, found = await apps.list_versions(services, caller, app, limit=limit + 1, before=after)
    return page(
        request,
        found,
        limit,
        cursor=lambda version: str(version.number),
        show=lambda version: app_views.version_row(version, current=version.number == record.latest),
    )


@router.get(
    "/api/apps/{app:path}/source",
    summary="The description as sirdar.yaml",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {"schema": {"type": "object"}}}}},
)
async def show_source(app: AppPath, caller: CallerDep, services: ServicesDep) -> Response:
    loaded = await apps.resolve_app(services, caller, app, need=apps.VIEW)
    return Response(canonical_yaml(loaded.version.document), media_type="application/yaml")


@router.get(
    "/api/apps/{app:path}/openapi.json",
    summary="A typed OpenAPI document of this application",
    responses={200: {"model": dict[str, Any]}},
)
async def show_openapi(app: AppPath, caller: CallerDep, services: ServicesDep) -> JSONResponse:
    loaded = await apps.resolve_app(services, caller, app, need=apps.VIEW)
    version = loaded.version
    return JSONResponse(
        app_openapi(loaded.app, version.owner_name, version.alias, version.number, services.settings.url)
    )


@router.get("/api/apps/{app:path}/share", summary="Whom it is shared with")
async def list_shares(app: AppPath, caller: CallerDep, services: ServicesDep) -> dict[str, str]:
    return await apps.list_shares(services, caller, app)


@router.put("/api/apps/{app:path}/share/{subject}", summary="Share it with user:NAME, group:NAME or everyone")
async def put_share(
    app: AppPath, subject: str, body: Share, caller: CallerDep, services: ServicesDep
) -> dict[str, str]:
    await apps.put_share(services, caller, app, subject, body.permission)
    return await apps.list_shares(services, caller, app)


@router.delete("/api/apps/{app:path}/share/{subject}", status_code=204, summary="Share it no more")
async def remove_share(app: AppPath, subject: str, caller: CallerDep, services: ServicesDep) -> Response:
    await apps.remove_share(services, caller, app, subject)
    return Response(status_code=204)


@router.post(
    "/api/apps/{app:path}/archive",
    summary="Put it away, or take it out again",
    responses={200: {"model": shapes.AppSummary}},
)
async def set_archived(app: AppPath, body: Archive, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """An archived application takes no new jobs and stands in no list; its jobs stay."""
    await apps.set_archived(services, caller, app, body.archived)
    return app_views.description(await apps.describe(services, caller, app))


@router.put("/api/apps/{app:path}/secrets/{name}", status_code=204, summary="Keep a secret for it")
async def put_secret(app: AppPath, name: str, body: Secret, caller: CallerDep, services: ServicesDep) -> Response:
    await appsecrets.put_secret(services, caller, app, name, body.value)
    return Response(status_code=204)


@router.delete("/api/apps/{app:path}/secrets/{name}", status_code=204, summary="Forget a secret")
async def remove_secret(app: AppPath, name: str, caller: CallerDep, services: ServicesDep) -> Response:
    await appsecrets.remove_secret(services, caller, app, name)
    return Response(status_code=204)


@router.get(
    "/api/apps/{app:path}", summary="The description of an application", responses={200: {"model": shapes.AppSummary}}
)
async def show_app(app: AppPath, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """Everest's shape: `inputs` and `outputs` are JSON Schema properties with `required` inside each."""
    return app_views.description(await apps.describe(services, caller, app))
