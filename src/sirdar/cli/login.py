"""``login``, ``logout``, ``open``, ``version``."""

import os
import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from sirdar.cli.connection import Client
from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, UsageError, current
from sirdar.client import profile
from sirdar.client.errors import ApiError, ServerUnreachable
from sirdar.client.requests import people


def login(
    url: str | None = None,
    /,
    *,
    user: Annotated[str | None, Parameter(help="name to sign in with; asked for on a terminal")] = None,
    token: Annotated[
        str | None, Parameter(help="a token that you have; - reads it from standard input", allow_leading_hyphen=True)
    ] = None,
    label: Annotated[str | None, Parameter(help="how the token is called on the server")] = None,
    lifetime: Annotated[str | None, Parameter(help="of the token: 90d, 12h; the server's choice without it")] = None,
    way: Annotated[
        Literal["local", "ldap"] | None, Parameter(help="whose the name is: this server's, or the directory's")
    ] = None,
    browser: Annotated[
        bool | None,
        Parameter(help="sign in by a browser here; --no-browser by one elsewhere, with a code to copy back"),
    ] = None,
    insecure: Annotated[bool, Parameter(help="let the token travel over plain HTTP", negative="")] = False,
    keep_default: Annotated[bool, Parameter(help="do not make this server the default one", negative="")] = False,
) -> Reply:
    """Sign in and keep the token in the profile, readable by you alone.

    Where the server has a single sign-on, and neither --user nor SIRDAR_PASSWORD is given, a browser is used.

    Parameters
    ----------
    url
        address of the server; without it the one in use
    """
    address = profile.normal_url(url) if url else profile.resolve(current().options.server).url
    if not insecure:
        profile.refuse_plain_http(address)
    kept = _given_token(token) if token else _new_token(address, user, label, lifetime, way, browser)
    with Client(address, kept) as client:
        name = str(client.call(people.me())["name"])
    path = profile.keep_login(address, profile.Login(kept, name, insecure), default=not keep_default)
    document = {"url": address, "user": name, "profile": str(path)}
    return Reply(document, [name], lambda: [f"signed in to {address} as {name}"], ["sirdar app list"])


def logout(url: str | None = None, /) -> Reply:
    """Revoke the kept token on the server and forget it here.

    Parameters
    ----------
    url
        address of the server; without it the default one
    """
    known = profile.load()
    found = url or current().options.server or known.default
    address = profile.normal_url(found) if found else None
    if address is None or address not in known.servers:
        raise Refused("not_signed_in", f"no token is kept for {address or 'any server'}")
    revoked = _revoke(address, known.servers[address].token)
    profile.forget_login(address)
    words = f"signed out of {address}" + ("" if revoked else " (the server was not told: it does not answer)")
    return Reply({"url": address, "revoked": revoked}, [address], lambda: [words])


def open_page(what: str | None = None, /) -> Reply:
    """Open a page in the browser.

    Parameters
    ----------
    what
        a job (an id, or last) or an application (owner/alias); without it the first page
    """
    import webbrowser

    session = current()
    address = f"{session.client.url}/{_page(what)}"
    shown = session.plain and webbrowser.open(address)
    return Reply({"url": address}, [address], lambda: [address if not shown else f"opened {address}"])


def version() -> Reply:
    """Versions of this program, of Python, and of the server where one answers."""
    import platform

    from sirdar import __version__

    document = {"sirdar": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return Reply(
        document, [__version__], lambda: [f"sirdar {__version__} (Python {document['python']}, {document['platform']})"]
    )


def _page(what: str | None) -> str:
    if what is None:
        return ""
    return f"apps/{what}" if "/" in what else f"jobs/{current().job_id(what)}"


def _given_token(token: str) -> str:
    found = sys.stdin.readline().strip() if token == "-" else token.strip()  # noqa: S105  (a sign for standard input)
    if not found or not found.isascii() or any(char.isspace() for char in found):
        raise UsageError("that is no token: a token is one word of ASCII characters")
    return found


def _new_token(
    address: str, user: str | None, label: str | None, lifetime: str | None, way: str | None, browser: bool | None
) -> str:
    import getpass
    import socket

    from sirdar.cli.browser_login import sign_in_by_browser
    from sirdar.cli.numbers import parse_duration

    seconds = round(parse_duration(lifetime)) if lifetime else None
    label = label or f"sirdar on {socket.gethostname()}"
    by_password = user or way or os.environ.get("SIRDAR_PASSWORD")
    if browser is not None or (not by_password and _has_single_sign_on(address)):
        return sign_in_by_browser(address, label, seconds, here=browser)
    name = user or _asked("User: ")
    password = os.environ.get("SIRDAR_PASSWORD") or getpass.getpass(f"Password of {name} at {address}: ")
    with Client(address) as client:
        reply = client.call(people.sign_in(name, password, label, seconds, way))
    return str(reply["access_token"])


def _has_single_sign_on(address: str) -> bool:
    try:
        with Client(address) as client:
            return bool(client.call(people.ways())["oidc"])
    except ApiError:  # an older server
        return False


def _asked(question: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("who signs in?", "sirdar login URL --user NAME, or --token -")
    return input(question).strip()


def _revoke(address: str, token: str) -> bool:
    """False where the server does not answer; a token that it no longer knows is as good as revoked."""
    try:
        with Client(address, token) as client:
            client.send(people.sign_out())
    except ServerUnreachable:
        return False
    except ApiError:
        return True
    return True
