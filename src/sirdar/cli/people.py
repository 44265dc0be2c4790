"""``token ...``, ``user ...``, ``group ...``."""

import sys
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.numbers import count, duration, moment, parse_duration, parse_size, size
from sirdar.cli.reply import Reply
from sirdar.cli.session import UsageError, current
from sirdar.client.requests import people as requests

Scope = Literal["read", "run", "publish", "admin", "all"]


# ---------------------------------------------------------------- tokens


def token_list() -> Reply:
    """Your tokens; their texts are kept nowhere."""
    session = current()
    found = list(session.client.iterate(requests.tokens()))
    rows = [
        (
            one["id"],
            one.get("label"),
            " ".join(one.get("scopes") or ()),
            moment(one.get("expiresAt")),
            moment(one.get("lastUsedAt")),
        )
        for one in found
    ]
    headers = ("token", "label", "scopes", "expires", "last used")
    return Reply(found, [one["id"] for one in found], lambda: draw.table(headers, rows, session.terminal))


def token_create(
    label: str,
    /,
    *,
    lifetime: Annotated[str | None, Parameter(help="90d, 12h; the server's choice without it")] = None,
    scope: Annotated[
        list[Scope] | None,
        Parameter(help="read, run, publish, admin or all; may be repeated", consume_multiple=False, negative=""),
    ] = None,
) -> Reply:
    """Make a token and print it: it can never be read again.

    Parameters
    ----------
    label
        what it is for
    """
    seconds = round(_duration(lifetime)) if lifetime else None
    document = current().client.call(requests.create_token(label, seconds, scope))
    expires = moment(document.get("expiresAt"))
    current().tell(f"token {document['id']} ({label})" + (f", until {expires}" if expires else ""))
    return Reply(document, [document["access_token"]], lambda: [document["access_token"]])


def token_revoke(*token: Annotated[str, Parameter(help="ids of tokens")]) -> Reply:
    """Make tokens worthless."""
    if not token:
        raise UsageError("which token?", "sirdar token list")
    for one in token:
        current().client.send(requests.revoke_token(one))
    return Reply({"revoked": list(token)}, list(token), lambda: [f"revoked {one}" for one in token])


# ---------------------------------------------------------------- users


def user_list() -> Reply:
    """Users (administrators)."""
    session = current()
    found = list(session.client.iterate(requests.users(1000)))
    rows = [(one["name"], _rights(one), one.get("email"), moment(one.get("createdAt"))) for one in found]
    headers = ("user", "rights", "e-mail", "since")
    return Reply(found, [one["name"] for one in found], lambda: draw.table(headers, rows, session.terminal))


def user_show(name: str | None = None, /) -> Reply:
    """A user, with quotas and usage.

    Parameters
    ----------
    name
        without it yourself
    """
    session = current()
    document = session.client.call(requests.user(name) if name else requests.me())
    return Reply(document, [document["name"]], lambda: draw.pairs(_user_pairs(document), session.terminal))


def user_create(
    name: str,
    /,
    *,
    email: Annotated[str | None, Parameter(help="for letters about ended jobs")] = None,
    publish: Annotated[bool, Parameter(help="may publish applications", negative="")] = False,
    admin: Annotated[bool, Parameter(help="is an administrator", negative="")] = False,
    password: Annotated[
        bool, Parameter(help="ask for a password (or read it from standard input)", negative="")
    ] = False,
) -> Reply:
    """Make a user. Without --password a one-time link is printed by which the user signs in.

    Parameters
    ----------
    name
        of the user
    """
    client = current().client
    settings: dict[str, Any] = {"email": email, "isAdmin": admin or None, "canPublish": publish or None}
    document = client.call(requests.create_user(name, {**settings, "password": _password(name) if password else None}))
    lines = [f"made user {name}"]
    if not password:
        document = {**document, "loginLink": client.call(requests.login_link(name))["url"]}
        lines.append(f"one-time login link: {document['loginLink']}")
    return Reply(document, [name], lambda: lines)


def user_set(
    name: str,
    /,
    *,
    email: Annotated[str | None, Parameter(help="for letters about ended jobs")] = None,
    publish: Annotated[bool | None, Parameter(help="may publish applications", negative="--no-publish")] = None,
    admin: Annotated[bool | None, Parameter(help="is an administrator", negative="--no-admin")] = None,
    password: Annotated[bool, Parameter(help="ask for a new password", negative="")] = False,
    max_jobs: Annotated[int | None, Parameter(help="jobs in flight")] = None,
    max_size: Annotated[str | None, Parameter(help="bytes kept: 50GB")] = None,
    keep: Annotated[
        str | None, Parameter(help="how long ended jobs are kept: 90d; 'server': the server's setting")
    ] = None,
) -> Reply:
    """Change a user.

    Parameters
    ----------
    name
        of the user
    """
    quotas = {"jobsInFlight": max_jobs, "bytes": _size(max_size) if max_size else None}
    given = {key: value for key, value in quotas.items() if value is not None}
    settings: dict[str, Any] = {"email": email, "canPublish": publish, "isAdmin": admin, "quotas": given or None}
    settings["password"] = _password(name) if password else None
    if keep is not None:
        settings["retentionS"] = None if keep == "server" else _duration(keep)
    elif all(value is None for value in settings.values()):
        raise UsageError(f"what of {name} shall change?", "sirdar user set --help")
    document = current().client.call(requests.change_user(name, settings))
    return Reply(document, [name], lambda: draw.pairs(_user_pairs(document), current().terminal))


def user_disable(
    name: str, /, *, undo: Annotated[bool, Parameter(help="let the user in again", negative="")] = False
) -> Reply:
    """Shut a user out; tokens do not work either.

    Parameters
    ----------
    name
        of the user
    """
    document = current().client.call(requests.change_user(name, {"disabled": not undo}))
    return Reply(document, [name], lambda: [f"{name} is {'back' if undo else 'shut out'}"])


def login_link(name: str, /) -> Reply:
    """Make a one-time link that signs a user in.

    Parameters
    ----------
    name
        of the user
    """
    document = current().client.call(requests.login_link(name))
    return Reply(document, [document["url"]], lambda: [document["url"]])


# ---------------------------------------------------------------- groups


def group_list() -> Reply:
    """Groups: all for administrators, else yours."""
    session = current()
    found = list(session.client.iterate(requests.groups()))
    rows = [(one["name"], ", ".join(map(str, one.get("members") or ()))) for one in found]
    return Reply(
        found, [one["name"] for one in found], lambda: draw.table(("group", "members"), rows, session.terminal)
    )


def group_create(name: str, /) -> Reply:
    """Make a group.

    Parameters
    ----------
    name
        of the group
    """
    document = current().client.call(requests.create_group(name))
    return Reply(document, [name], lambda: [f"made group {name}"], [f"sirdar group add {name} USER"])


def group_add(name: str, /, *user: str) -> Reply:
    """Add users to a group.

    Parameters
    ----------
    name
        of the group
    user
        names of users
    """
    return _members(name, user, add=True)


def group_remove(name: str, /, *user: str) -> Reply:
    """Take users out of a group.

    Parameters
    ----------
    name
        of the group
    user
        names of users
    """
    return _members(name, user, add=False)


def group_delete(name: str, /) -> Reply:
    """Remove a group, and what is shared with it.

    Parameters
    ----------
    name
        of the group
    """
    current().client.send(requests.delete_group(name))
    return Reply({"deleted": name}, [name], lambda: [f"deleted group {name}"])


def _members(group: str, users: tuple[str, ...], *, add: bool) -> Reply:
    if not users:
        raise UsageError("which user?", f"sirdar group {'add' if add else 'remove'} {group} USER")
    client = current().client
    for user in users:
        client.send(requests.add_member(group, user) if add else requests.remove_member(group, user))
    document = client.call(requests.group(group))
    members = [str(one) for one in document.get("members") or ()]
    return Reply(document, members, lambda: [f"{group}: {', '.join(members) or 'nobody'}"])


def _rights(user: dict[str, Any]) -> str:
    names = {"isAdmin": "administrator", "canPublish": "publishes", "disabled": "shut out"}
    return ", ".join(word for key, word in names.items() if user.get(key))


def _user_pairs(user: dict[str, Any]) -> dict[str, Any]:
    usage, quotas = user.get("usage") or {}, user.get("quotas") or {}
    return {
        "user": user["name"],
        "rights": _rights(user),
        "e-mail": user.get("email"),
        "groups": ", ".join(user.get("groups") or ()),
        "jobs in flight": _of(usage.get("jobsInFlight"), quotas.get("jobsInFlight"), count),
        "kept": _of(usage.get("bytes"), quotas.get("bytes"), size),
        "jobs in all": count(usage["jobsTotal"]) if "jobsTotal" in usage else None,
        "jobs kept for": duration(user["retentionS"]) if user.get("retentionS") else None,
        "cpu time": duration(usage.get("cpuSeconds")) if usage.get("cpuSeconds") else None,
        "since": moment(user.get("createdAt")),
    }


def _of(used: Any, quota: Any, write: Any) -> str | None:
    words = [write(value) for value in (used, quota) if value is not None]
    return (
        None
        if not words
        else write(used)
        if quota is None
        else " of ".join(words)
        if used is not None
        else f"at most {words[0]}"
    )


def _password(name: str) -> str:
    import getpass

    if not sys.stdin.isatty():
        found = sys.stdin.readline().rstrip("\n")
    else:
        found = getpass.getpass(f"New password of {name}: ")
        if found != getpass.getpass("Once more: "):
            raise UsageError("the two passwords differ")
    if not found:
        raise UsageError("the password is empty")
    return found


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
