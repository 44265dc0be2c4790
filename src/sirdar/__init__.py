"""Sirdar turns a researcher's program into a web service and runs it anywhere.

``import sirdar; client = sirdar.connect()`` opens the Python client; everything else is reached through it.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sirdar.client import AsyncClient, Client, connect, connect_async

__all__ = ["AsyncClient", "Client", "__version__", "connect", "connect_async"]


def __getattr__(name: str) -> Any:
    """Load the client on first use, so that ``sirdar --help`` and the agent do not pay for it."""
    if name in {"AsyncClient", "Client", "connect", "connect_async"}:
        from sirdar import client

        return getattr(client, name)
    raise AttributeError(f"module 'sirdar' has no attribute {name!r}")
