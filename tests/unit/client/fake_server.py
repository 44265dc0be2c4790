"""A small server that answers as Sirdar's REST API does, over real HTTP, and can be told to misbehave.

Jobs end when they are told to (``finish``), or at once by an input ``fate`` of ``done`` or ``failed``.
"""

import asyncio
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "t0ken"
ENDED = {"DONE", "FAILED", "CANCELLED"}
APP = {
    "id": "app1",
    "owner": "anna",
    "alias": "sumsq",
    "name": "Sum of powers",
    "annotation": "Adds up",
    "version": 3,
    "versions": 3,
    "inputs": {
        "data": {"type": "string", "format": "uri", "title": "Numbers", "required": True},
        "power": {"type": "integer", "default": 2, "title": "Power"},
        "scale": {"type": "number"},
        "verbose": {"type": "boolean"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "array", "items": {"type": "string", "format": "uri"}},
        "options": {"type": "object"},
        "note": {"type": "string"},
        "fate": {"type": "string"},
    },
    "outputs": {
        "total": {"type": "number"},
        "plot": {"type": "string", "format": "uri"},
        "where": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "string", "format": "uri"}},
    },
    "config": {"command": "python sumsq.py ${data}"},
    "resources": {"cpus": 1},
    "permissions": ["run"],
}


@dataclass
class FakeSirdar:
    """State of the server; tests look at it and change it under ``lock``."""

    url: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    streams: dict[tuple[str, str], bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, tuple[str, int, bytearray]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    faults: list[tuple[str, str, Any]] = field(default_factory=list)  # (method, part of path, what happens)
    revoked: bool = False
    holds: bool = True  # answers to ?wait= are held until the job's end
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reset(self) -> None:
        """As new, at the same address."""
        with self.lock:
            for one in (self.jobs, self.events, self.streams, self.files, self.uploads, self.keys, self.blobs):
                one.clear()  # type: ignore[attr-defined]
            for other in (self.published, self.seen, self.bodies, self.faults):
                other.clear()  # type: ignore[attr-defined]
            self.revoked = False
            self.holds = True

    def fail_next(self, method: str, part: str, fault: Any, times: int = 1) -> None:
        """``fault``: a status, ``(status, headers, body)``, or ``drop`` (the connection is cut)."""
        with self.lock:
            self.faults += [(method, part, fault)] * times

    def say(self, job: str, kind: str, data: Any) -> None:
        with self.lock:
            self.events[job].append((kind, data))

    def write(self, job: str, stream: str, content: bytes) -> None:
        with self.lock:
            self.streams[job, stream] = self.streams.get((job, stream), b"") + content

    def finish(self, job: str, state: str = "DONE", result: Any = None, **more: Any) -> None:
        with self.lock:
            reason = {"DONE": "ok", "FAILED": "exit_code", "CANCELLED": "cancelled"}[state]
            message = {
                "DONE": "",
                "FAILED": "The program ended with exit code 2.",
                "CANCELLED": "Cancelled by anna.",
            }
            outcome = {
                "reason": reason,
                "message": message[state],
                "exitCode": 2 if state == "FAILED" else 0,
                "fault": "program",
            }
            self.jobs[job] |= {"state": state, "result": result or {}, "outcome": outcome, "runS": 6.21, **more}
            self.say(job, "job", {"state": state})
            self.say(job, "end", {"state": state})

    def put_file(self, job: str, name: str, content: bytes) -> str:
        uri = f"/api/files/jobs/{job}/{name}"
        with self.lock:
            self.files[uri] = content
        return uri

    def count(self, method: str, part: str) -> int:
        with self.lock:
            return sum(1 for m, p in self.seen if m == method and part in p)

    def wait_until(self, condition: Any, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.01)


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    body = {"type": f"/docs/errors/{code}", "title": code, "status": status, "code": code, "detail": detail, **more}
    return JSONResponse(body, status, media_type="application/problem+json")


def make_app(state: FakeSirdar) -> Any:
    async def submit(request: Request) -> Response:
        body = await request.json()
        state.bodies.append(body)
        key = request.headers.get("idempotency-key", "")
        if key in state.keys:
            return JSONResponse(state.jobs[state.keys[key]], 200)
        if "sumsq" not in request.path_params["app"] and request.path_params["app"] != "app1":
            return problem(404, "not_found", f"There is no application {request.path_params['app']!r}.")
        if "nonsense" in body["inputs"]:
            errors = [{"field": "inputs.nonsense", "detail": "is no input", "expected": "data, power"}]
            return problem(
                422, "invalid_input", "The inputs are wrong.", errors=errors, **{"try": "look at the inputs"}
            )
        job = f"7f3k2a{len(state.jobs):010d}"
        with state.lock:
            state.keys[key] = job
            state.jobs[job] = {
                "id": job,
                "name": body.get("name"),
                "state": "READY",
                "info": "waits for a free slot",
                "appId": "app1",
                "app": "anna/sumsq",
                "appVersion": 3,
                "owner": "anna",
                "inputs": body["inputs"],
                "createdAt": "2026-11-22T06:40:00.123Z",
                "submittedAt": "2026-11-22T06:40:00.123Z",
                "tasks": {"total": len(body.get("foreach") or [1]), "done": 0},
                "url": f"{state.url}/jobs/{job}",
            }
            if (body.get("overrides") or {}).get("cpus", 0) > 1000:
                state.jobs[job]["warnings"] = ["None of the resources that are attached can ever run it."]
            state.events[job] = [("job", {"state": "READY"})]
            fate = body["inputs"].get("fate")
            if fate == "done":
                state.finish(job, "DONE", {"total": 14.0})
            elif fate == "failed":
                state.write(job, "stderr", b"Traceback\nValueError: no\n")
                state.finish(job, "FAILED", {})
        return JSONResponse(state.jobs[job], 201)

    def job_or_404(request: Request) -> dict[str, Any] | Response:
        part = request.path_params["job"]
        found = [job for key, job in state.jobs.items() if key.startswith(part) and len(part) >= 4]
        return found[0] if found else problem(404, "not_found", f"There is no job {part!r}.")

    async def show_job(request: Request) -> Response:
        found = job_or_404(request)
        if isinstance(found, Response):
            return found
        deadline = time.monotonic() + (float(request.query_params.get("wait", 0)) if state.holds else 0.0)
        while found["state"] not in ENDED and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return JSONResponse(found)

    async def list_jobs(request: Request) -> Response:
        jobs = sorted(state.jobs.values(), key=lambda job: job["id"], reverse=True)
        if wanted := request.query_params.get("state"):
            jobs = [job for job in jobs if job["state"] == wanted]
        start, limit = int(request.query_params.get("after", 0)), int(request.query_params.get("limit", 40))
        headers = {}
        if start + limit < len(jobs):
            headers["Link"] = f'<{state.url}/api/jobs?limit={limit}&after={start + limit}>; rel="next"'
        return JSONResponse(jobs[start : start + limit], headers=headers)

    async def cancel(request: Request) -> Response:
        found = job_or_404(request)
        if isinstance(found, Response):
            return found
        if found["state"] not in ENDED:
            state.finish(found["id"], "CANCELLED")
        return JSONResponse(found)

    async def delete(request: Request) -> Response:
        found = job_or_404(request)
        if isinstance(found, Response):
            return found
        del state.jobs[found["id"]]
        return Response(status_code=204)

    async def resubmit(request: Request) -> Response:
        found = job_or_404(request)
        assert isinstance(found, dict)
        body = await request.json()
        state.bodies.append(body)
        job = f"{found['id'][:-1]}z"
        state.jobs[job] = {
            **found,
            "id": job,
            "state": "READY",
            "inputs": {**found["inputs"], **body.get("inputs", {})},
        }
        state.events[job] = []
        return JSONResponse(state.jobs[job], 201)

    async def events(request: Request) -> Response:
        job = request.path_params["job"]
        if "text/event-stream" not in request.headers.get("accept", ""):
            return JSONResponse([{"id": n, "event": k, "data": d} for n, (k, d) in enumerate(state.events[job], 1)])
        place = int(request.headers.get("last-event-id") or 0)

        async def stream(place: int) -> Any:
            for _ in range(3000):
                known = state.events[job]
                while place < len(known):
                    kind, data = known[place]
                    if kind == "drop":
                        known.pop(place)
                        return
                    place += 1
                    yield f"id: {place}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
                    if kind == "end":
                        return
                await asyncio.sleep(0.005)

        return StreamingResponse(stream(place), media_type="text/event-stream")

    async def stream_text(request: Request) -> Response:
        job, name = request.path_params["job"], request.path_params["stream"]
        content = state.streams.get((job, name), b"")
        offset = int(request.query_params.get("offset", 0))
        complete = "true" if state.jobs[job]["state"] in ENDED else "false"
        return Response(content[offset:], headers={"Sirdar-Size": str(len(content)), "Sirdar-Complete": complete})

    async def tasks(request: Request) -> Response:
        total = state.jobs[request.path_params["job"]]["tasks"]["total"]
        return JSONResponse(
            [{"no": n, "name": str(n), "state": "DONE", "resource": "lab1", "runS": 1.5} for n in range(total)]
        )

    async def explain(request: Request) -> Response:
        summary = "It waits for a slot."
        why = [{"code": "slots", "text": summary}, {"code": "no_slot", "text": "lab1 has no free slot"}]
        return JSONResponse({"state": "READY", "summary": summary, "why": why, "try": "wait"})

    async def story(request: Request) -> Response:
        return PlainTextResponse("2026-11-22 06:40:00.123 submitted\n")

    async def show_app(request: Request) -> Response:
        ref = request.path_params["app"]
        if ref.endswith("/openapi.json"):
            return JSONResponse({"openapi": "3.1.0"})
        if ref.endswith("/share"):
            return JSONResponse({"user:boris": "run"})
        if ref.partition("@")[0] not in {"anna/sumsq", "me/sumsq", "app1"}:
            return problem(404, "not_found", f"There is no application {ref!r}.")
        return JSONResponse(APP)

    async def list_apps(request: Request) -> Response:
        return JSONResponse([APP])

    async def put_temp(request: Request) -> Response:
        content = await request.body()
        return JSONResponse(keep_temp(request.path_params["name"], content))

    def keep_temp(name: str, content: bytes) -> dict[str, Any]:
        uri = f"/api/files/temp/{len(state.files)}/{name}"
        state.files[uri] = content
        return {"uri": uri, "filename": name, "length": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    async def start_upload(request: Request) -> Response:
        body = await request.json()
        upload = f"u{len(state.uploads)}"
        state.uploads[upload] = (body["filename"], body["length"], bytearray())
        return JSONResponse({"id": upload, "offset": 0, "uri": f"/api/files/uploads/{upload}"}, 201)

    async def upload_state(request: Request) -> Response:
        _, length, content = state.uploads[request.path_params["upload"]]
        return JSONResponse({"offset": len(content), "length": length})

    async def continue_upload(request: Request) -> Response:
        _, _, content = state.uploads[request.path_params["upload"]]
        if int(request.query_params["offset"]) != len(content):
            return problem(409, "offset_mismatch", "The upload continues elsewhere.")
        content += await request.body()
        return JSONResponse({"offset": len(content)})

    async def complete_upload(request: Request) -> Response:
        name, length, content = state.uploads[request.path_params["upload"]]
        assert length == len(content)
        return JSONResponse(keep_temp(name, bytes(content)))

    async def read_file(request: Request) -> Response:
        if request.url.path not in state.files:
            return problem(404, "not_found", "There is no such file.")
        content = state.files[request.url.path]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if request.query_params.get("list"):
            return JSONResponse([{"name": "a.txt", "size": 3, "isDir": False}])
        span = request.headers.get("range")
        if span and request.headers.get("if-range", etag) == etag:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            return Response(content[start:], 206, headers=headers)
        if "half" in request.url.path and not span:
            return cut_short(content, headers)
        return Response(content, headers=headers)

    def cut_short(content: bytes, headers: dict[str, str]) -> Response:
        async def half() -> Any:
            yield content[: len(content) // 2]
            raise ConnectionResetError("as if the network broke")

        return StreamingResponse(half(), headers={**headers, "Content-Length": str(len(content))})

    async def plan(request: Request) -> Response:
        body = await request.json()
        missing = [file["sha256"] for file in body["files"] if file["sha256"] not in state.blobs]
        return JSONResponse({"missing": missing, "digest": "d", "app": "anna/sumsq", "unchanged": False})

    async def put_blob(request: Request) -> Response:
        content = await request.body()
        assert hashlib.sha256(content).hexdigest() == request.path_params["sha256"]
        state.blobs[request.path_params["sha256"]] = content
        return Response(status_code=204)

    async def publish(request: Request) -> Response:
        body = await request.json()
        assert all(file["sha256"] in state.blobs for file in body["files"])
        created = body not in state.published
        if created:
            state.published.append(body)
        reply = {"id": "app1", "owner": "anna", "alias": "sumsq", "version": len(state.published), "digest": "d"}
        return JSONResponse({**reply, "created": created, "url": ""}, 201 if created else 200)

    async def import_app(request: Request) -> Response:
        async with request.form() as form:
            content = await form["file"].read()  # type: ignore[union-attr]
        notes = [f"{len(content)} bytes"]
        reply = {"id": "app1", "owner": "anna", "alias": "sumsq", "version": 1, "digest": "d", "created": True}
        return JSONResponse({**reply, "notes": notes}, 201)

    async def token(request: Request) -> Response:
        if request.method == "DELETE":
            state.revoked = True
            return Response(status_code=204)
        body = await request.json()
        if (body["username"], body["password"]) != ("anna", "secret"):
            return problem(401, "wrong_credentials", "Wrong user name or password.")
        return JSONResponse({"access_token": TOKEN})

    async def me(request: Request) -> Response:
        return JSONResponse({"name": "anna", "isAdmin": True, "quotas": {}, "usage": {"jobsTotal": 2, "bytes": 1500}})

    async def resources(request: Request) -> Response:
        return JSONResponse(
            [{"id": "r1", "name": "lab1", "state": "online", "capabilities": {"cpus": 16}, "running": 2}]
        )

    async def empty(request: Request) -> Response:
        return JSONResponse({"url": f"{state.url}/share/abc"})

    routes = [
        Route("/api/auth/access_token", token, methods=["POST", "DELETE"]),
        Route("/api/me", me),
        Route("/api/resources", resources),
        Route("/api/apps", list_apps),
        Route("/api/apps/search", list_apps),
        Route("/api/apps/publish/plan", plan, methods=["POST"]),
        Route("/api/apps/publish/blobs/{sha256}", put_blob, methods=["PUT"]),
        Route("/api/apps/publish", publish, methods=["POST"]),
        Route("/api/apps/import", import_app, methods=["POST"]),
        Route("/api/apps/{app:path}", show_app),
        Route("/api/apps/{app:path}", submit, methods=["POST"]),
        Route("/api/jobs", list_jobs),
        Route("/api/jobs/{job}", show_job),
        Route("/api/jobs/{job}", delete, methods=["DELETE"]),
        Route("/api/jobs/{job}/cancel", cancel, methods=["POST"]),
        Route("/api/jobs/{job}/resubmit", resubmit, methods=["POST"]),
        Route("/api/jobs/{job}/events", events),
        Route("/api/jobs/{job}/tasks", tasks),
        Route("/api/jobs/{job}/explain", explain),
        Route("/api/jobs/{job}/log", story),
        Route("/api/jobs/{job}/share/link", empty, methods=["POST"]),
        Route("/api/jobs/{job}/children", lambda request: JSONResponse([])),
        Route("/api/jobs/{job}/{stream}", stream_text),
        Route("/api/files/temp/{name}", put_temp, methods=["PUT"]),
        Route("/api/files/uploads", start_upload, methods=["POST"]),
        Route("/api/files/uploads/{upload}", upload_state),
        Route("/api/files/uploads/{upload}", continue_upload, methods=["PATCH"]),
        Route("/api/files/uploads/{upload}/complete", complete_upload, methods=["POST"]),
        Route("/api/files/{rest:path}", read_file),
    ]
    return Faulty(Starlette(routes=routes), state)


class Faulty:
    """Notes every request, checks the token, and lets the planned faults happen."""

    def __init__(self, app: Any, state: FakeSirdar) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        with self.state.lock:
            self.state.seen.append((method, path))
            fault = next((f for f in self.state.faults if f[0] == method and f[1] in path), None)
            if fault:
                self.state.faults.remove(fault)
        if fault:
            await self.misbehave(fault[2], scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        if given != f"Bearer {TOKEN}" and not (path == "/api/auth/access_token" and method == "POST"):
            await problem(401, "unauthenticated", "This address needs a token.")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def misbehave(self, fault: Any, scope: Any, receive: Any, send: Any) -> None:
        if fault == "drop":
            await cut(send)
        if fault == "serve, then drop":

            async def silent(message: Any) -> None:
                pass

            await self.app(scope, receive, silent)
            await cut(send)
        status, headers, body = fault if isinstance(fault, tuple) else (fault, {}, b"")
        await Response(body, status, headers=headers)(scope, receive, send)


async def cut(send: Any) -> None:
    """Break the connection in the middle of an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
    raise ConnectionResetError("as the test wished")


class Running:
    """The server in a thread of its own, on a free port."""

    def __init__(self) -> None:
        self.state = FakeSirdar()
        config = uvicorn.Config(
            make_app(self.state),
            host="127.0.0.1",
            port=0,
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> FakeSirdar:
        self.thread.start()
        deadline = time.monotonic() + 10
        while not self.server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.state.url = f"http://127.0.0.1:{port}"
        return self.state

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
