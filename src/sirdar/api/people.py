"""Users, groups, one's own account, and the audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sirdar.api import shapes
from sirdar.api.auth import address_of
from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.api.paging import DEFAULT_LIMIT, After, Limit, iso, page
from sirdar.domain.problems import Problem
from sirdar.services import account, audit_log, groups, people
from sirdar.services.people import LARGEST_QUOTA, NewUser
from sirdar.services.quotas import Quotas, limits_of
from sirdar.services.settings import Settings
from sirdar.store.audit import AuditFilter, Entry
from sirdar.store.people import Group, User
from sirdar.wire.submit import Notify

router = APIRouter(tags=["people"])


class Body(BaseModel):
    """camelCase outside, and nothing that is not known."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


Name = Annotated[str, Field(max_length=200)]
Password = Annotated[str, Field(max_length=2000)]
Retention = Annotated[float, Field(gt=0, le=100 * 366 * 86400)]
Quota = Annotated[int, Field(ge=0, le=LARGEST_QUOTA, strict=True)]


class QuotasWanted(Body):
    """Null: the server's setting."""

    jobs_in_flight: Quota | None = None
    bytes: Quota | None = None


class UserWanted(Body):
    name: Name
    password: Password | None = None
    email: Name | None = None
    is_admin: bool = False
    can_publish: bool = False
    quotas: QuotasWanted = QuotasWanted()
    retention_s: Retention | None = None


class UserChange(Body):
    """What is left out stays as it is."""

    password: Password | None = None
    email: Name | None = None
    is_admin: bool | None = None
    can_publish: bool | None = None
    disabled: bool | None = None
    quotas: QuotasWanted | None = None
    retention_s: Retention | None = None


class PasswordChange(Body):
    old: Password | None = None
    new: Password


class AccountChange(Body):
    """What is left out stays as it is."""

    email: Name | None = None
    password: PasswordChange | None = None
    notify: Annotated[list[Notify], Field(max_length=20)] | None = None


class GroupWanted(Body):
    name: Name


# ---------------------------------------------------------------- oneself


@router.get("/api/me", summary="Who you are, what you may, what you use")
async def show_me(caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    found = await account.show(services, caller)
    user, usage = found.user, found.usage
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "isAdmin": user.is_admin,
        "canPublish": user.can_publish or user.is_admin,
        "groups": sorted(found.groups),
        "quotas": _quotas(found.quotas),
        "usage": {
            "jobsInFlight": usage.jobs_in_flight,
            "bytes": usage.bytes,
            "jobsTotal": usage.jobs_total,
            "cpuSeconds": round(usage.cpu_s, 3),
        },
        "notify": list(found.notify),
        "createdAt": iso(user.created_at),
    }


@router.patch("/api/me", summary="Change your address or password")
async def change_me(body: AccountChange, request: Request, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """A new password revokes every token of yours but the one in use."""
    given = body.model_fields_set
    if body.password is not None:
        await account.change_password(
            services, caller, old=body.password.old, new=body.password.new, address=address_of(request)
        )
    if "email" in given:
        await account.change_email(services, caller, body.email)
    if body.notify is not None:
        targets = [target.model_dump(exclude_none=True) for target in body.notify]
        await account.change_notify(services, caller, targets)
    return await show_me(caller, services)


# ---------------------------------------------------------------- users


@router.get("/api/users", summary="All users", responses={200: {"model": list[shapes.User]}})
async def list_users(
    request: Request, caller: CallerDep, services: ServicesDep, limit: Limit = DEFAULT_LIMIT, after: After = ""
) -> Response:
    found = await people.list_users(services, caller, limit=limit + 1, after=after)
    settings = services.settings
    return page(request, found, limit, cursor=lambda user: user.name, show=lambda user: _user(user, settings))


@router.post("/api/users", status_code=201, summary="Make a user", responses={201: {"model": shapes.User}})
async def create_user(body: UserWanted, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    wanted = NewUser(
        name=body.name,
        password=body.password,
        email=body.email,
        is_admin=body.is_admin,
        can_publish=body.can_publish,
        quota_jobs=body.quotas.jobs_in_flight,
        quota_bytes=body.quotas.bytes,
        retention_s=body.retention_s,
    )
    return _user(await people.create_user(services, caller, wanted), services.settings)


@router.get("/api/users/{name}", summary="One user", responses={200: {"model": shapes.User}})
async def show_user(name: str, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    return _user(await people.show_user(services, caller, name), services.settings)


@router.patch("/api/users/{name}", summary="Change a user", responses={200: {"model": shapes.User}})
async def change_user(name: str, body: UserChange, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    """A new password revokes the user's tokens; a disabled user's tokens count for nothing."""
    changes: dict[str, Any] = {}
    for field in ("password", "is_admin", "can_publish", "disabled"):
        if field in body.model_fields_set:
            value = getattr(body, field)
            if value is None:
                expected = "a value, or the field left out"
                raise Problem("invalid_field", "Null says nothing here.", field=to_camel(field), expected=expected)
            changes[field] = value
    for field in ("email", "retention_s"):
        if field in body.model_fields_set:
            changes[field] = getattr(body, field)
    if body.quotas is not None:
        names = {"jobs_in_flight": "quota_jobs", "bytes": "quota_bytes"}
        changes |= {names[field]: getattr(body.quotas, field) for field in body.quotas.model_fields_set}
    return _user(await people.change_user(services, caller, name, changes), services.settings)


@router.delete("/api/users/{name}", status_code=204, summary="Remove a user who owns nothing")
async def remove_user(name: str, caller: CallerDep, services: ServicesDep) -> Response:
    await people.remove_user(services, caller, name)
    return Response(status_code=204)


@router.post("/api/users/{name}/login-link", summary="A one-time address that signs the user in")
async def make_login_link(name: str, caller: CallerDep, services: ServicesDep) -> dict[str, str]:
    return {"url": await people.request_login_link(services, caller, name)}


# ---------------------------------------------------------------- groups


@router.get(
    "/api/groups", summary="Groups: all for administrators, else yours", responses={200: {"model": list[shapes.Group]}}
)
async def list_groups(
    request: Request, caller: CallerDep, services: ServicesDep, limit: Limit = DEFAULT_LIMIT, after: After = ""
) -> Response:
    found = await groups.list_groups(services, caller, limit=limit + 1, after=after)
    return page(request, found, limit, cursor=lambda group: group.name, show=_group)


@router.post("/api/groups", status_code=201, summary="Make a group", responses={201: {"model": shapes.Group}})
async def create_group(body: GroupWanted, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    return _group(await groups.create_group(services, caller, body.name))


@router.get("/api/groups/{name}", summary="One group and its members", responses={200: {"model": shapes.Group}})
async def show_group(name: str, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    return _group(await groups.show_group(services, caller, name))


@router.delete("/api/groups/{name}", status_code=204, summary="Remove a group, and what is shared with it")
async def remove_group(name: str, caller: CallerDep, services: ServicesDep) -> Response:
    await groups.remove_group(services, caller, name)
    return Response(status_code=204)


@router.put(
    "/api/groups/{name}/members/{user}", summary="Put a user into a group", responses={200: {"model": shapes.Group}}
)
async def add_member(name: str, user: str, caller: CallerDep, services: ServicesDep) -> dict[str, Any]:
    return _group(await groups.set_member(services, caller, name, user, member=True))


@router.delete("/api/groups/{name}/members/{user}", status_code=204, summary="Take a user out of a group")
async def remove_member(name: str, user: str, caller: CallerDep, services: ServicesDep) -> Response:
    await groups.set_member(services, caller, name, user, member=False)
    return Response(status_code=204)


# ---------------------------------------------------------------- the audit log


@router.get("/api/audit", summary="Who did what, the newest first", responses={200: {"model": list[shapes.AuditEntry]}})
async def show_audit(
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    *,
    limit: Limit = DEFAULT_LIMIT,
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    actor: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z0-9._-]*$")] = None,
    action: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z._]*$")] = None,
) -> Response:
    """``action``: whole (``app.share``), or all of a kind (``app.``)."""
    wanted = AuditFilter(actor=actor, action=action)
    found = await audit_log.entries(services, caller, wanted, limit=limit + 1, before=after)
    return page(request, found, limit, cursor=lambda entry: str(entry.id), show=_entry)


# ---------------------------------------------------------------- as JSON


def _user(user: User, settings: Settings) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "isAdmin": user.is_admin,
        "canPublish": user.can_publish,
        "disabled": user.disabled_at is not None,
        "disabledAt": iso(user.disabled_at),
        "hasPassword": user.password_hash is not None,
        "provider": user.provider,
        "quotas": _quotas(limits_of(user, settings)),
        "retentionS": user.retention_s,
        "jobsEnded": user.jobs_ended,
        "cpuSeconds": round(user.cpu_s, 3),
        "createdAt": iso(user.created_at),
    }


def _quotas(limits: Quotas) -> dict[str, int]:
    return {"jobsInFlight": limits.jobs_in_flight, "bytes": limits.bytes}


def _group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "members": list(group.members), "createdAt": iso(group.created_at)}


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": iso(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "detail": entry.detail,
    }
