"""``resource ...``."""

from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.numbers import duration, memory, moment, parse_duration, size
from sirdar.cli.reply import Reply
from sirdar.cli.session import UsageError, current
from sirdar.client.requests import people as requests
from sirdar.wire.solvers import LABEL

SHAPES = {"online": "●", "unreachable": "◌", "draining": "◐", "offline": "○", "revoked": "⊘"}
LostAfter = Annotated[
    str | None,
    Parameter(help="silence after which its tasks are tried elsewhere: 10min; the server's choice without it"),
]


def list_resources() -> Reply:
    """Machines that run jobs, and how they stand."""
    session = current()
    found = list(session.client.iterate(requests.resources()))
    headers = ("state", "resource", "last heard", "cpus>", "memory>", "gpus>", "running>", "accepted>", "id")
    rows = [_row(one) for one in found]
    empty: list[str] = []
    if not found:  # what can be done about it depends on who asks
        may_attach = bool(session.client.call(requests.me()).get("canPublish"))
        way_out = (
            "`sirdar resource create NAME` attaches a machine"
            if may_attach
            else "ask an administrator, or whoever has a machine, to share one"
        )
        empty = [f"no resources: nothing of yours can run; {way_out}"]
    return Reply(
        found,
        [one["id"] for one in found],
        lambda: draw.table(headers, rows, session.terminal) if found else empty,
    )


def _row(resource: dict[str, Any]) -> tuple[Any, ...]:
    has = resource.get("capabilities") or {}
    return (
        _state(resource),
        resource.get("name"),
        moment(resource.get("seenAt")),
        has.get("cpus"),
        memory(has.get("memoryBytes", has.get("memory_bytes"))),
        has.get("gpus") or "",
        resource.get("running"),
        resource.get("accepted"),
        resource.get("id"),
    )


def show_resource(name: str, /) -> Reply:
    """A machine: what it has, what is free, what it does.

    Parameters
    ----------
    name
        of the resource, or its id
    """
    document = current().client.call(requests.resource(name))
    return Reply(document, [document["id"]], lambda: draw.pairs(_pairs(document), current().terminal))


def create_resource(name: str, /, *, lost_after: LostAfter = None) -> Reply:
    """Make a resource, and print the command that attaches a machine as it (single use, 15 minutes).

    Parameters
    ----------
    name
        of the new resource
    """
    document = current().client.call(requests.create_resource(name, _seconds(lost_after)))
    return _joining(document, document["join"])


def join_resource(name: str, /) -> Reply:
    """Print another command that attaches a machine as this resource; the one before has no access once it is used.

    Parameters
    ----------
    name
        of the resource
    """
    document = current().client.call(requests.join_resource(name))
    return _joining(document, document)


def _joining(document: dict[str, Any], join: dict[str, Any]) -> Reply:
    current().tell(f"on that machine, until {moment(join['expiresAt'])}:")
    return Reply(document, [join["token"]], lambda: [join["command"], "sirdar agent start"])


def rename_resource(name: str, new_name: str, /) -> Reply:
    """Give a resource another name.

    Parameters
    ----------
    name
        as it is
    new_name
        as it shall be
    """
    return _change(name, {"name": new_name}, f"{name} is {new_name} now")


def set_resource(name: str, /, *, lost_after: LostAfter = None) -> Reply:
    """Change a resource's settings.

    Parameters
    ----------
    name
        of the resource
    """
    if lost_after is None:
        raise UsageError(f"what of {name} shall change?", "sirdar resource set --help")
    return _change(name, {"lostAfterS": _seconds(lost_after)}, f"{name}: lost after {lost_after} of silence")


def drain_resource(name: str, /) -> Reply:
    """Let a machine finish what it has, and take nothing new.

    Parameters
    ----------
    name
        of the resource
    """
    return _change(name, {"mode": "drain"}, f"{name} takes nothing new")


def resume_resource(name: str, /) -> Reply:
    """Let a drained machine take work again.

    Parameters
    ----------
    name
        of the resource
    """
    return _change(name, {"mode": "active"}, f"{name} takes work again")


def _change(name: str, changes: dict[str, Any], said: str) -> Reply:
    document = current().client.call(requests.change_resource(name, changes))
    current().tell(*(f"warning: {text}" for text in document.get("warnings", ())))
    return Reply(document, [document["id"]], lambda: [said])


def revoke_resource(name: str, /) -> Reply:
    """End a machine's access at once; its tasks are tried elsewhere.

    Parameters
    ----------
    name
        of the resource
    """
    document = current().client.call(requests.revoke_resource(name))
    lines = [f"{name} has no access any more"]
    return Reply(
        document,
        [document["id"]],
        lambda: lines,
        [f"sirdar resource join {name}", f"sirdar resource token create {name}"],
    )


def delete_resource(name: str, /) -> Reply:
    """Revoke a resource and free its name.

    Parameters
    ----------
    name
        of the resource
    """
    current().client.send(requests.delete_resource(name))
    return Reply({"deleted": name}, [name], lambda: [f"deleted resource {name}"])


def share_resource(
    name: str,
    /,
    *subject: Annotated[str, Parameter(help="a user, group:NAME or everyone; without any: who may use it")],
    revoke: Annotated[bool, Parameter(help="take it back", negative="")] = False,
) -> Reply:
    """Let others run jobs on a machine of yours.

    Parameters
    ----------
    name
        of the resource
    """
    client = current().client
    for one in [one if ":" in one or one == "everyone" else f"user:{one}" for one in subject]:
        client.send(requests.unshare_resource(name, one) if revoke else requests.share_resource(name, one))
    found = client.call(requests.resource_shares(name)) or []
    return Reply(found, list(found), lambda: list(found) or ["shared with nobody"])


def create_token(
    name: str,
    /,
    *,
    label: Annotated[str | None, Parameter(help="what it is for")] = None,
    lifetime: Annotated[str | None, Parameter(help="90d, 12h; without it until it is revoked")] = None,
) -> Reply:
    """Make a token that attaches a throw-away container or VM by its environment. It can never be read again.

    Parameters
    ----------
    name
        of the resource
    """
    document = current().client.call(requests.create_resource_token(name, label, _seconds(lifetime)))
    expires = moment(document.get("expiresAt"))
    current().tell(f"token {document['id']}" + (f", until {expires}" if expires else "") + "; then: sirdar agent start")
    lines = [f"{key}={value}" for key, value in document["environment"].items()]
    return Reply(document, [document["token"]], lambda: lines)


def list_tokens(name: str, /) -> Reply:
    """A resource's tokens; their texts are kept nowhere.

    Parameters
    ----------
    name
        of the resource
    """
    session = current()
    found = session.client.call(requests.resource_tokens(name))
    rows = [(one["id"], one["label"], moment(one["createdAt"]), moment(one["expiresAt"])) for one in found]
    headers = ("token", "label", "made", "expires")
    return Reply(found, [one["id"] for one in found], lambda: draw.table(headers, rows, session.terminal))


def revoke_token(name: str, token: str, /) -> Reply:
    """Make a resource's token worthless; the agent that uses it has no access any more.

    Parameters
    ----------
    name
        of the resource
    token
        its id
    """
    current().client.send(requests.revoke_resource_token(name, token))
    return Reply({"revoked": token}, [token], lambda: [f"revoked {token}"])


def _state(resource: dict[str, Any]) -> str:
    state = str(resource.get("state", ""))
    return f"{SHAPES.get(state, '◌')} {state.capitalize()}"


def _pairs(one: dict[str, Any]) -> dict[str, Any]:
    reachable = one.get("state") in {"online", "draining"}  # else what it said last is of another time
    has, load = one.get("capabilities") or {}, (one.get("load") or {}) if reachable else {}
    labels = has.get("labels") or {}
    since = moment(one.get("since")) if one.get("state") in {"unreachable", "revoked"} else None
    return {
        "resource": one["name"],
        "state": f"{_state(one)} since {since}" if since else _state(one),
        "last heard": moment(one.get("seenAt")),
        "owner": one.get("owner"),
        "id": one["id"],
        "machine": ", ".join(filter(None, [has.get("hostname"), has.get("system"), has.get("platform")])),
        "agent": one.get("agentVersion"),
        "slots": _free(load.get("slots_free"), has.get("slots"), lambda value: f"{value:g}"),
        "cpus": _free(load.get("cpus_free"), has.get("cpus"), lambda value: f"{value:g}"),
        "memory": _free(load.get("memory_free_bytes"), has.get("memory_bytes"), memory),
        "disk": _free(load.get("disk_free_bytes"), None, size),
        "gpus": ", ".join(has.get("gpu_names") or ()) or has.get("gpus"),
        "executors": ", ".join(has.get("executors") or ()),
        "solvers": ", ".join(f"{key.removeprefix(LABEL)} {value}" for key, value in labels.items() if _solver(key)),
        "labels": ", ".join(f"{key}={value}" for key, value in labels.items() if not _solver(key)),
        "running": one.get("running"),
        "accepted": one.get("accepted") or None,
        "lost after": duration(one.get("lostAfterS")),
    }


def _solver(label: str) -> bool:
    return label.startswith(LABEL)


def _free(free: Any, total: Any, write: Any) -> str | None:
    words = [f"{write(free)} free"] if free is not None else []
    return " of ".join([*words, *([write(total)] if total else [])]) or None


def _seconds(text: str | None) -> float | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(str(error)) from None
