"""Signing in at an OpenID Connect provider: the authorization code flow, with state, nonce and PKCE.

The address that the administrator gave is asked for the rest. Connections go through the policy of outgoing addresses, which
this setting widens by the provider's own host: an answer of the provider cannot send the server elsewhere in its own network.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from authlib.oauth2.auth import encode_client_secret_basic
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from sirdar.domain.names import is_text
from sirdar.domain.problems import Problem
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.outbound.transport import http_client
from sirdar.services.outside.identity import LONGEST_SUBJECT, Attempt, GroupRules, Identity
from sirdar.services.settings import Settings

METADATA_S = 3600.0
KEYS_AGAIN_S = 10.0  # a key that nobody knows is not asked for more often than this
LEEWAY_S = 60
ANSWER_BYTES = 2**20
# Signatures that only the provider can make; never ``none``, and none that the client's own secret makes.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = structlog.get_logger(__name__)


class OidcProvider:
    """One provider. Raises ValueError where its settings cannot be."""

    def __init__(self, settings: Settings) -> None:
        self.title = settings.oidc_title
        self.issuer = settings.oidc_issuer
        self.rules = GroupRules.parse("oidc", settings.oidc_groups, settings.oidc_admins, settings.oidc_allow)
        self._settings = settings
        if not is_safe_url(self.issuer):
            raise ValueError(f"SIRDAR_OIDC_ISSUER={self.issuer!r} is no address of https")
        if not settings.oidc_client_id:
            raise ValueError("SIRDAR_OIDC_CLIENT_ID is missing")
        own = urlsplit(self.issuer)
        self._policy = AddressPolicy.from_lines([*settings.fetch_allow, own.netloc.rpartition("@")[2]])
        self._metadata: dict[str, Any] = {}
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    @property
    def redirect_uri(self) -> str:
        return f"{self._settings.url}/login/oidc/callback"

    # ------------------------------------------------------------ there

    async def begin(self) -> tuple[str, Attempt]:
        """The address to send a browser to, and what its answer must fit. Raises ``unavailable``."""
        metadata = await self._about()
        attempt = Attempt(*(secrets.token_urlsafe(32) for _ in range(3)))
        url = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._settings.oidc_client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=self._settings.oidc_scopes,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
        )
        return str(url), attempt

    # ------------------------------------------------------------ and back

    async def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        """Who came back with this answer (the query of the address that the browser was sent to).

        Raises ``sign_in_failed`` where the provider does not vouch for anybody, ``unavailable`` where it does not answer.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise self._failed("the answer belongs to another sign-in")
        if answer.get("iss", self.issuer) != self.issuer:
            raise self._failed("the answer names another provider", iss=answer["iss"][:200])
        if error := answer.get("error"):
            raise self._failed(f"it says {error[:80]!r}", description=answer.get("error_description", "")[:200])
        if not answer.get("code"):
            raise self._failed("the answer holds no code")
        granted = await self._redeem(answer["code"], attempt.verifier)
        claims = await self._checked(granted, attempt.nonce)
        return self._identity(await self._completed(claims, granted))

    async def _redeem(self, code: str, verifier: str) -> dict[str, Any]:
        """The provider's tokens for a code."""
        metadata, client_id = await self._about(), self._settings.oidc_client_id
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {"Accept": "application/json"}
        secret = self._settings.oidc_client_secret
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret and "client_secret_basic" in methods:
            encode_client_secret_basic(_Client(client_id, secret), "POST", "", headers, "")
        else:
            form |= {"client_id": client_id} | ({"client_secret": secret} if secret else {})
        status, granted = await self._ask("POST", metadata["token_endpoint"], data=form, headers=headers)
        if status != 200 or not isinstance(granted.get("id_token"), str):
            raise self._failed("it does not take the code", status=status, error=str(granted.get("error"))[:80])
        return granted

    async def _checked(self, granted: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the ID token, if it is signed by the provider, for us, now, and for this sign-in."""
        try:
            token = jwt.decode(granted["id_token"], await self._key_set(), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            try:
                token = jwt.decode(granted["id_token"], await self._key_set(anew=True), algorithms=ALGORITHMS)
            except (JoseError, ValueError) as error:
                raise self._failed("its signature is not the provider's", error=str(error)) from error
        except (JoseError, ValueError) as error:
            raise self._failed("its signature is not the provider's", error=str(error)) from error
        client_id = self._settings.oidc_client_id
        options = {"iss": {"essential": True, "value": self.issuer}, "aud": {"essential": True, "value": client_id}}
        params = {"nonce": nonce, "client_id": client_id, "access_token": granted.get("access_token")}
        claims = CodeIDToken(token.claims, token.header, options, params)
        try:
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, TypeError, ValueError) as error:
            raise self._failed("what it says of you does not hold", error=str(error)) from error
        return dict(claims)

    async def _completed(self, claims: dict[str, Any], granted: Mapping[str, Any]) -> dict[str, Any]:
        """The claims, with those that the provider only gives at its userinfo endpoint."""
        endpoint = (await self._about()).get("userinfo_endpoint")
        wanted = (self._settings.oidc_name_claim, "email", self._settings.oidc_groups_claim)
        access = granted.get("access_token")
        if not endpoint or not isinstance(access, str) or all(_at(claims, path) is not None for path in wanted):
            return claims
        headers = {"Authorization": f"Bearer {access}", "Accept": "application/json"}
        status, more = await self._ask("GET", endpoint, headers=headers)
        if status != 200 or more.get("sub") != claims.get("sub"):
            raise self._failed("it does not say who you are", status=status)
        return {**more, **claims}

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not is_text(subject):
            raise self._failed("it gives no name that lasts")
        name, email = _at(claims, self._settings.oidc_name_claim), claims.get("email")
        known = isinstance(email, str) and claims.get("email_verified") is not False
        groups = _at(claims, self._settings.oidc_groups_claim)
        groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Identity(
            provider=self.issuer,
            subject=subject,
            name=name if isinstance(name, str) and name else str(email) if known else "",
            email=str(email) if known else None,
            groups=frozenset(group for group in groups if isinstance(group, str)),
        )

    # ------------------------------------------------------------ what the provider says of itself

    async def _about(self) -> dict[str, Any]:
        if time.monotonic() < self._metadata_until:
            return self._metadata
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, found = await self._ask("GET", address)
        if status != 200 or found.get("issuer") != self.issuer:
            raise self._away(f"{address} is not the document of {self.issuer}", status=status)
        for name in (*ENDPOINTS, *({"userinfo_endpoint"} & found.keys())):
            if not isinstance(found.get(name), str) or not is_safe_url(found[name]):
                raise self._away(f"its {name} is no address of https")
        self._metadata, self._metadata_until = found, time.monotonic() + METADATA_S
        return found

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        now = time.monotonic()
        if self._keys is None or now - self._keys_at > (KEYS_AGAIN_S if anew else METADATA_S):
            status, found = await self._ask("GET", (await self._about())["jwks_uri"])
            try:
                self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
            except (JoseError, KeyError, TypeError, ValueError) as error:
                raise self._away(f"its keys cannot be read: {error}", status=status) from error
            self._keys_at = now
        return self._keys

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer. Raises ``unavailable`` where there is none."""
        try:
            async with (
                http_client(self._policy, timeout_s=self._settings.outside_call_s) as client,
                client.stream(method, url, **more) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES:
                        raise self._away("its answer is too large")
                status = response.status_code
        except httpx.HTTPError as error:
            raise self._away(f"{type(error).__name__}: {error}") from error
        except Problem as problem:
            if problem.code == "unavailable":
                raise
            raise self._away(problem.detail) from problem
        if status >= 500:
            raise self._away("it answers with an error of its own", status=status)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        return status, found if isinstance(found, dict) else {}

    def _failed(self, why: str, **more: object) -> Problem:
        log.warning("oidc_sign_in_failed", issuer=self.issuer, why=why, **more)
        hint = "Try again; if it comes back, tell an administrator: the server's log says more."
        return Problem("sign_in_failed", f"{self.title} did not sign you in: {why}.", hint=hint)

    def _away(self, why: str, **more: object) -> Problem:
        log.error("oidc_unavailable", issuer=self.issuer, why=why, **more)
        hint = "Try again in a minute. Accounts of this server work meanwhile."
        return Problem("unavailable", f"{self.title} does not answer as it should.", hint=hint, retry_after_s=30)


@dataclass(frozen=True, slots=True)
class _Client:
    client_id: str
    client_secret: str


def is_safe_url(url: str) -> bool:
    """An address of https; of http only on this machine, where nobody reads along."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"})
    )


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """A claim, or one within objects: ``realm_access.roles``. A claim whose own name holds the dots comes first."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
