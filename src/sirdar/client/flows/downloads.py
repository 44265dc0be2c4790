"""Downloads: streamed, resumed after a break, compared with the digest that the server names."""

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sirdar.client.errors import DamagedTransfer, ServerUnreachable, api_error
from sirdar.client.exchange import Fetch, Flow, Pause, Reply
from sirdar.client.requests import files as requests
from sirdar.client.retry import RetryPolicy, worth_repeating


@dataclass(slots=True)
class HashingSink:
    """Writes to an open binary file and hashes on the way. ``written``: bytes so far, kept over resumptions."""

    file: BinaryIO
    written: int = 0
    etag: str | None = None
    _digest: Any = field(default_factory=hashlib.sha256)

    def start(self, head: Reply) -> None:
        """A whole reply begins anew, also where a part was asked for: then the file has changed meanwhile."""
        self.etag = head.headers.get("etag")
        if head.status != 206 and self.written:
            self.file.seek(0)
            self.file.truncate()
            self.written = 0
            self._digest = hashlib.sha256()

    def write(self, chunk: bytes, /) -> None:
        self.file.write(chunk)
        self._digest.update(chunk)
        self.written += len(chunk)

    def check(self, uri: str) -> None:
        """Raises DamagedTransfer where the server named a digest and these bytes have another."""
        named = (self.etag or "").removeprefix("W/").strip('"')
        if len(named) == 64 and named != self._digest.hexdigest():
            raise DamagedTransfer(f"{uri} arrived damaged: sha256 {self._digest.hexdigest()}, not {named}", "try again")


def download(uri: str, base_url: str, file: BinaryIO, policy: RetryPolicy) -> Flow[int]:
    """Bytes written to an open file. Goes on where the connection broke, ``policy.retries`` times without progress."""
    sink = HashingSink(file)
    failures = 0
    while True:
        before = sink.written
        request = requests.read(uri, base_url, start=sink.written, etag=sink.etag)
        try:
            reply: Reply = yield Fetch(request, sink)
        except ServerUnreachable:
            failures = 1 if sink.written > before else failures + 1
            if failures > policy.retries:
                raise
            yield Pause(policy.pause_s(failures))
            continue
        if 200 <= reply.status < 300:
            sink.check(uri)
            return sink.written
        failures += 1
        problem = api_error(reply.status, reply.headers, reply.body)
        if failures > policy.retries or not worth_repeating(request, problem):
            raise problem
        yield Pause(problem.retry_after_s or policy.pause_s(failures))


def download_to(uri: str, base_url: str, target: Path, policy: RetryPolicy) -> Flow[Path]:
    """Download to a path. What stood there is replaced only when the whole file is here."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield from download(uri, base_url, file, policy)
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return target
