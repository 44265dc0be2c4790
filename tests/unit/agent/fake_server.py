"""A small server over real HTTP that speaks the agent's protocol, in a thread of its own."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from sirdar.wire.agent import (
    Claim,
    Final,
    HeartbeatReply,
    HeartbeatRequest,
    HelloReply,
    HelloRequest,
    JoinReply,
    LogReply,
    Offer,
    OfferedJob,
    Program,
    SmallReply,
    SmallRequest,
    SyncReply,
    SyncRequest,
    TokenReply,
    TokenRequest,
    VarsReply,
    VarsRequest,
)


def wait_for(condition: Callable[[], Any], timeout_s: float = 20.0, what: str = "") -> Any:
    """What the condition says once it is true; AssertionError where it is not in time."""
    last = time.monotonic() + 3 * timeout_s
    while time.monotonic() < last:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


class FakeServer:
    """Keeps everything in memory; its attributes may be read, and the plain ones set, from the test's thread."""

    def __init__(self, blob_dir: Path | None = None) -> None:
        self.blob_dir = blob_dir
        self.small_bytes = 0  # so much of files it takes in a final; none, as servers of before
        self.gives_small = False  # many small blobs in one answer; servers of before do not
        self.puts = self.gets = self.smalls = 0
        self.agent_home = Path()
        self.queue: list[Offer] = []
        self.jobs: dict[str, OfferedJob] = {}
        self.programs: dict[str, Program] = {}
        self.offered: dict[str, Offer] = {}
        self.accepted: list[str] = []
        self.refusals: dict[str, str] = {}
        self.started: list[tuple[str, str]] = []
        self.messages: dict[str, Any] = {}
        self.finals: dict[str, Final] = {}
        self.final_count: dict[str, int] = {}
        self.blobs: dict[str, bytes] = {}
        self.logs: dict[tuple[str, str], bytes] = {}
        self.newest: dict[tuple[str, str], list[tuple[int, int, bytes]]] = {}  # offset, line, bytes
        self.seen: list[str] = []  # marks of streams, as they came
        self.most_address_chars = 8000  # of a stream's piece; beyond that 414, as from a proxy on the way
        self.most_piece_bytes = 1 << 30  # beyond that 413
        self.vars: dict[tuple[str, str], str] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.pushed: list[tuple[str, str, str]] = []
        self.wishes: dict[str, str] = {}
        self.hellos: list[HelloRequest] = []
        self.beats: list[HeartbeatRequest] = []
        self.syncs = 0
        self.session = ""
        self.down = False  # every call: 503
        self.lose_answers = 0  # so many syncs are carried out, and their answers lost
        self.token = "t1"
        self.clock_ahead_s = 0.0
        self.heartbeat_s = 0.2
        self.url = ""
        self._bell: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._port = 0
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ for the tests

    def add_job(
        self,
        document: dict[str, Any],
        *,
        job: str = "",
        tasks: int = 1,
        inputs: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
        secrets: dict[str, str] | None = None,
        each: Callable[[int], dict[str, Any]] = lambda task: {},
        **common: Any,
    ) -> list[str]:
        """Puts tasks into the queue; returns their keys."""
        job = job or f"job{len(self.jobs):013d}"
        entries = [(path, self.add_blob(raw), len(raw), 0o755) for path, raw in (files or {}).items()]
        program = Program(description={"sirdar": 1, "alias": "a", **document}, files=entries)
        digest = hashlib.sha256(program.model_dump_json().encode()).hexdigest()
        self.programs[digest] = program
        people = {"owner": "anna", "app_owner": "anna", **common}
        self.jobs[job] = OfferedJob(program=digest, inputs=inputs or {}, **people)
        keys = [f"{job}-{task}-0" for task in range(tasks)]
        offers = [
            Offer(key=key, token=f"token-{key}", secrets=secrets or {}, inputs=each(task))
            for task, key in enumerate(keys)
        ]
        self._do(lambda: self.queue.extend(offers))
        return keys

    def add_blob(self, raw: bytes) -> str:
        sha256 = hashlib.sha256(raw).hexdigest()
        self.blobs[sha256] = raw
        if self.blob_dir is not None:
            path = self.blob_dir / sha256[:2] / sha256
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(raw)
                path.chmod(0o444)
        return sha256

    def file(self, name: str, raw: bytes) -> dict[str, Any]:
        return {"$file": {"name": name, "sha256": self.add_blob(raw), "size": len(raw)}}

    def content(self, ref: dict[str, Any]) -> bytes:
        sha256 = ref["$file"]["sha256"]
        if self.blob_dir is not None and sha256 not in self.blobs:
            return (self.blob_dir / sha256[:2] / sha256).read_bytes()
        return self.blobs[sha256]

    def wish(self, key: str, wish: str) -> None:
        self._do(lambda: self.wishes.__setitem__(key, wish))

    def final(self, key: str, timeout_s: float = 20.0) -> Final:
        return wait_for(lambda: self.finals.get(key), timeout_s, f"final of {key}")

    def push(self, job: str, name: str, value: str) -> None:
        self._do(lambda: self.pushed.append((job, name, value, self._set_var(job, name, value))))

    def _do(self, change: Callable[[], Any]) -> None:
        def run() -> None:
            change()
            self._bell.set()

        self._loop.call_soon_threadsafe(run)

    def __enter__(self) -> "FakeServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._ready.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    # ------------------------------------------------------------ HTTP

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._stopping = asyncio.Event()
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 30)
        app.router.add_post("/agent/v1/join", self._join)
        app.router.add_post("/agent/v1/token", self._token)
        app.router.add_post("/agent/v1/hello", self._hello)
        app.router.add_post("/agent/v1/sync", self._sync)
        app.router.add_post("/agent/v1/heartbeat", self._heartbeat)
        app.router.add_post("/agent/v1/vars", self._vars)
        app.router.add_get("/agent/v1/blobs/{sha}", self._get_blob)
        app.router.add_put("/agent/v1/blobs/{sha}", self._put_blob)
        app.router.add_post("/agent/v1/blobs/{sha}/local", self._local_blob)
        app.router.add_post("/agent/v1/blobs/small", self._small_blobs)
        app.router.add_put("/agent/v1/attempts/{key}/log/{stream}", self._log)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.down:
            return web.json_response({"code": "unavailable", "detail": "down"}, status=503)
        open_to_all = request.path.endswith(("/join", "/token"))
        if not open_to_all and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"code": "unauthenticated"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    def _answer(self, model: Any) -> web.Response:
        return web.Response(body=model.model_dump_json(), content_type="application/json")

    async def _join(self, request: web.Request) -> web.Response:
        await request.read()
        return self._answer(JoinReply(resource_id="r1", name="here", server_time=time.time()))

    async def _token(self, request: web.Request) -> web.Response:
        asked = TokenRequest.model_validate_json(await request.read())
        now = time.time() + self.clock_ahead_s
        if abs(asked.at - now) > 300:
            return web.json_response(
                {"code": "unauthenticated", "detail": "clocks differ", "server_time": now}, status=401
            )
        return self._answer(TokenReply(access_token=self.token, expires_in_s=600, server_time=now))

    async def _hello(self, request: web.Request) -> web.Response:
        hello = HelloRequest.model_validate_json(await request.read())
        self.hellos.append(hello)
        self.session = hello.session
        marker = self.blob_dir / ".marker" if self.blob_dir is not None else None
        if marker is not None and not marker.exists():
            marker.write_text("m1")
        reply = HelloReply(
            protocol=1,
            mode="active",
            resource_id="r1",
            name="here",
            owner="anna",
            heartbeat_s=self.heartbeat_s,
            lease_s=60,
            accept_s=30,
            server_time=time.time(),
            desired=dict(self.wishes),
            blob_dir=str(self.blob_dir) if self.blob_dir is not None else None,
            blob_marker="m1" if self.blob_dir is not None else None,
            small_bytes=self.small_bytes,
        )
        return self._answer(reply)

    async def _sync(self, request: web.Request) -> web.Response:
        sync = SyncRequest.model_validate_json(await request.read())
        self.syncs += 1
        if sync.session != self.session:
            return web.json_response({"code": "unknown_session"}, status=409)
        accepted = [key for key in sync.accepts if key in self.offered and key not in self.finals]
        self.accepted += accepted
        self.refusals.update(sync.refusals)
        self.started += [(started.key, started.state) for started in sync.started]
        self.messages.update({message.key: message for message in sync.messages})
        for final in sync.finals:
            self.final_count[final.key] = self.final_count.get(final.key, 0) + 1
            self.finals.setdefault(final.key, final)
            for sha256, text in final.files.items():
                self.blobs[sha256] = base64.b64decode(text)
        said = sync.accepts or sync.finals or sync.started or sync.messages or sync.refusals
        if sync.claim is not None and sync.claim.wait_s and not said:
            await self._park(sync.claim)
        offers = self.queue[: sync.claim.max_n] if sync.claim is not None else []
        del self.queue[: len(offers)]
        self.offered.update({offer.key: offer for offer in offers})
        jobs = {key: self.jobs[key] for key in {offer.key.rsplit("-", 2)[0] for offer in offers}}
        pushed, self.pushed = self.pushed, []
        wishes, self.wishes = self.wishes, {}
        if self.lose_answers:
            self.lose_answers -= 1
            self.queue[:0] = offers
            return web.json_response({}, status=502)
        reply = SyncReply(
            accepted=accepted,
            acked=[final.key for final in sync.finals],
            offers=offers,
            jobs=jobs,
            programs={job.program: self.programs[job.program] for job in jobs.values()},
            desired=wishes,
            vars=pushed,
        )
        return self._answer(reply)

    async def _park(self, claim: Claim) -> None:
        last = time.monotonic() + claim.wait_s
        while not ((self.queue and claim.max_n) or self.wishes or self.pushed) and time.monotonic() < last:
            self._bell.clear()
            try:
                await asyncio.wait_for(self._bell.wait(), last - time.monotonic())
            except TimeoutError:
                return

    async def _heartbeat(self, request: web.Request) -> web.Response:
        beat = HeartbeatRequest.model_validate_json(await request.read())
        if beat.session != self.session:
            return web.json_response({"code": "unknown_session"}, status=409)
        self.beats.append(beat)
        wishes, self.wishes = self.wishes, {}
        desired = {owned.key: "run" for owned in beat.owned} | wishes
        return self._answer(HeartbeatReply(lease_s=60, desired=desired, server_time=time.time()))

    async def _vars(self, request: web.Request) -> web.Response:
        asked = VarsRequest.model_validate_json(await request.read())
        values: list[str | None] = []
        for op, name, value in asked.ops:
            key = (asked.job, name)
            if op == "set" and value is not None:
                self._set_var(*key, value)
            if op == "set_md" and value is not None:
                old = self.vars.get(key)
                if old is None or float(value.partition(":")[0]) < float(old.partition(":")[0]):
                    self._set_var(*key, value)
            values.append(self.vars.get(key))
        versions = [self.versions.get((asked.job, name), 0) for _, name, _ in asked.ops]
        found = [
            (name, value, self.versions[job, name]) for (job, name), value in self.vars.items() if job == asked.job
        ]
        return self._answer(VarsReply(values=values, versions=versions, all=found if asked.all else []))

    def _set_var(self, job: str, name: str, value: str) -> int:
        self.vars[job, name] = value
        self.versions[job, name] = max(self.versions.values(), default=0) + 1
        return self.versions[job, name]

    async def _get_blob(self, request: web.Request) -> web.Response:
        self.gets += 1
        raw = self.blobs.get(request.match_info["sha"])
        return web.Response(body=raw) if raw is not None else web.json_response({"code": "not_found"}, status=404)

    async def _small_blobs(self, request: web.Request) -> web.Response:
        if not self.gives_small:
            return web.json_response({"code": "not_found"}, status=404)
        self.smalls += 1
        asked = SmallRequest.model_validate_json(await request.read())
        found = {sha256: self.blobs[sha256] for sha256 in asked.digests if sha256 in self.blobs}
        return self._answer(SmallReply(files={sha: base64.b64encode(raw).decode() for sha, raw in found.items()}))

    async def _put_blob(self, request: web.Request) -> web.Response:
        raw = await request.read()
        sha256 = hashlib.sha256(raw).hexdigest()
        assert sha256 == request.match_info["sha"]
        self.blobs[sha256] = raw
        self.puts += 1
        return web.Response(status=201)

    async def _local_blob(self, request: web.Request) -> web.Response:
        assert self.blob_dir is not None
        sha256 = request.match_info["sha"]
        path = self.blob_dir / sha256[:2] / sha256
        assert path.stat().st_size == json.loads(await request.read())["size"]
        return web.Response(status=201)

    async def _log(self, request: web.Request) -> web.Response:
        key = (request.match_info["key"], request.match_info["stream"])
        offset = int(request.query["offset"])
        if len(request.path_qs) > self.most_address_chars:
            return web.Response(status=414, text="<h1>414 Request-URI Too Large</h1>")
        if (request.content_length or 0) > self.most_piece_bytes:
            return web.Response(status=413, text="<h1>413 Request Entity Too Large</h1>")
        self.seen += filter(None, request.query.get("seen", "").split(","))
        kept = self.logs.get(key, b"")
        raw = await request.read()
        if "line" in request.query:
            self.newest.setdefault(key, []).append((offset, int(request.query["line"]), raw))
            return self._answer(LogReply(size=offset + len(raw)))
        if offset <= len(kept):
            self.logs[key] = kept[:offset] + raw if len(kept) < offset + len(raw) else kept
        return self._answer(LogReply(size=len(self.logs.get(key, b""))))
