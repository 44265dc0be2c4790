"""What a registry says of an image, before it is pulled: its digest and its size. And the credentials that this agent has.

The registry's HTTP API, version 2: https://distribution.github.io/distribution/spec/api/
"""

import json
import platform
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.home import write_private

HUB = "docker.io"
HUB_HOST = "registry-1.docker.io"
HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io")
LOCAL = "localhost"  # as a registry without a port: an image that was made on this machine, and is pulled from nowhere
PATIENCE_S = 15.0
MANIFEST_MOST_BYTES = 4 << 20
LISTS = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
SINGLE = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class ImageName:
    """``registry/path:tag`` or ``registry/path@digest``, whole."""

    registry: str
    path: str
    tag: str = "latest"
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """As podman and docker read it: what names no registry is of docker.io."""
        rest, _, digest = text.partition("@")
        first, slash, others = rest.partition("/")
        named = slash and ("." in first or ":" in first or first == LOCAL)
        registry, path = (first, others) if named else (HUB, rest)
        path, _, tag = path.partition(":")
        if registry in {HUB, "index.docker.io"}:
            registry, path = HUB, path if "/" in path else f"library/{path}"
        return cls(registry, path, tag or "latest", digest)

    def __str__(self) -> str:
        return f"{self.bare}@{self.digest}" if self.digest else f"{self.bare}:{self.tag}"

    @property
    def bare(self) -> str:
        return f"{self.registry}/{self.path}"

    @property
    def is_local(self) -> bool:
        return self.registry == LOCAL

    @property
    def is_plain_http(self) -> bool:
        """Registries of this very machine need no TLS; all others do."""
        host = urllib.parse.urlsplit(f"//{self.registry}").hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Described:
    """``layers``: sizes, as they travel, by digest."""

    digest: str
    layers: Mapping[str, int]


class NoSuchImage(EnvironmentFailed):
    """The registry has none of this name."""


class Credentials:
    """Names and passwords for registries, in a file of podman's and docker's format (``auth.json``), which only the agent reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ready(self) -> Path:
        """The file, made where there is none: an engine that is given no file would take the logins of whoever runs the agent."""
        if not self.path.exists():
            write_private(self.path, '{"auths": {}}\n')
        return self.path

    def of(self, name: ImageName) -> str:
        """``user:password`` in base64, or empty. The most exact entry counts. Raises EnvironmentFailed."""
        try:
            document = json.loads(self.path.read_text())
            entries = document.get("auths", {})
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, AttributeError) as error:
            raise EnvironmentFailed(
                f"the agent's file of credentials, {self.path.name}, cannot be read: {error}"
            ) from None
        parts = f"{name.registry}/{name.path}".split("/")
        keys = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        keys += HUB_KEYS if name.registry == HUB else ()
        found = next((entries[key] for key in keys if key in entries), None)
        auth = found.get("auth", "") if isinstance(found, dict) else ""
        return auth if isinstance(auth, str) else ""


def describe(name: ImageName, auth: str) -> Described:
    """Asks the registry. Blocks; raises NoSuchImage and EnvironmentFailed."""
    session = _Session(name, auth)
    digest, manifest = session.manifest(name.digest or name.tag)
    whole = digest
    if "manifests" in manifest:
        _, manifest = session.manifest(_for_this_machine(name, manifest))
    layers = {str(one["digest"]): int(one["size"]) for one in manifest.get("layers", ())}
    return Described(whole, layers)


def _for_this_machine(name: ImageName, listed: Mapping[str, Any]) -> str:
    machine = MACHINES.get(platform.machine(), platform.machine())
    for one in listed["manifests"]:
        about = one.get("platform", {})
        if about.get("os") == "linux" and about.get("architecture") == machine:
            return str(one["digest"])
    raise NoSuchImage(f"image {name}: there is none for linux/{machine}")


class _Refused(Exception):
    """An answer that is an error. ``challenge``: what it wants to know first."""

    def __init__(self, code: int, challenge: str) -> None:
        super().__init__(code)
        self.code = code
        self.challenge = challenge


class _Session:
    """Calls to one registry for one image, with the token that it gives out for it."""

    def __init__(self, name: ImageName, auth: str) -> None:
        self._name = name
        self._auth = auth
        self._header = ""
        host = HUB_HOST if name.registry == HUB else name.registry
        self._base = f"{'http' if name.is_plain_http else 'https'}://{host}/v2/{name.path}"
        handlers = [urllib.request.ProxyHandler({})] if name.is_plain_http else []
        self._opener = urllib.request.build_opener(*handlers)

    def manifest(self, reference: str) -> tuple[str, dict[str, Any]]:
        """(digest, document) of a tag or a digest."""
        url = f"{self._base}/manifests/{reference}"
        headers = {"Accept": ", ".join((*LISTS, *SINGLE))}
        try:
            try:
                body, found = self._get(url, headers)
            except _Refused as refused:
                if refused.code != 401:
                    raise
                self._authorize(refused.challenge)
                body, found = self._get(url, headers)
        except _Refused as refused:
            raise self._explained(refused.code) from None
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "reason", error)
            words = f"image {self._name}: the registry {self._name.registry} does not answer: {why}"
            raise EnvironmentFailed(words, transient=True) from None
        return found or reference, body

    def _get(self, url: str, headers: Mapping[str, str]) -> tuple[dict[str, Any], str]:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  (http or https: made here)
        if self._header:
            request.add_unredirected_header("Authorization", self._header)
        try:
            answer = self._opener.open(request, timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            with error:
                raise _Refused(error.code, error.headers.get("WWW-Authenticate", "")) from None
        with answer:
            document = json.loads(answer.read(MANIFEST_MOST_BYTES))
            if not isinstance(document, dict):
                raise ValueError("what came is no manifest")
            return document, answer.headers.get("Docker-Content-Digest", "")

    def _authorize(self, challenge: str) -> None:
        """Does what the registry asks for: a name and password, or a token for which it says where to ask."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic" and self._auth:
            self._header = f"Basic {self._auth}"
        if kind.lower() != "bearer":
            return
        words = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = words.pop("realm", "")
        if not realm.startswith(("https://", "http://")) or (
            realm.startswith("http://") and not self._name.is_plain_http
        ):
            raise ValueError(f"its tokens come from {realm!r}")
        words.setdefault("scope", f"repository:{self._name.path}:pull")
        self._header = f"Basic {self._auth}" if self._auth else ""
        document, _ = self._get(f"{realm}?{urllib.parse.urlencode(words)}", {})
        self._header = f"Bearer {document.get('token') or document.get('access_token', '')}"

    def _explained(self, code: int) -> EnvironmentFailed:
        registry = self._name.registry
        if code in {401, 403}:
            if self._auth:
                return EnvironmentFailed(
                    f"image {self._name}: the registry {registry} refuses the credentials of this agent"
                )
            return EnvironmentFailed(
                f"image {self._name}: the registry {registry} wants credentials, or has no such image; the resource's owner "
                "gives them to the agent in auth.json"
            )
        if code == 404:
            return NoSuchImage(f"image {self._name}: the registry {registry} has no such image")
        return EnvironmentFailed(
            f"image {self._name}: the registry {registry} answers {code}", transient=code == 429 or code >= 500
        )
