"""What routers depend on: the services and the caller."""

from typing import Annotated

from fastapi import Depends, Request

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services

COOKIE = "access_token"


async def get_services(request: Request) -> Services:
    # Awaits nothing; a plain function would be run in a thread, for each request.
    services: Services = request.app.state.services
    return services


def bearer(request: Request) -> str | None:
    """The token of a request: the Authorization header, else the cookie ``access_token`` (Everest's C++ client)."""
    header = request.headers.get("authorization", "")
    if header[:7].lower() == "bearer ":
        return header[7:].strip()
    return request.cookies.get(COOKIE)


async def get_caller(request: Request, services: Annotated[Services, Depends(get_services)]) -> Caller:
    """The caller, or Problem ``unauthenticated``."""
    token = bearer(request)
    if not token:
        raise Problem("unauthenticated", "This address needs a token.", hint="Send 'Authorization: Bearer TOKEN'.")
    return await services.auth.caller(token)


ServicesDep = Annotated[Services, Depends(get_services)]
CallerDep = Annotated[Caller, Depends(get_caller)]
