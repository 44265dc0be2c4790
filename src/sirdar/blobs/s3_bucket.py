"""A bucket (or a part of one, below a prefix) of an S3 service, through obstore: a few verbs, and what may go wrong in words.

An object appears whole or not at all. obstore repeats requests that failed on the way.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from sirdar.domain.problems import Problem

PIECE_BYTES = 1 << 20
PART_BYTES = 16 << 20  # of a multipart upload, which has 10,000 at most: 160 GB
PARTS_AT_ONCE = 3
RETRIES = 4  # of one request; whoever asked comes again by himself
RETRY_WITHIN = timedelta(seconds=20)
COPY_MOST_BYTES = 5 << 30  # the service copies no more by itself


@dataclass(frozen=True, slots=True)
class Found:
    """An object: its size in bytes, and when it was last put, by the service's clock (seconds since 1970)."""

    key: str
    size_bytes: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where a bucket is. What is empty is taken from the environment (``AWS_*``), as are the credentials.

    ``agent_endpoint``: the service's address as agents see it, where that is another one.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    agent_endpoint: str = ""


class Bucket:
    """See the module. Methods that end in ``_now`` block; the others may be called from any coroutine."""

    def __init__(self, place: S3Place) -> None:
        """Raises ValueError where the place makes no sense."""
        self._place = place
        try:
            self._store = _store(place, place.endpoint)
            self._as_agents_see_it = _store(place, place.agent_endpoint) if place.agent_endpoint else self._store
        except BaseError as error:
            raise ValueError(f"the S3 bucket {place.bucket!r} cannot be used: {_first_line(error)}") from error

    async def put(self, key: str, content: bytes | Path | AsyncIterator[bytes], *, create: bool = False) -> bool:
        """Write an object. ``create``: only where there is none; False where there was. An iterator that raises leaves nothing."""
        more: dict[str, Any] = {"mode": "create"} if create else {"chunk_size": PART_BYTES}
        try:
            with self._faults():
                await obstore.put_async(self._store, key, content, max_concurrency=PARTS_AT_ONCE, **more)
        except AlreadyExistsError:
            return False
        return True

    def put_now(self, key: str, content: bytes) -> None:
        with self._faults():
            obstore.put(self._store, key, content)

    async def find(self, key: str) -> Found | None:
        try:
            with self._faults():
                return _found(await obstore.head_async(self._store, key))
        except FileNotFoundError:
            return None

    def find_now(self, key: str) -> Found | None:
        try:
            with self._faults():
                return _found(obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes in pieces of at most 1 MiB. Raises FileNotFoundError at the first. ``start`` lies within the object."""
        span: Any = {"offset": start} if stop is None else (start, stop)
        with self._faults():
            options: Any = {"range": span} if start or stop is not None else {}
            reply = await obstore.get_async(self._store, key, options=options)
            async for chunk in reply.stream(min_chunk_size=PIECE_BYTES):
                view = memoryview(chunk)
                for at in range(0, len(view), PIECE_BYTES):
                    yield bytes(view[at : at + PIECE_BYTES])

    async def copy(self, source: Found, target: str) -> None:
        """Within the service; what is too large for that is read and written."""
        if source.size_bytes > COPY_MOST_BYTES:
            await self.put(target, self.read(source.key))
            return
        with self._faults():
            await obstore.copy_async(self._store, source.key, target)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone already are passed by."""
        if keys:
            with self._faults(), contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, list(keys))

    def delete_now(self, keys: Sequence[str]) -> None:
        with self._faults(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, list(keys))

    async def listing(self, prefix: str) -> list[Found]:
        """All objects whose keys begin with the prefix and a slash, ordered by key."""
        with self._faults():
            found = await obstore.list(self._store, prefix).collect_async()
        return sorted(map(_found, found), key=lambda one: one.key)

    def listing_now(self, prefix: str) -> list[Found]:
        """``listing``."""
        with self._faults():
            found = obstore.list(self._store, prefix).collect()
        return sorted(map(_found, found), key=lambda one: one.key)

    async def sign(self, method: Literal["GET", "PUT"], key: str, for_s: float) -> str:
        """An address at which an agent may do this one thing for so long, without credentials."""
        with self._faults():
            return await obstore.sign_async(self._as_agents_see_it, method, key, timedelta(seconds=for_s))

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """What the service says goes to the log; who asked is told to come again."""
        try:
            yield
        except AlreadyExistsError:
            raise
        except BaseError as error:
            raise Problem(
                "unavailable",
                f"The blob store s3://{self._place.bucket} did not do what it was asked: {_first_line(error)}",
                hint="Try again; if this repeats, the administrator should look at the S3 service and its credentials.",
            ) from error


def _store(place: S3Place, endpoint: str) -> S3Store:
    given: dict[str, Any] = {}
    if endpoint:
        given["endpoint"] = endpoint.rstrip("/")
        given["virtual_hosted_style_request"] = False
    if place.region:
        given["region"] = place.region
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_WITHIN},
        client_options={"allow_http": endpoint.startswith("http://")},
        **given,
    )


def _found(meta: Any) -> Found:
    return Found(str(meta["path"]), int(meta["size"]), meta["last_modified"].timestamp())


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]
