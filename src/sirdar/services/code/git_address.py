"""Addresses of git repositories: which are accepted, and the configuration under which git may talk to one.

git is told everything through its environment, so that no token stands on a command line, and reads no configuration of
the machine or the user: no credential helpers, hooks, proxies or rewritten addresses.
"""

import base64
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from sirdar.domain.problems import Problem
from sirdar.services.code.sources import Sources
from sirdar.services.outbound.addresses import Target, parse_url
from sirdar.services.outbound.fetch import open_get
from sirdar.services.outbound.retry import raise_if_transient, with_retries
from sirdar.services.outbound.transport import http_client

TOKEN_USER = "oauth2"  # GitLab wants this one, GitHub and Gitea take any  # noqa: S105
REFS = "/info/refs?service=git-upload-pack"
IDLE_TIMEOUT_S = 30.0

_SSH = re.compile(
    r"ssh://((?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*)(:(?P<port>\d{1,5}))?(?P<path>/.+)"
)
_SCP = re.compile(r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^:-].*)")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that git may talk to now: its address, and the environment for git with the checked address pinned."""

    url: str
    env: Mapping[str, str]


async def open_remote(url: str, *, token: str | None, sources: Sources, home: Path) -> Remote:
    """The remote of an address that a user gave; ``home`` is an empty directory that stands in for git's own.

    Redirects are followed here, each checked, for git would connect without asking; and here the server is asked whether
    the repository is there and the token good, for its answers say more than git's. Problem: ``address_not_allowed``,
    ``fetch_failed``.
    """
    scheme = check_address(url, sources)
    if scheme in {"http", "https"}:
        return await _open_http(url, token, sources, home)
    if scheme == "ssh":
        return await _open_ssh(url, sources, home)
    # A repository on this machine belongs to whom it belongs; only an administrator can have allowed the scheme.
    return Remote(url, _environment("file", {"safe.directory": "*"}, home, {}))


def check_address(url: str, sources: Sources) -> str:
    """The scheme of a repository's address (``ssh`` for user@host:path, ``file`` for a path); Problem where not allowed."""
    if not url or url.startswith("-") or "::" in url.partition("/")[0] or _UNPRINTABLE.search(url):
        raise _refused(url, "It does not name a repository.")
    scheme = url.partition("://")[0].lower() if "://" in url else "ssh" if _SCP.fullmatch(url) else "file"
    if scheme not in sources.git_schemes or scheme not in {"http", "https", "ssh", "file"}:
        raise _refused(url, f"This server takes code by {', '.join(sources.git_schemes)}.")
    return scheme


async def _open_http(url: str, token: str | None, sources: Sources, home: Path) -> Remote:
    first = parse_url(url.rstrip("/"))
    final = await _settle(first, token, sources)
    target = await sources.policy.check(final)
    settings = {"http.curloptResolve": _pinned(target), "http.followRedirects": "false", "http.proxy": ""}
    same_origin = (first.scheme, first.netloc) == (final.scheme, final.netloc)
    if token is not None and same_origin:
        settings["http.extraHeader"] = f"Authorization: {_basic(token)}"
    extra = {"GIT_SSL_CAINFO": str(sources.ca_file)} if sources.ca_file is not None else {}
    plain = target.url if ":" in target.host else target.url.copy_with(host=target.host)
    return Remote(str(plain), _environment(final.scheme, settings, home, extra))


async def _settle(url: httpx.URL, token: str | None, sources: Sources) -> httpx.URL:
    """Where the repository is after redirects."""
    headers = {"Git-Protocol": "version=2", **({"Authorization": _basic(token)} if token is not None else {})}

    async def attempt() -> httpx.URL:
        async with open_get(client, str(url) + REFS, headers=headers) as response:
            raise_if_transient(response)
            if response.status_code != 200:
                raise _no_repository(response, with_token=token is not None)
            return response.url

    async with http_client(sources.policy, timeout_s=IDLE_TIMEOUT_S, tls=sources.tls()) as client:
        final = str(await with_retries(attempt))
    if not final.endswith(REFS):
        raise Problem("fetch_failed", f"{url.host} redirects to what is no git repository.", hint="Check the address.")
    return parse_url(final.removesuffix(REFS))


async def _open_ssh(url: str, sources: Sources, home: Path) -> Remote:
    match = _SSH.fullmatch(url) or _SCP.fullmatch(url)
    if match is None:
        raise _refused(url, "It is no ssh address.")
    parts = match.groupdict()
    host, port = parts["host"].lower().rstrip("."), int(parts.get("port") or 22)
    address = (await sources.policy.check_host(host, port))[0]
    alias = host if port == 22 else f"[{host}]:{port}"
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "HostName": address,
        "HostKeyAlias": alias,
        "ProxyCommand": "none",
        "ProxyJump": "none",
        "ClearAllForwardings": "yes",
        "ConnectTimeout": "20",
    }
    command = shlex.join(["ssh", *(f"-o{name}={value}" for name, value in options.items())])
    return Remote(url, _environment("ssh", {}, home, {"GIT_SSH_COMMAND": command}))


def _environment(scheme: str, settings: Mapping[str, str], home: Path, extra: dict[str, str]) -> dict[str, str]:
    config = {
        "core.hooksPath": os.devnull,
        "credential.helper": "",
        "protocol.file.allow": "always" if scheme == "file" else "never",
        "protocol.ext.allow": "never",
        "fetch.recurseSubmodules": "false",
        "gc.auto": "0",
        "maintenance.auto": "false",
        **settings,
    }
    env = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "SSH_AUTH_SOCK") if name in os.environ}
    env |= {
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": scheme,
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for number, (key, value) in enumerate(config.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env | extra


def _pinned(target: Target) -> str:
    addresses = ",".join(f"[{address}]" if ":" in address else address for address in target.addresses)
    return f"{target.host}:{target.port}:{addresses}"


def _basic(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise Problem("invalid_field", "The token holds characters that no token has.", hint="Set the secret anew.")
    return "Basic " + base64.b64encode(f"{TOKEN_USER}:{token}".encode()).decode()


def _no_repository(response: httpx.Response, *, with_token: bool) -> Problem:
    host, status = response.url.host, response.status_code
    if status in {401, 403}:
        why = "does not accept the token" if with_token else "asks for a token"
        return Problem("fetch_failed", f"{host} {why} (it answered {status}).", hint="Check the secret with the token.")
    if status == 404:
        return Problem(
            "fetch_failed", f"{host} has no such repository, or does not show it.", hint="Check address and token."
        )
    return Problem("fetch_failed", f"{host} answered {status} to git.", hint="Check the address.")


def _refused(url: str, why: str) -> Problem:
    return Problem(
        "address_not_allowed",
        f"The repository {url[:200]!r} cannot be used. {why}",
        expected="an address such as https://git.example.org/group/project.git",
    )
