"""The agent's protocol over HTTP (``wire/agent.py``). Bodies are read by Pydantic's ``validate_json``; replies are plain JSON."""

from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from sirdar.api.agent_auth import resource_of
from sirdar.api.deps import ServicesDep, bearer
from sirdar.api.errors import from_body
from sirdar.dispatch.desk import Desk
from sirdar.domain.problems import Problem
from sirdar.services import attach, logs, resources
from sirdar.store import resources as resource_store
from sirdar.store import variables
from sirdar.wire.agent import (
    GoodbyeRequest,
    HeartbeatRequest,
    HelloRequest,
    JoinReply,
    JoinRequest,
    ModeRequest,
    SyncRequest,
    TokenReply,
    TokenRequest,
    VarsRequest,
    Wire,
)

router = APIRouter(prefix="/agent/v1", tags=["agent"], include_in_schema=False)
M = TypeVar("M", bound=Wire)


@router.post("/join")
async def join(request: Request, services: ServicesDep) -> Response:
    body = await read_body(request, JoinRequest)
    row = await services.store.write(lambda tx: attach.join(tx, body))
    _desk(request).forget(row.id)
    return _reply(JoinReply(resource_id=row.id, name=row.name, server_time=services.store.clock()))


@router.post("/token")
async def token(request: Request, services: ServicesDep) -> Response:
    body = await read_body(request, TokenRequest)
    row = await services.store.read(lambda conn: resource_store.find_resource(conn, body.resource_id))
    now = services.store.clock()
    attach.check_signature(row, body, now)
    life_s = services.settings.agent_token_s
    made = attach.agent_token(services.keys, body.resource_id, now + life_s, row.public_key if row else None)
    return _reply(TokenReply(access_token=made, expires_in_s=life_s, server_time=now))


@router.post("/hello")
async def hello(request: Request) -> Response:
    row = await resource_of(request)
    by_key = not (bearer(request) or "").startswith(attach.RESOURCE_PREFIX)
    body = await read_body(request, HelloRequest)
    return _reply(await _desk(request).hello(row.id, body, by_key=by_key))


@router.post("/goodbye")
async def goodbye(request: Request, services: ServicesDep) -> Response:
    token = bearer(request) or ""
    say = partial(resources.goodbye, resource_token=token if token.startswith(attach.RESOURCE_PREFIX) else None)
    try:
        row = await resource_of(request)
    except Problem as problem:
        left = await services.store.read(lambda conn: attach.resource_that_was_left(conn, token))
        if problem.code != "detached" or left is None:
            raise
        row, say = left, partial(resources.farewell)
    body = await read_body(request, GoodbyeRequest)
    await services.store.write(lambda tx: say(tx, services.settings, row, body), resource_id=row.id)
    _desk(request).forget(row.id)
    return _reply({})


@router.post("/mode")
async def mode(request: Request, services: ServicesDep) -> Response:
    row = await resource_of(request)
    body = await read_body(request, ModeRequest)
    await services.store.write(lambda tx: resources.change_mode(tx, row, body.mode))
    _desk(request).forget(row.id)
    return _reply({"mode": body.mode})


@router.post("/heartbeat")
async def heartbeat(request: Request) -> Response:
    row = await resource_of(request)
    return _reply(await _desk(request).heartbeat(row.id, await read_body(request, HeartbeatRequest)))


@router.post("/sync")
async def sync(request: Request) -> Response:
    row = await resource_of(request)
    return _reply(await _desk(request).sync(row.id, await read_body(request, SyncRequest)))


@router.post("/vars")
async def shared_variables(request: Request, services: ServicesDep) -> Response:
    row = await resource_of(request)
    body = await read_body(request, VarsRequest)
    values = await services.store.write(lambda tx: variables.apply(tx, row.id, body.job, body.ops)) if body.ops else []
    reply: dict[str, Any] = {
        "values": [value.text for value in values],
        "versions": [value.version for value in values],
    }
    if body.all:
        found = await services.store.read(lambda conn: variables.read_all(conn, row.id, body.job))
        reply["all"] = [(name, value.text, value.version) for name, value in found.items()]
    return _reply(reply)


@router.put("/attempts/{key}/log/{stream}")
async def put_log(
    request: Request,
    services: ServicesDep,
    key: str,
    stream: str,
    offset: int,
    line: int | None = None,
    seen: str = "",
) -> Response:
    row = await resource_of(request)
    chunk = await request.body()
    size = await logs.append(services, row.id, key, stream, offset, chunk, line=line, seen=seen)
    return _reply({"size": size})


async def read_body(request: Request, model: type[M]) -> M:
    return parse_message(await request.body(), model)


def parse_message(body: bytes, model: type[M]) -> M:
    """Raises Problem ``invalid_request`` with what is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        wrong = from_body(error, body)
        detail = f"The message is not of the agent's protocol. {wrong.detail}"
        raise Problem("invalid_request", detail, field=wrong.field, errors=wrong.errors) from None


def _reply(value: Any) -> Response:
    return Response(to_json(value), media_type="application/json")


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk
