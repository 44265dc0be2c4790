"""Which server to speak to, and with which token. Standard library only, so that anybody may write a profile.

``profile.json`` in ``$SIRDAR_CONFIG_DIR`` (else ``$XDG_CONFIG_HOME/sirdar``, else ``~/.config/sirdar``), mode 0600:

    {"version": 1, "default": "http://127.0.0.1:8200",
     "servers": {"http://127.0.0.1:8200": {"token": "...", "user": "admin", "insecure": false}}}

What counts, from the strongest: arguments, ``SIRDAR_URL`` and ``SIRDAR_TOKEN`` (in a task the agent sets them;
``EVEREST_TASK_TOKEN`` stands in for the token), the profile. A token is sent only to the server that it was given for.
"""

import contextlib
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sirdar.client.errors import NotConfigured

PROFILE_FILE = "profile.json"
LAST_JOBS_FILE = "last.json"


@dataclass(frozen=True, slots=True)
class Login:
    """What is kept of one server. ``insecure``: the token may go there over plain HTTP."""

    token: str
    user: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """All servers that somebody has signed in to; ``default`` is the address of one of them."""

    default: str | None = None
    servers: Mapping[str, Login] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A server and how to speak to it. ``source`` says where the address came from."""

    url: str
    token: str | None
    source: str


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the profile lives."""
    if given := environ.get("SIRDAR_CONFIG_DIR"):
        return Path(given)
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sirdar"


def resolve(
    url: str | None = None,
    token: str | None = None,
    *,
    insecure: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Target:
    """The server to use. Raises NotConfigured where none is known, or where its token would travel in clear."""
    profile = load(environ)
    env_url = environ.get("SIRDAR_URL")
    env_token = environ.get("SIRDAR_TOKEN") or environ.get("EVEREST_TASK_TOKEN")
    found = url or env_url or profile.default
    if not found:
        raise NotConfigured("no server is known", "run `sirdar up` here, or `sirdar login URL`")
    address = normal_url(found)
    kept = profile.servers.get(address)
    env_applies = not env_url or normal_url(env_url) == address
    chosen = token or (env_token if env_applies else None) or (kept.token if kept else None)
    in_task = bool(environ.get("EVEREST_AGENT_TASK_ID")) and not url
    allowed = insecure or in_task or bool(environ.get("SIRDAR_INSECURE")) or bool(kept and kept.insecure)
    if chosen and not allowed:
        refuse_plain_http(address)
    source = "argument" if url else "SIRDAR_URL" if env_url else str(config_dir(environ) / PROFILE_FILE)
    return Target(address, chosen, source)


def normal_url(url: str) -> str:
    """One spelling for one server: lower-case host, no slash at the end. Raises NotConfigured for other things."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.username:
        raise NotConfigured(f"{url!r} is no address of a server", "write it as http://host:port or https://host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def refuse_plain_http(url: str) -> None:
    """Raises NotConfigured where a token would leave this machine unencrypted."""
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise NotConfigured(
            f"a token would travel to {url} unencrypted",
            "use https, or allow it: `sirdar login --insecure`, SIRDAR_INSECURE=1",
        )


def is_loopback(url: str) -> bool:
    """True where the address is this machine's own: by its form, no name is looked up (127.example.org is no such one)."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(environ: Mapping[str, str] = os.environ) -> Profile:
    """The profile; an empty one where there is none. Raises NotConfigured where the file cannot be read."""
    path = config_dir(environ) / PROFILE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        servers = {url: _login(entry) for url, entry in content.get("servers", {}).items()}
        return Profile(content.get("default"), servers)
    except FileNotFoundError:
        return Profile()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotConfigured(f"{path} cannot be read ({error})", f"remove {path} and sign in again") from error


def keep_login(url: str, login: Login, *, default: bool = True, environ: Mapping[str, str] = os.environ) -> Path:
    """Keep a server's token, and make it the default one unless told otherwise. The path of the file."""
    profile = load(environ)
    address = normal_url(url)
    servers = {**profile.servers, address: login}
    chosen = address if default or not profile.default else profile.default
    return _save(replace(profile, default=chosen, servers=servers), environ)


def forget_login(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Drop a server's token; False where none was kept. Another server becomes the default one."""
    profile = load(environ)
    address = normal_url(url)
    servers = {known: login for known, login in profile.servers.items() if known != address}
    chosen = profile.default if profile.default in servers else next(iter(servers), None)
    _save(Profile(chosen, servers), environ)
    return address in profile.servers


def keep_last_job(url: str, job: str, environ: Mapping[str, str] = os.environ) -> None:
    """Remember the job that ``last`` names. A directory that cannot be written is no reason to fail."""
    path = config_dir(environ) / LAST_JOBS_FILE
    with contextlib.suppress(OSError):
        _write(path, {**_last_jobs(path), normal_url(url): job})


def last_job(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Id of the job that was submitted last to a server from here."""
    return _last_jobs(config_dir(environ) / LAST_JOBS_FILE).get(normal_url(url))


def forget_last_job(url: str, job: str, environ: Mapping[str, str] = os.environ) -> None:
    """Forget the job that ``last`` names, where its id begins with ``job``; another one stays."""
    path = config_dir(environ) / LAST_JOBS_FILE
    kept = _last_jobs(path)
    if str(kept.get(normal_url(url), "")).startswith(job):
        with contextlib.suppress(OSError):
            _write(path, {server: one for server, one in kept.items() if server != normal_url(url)})


def _last_jobs(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _login(entry: Mapping[str, Any]) -> Login:
    return Login(str(entry["token"]), entry.get("user"), bool(entry.get("insecure", False)))


def _save(profile: Profile, environ: Mapping[str, str]) -> Path:
    path = config_dir(environ) / PROFILE_FILE
    servers = {url: asdict(login) for url, login in profile.servers.items()}
    _write(path, {"version": 1, "default": profile.default, "servers": servers})
    return path


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file whole; it is 0600 from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    new.replace(path)
