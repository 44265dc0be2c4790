"""A small OpenID Connect provider over real HTTP, strict where the standard is, and false in whatever way a test asks."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "sirdar tests"
CLIENT_SECRET = "client secret 17"


@dataclass
class Provider:
    """``who`` signs in next: the claims. ``wrong`` replaces claims of the ID token; None leaves one out."""

    url: str = ""
    who: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, Any] = field(default_factory=dict)
    only_userinfo: tuple[str, ...] = ()
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}, private=True))
    signs_with: RSAKey | None = None
    algorithm: str = "RS256"
    down: bool = False
    expired: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    _codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _access: dict[str, dict[str, Any]] = field(default_factory=dict)

    def reset(self, **who: Any) -> None:
        self.who, self.wrong, self.only_userinfo, self.signs_with = who, {}, (), None
        self.algorithm, self.down, self.expired = "RS256", False, False

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Signs ``who`` in without asking, and gives the address to go back to."""
        self.asked.append(asked)
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256" and asked["code_challenge"] and asked["nonce"]
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**asked, "who": dict(self.who)}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        wanted = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if authorization != f"Basic {wanted}":
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        fits = asked and (asked["redirect_uri"], asked["code_challenge"]) == (form.get("redirect_uri"), challenge)
        if asked is None or not fits or self.expired:
            return 400, {"error": "invalid_grant"}
        access = secrets.token_urlsafe(16)
        self._access[access] = asked["who"]
        shown = {name: value for name, value in asked["who"].items() if name not in self.only_userinfo}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "nonce": asked["nonce"], **shown}
        claims = {name: value for name, value in {**claims, **self.wrong}.items() if value is not None}
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": self._signed(claims)}

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm == "none":
            parts = ({"alg": "none"}, claims)
            return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
        key = self.signs_with or self.key
        return jwt.encode({"alg": self.algorithm, "kid": key.kid or "one"}, claims, key)

    def userinfo(self, authorization: str) -> tuple[int, dict[str, Any]]:
        found = self._access.get(authorization.removeprefix("Bearer "))
        return (200, found) if found else (401, {})


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        if self.provider.down:
            self.send_error(503)
            return
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.send_response(302)
            self.send_header("location", self.provider.authorize(asked))
            self.end_headers()
            return
        answers = {
            "/.well-known/openid-configuration": lambda: (200, self.provider.metadata()),
            "/keys": lambda: (200, {"keys": [self.provider.key.as_dict(private=False)]}),
            "/userinfo": lambda: self.provider.userinfo(self.headers.get("authorization", "")),
        }
        self._answer(*answers[parts.path]())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.provider.token(form, self.headers.get("authorization", "")))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def running_provider() -> Iterator[Provider]:
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": provider}))
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
