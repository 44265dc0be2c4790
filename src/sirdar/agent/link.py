"""The agent's side of HTTP: every call of the protocol, tokens, and which errors pass and which do not.

``Unreachable``: nobody answered, or the server was overloaded; try again later. ``UnknownSession``: say hello first.
``Refused``: the server understood and said no; trying again changes nothing. ``Detached``: the resource was revoked, deleted or
joined by another machine: the agent has nothing to ask for any more.
"""

import asyncio
import json
import os
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from sirdar.agent.http_calls import BadAnswer, FileFault, FilePart, HttpCalls
from sirdar.agent.identity import Identity
from sirdar.agent.proxies import proxy_for
from sirdar.agent.settings import Settings
from sirdar.wire.agent import (
    GoodbyeRequest,
    HeartbeatReply,
    HeartbeatRequest,
    HelloReply,
    HelloRequest,
    JoinReply,
    JoinRequest,
    LogReply,
    ModeRequest,
    RegisterReply,
    RegisterRequest,
    SmallReply,
    SmallRequest,
    SyncReply,
    SyncRequest,
    TokenReply,
    UploadReply,
    UploadRequest,
    VarsReply,
    VarsRequest,
    Wire,
)

Reply = TypeVar("Reply", bound=Wire)
PREFIX = "/agent/v1"
PATIENCE_S = 60.0  # for what the server does with large blobs
CHECKED_BYTES_PER_S = 20e6  # so slowly may it read them
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


class LinkError(Exception):
    """Base of what a call to the server may raise."""


class Unreachable(LinkError):
    """Nobody answered, or not in a way that says anything about the call. It may be repeated."""


class ClockDiffers(Unreachable):
    """Our clock is not the server's, whose time it is (seconds since 1970). A call that names that time may be answered."""

    def __init__(self, text: str, server_time: float) -> None:
        super().__init__(text)
        self.server_time = server_time


class UnknownSession(LinkError):
    """The server does not know this session: hello comes first."""


class Refused(LinkError):
    """The server said no. ``status`` is the HTTP status, ``code`` the problem's, ``hint`` what to try."""

    def __init__(self, status: int, detail: str, code: str = "", hint: str = "") -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.code = code
        self.hint = hint


class Detached(Refused):
    """This agent has no access any more."""


class Link:
    """Calls the server with the agent's own token, which it renews."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._token = settings.token
        self._token_until = float("inf") if settings.token else 0.0
        self._token_lock = asyncio.Lock()
        self._clock_ahead_s = 0.0
        proxy = proxy_for(settings.server, os.environ)
        self._http = HttpCalls(settings.server, timeout_s=settings.request_timeout_s, agent="sirdar-agent", proxy=proxy)
        self.on_detached: Callable[[Detached], None] = lambda error: None  # told before the call raises it

        self._others: dict[str, HttpCalls] = {}
        self._direct = True  # the server may give addresses of its blob store

    @property
    def server(self) -> str:
        return self._settings.server.rstrip("/")

    async def close(self) -> None:
        for calls in (self._http, *self._others.values()):
            await calls.close()

    # ------------------------------------------------------------ calls

    async def join(self, token: str, hostname: str) -> JoinReply:
        request = JoinRequest(token=token, public_key=self._identity.public_key, hostname=hostname)
        return await self._call("/join", request, JoinReply, signed=False)

    def take_identity(self, identity: Identity) -> None:
        self._identity = identity

    async def hello(self, request: HelloRequest) -> HelloReply:
        self._direct = True  # this may be another server
        return await self._call("/hello", request, HelloReply)

    async def sync(self, request: SyncRequest) -> SyncReply:
        patience_s = request.claim.wait_s if request.claim is not None else 0.0
        return await self._call("/sync", request, SyncReply, patience_s=patience_s)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        return await self._call("/heartbeat", request, HeartbeatReply)

    async def goodbye(self, request: GoodbyeRequest) -> None:
        await self._request("POST", "/goodbye", request.model_dump_json().encode())

    async def change_mode(self, request: ModeRequest) -> None:
        await self._request("POST", "/mode", request.model_dump_json().encode())

    async def vars(self, request: VarsRequest) -> VarsReply:
        return await self._call("/vars", request, VarsReply)

    async def put_log(
        self,
        key: str,
        stream: str,
        offset: int,
        raw: bytes,
        *,
        line: int | None = None,
        seen: Sequence[tuple[int, float | None]] = (),
    ) -> int:
        """Sends a piece of a stream; returns where the next one begins.

        ``line``: it may stand apart from what was sent before, and so many newlines stand before it. ``seen``: as in ``Stream``.
        """
        path = f"/attempts/{key}/log/{stream}?offset={offset}" + (f"&line={line}" if line is not None else "")
        if seen:
            path += "&seen=" + ",".join(f"{start}:{'' if at is None else at}" for start, at in seen)
        _, body = await self._request("PUT", path, raw)
        return LogReply.model_validate_json(body).size

    async def has_blob(self, sha256: str) -> bool:
        status, _ = await self._request("HEAD", f"/blobs/{sha256}", b"", accept=(404,))
        return status != 404

    async def put_blob(self, sha256: str, path: Path) -> None:
        """Uploads a file; it is read anew for each try. Raises OSError where it cannot be read."""
        await self._request("PUT", f"/blobs/{sha256}", FilePart(path))

    async def begin_upload(self, sha256: str, size_bytes: int, *, direct: bool = False) -> UploadReply:
        """What of a large blob the server has; an upload continues where an earlier one broke off."""
        request = UploadRequest(size=size_bytes, direct=direct)
        return await self._call(f"/blobs/{sha256}/upload", request, UploadReply, patience_s=PATIENCE_S)

    async def continue_upload(self, sha256: str, part: FilePart, size_bytes: int) -> None:
        """Sends the bytes from ``part.start`` on. Raises OSError where the file cannot be read."""
        await self._request("PATCH", f"/blobs/{sha256}/upload?offset={part.start}&size={size_bytes}", part)

    async def put_piece(self, url: str, part: FilePart) -> None:
        """Sends a piece to a signed address of the blob store. Raises Unreachable, OSError where the file cannot be read."""
        calls, path = self._elsewhere(url)
        try:
            status, answer = await calls.call("PUT", path, part, {})
        except (OSError, BadAnswer) as error:
            raise Unreachable(_say(error)) from error
        except FileFault as fault:
            raise fault.error from None
        if status not in {200, 201, 204}:
            raise Unreachable(f"the blob store answers {status}: {answer[:200].decode(errors='replace')}")

    async def complete_upload(self, sha256: str, size_bytes: int) -> None:
        """The server looks through all bytes, for which it takes its time."""
        raw = UploadRequest(size=size_bytes).model_dump_json().encode()
        patience_s = PATIENCE_S + size_bytes / CHECKED_BYTES_PER_S
        await self._request("POST", f"/blobs/{sha256}/complete", raw, patience_s=patience_s)

    async def register_blob(self, sha256: str, size_bytes: int) -> None:
        """Tells the server that the blob lies in its directory, which this machine shares."""
        await self._request("POST", f"/blobs/{sha256}/local", json.dumps({"size": size_bytes}).encode())

    async def register_blobs(self, sizes: Mapping[str, int]) -> list[str]:
        """The same of many, by digest; those that the server has found there."""
        body = RegisterRequest(blobs=dict(sizes)).model_dump_json().encode()
        _, answer = await self._request("POST", "/blobs/local", body)
        return RegisterReply.model_validate_json(answer).here

    async def small_blobs(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The bytes of small blobs, as many of these as the server gives in one answer."""
        reply = await self._call("/blobs/small", SmallRequest(digests=list(digests)), SmallReply)
        try:
            return {sha256: b64decode(text, validate=True) for sha256, text in reply.files.items()}
        except ValueError as error:
            raise Unreachable(f"the answer to /blobs/small cannot be read: {error}") from error

    async def report_spoiled(self, sha256: str) -> None:
        """Tells the server that the blob in its directory, which this machine shares, may have other bytes by now."""
        await self._request("POST", f"/blobs/{sha256}/spoiled", b"")

    async def blob_address(self, sha256: str) -> str | None:
        """A signed address of the blob store; None where blobs come from the server."""
        if not self._direct:
            return None
        status, body = await self._request("GET", f"/blobs/{sha256}/address", b"", accept=(404, 405))
        url: str | None = json.loads(body).get("url") if status == 200 else None
        self._direct = url is not None
        return url

    async def get_blob(
        self, sha256: str, *, start: int, size_bytes: int, address: str | None = None
    ) -> AsyncGenerator[bytes]:
        """The blob's bytes from ``start`` on, piece by piece, from the server or a signed address of the blob store.

        An incomplete answer raises Unreachable.
        """
        calls, path, headers = self._http, f"{PREFIX}/blobs/{sha256}", {}
        if address is None:
            headers = await self._authorization()
        else:
            calls, path = self._elsewhere(address)
        if start:
            headers["Range"] = f"bytes={start}-{size_bytes - 1}"
        try:
            async with calls.stream(path, headers) as (status, pieces):
                if status not in {200, 206}:
                    if address is not None:
                        raise Unreachable(f"the blob store answers {status}")
                    self._raise_for(status, b"".join([piece async for piece in pieces]))
                skip = start if status == 200 else 0  # a server, or somebody on the way, that gives no parts
                async for piece in pieces:
                    if skip < len(piece):
                        yield piece[skip:]
                    skip = max(0, skip - len(piece))
        except (OSError, BadAnswer) as error:
            raise Unreachable(_say(error)) from error

    def _elsewhere(self, url: str) -> tuple[HttpCalls, str]:
        """Calls to a host that is not the server, without its token; and the path there. Raises Unreachable."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._others:
            try:
                proxy = proxy_for(url, os.environ)
                calls = HttpCalls(origin, timeout_s=self._settings.request_timeout_s, agent="sirdar-agent", proxy=proxy)
            except ValueError as error:
                raise Unreachable(str(error)) from None
            self._others[origin] = calls
        return self._others[origin], urlunsplit(("", "", parts.path, parts.query, ""))

    # ------------------------------------------------------------ requests

    async def _call(
        self, path: str, request: Wire, reply: type[Reply], *, patience_s: float = 0.0, signed: bool = True
    ) -> Reply:
        raw = request.model_dump_json(exclude_defaults=True).encode()
        _, body = await self._request("POST", path, raw, patience_s=patience_s, signed=signed)
        try:
            return reply.model_validate_json(body)
        except ValueError as error:
            raise Unreachable(f"the answer to {path} cannot be read: {error}") from error

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | FilePart,
        *,
        patience_s: float = 0.0,
        signed: bool = True,
        accept: tuple[int, ...] = (),
    ) -> tuple[int, bytes]:
        """One call; a token that is refused is replaced once."""
        for renew in (True, False):
            headers = {"Content-Type": "application/json" if method == "POST" else "application/octet-stream"}
            if signed:
                headers |= await self._authorization()
            try:
                status, answer = await self._http.call(method, PREFIX + path, body, headers, patience_s=patience_s)
            except (OSError, BadAnswer) as error:
                raise Unreachable(_say(error)) from error
            except FileFault as fault:
                raise fault.error from None
            if status == 401 and signed and renew and not self._settings.token:
                self._token_until = 0.0
                continue
            break
        if status not in {200, 201, 204, *accept}:
            self._raise_for(status, answer, final=path == "/join")
        return status, answer

    def _raise_for(self, status: int, body: bytes, *, final: bool = False) -> None:
        try:
            problem = json.loads(body)
        except ValueError:
            problem = {}
        code = problem.get("code", "") if isinstance(problem, dict) else ""
        detail = problem.get("detail", "") if isinstance(problem, dict) else ""
        hint = problem.get("try", "") if isinstance(problem, dict) else ""
        if status == 409 and code == "unknown_session":
            raise UnknownSession
        if code == "detached":
            error = Detached(status, detail, code, hint)
            self.on_detached(error)
            raise error
        if status == 401 and isinstance(problem, dict) and isinstance(problem.get("server_time"), int | float):
            raise ClockDiffers(f"the server answers {status} {code}: {detail}", problem["server_time"])
        if status in BUSY or (status == 401 and not (final or self._settings.token)):
            raise Unreachable(f"the server answers {status} {code}: {detail}")
        raise Refused(status, detail or code or body[:200].decode(errors="replace"), code, hint)

    # ------------------------------------------------------------ tokens

    async def _authorization(self) -> dict[str, str]:
        if time.monotonic() >= self._token_until:
            async with self._token_lock:
                if time.monotonic() >= self._token_until:
                    await self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        """A new access token. Where our clock or the server's is wrong, the server's time is taken from its first answer."""
        try:
            reply = await self._ask_token()
        except ClockDiffers as error:
            self._clock_ahead_s = error.server_time - time.time()
            reply = await self._ask_token()
        self._clock_ahead_s = reply.server_time - time.time() if abs(reply.server_time - time.time()) > 60 else 0.0
        self._token = reply.access_token
        self._token_until = time.monotonic() + reply.expires_in_s * 0.8

    async def _ask_token(self) -> TokenReply:
        request = self._identity.token_request(clock_ahead_s=self._clock_ahead_s)
        return await self._call("/token", request, TokenReply, signed=False)


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__
