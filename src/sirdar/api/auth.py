"""Getting, showing and revoking tokens. The first addresses are Everest's, and its clients use them as they stand."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from sirdar.api import shapes
from sirdar.api.deps import COOKIE, CallerDep, ServicesDep
from sirdar.api.paging import DEFAULT_LIMIT, After, Limit, iso, page
from sirdar.domain.people import Caller, Scope
from sirdar.services import cli_sign_in, sessions, tokens
from sirdar.services.context import Services
from sirdar.services.sessions import Way
from sirdar.services.tokens import LONGEST_LABEL, LONGEST_LIFETIME_S, TokenRequest
from sirdar.store.tokens import Token

router = APIRouter(tags=["tokens"])

Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL, description="What the token is for")]
Lifetime = Annotated[float, Field(gt=0, le=LONGEST_LIFETIME_S, description="Seconds; by default a week")]


class SignIn(BaseModel):
    """A user name and password, for a token."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(max_length=200)]
    password: Annotated[str, Field(max_length=2000)]
    label: Label = "API"
    lifetime: Lifetime | None = None
    scopes: list[Scope] = [Scope.ALL]
    way: Annotated[Way | None, Field(description="Whose password it is; null: this server's where it has the name")] = (
        None
    )


class GrantCode(BaseModel):
    """What a browser allowed a command line, and what only that command line knows."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(max_length=200)]
    secret: Annotated[str, Field(max_length=200)]


class TokenWanted(BaseModel):
    """A further token of the caller's own."""

    model_config = ConfigDict(extra="forbid")

    label: Label
    lifetime: Lifetime | None = None
    scopes: list[Scope] = [Scope.ALL]
    apps: Annotated[list[str], Field(max_length=100, description="Ids of the only applications it is for")] = []


@router.post("/api/auth/access_token", summary="Sign in by password", responses={200: {"model": shapes.NewToken}})
@router.post("/auth/access_token", include_in_schema=False)
async def sign_in(body: SignIn, request: Request, response: Response, services: ServicesDep) -> dict[str, Any]:
    """The token is also set as the cookie `access_token`: Everest's C++ client signs in and trusts its cookies from then on."""
    wanted = TokenRequest(body.label, body.lifetime, body.scopes)
    issued = await sessions.sign_in(
        services, body.username, body.password, wanted, address=address_of(request), way=body.way
    )
    keep_token(request, response, issued)
    return {"access_token": issued.text, **_token(issued.token)}


@router.get("/api/auth/access_token", summary="The token in use", responses={200: {"model": shapes.Token}})
@router.get("/auth/access_token", include_in_schema=False)
async def show(caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    if caller.attempt is not None:
        return _task_token(caller)
    return {"user": caller.name, **_token(await tokens.in_use(services, caller))}


@router.delete("/api/auth/access_token", summary="Revoke the token in use")
@router.delete("/auth/access_token", include_in_schema=False)
async def sign_out(request: Request, response: Response, caller: CallerDep, services: ServicesDep) -> dict[str, bool]:
    """Everest's clients take 200 alone for a success."""
    await tokens.revoke_in_use(services, caller)
    forget_token(request, response)
    return {"revoked": True}


@router.get("/api/auth/ways", summary="How one can sign in", responses={200: {"model": shapes.Ways}})
async def show_ways(services: ServicesDep) -> dict[str, Any]:
    """``local``: accounts of this server. The others stand beside them where they are set up."""
    ways = services.auth.ways
    return {
        "local": True,
        "ldap": {"title": ways.ldap.title} if ways.ldap else None,
        "oidc": {"title": ways.oidc.title} if ways.oidc else None,
    }


@router.post("/api/auth/grant", summary="A token that a browser allowed", responses={200: {"model": shapes.NewToken}})
async def redeem(body: GrantCode, request: Request, services: ServicesDep) -> dict[str, Any]:
    """The last step of ``sirdar login`` through a browser."""
    issued = await cli_sign_in.redeem(services, body.code, body.secret, address=address_of(request))
    return {"access_token": issued.text, **_token(issued.token)}


@router.get("/api/tokens", summary="Your tokens", responses={200: {"model": list[shapes.Token]}})
async def list_tokens(
    request: Request, caller: CallerDep, services: ServicesDep, limit: Limit = DEFAULT_LIMIT, after: After = ""
) -> Response:
    found = await tokens.listed(services, caller, limit=limit + 1, after=after)
    return page(request, found, limit, cursor=lambda token: token.id, show=_token)


@router.post("/api/tokens", status_code=201, summary="Make a token", responses={201: {"model": shapes.NewToken}})
async def create(body: TokenWanted, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """Its text is in the reply, and can never be read again."""
    issued = await tokens.create(services, caller, TokenRequest(body.label, body.lifetime, body.scopes, body.apps))
    return {"access_token": issued.text, **_token(issued.token)}


@router.delete("/api/tokens/{token_id}", status_code=204, summary="Revoke a token of yours")
async def revoke(token_id: str, caller: CallerDep, services: ServicesDep) -> Response:
    await tokens.revoke(services, caller, token_id)
    return Response(status_code=204)


def keep_token(request: Request, response: Response, issued: tokens.Issued) -> None:
    """Set the cookie by which programs without an Authorization header, and browsers, carry the token."""
    until = issued.token.expires_at
    life_s = None if until is None else max(1, int(until - issued.token.created_at))
    response.set_cookie(
        COOKIE, issued.text, max_age=life_s, path="/", httponly=True, samesite="lax", secure=_is_secure(request)
    )


def forget_token(request: Request, response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_is_secure(request))


def _is_secure(request: Request) -> bool:
    services: Services = request.app.state.services
    return request.url.scheme == "https" or services.settings.url.startswith("https:")


def address_of(request: Request) -> str:
    """Where the request came from, for throttling and the audit log."""
    return request.client.host if request.client else "local"


def _token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "label": token.label,
        "scopes": tokens.scope_list(token),
        "apps": tokens.app_list(token),
        "createdAt": iso(token.created_at),
        "expiresAt": iso(token.expires_at),
        "lastUsedAt": iso(token.last_used_at),
    }


def _task_token(caller: Caller) -> dict[str, Any]:
    assert caller.attempt is not None
    return {
        "user": caller.name,
        "id": None,
        "label": f"task {caller.attempt.text}",
        "scopes": sorted(caller.scopes),
        "apps": [],
        "createdAt": None,
        "expiresAt": None,
        "lastUsedAt": None,
        "task": caller.attempt.text,
    }
