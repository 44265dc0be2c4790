"""The Python client: ``connect`` for blocking code and notebooks, ``connect_async`` for asyncio and trio.

Errors are drawn as a tree in ``sirdar.client.errors``. Names are loaded on first use: who needs only the profile or the
request builders does not import httpx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sirdar.client.aio import AsyncClient, connect_async
    from sirdar.client.app import App
    from sirdar.client.client import Client, connect
    from sirdar.client.errors import ApiError, JobCancelled, JobError, JobFailed, SirdarError
    from sirdar.client.job import Job
    from sirdar.client.remote_file import RemoteFile

_HOMES = {
    "ApiError": "errors",
    "App": "app",
    "AsyncClient": "aio",
    "Client": "client",
    "Job": "job",
    "JobCancelled": "errors",
    "JobError": "errors",
    "JobFailed": "errors",
    "RemoteFile": "remote_file",
    "SirdarError": "errors",
    "connect": "client",
    "connect_async": "aio",
}

__all__ = [
    "ApiError",
    "App",
    "AsyncClient",
    "Client",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "RemoteFile",
    "SirdarError",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sirdar.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sirdar.client' has no attribute {name!r}")
