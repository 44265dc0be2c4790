"""Fetching a file by its address straight into the blob store."""

import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from sirdar.blobs.base import Blob, BlobStore, BlobWriter
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.outbound.fetch import Fetched, fetch


async def fetch_blob(
    url: str,
    *,
    blobs: BlobStore,
    policy: AddressPolicy,
    max_bytes: int,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Fetched, Blob]:
    """What was fetched, and the durable blob that holds it. Problems as ``fetch`` and the blob store raise them."""
    async with _BlobSink(blobs, max_bytes) as sink:
        fetched = await fetch(
            url, policy=policy, max_bytes=max_bytes, timeout_s=timeout_s, sink=sink, headers=headers, tls=tls
        )
        return fetched, await sink.finish()


class _BlobSink:
    """A sink over the store's writers: one that is left without ``finish`` leaves nothing behind, so a restart is a new one."""

    def __init__(self, blobs: BlobStore, max_bytes: int) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._open: AbstractAsyncContextManager[BlobWriter]
        self._writer: BlobWriter

    async def __aenter__(self) -> "_BlobSink":
        self._open = self._blobs.writer(max_bytes=self._max_bytes)
        self._writer = await self._open.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.__aexit__(None, None, None)

    async def write(self, chunk: bytes) -> None:
        await self._writer.write(chunk)

    async def restart(self) -> None:
        await self._open.__aexit__(None, None, None)
        await self.__aenter__()

    async def finish(self) -> Blob:
        return await self._writer.finish()
