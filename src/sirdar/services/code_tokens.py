"""Private tokens for code that the administrator put into the server's environment, beside the secrets of applications.

``SIRDAR_CODE_TOKEN_NAME`` is the token that descriptions call ``token: NAME``, and ``SIRDAR_CODE_HOSTS_NAME`` says to which
servers it may be sent: without that, whoever may publish could have it sent to a server of their own.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from sirdar.domain.app import Code

TOKEN = "SIRDAR_CODE_TOKEN_"  # noqa: S105  (the beginning of a name)
HOSTS = "SIRDAR_CODE_HOSTS_"


def token_of_environment(code: Code, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token for this code, None where the administrator gave none, or none for the server that it comes from."""
    if code.token_secret is None:
        return None
    name = code.token_secret.upper().replace("-", "_")
    hosts = environment.get(HOSTS + name, "").lower().replace(",", " ").split()
    token = environment.get(TOKEN + name, "").strip()
    return token if token and _place(code) & set(hosts) else None


def _place(code: Code) -> set[str]:
    """The code's server as it may stand in the list: ``host`` for https on its usual port, ``host:port`` for any."""
    try:
        parts = urlsplit(code.url or "")
        host, port = parts.hostname, parts.port
    except ValueError:
        return set()
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if host is None or usual is None:
        return set()
    return {f"{host}:{port or usual}", *({host} if port in {None, usual} and parts.scheme == "https" else ())}
