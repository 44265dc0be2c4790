"""``resource ...``."""

from typing import Any

from sirdar.cli import draw
from sirdar.cli.numbers import moment, size
from sirdar.cli.reply import Reply
from sirdar.cli.session import current
from sirdar.client.requests import people as requests

SHAPES = {"online": "●", "unreachable": "◌", "draining": "◐", "offline": "○"}


def list_resources() -> Reply:
    """Machines that run jobs, and how they stand."""
    session = current()
    found = list(session.client.iterate(requests.resources()))
    headers = ("state", "resource", "since", "cpus>", "memory>", "gpus>", "running>", "accepted>", "id")
    rows = [_row(one) for one in found]
    empty = ["no resources: nothing can run; `sirdar up` starts a server with one"]
    return Reply(
        found,
        [one["id"] for one in found],
        lambda: draw.table(headers, rows, session.terminal) if found else empty,
    )


def _row(resource: dict[str, Any]) -> tuple[Any, ...]:
    has = resource.get("capabilities") or {}
    state = str(resource.get("state", ""))
    memory = has.get("memoryBytes", has.get("memory_bytes"))
    return (
        f"{SHAPES.get(state, '◌')} {state.capitalize()}",
        resource.get("name"),
        moment(resource.get("since")),
        has.get("cpus"),
        size(memory),
        has.get("gpus") or "",
        resource.get("running"),
        resource.get("accepted"),
        resource.get("id"),
    )
