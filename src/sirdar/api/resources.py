"""Resources over REST: attached, looked at, drained, revoked."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sirdar.api import shapes
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.paging import After, Limit, iso, page
from sirdar.dispatch.desk import Desk
from sirdar.domain.people import Scope
from sirdar.services import resource_shares, resource_tasks
from sirdar.services import resources as service
from sirdar.services.access import require_scope
from sirdar.services.resources import Amount, NewJoin, ResourceView
from sirdar.services.settings import Settings
from sirdar.store.resource_tasks import ResourceTask
from sirdar.store.resource_tokens import ResourceToken

router = APIRouter(tags=["resources"])


class Body(BaseModel):
    """camelCase outside, and nothing that is not known."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


Name = Annotated[str, Field(max_length=200)]
LostAfter = Annotated[float, Field(description="seconds of silence after which its tasks are tried elsewhere")]


class ResourceWanted(Body):
    name: Name
    lost_after_s: LostAfter | None = None


class ResourceChange(Body):
    """What is left out stays as it is."""

    name: Name | None = None
    mode: Literal["active", "drain"] | None = None
    lost_after_s: LostAfter | None = None


class TokenWanted(Body):
    label: Name = "agent"
    lifetime: float | None = Field(None, description="seconds; without it the token works until it is revoked")


@router.get("/api/resources", responses={200: {"model": list[shapes.Resource]}})
async def resources(services: ServicesDep, caller: CallerDep) -> list[dict[str, Any]]:
    """The machines that you may use: whether each can be reached, what it has and what it does. Administrators see all."""
    require_scope(caller, Scope.READ)
    return [_render(view) for view in await service.list_resources(services, caller)]


@router.post("/api/resources", status_code=201, responses={201: {"model": shapes.JoinedResource}})
async def create(body: ResourceWanted, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """A new resource, and the command that attaches a machine as it: single use, 15 minutes."""
    made = await service.create(services, caller, body.name, body.lost_after_s)
    return _render(await service.show(services, caller, made.row.id)) | {"join": _join(made, services.settings)}


@router.get("/api/resources/{ref}", responses={200: {"model": shapes.Resource}})
async def show(ref: str, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """One resource, by name or id."""
    require_scope(caller, Scope.READ)
    return _render(await service.show(services, caller, ref))


@router.get("/api/resources/{ref}/tasks", responses={200: {"model": list[shapes.ResourceTask]}})
async def tasks(
    ref: str, request: Request, services: ServicesDep, caller: CallerDep, limit: Limit = 40, after: After = ""
) -> Response:
    """What it runs and has queued, the longest there first; of jobs that you may not see only the number, in ``sirdar-others``."""
    require_scope(caller, Scope.READ)
    found = await resource_tasks.list_tasks(services, caller, ref, after=after, limit=limit + 1)
    reply = page(request, found.tasks, limit, cursor=resource_tasks.cursor_of, show=_task)
    reply.headers["sirdar-others"] = str(found.others)
    return reply


@router.patch("/api/resources/{ref}", responses={200: {"model": shapes.Resource}})
async def change(
    ref: str, body: ResourceChange, request: Request, services: ServicesDep, caller: CallerDep
) -> dict[str, Any]:
    """Rename it, drain it (it takes nothing new), resume it, or say after what silence it is lost."""
    row = await service.change(services, caller, ref, body.model_dump(exclude_none=True))
    _desk(request).forget(row.id)
    found = _render(await service.show(services, caller, row.id))
    renamed = body.name is not None and body.name != row.name
    if renamed and (warnings := await service.warnings_of_rename(services, caller, row.name)):
        found["warnings"] = warnings
    return found


@router.delete("/api/resources/{ref}", status_code=204)
async def delete(ref: str, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Revoke it and free its name; what ran there still says so."""
    row = await service.delete(services, caller, ref)
    _desk(request).forget(row.id)
    return Response(status_code=204)


@router.post("/api/resources/{ref}/join", status_code=201, responses={201: {"model": shapes.Join}})
async def join(ref: str, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """Another command that attaches a machine as this resource; the key of the one before is worthless once it is used."""
    return _join(await service.new_join(services, caller, ref), services.settings)


@router.post("/api/resources/{ref}/revoke", responses={200: {"model": shapes.Resource}})
async def revoke(ref: str, request: Request, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """End the agent's access at once; its tasks are tried elsewhere."""
    row = await service.revoke(services, caller, ref)
    _desk(request).forget(row.id)
    return _render(await service.show(services, caller, row.id))


# ---------------------------------------------------------------- shares


@router.get("/api/resources/{ref}/share")
async def list_shares(ref: str, services: ServicesDep, caller: CallerDep) -> list[str]:
    """Who else may run jobs there: ``user:NAME``, ``group:NAME``, ``everyone``."""
    return await resource_shares.list_shares(services, caller, ref)


@router.put("/api/resources/{ref}/share/{subject}")
async def put_share(ref: str, subject: str, services: ServicesDep, caller: CallerDep) -> list[str]:
    """Let ``user:NAME`` or ``group:NAME`` run jobs there, or (for administrators) ``everyone``."""
    await resource_shares.put_share(services, caller, ref, subject)
    return await resource_shares.list_shares(services, caller, ref)


@router.delete("/api/resources/{ref}/share/{subject}", status_code=204)
async def remove_share(ref: str, subject: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Share it no more; what runs there ends there."""
    await resource_shares.remove_share(services, caller, ref, subject)
    return Response(status_code=204)


# ---------------------------------------------------------------- tokens


@router.post("/api/resources/{ref}/tokens", status_code=201, responses={201: {"model": shapes.NewResourceToken}})
async def create_token(ref: str, body: TokenWanted, services: ServicesDep, caller: CallerDep) -> dict[str, Any]:
    """A token that attaches a throw-away agent by its environment alone. It is shown this once."""
    _, text, token = await service.new_token(services, caller, ref, label=body.label, lifetime_s=body.lifetime)
    environment = {"SIRDAR_URL": services.settings.url, "SIRDAR_TOKEN": text}
    return _token(token) | {"token": text, "environment": environment}


@router.get("/api/resources/{ref}/tokens", responses={200: {"model": list[shapes.ResourceToken]}})
async def list_tokens(ref: str, services: ServicesDep, caller: CallerDep) -> list[dict[str, Any]]:
    """Its tokens that work; their texts are kept nowhere."""
    return [_token(token) for token in await service.list_tokens(services, caller, ref)]


@router.delete("/api/resources/{ref}/tokens/{token_id}", status_code=204)
async def revoke_token(ref: str, token_id: str, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """The agent that is attached by it has no access any more."""
    row = await service.revoke_token(services, caller, ref, token_id)
    _desk(request).forget(row.id)
    return Response(status_code=204)


# ---------------------------------------------------------------- rendering


def _render(view: ResourceView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "name": row.name,
        "owner": view.owner,
        "state": view.state,
        "mode": row.mode,
        "since": iso(view.since),
        "seenAt": iso(row.seen_at),
        "createdAt": iso(row.created_at),
        "embedded": row.embedded,
        "lostAfterS": row.lost_after_s,
        "agentVersion": row.agent_version,
        "capabilities": row.capabilities,
        "load": row.load,
        "loadAt": iso(row.load_at),
        "capacity": {
            "cpus": _amount(view, view.cpus),
            "memoryBytes": _amount(view, view.memory_bytes),
            "gpus": _amount(view, view.gpus),
        },
        "running": view.running,
        "accepted": view.accepted,
    }


def _amount(view: ResourceView, amount: Amount) -> dict[str, int | None]:
    known = view.reachable and amount.total > 0
    return {"total": amount.total or None, "held": amount.held, "free": amount.free if known else None}


def _task(task: ResourceTask) -> dict[str, Any]:
    return {
        "job": task.job_id,
        "jobName": task.job_name,
        "owner": task.owner,
        "app": task.app,
        "task": task.task_no,
        "attempt": task.attempt,
        "phase": task.state,
        "cpus": task.cpus,
        "memoryBytes": task.memory_bytes or None,
        "gpus": task.gpus,
        "offeredAt": iso(task.offered_at),
        "startedAt": iso(task.started_at),
        "statusMessage": task.status_message,
        "progress": task.progress,
        "url": f"/api/jobs/{task.job_id}/tasks/{task.task_no}",
    }


def _join(made: NewJoin, settings: Settings) -> dict[str, Any]:
    command = service.join_command(made, settings)
    return {"token": made.token, "expiresAt": iso(made.expires_at), "command": command}


def _token(token: ResourceToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "label": token.label,
        "createdAt": iso(token.created_at),
        "expiresAt": iso(token.expires_at),
    }


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk
