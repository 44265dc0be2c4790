"""``sirdar login`` through a browser: the browser gets the hash of a secret, and gives back a code that only the secret opens.

Where a browser opens on this machine the code comes by a redirect to loopback; elsewhere the user copies it.
"""

import hashlib
import os
import secrets
import sys
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from sirdar.cli.connection import Client
from sirdar.cli.session import Refused, UsageError
from sirdar.client.requests import people

WITHIN_S = 600.0
DONE = "<!doctype html><meta charset=utf-8><title>Sirdar</title><p>Signed in. You can close this page."


def sign_in_by_browser(address: str, label: str, lifetime_s: int | None, *, here: bool | None) -> str:
    """A token. ``here`` None: whatever this machine can. Raises Refused where nobody says yes in time."""
    secret = secrets.token_urlsafe(32)
    asked = {"challenge": hashlib.sha256(secret.encode()).hexdigest(), "label": label}
    if lifetime_s is not None:
        asked["lifetime"] = str(lifetime_s)
    if here is None:
        here = _has_browser()
    code = _code_by_redirect(address, asked) if here else _code_by_hand(address, asked)
    with Client(address) as client:
        return str(client.call(people.redeem_grant(code, secret))["access_token"])


def _code_by_redirect(address: str, asked: dict[str, str]) -> str:
    state = secrets.token_urlsafe(16)
    with _Listener(state) as listener:
        url = _url(address, asked | {"state": state, "port": str(listener.server_port)})
        opened = webbrowser.open(url)
        _say(f"{'In the browser' if opened else 'Open'}: {url}", f"The page shows this check: {asked['challenge'][:8]}")
        return listener.await_code()


def _code_by_hand(address: str, asked: dict[str, str]) -> str:
    _say(
        f"Open in any browser: {_url(address, asked)}",
        f"The page shows this check: {asked['challenge'][:8]}",
        "Then paste the code that it gives you.",
    )
    if sys.stdin.isatty():
        print("Code: ", end="", file=sys.stderr, flush=True)
    code = sys.stdin.readline().strip()
    if not code:
        raise UsageError("no code was given")
    return code


def _url(address: str, asked: dict[str, str]) -> str:
    return f"{address}/login/cli?{urlencode(asked)}"


def _say(*lines: str) -> None:
    """Also with --json and --quiet: nothing goes on without it."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _has_browser() -> bool:
    """Whether a browser would open before the user's eyes: not at the far end of SSH, and not without a display."""
    if os.environ.get("SSH_CONNECTION") and not os.environ.get("BROWSER"):
        return False
    needs_display = sys.platform not in {"win32", "darwin"} and not os.environ.get("BROWSER")
    if needs_display and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


class _Listener(HTTPServer):
    """Listens on a free port of loopback for the one request that carries our state."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.code = ""
        self.timeout = 0.5

    def await_code(self) -> str:
        deadline = time.monotonic() + WITHIN_S
        while not self.code:
            if time.monotonic() > deadline:
                raise Refused("not_signed_in", f"nobody allowed it within {WITHIN_S / 60:.0f} minutes")
            self.handle_request()
        return self.code


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0  # of one connection: a browser that opens one and says nothing holds up nobody for long

    def do_GET(self) -> None:
        listener = self.server
        assert isinstance(listener, _Listener)
        given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if not secrets.compare_digest(given.get("state", "").encode(), listener.state.encode()) or not given.get(
            "code"
        ):
            self.send_error(404)
            return
        listener.code = given["code"]
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("referrer-policy", "no-referrer")
        self.end_headers()
        self.wfile.write(DONE.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the address holds the code."""
