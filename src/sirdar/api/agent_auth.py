"""Who an agent's call is from."""

from fastapi import Request

from sirdar.api.deps import bearer
from sirdar.dispatch.desk import Desk
from sirdar.domain.problems import Problem
from sirdar.store.resources import ResourceRow


async def resource_of(request: Request) -> ResourceRow:
    """The resource whose agent calls. Raises Problem ``unauthenticated`` or ``token_expired``."""
    token = bearer(request)
    if not token:
        raise Problem("unauthenticated", "An agent's call needs the agent's token.")
    desk: Desk = request.app.state.desk
    return await desk.resource(token)
