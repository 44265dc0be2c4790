"""Everest's clients against Sirdar: what its Python module and its C++ library send and read, by ``facts/everest-api.md`` alone."""

import io
import json
import re
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.system.product import ADMIN_PASSWORD, Product, await_that

LOG_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) ")


class EverestError(Exception):
    """What the clients raise for any status but 200 and 201, with the server's text."""


@dataclass
class PythonClient:
    """As ``everest.py``: sessions with a bearer token, multipart part ``file``, polling until the end."""

    http: httpx.Client
    token: str = ""

    @classmethod
    def sign_in(
        cls, http: httpx.Client, user: str, password: str, *, path: str = "/auth/access_token", **more: Any
    ) -> "PythonClient":
        body = {"username": user, "password": password, "label": "everest.py", **more}
        return cls(http, cls.read(http.post(path, json=body))["access_token"])

    @staticmethod
    def read(reply: httpx.Response) -> Any:
        if reply.status_code not in {200, 201}:
            raise EverestError(f"{reply.status_code}: {reply.text}")
        return reply.json()

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str) -> Any:
        return self.read(self.http.get(path, headers=self.headers()))

    def upload(self, name: str, content: bytes) -> str:
        answer = self.read(
            self.http.post("/api/files/temp", files={"file": (name, io.BytesIO(content))}, headers=self.headers())
        )
        assert set(answer) >= {"uri", "filename", "length"}
        assert (answer["filename"], answer["length"]) == (name, len(content))
        return str(answer["uri"])

    def run(self, app: str, inputs: dict[str, Any], name: str = "job", resources: list[str] | None = None) -> "Job":
        body: dict[str, Any] = {"name": name, "inputs": inputs}
        if resources is not None:
            body["resources"] = resources
        return Job(self, self.read(self.http.post(f"/api/apps/{app}", json=body, headers=self.headers()))["id"])


@dataclass
class CppClient(PythonClient):
    """As ``everest.hpp``: the token as a cookie, a form with ``sendfile``, ``filename`` and ``submit``."""

    def headers(self) -> dict[str, str]:
        return {"Cookie": f"access_token={self.token}"}

    def upload(self, name: str, content: bytes) -> str:
        """The form is written by hand, as the library does it: file first, names unescaped, no types of the text parts."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="sendfile"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n",
            f'--{boundary}\r\nContent-Disposition: form-data; name="filename"\r\n\r\n{name}\r\n'.encode(),
            f'--{boundary}\r\nContent-Disposition: form-data; name="submit"\r\n\r\nsend\r\n'.encode(),
            f"--{boundary}--\r\n".encode(),
        ]
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = self.read(self.http.post("/api/files/temp", content=b"".join(parts), headers=self.headers() | kind))
        return str(answer["uri"])


@dataclass
class Job:
    session: PythonClient
    id: str

    def state(self) -> str:
        return str(self.session.get(f"/api/jobs/{self.id}")["state"])

    def result(self) -> Any:
        """Polls until the end; a failed job raises with its ``info``."""
        body = await_that(self.ended, within_s=60, what="the job's end")
        if body["state"] != "DONE":
            raise EverestError(f"{body['state']}: {body['info']}")
        return body["result"]

    def ended(self) -> Any:
        body = self.session.get(f"/api/jobs/{self.id}")
        assert body["state"] in {"SUBMITTED", "READY", "RUNNING", "DONE", "FAILED", "CANCELLED"}
        return body if body["state"] in {"DONE", "FAILED", "CANCELLED"} else None

    def fetch(self, uri: str) -> bytes:
        reply = self.session.http.get(uri, headers=self.session.headers())
        assert reply.status_code == 200, reply.text
        return reply.content

    def log(self) -> str:
        reply = self.session.http.get(f"/api/jobs/{self.id}/log", headers=self.session.headers())
        assert reply.status_code == 200
        return reply.text


@pytest.fixture(scope="module")
def http(sirdar: Product) -> Iterator[httpx.Client]:
    sirdar.publish(
        "ssop",
        'for f in $files; do cat "$f" >> all.txt; done; echo "$((n * 2))" > n.txt; mkdir out; cp all.txt out/; cd out; '
        "python3 -c \"import zipfile; zipfile.ZipFile('../results.zip', 'w').write('all.txt', '0/all.txt')\"; test \"$n\" != 13",
        shell=True,
        inputs={"files": {"type": "files", "required": True}, "n": {"type": "integer", "default": 1, "title": "N"}},
        outputs={"results": {"type": "file", "from": "results.zip"}, "twice": {"type": "number", "from": "n.txt"}},
        annotation="A set of problems",
    )
    with sirdar.client() as client:
        yield client


@pytest.fixture(params=[PythonClient, CppClient])
def everest(request: pytest.FixtureRequest, http: httpx.Client) -> PythonClient:
    return request.param.sign_in(http, "admin", ADMIN_PASSWORD)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("path", ["/api/auth/access_token", "/auth/access_token"])
def test_tokens(http: httpx.Client, path: str) -> None:
    session = PythonClient.sign_in(http, "admin", ADMIN_PASSWORD, path=path, lifetime=3600)
    about = session.get(path)
    assert about["user"] == "admin"
    assert about["label"] == "everest.py"
    left = datetime.fromisoformat(about["expiresAt"]) - datetime.now(UTC)
    assert 3500 < left.total_seconds() <= 3600
    week = PythonClient.sign_in(http, "admin", ADMIN_PASSWORD).get(path)
    assert 6.9 * 86400 < (datetime.fromisoformat(week["expiresAt"]) - datetime.now(UTC)).total_seconds() <= 7 * 86400
    assert http.delete(path, headers=session.headers()).status_code == 200
    assert http.get("/api/jobs", headers=session.headers()).status_code == 401
    with pytest.raises(EverestError, match="401"):
        PythonClient.sign_in(http, "admin", "wrong", path=path)


# ---------------------------------------------------------------- the whole way


def test_upload_submit_poll_download(everest: PythonClient) -> None:
    files = [everest.upload(f"part-{n}.txt", f"{n}\n".encode()) for n in range(3)]
    assert all(uri.startswith("/api/files/temp/") for uri in files)
    job = everest.run("admin/ssop", {"files": files, "n": 21}, name="everest", resources=[])
    result = job.result()
    assert result["twice"] == 42
    assert re.fullmatch(rf"/api/files/jobs/{job.id}/results\.zip", result["results"])
    with zipfile.ZipFile(io.BytesIO(job.fetch(result["results"]))) as archive:
        assert archive.read("0/all.txt") == b"0\n1\n2\n"
    body = everest.get(f"/api/jobs/{job.id}")
    assert {"id", "name", "state", "appId", "appAlias", "inputs", "result", "info"} <= set(body)
    assert body["name"] == "everest"
    listed = everest.get("/api/jobs")
    assert isinstance(listed, list)
    assert job.id in {one["id"] for one in listed}


def test_an_application_by_id_and_by_its_name(everest: PythonClient) -> None:
    by_name = everest.get("/api/apps/admin/ssop")
    assert by_name["inputs"]["files"]["type"] == "array"
    assert by_name["inputs"]["files"]["items"] == {"type": "string", "format": "uri"}
    assert by_name["inputs"]["files"]["required"] is True
    assert by_name["inputs"]["n"]["default"] == 1
    assert by_name["outputs"]["results"]["format"] == "uri"
    assert everest.get(f"/api/apps/{by_name['id']}") == by_name
    found = everest.get("/api/apps/search?name=sso")
    assert by_name["id"] in {one["id"] for one in found}
    uri = everest.upload("a.txt", b"a")
    assert everest.run(by_name["id"], {"files": [uri]}).result()["twice"] == 2


def test_a_bad_input_says_which_and_why(everest: PythonClient) -> None:
    with pytest.raises(EverestError, match=r"4\d\d: .*inputs\.n.*not an integer"):
        everest.run("admin/ssop", {"files": [], "n": "many"})
    with pytest.raises(EverestError, match=r"4\d\d: .*files.*required"):
        everest.run("admin/ssop", {"n": 1})


def test_a_failed_job_carries_what_it_made(everest: PythonClient) -> None:
    job = everest.run("admin/ssop", {"files": [everest.upload("a.txt", b"a")], "n": 13})
    with pytest.raises(EverestError, match=r"FAILED: .*1"):
        job.result()
    body = everest.get(f"/api/jobs/{job.id}")
    assert body["result"]["twice"] == 26
    assert job.fetch(body["result"]["results"])[:2] == b"PK"


def test_cancel_and_delete_by_name(everest: PythonClient, sirdar: Product) -> None:
    sirdar.publish("waits", "sleep 60")
    name = f"to delete {uuid.uuid4().hex[:6]}"
    job = everest.run("admin/waits", {}, name=name)
    await_that(lambda: job.state() == "RUNNING", what="the start")
    assert everest.http.post(f"/api/jobs/{job.id}/cancel", headers=everest.headers()).status_code == 200
    await_that(lambda: job.state() == "CANCELLED", what="the end")
    gone = everest.http.delete("/api/jobs", params={"name": name}, headers=everest.headers())
    assert gone.status_code == 200
    assert everest.http.get(f"/api/jobs/{job.id}", headers=everest.headers()).status_code == 404
    uri = everest.upload("x.txt", b"x")
    assert everest.http.delete(uri, headers=everest.headers()).status_code == 200
    assert everest.http.get(uri, headers=everest.headers()).status_code == 404


def test_times_are_computed_from_the_log(everest: PythonClient) -> None:
    """As the clients do: the time between the task's RUNNING and COMPLETED, by the lines of the log."""
    job = everest.run("admin/ssop", {"files": [everest.upload("a.txt", b"a")]})
    job.result()
    at = {}
    for line in job.log().splitlines():
        stamp = LOG_TIME.match(line)
        assert stamp, line
        found = re.search(r'\[[^\]/ ]+/[^\]]*\] (\["TASK_STATE".*\])$', line)
        if found:
            _, task, state, _ = json.loads(found[1])
            assert re.fullmatch(rf"{job.id}-0-\d+", task)
            at[state] = datetime.strptime(stamp[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert list(at) == ["RUNNING", "COMPLETED", "DONE"]
    assert at["RUNNING"] <= at["COMPLETED"] <= at["DONE"]
    assert abs(at["DONE"].timestamp() - time.time()) < 60


# ---------------------------------------------------------------- the task's port


# What a branch-and-bound solver does inside a task: connects, reports, shares its best incumbent with the others.
SOLVER = """
import os, socket, struct, sys, time

def frame(text, count=None):
    raw = text.encode()
    return struct.pack(">I", len(raw) if count is None else count) + raw

class Port:
    def __init__(self):
        self.socket = socket.create_connection((os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])))
        task = os.environ["EVEREST_AGENT_TASK_ID"].encode()
        self.socket.sendall(struct.pack(">I", len(task) + 1) + b"\\0" + task)
        self.buffer = b""
    def say(self, text, count=None):
        self.socket.sendall(frame(text, count))
    def hear(self, within=10):
        self.socket.settimeout(within)
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            part = self.socket.recv(4096)
            if not part:
                raise SystemExit("the agent hung up")
            self.buffer += part
        size = struct.unpack(">I", self.buffer[:4])[0]
        text, self.buffer = self.buffer[4:4 + size].decode(), self.buffer[4 + size:]
        return text

n = int(sys.argv[1])
port = Port()
port.say("VAR_GET nothing")
while (said := port.hear()) != "VAR_VALUE nothing NULL":
    assert not said.startswith("VAR_VALUE nothing"), said     # only news of the other task may come before
if n == 0:
    port.say("\\u0440\\u0435\\u0448\\u0430\\u044e", count=5)   # its five characters: a length that counts no bytes
    port.say("VAR_SET_MD best 100:first")
    port.say("VAR_SET_MD best 150:worse")
    port.say("VAR_GET best")
    seen = port.hear()
    while not seen.startswith("VAR_VALUE best"):
        seen = port.hear()
    assert seen.endswith("100:first"), seen
    port.say("VAR_SET ready 1")
    deadline = time.time() + 20
    while not seen.endswith("42:second"):        # the other's better one is pushed
        assert time.time() < deadline, seen
        seen = port.hear(20)
    print(seen)
else:
    deadline = time.time() + 20
    port.say("VAR_GET ready")
    while (said := port.hear(20)) != "VAR_VALUE ready 1":
        assert time.time() < deadline, said
    port.say("VAR_SET_MD best 42:second")
    port.say("found a better one")
    port.say("VAR_GET best")
    while not (said := port.hear(20)).startswith("VAR_VALUE best 42"):
        assert time.time() < deadline, said
    print(said)
time.sleep(0.3)
"""


def test_tasks_talk_to_the_agent_and_to_each_other(sirdar: Product, http: httpx.Client) -> None:
    sirdar.publish(
        "solver", "python3 solver.py ${n}", files={"solver.py": SOLVER},
        inputs={"n": {"type": "integer", "required": True}}, outputs={"said": {"type": "string", "from": "stdout"}},
    )  # fmt: skip
    job = sirdar.run("me/solver", foreach=[{"n": 0}, {"n": 1}], state=None)
    errors = [sirdar.admin.get(f"/api/jobs/{job['id']}/stderr?task={n}").text for n in (0, 1)]
    assert job["state"] == "DONE", errors
    assert [one["said"] for one in job["result"]] == ["VAR_VALUE best 42:second"] * 2
    tasks = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks").json()
    assert [task["statusMessage"] for task in tasks] == ["решаю", "found a better one"]
    log = sirdar.admin.get(f"/api/jobs/{job['id']}/log").text
    assert f'["TASK_MESSAGE", "{job["id"]}-0-0", "решаю"]' in log
    assert f'["TASK_MESSAGE", "{job["id"]}-1-0", "found a better one"]' in log


def test_a_stranger_at_the_tasks_port_is_turned_away(sirdar: Product) -> None:
    """The task id is the only credential: another one, or another mode, gets nothing and disturbs nobody."""
    program = (
        "import os, socket, struct\n"
        "def knock(greeting):\n"
        "    s = socket.create_connection((os.environ['EVEREST_AGENT_ADDRESS'], int(os.environ['EVEREST_AGENT_PORT'])))\n"
        "    s.settimeout(5); s.sendall(greeting)\n"
        "    try:\n        return s.recv(10)\n    except OSError as error:\n        return repr(error).encode()\n"
        "own = os.environ['EVEREST_AGENT_TASK_ID'].encode()\n"
        "def hello(task, mode=b'\\0'):\n    return struct.pack('>I', len(task) + 1) + mode + task\n"
        "other = own[:-3] + b'7-0'\n"
        "say = struct.pack('>I', 9) + b'VAR_GET x'\n"
        "print([knock(hello(other) + say), knock(hello(own, b'\\1') + say), knock(b'\\xff' * 8), knock(hello(own) + say)[:4]])\n"
    )
    sirdar.publish(
        "stranger",
        ["python3", "knock.py"],
        files={"knock.py": program},
        outputs={"said": {"type": "string", "from": "stdout"}},
    )
    said = sirdar.run("me/stranger")["result"]["said"]
    first, second, third, own = eval(said)
    for refused in (first, second, third):
        assert refused == b"" or b"Reset" in refused, said
    assert own == b"\x00\x00\x00\x10", said  # VAR_VALUE x NULL
