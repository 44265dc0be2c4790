"""The Python client: ``connect`` for blocking code and notebooks, ``connect_async`` for asyncio and trio.

Errors are drawn as a tree in ``sirdar.client.errors``.
"""

from sirdar.client.aio import AsyncClient, connect_async
from sirdar.client.app import App
from sirdar.client.client import Client, connect
from sirdar.client.errors import ApiError, JobCancelled, JobError, JobFailed, SirdarError
from sirdar.client.job import Job
from sirdar.client.remote_file import RemoteFile

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
