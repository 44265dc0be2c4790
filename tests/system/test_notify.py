"""Notices of a job's end and inputs by address, through the real server, with receivers of our own on loopback."""

import email
import email.policy
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.system.product import Product, await_that, problem

from sirdar.services.notify.webhook import verify

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Web:
    """A web server: ``routes`` answer by path; ``seen`` is what came."""

    url: str = ""
    routes: dict[str, Reply] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[arg-type]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def web_server() -> Iterator[Web]:
    site = Web()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            site.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers, content = site.routes.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        site.url = f"http://127.0.0.1:{port}"
        yield site


@dataclass
class Smtp:
    port: int = 0
    letters: list[tuple[str, list[str], bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def smtp_server() -> Iterator[Smtp]:
    box = Smtp()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            say = lambda text: self.wfile.write(text.encode() + b"\r\n")  # noqa: E731
            sender, recipients = "", list[str]()
            say("220 test")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                if verb == "MAIL":
                    sender, recipients = line.partition(":")[2], []
                elif verb == "RCPT":
                    recipients.append(line.partition(":")[2].strip("<>"))
                elif verb == "DATA":
                    say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) not in {b".\r\n", b""}:
                        lines.append(part)
                    box.letters.append((sender, recipients, b"".join(lines)))
                elif verb == "QUIT":
                    say("221 bye")
                    return
                say("250 ok")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        box.port = port
        yield box


@pytest.fixture
def web(web_server: Web) -> Web:
    web_server.seen.clear()
    web_server.routes.clear()
    return web_server


@pytest.fixture
def smtp(smtp_server: Smtp) -> Smtp:
    smtp_server.letters.clear()
    return smtp_server


@pytest.fixture(scope="module")
def open_to_us(module_sirdar: Callable[..., Product], smtp_server: Smtp) -> Product:
    """A server whose administrator allows loopback and has a mail server."""
    product = module_sirdar(
        fetch_allow="127.0.0.1", smtp_host="127.0.0.1", smtp_port=smtp_server.port, mail_from="sirdar@lab.example"
    )
    product.publish(
        "echo",
        'echo "$text"; exit "$code"',
        shell=True,
        inputs={"text": {"type": "string", "default": "x"}, "code": {"type": "integer", "default": 0}},
        outputs={"said": {"type": "string", "from": "stdout"}},
    )
    product.publish(
        "size",
        'wc -c < "$data"',
        shell=True,
        inputs={"data": {"type": "file", "suffixes": [".csv"]}},
        outputs={"bytes": {"type": "number", "from": "stdout"}},
    )
    return product


# ---------------------------------------------------------------- notices


def test_a_webhook_is_called_and_signed(open_to_us: Product, web: Web) -> None:
    web.routes["/hook"] = (204, {}, b"")
    job = open_to_us.run("me/echo", {"text": "да"}, notify=[{"webhook": f"{web.url}/hook", "secret": "s3cret-of-hook"}])
    await_that(lambda: web.seen, what="the call")
    method, _, headers, body = web.seen[0]
    assert method == "POST"
    assert headers["content-type"] == "application/json"
    assert headers["sirdar-event"] == "job.ended"
    assert verify("s3cret-of-hook", headers["sirdar-signature"], body, now=time.time())
    assert not verify("another", headers["sirdar-signature"], body, now=time.time())
    told = json.loads(body)
    assert told["state"] == "DONE"
    assert job["id"] in body.decode()
    assert open_to_us.files_with("s3cret-of-hook") == []
    assert "s3cret-of-hook" not in json.dumps(open_to_us.job(job["id"]))


def test_a_webhook_that_fails_is_called_again_and_blocks_nothing(open_to_us: Product, web: Web) -> None:
    web.routes["/hook"] = (503, {"retry-after": "0"}, b"")
    job = open_to_us.run("me/echo", notify=[{"webhook": f"{web.url}/hook"}])
    assert job["state"] == "DONE"
    await_that(lambda: web.seen, what="the first call")
    web.routes["/hook"] = (200, {}, b"")
    second = await_that(lambda: len(web.seen) > 1 and web.seen[1], within_s=30, what="the second call")
    assert second[2]["sirdar-delivery"] == web.seen[0][2]["sirdar-delivery"]
    state = "SELECT state FROM notices WHERE job_id = ?"
    await_that(lambda: open_to_us.rows(state, job["id"]) == [("delivered",)], what="the note of the delivery")
    (shown,) = open_to_us.job(job["id"])["notices"]
    assert (shown["to"], shown["state"], shown["tries"]) == (f"{web.url}/hook", "delivered", 1)
    assert shown["error"] is None


def test_a_letter_tells_how_a_job_ended(open_to_us: Product, smtp: Smtp) -> None:
    open_to_us.run("me/echo", {"code": 3}, name="Опыт\u202e 1", state="FAILED", notify=[{"email": "anna@lab.example"}])
    await_that(lambda: smtp.letters, what="the letter")
    sender, recipients, raw = smtp.letters[0]
    assert "sirdar@lab.example" in sender
    assert recipients == ["anna@lab.example"]
    letter = email.message_from_bytes(raw, policy=email.policy.default)
    assert "has failed" in str(letter["subject"])
    assert "/jobs/" in letter.get_content()  # type: ignore[attr-defined]
    assert len(smtp.letters) == 1


def test_a_users_own_targets_count_where_a_submission_names_none(open_to_us: Product, web: Web, smtp: Smtp) -> None:
    web.routes["/mine"] = (200, {}, b"")
    changed = open_to_us.admin.patch(
        "/api/me", json={"notify": [{"webhook": f"{web.url}/mine", "secret": "my-own-secret"}]}
    )
    assert changed.status_code == 200, changed.text
    assert "my-own-secret" not in changed.text
    open_to_us.run("me/echo", notify=[])
    open_to_us.run("me/echo", notify=[{"email": "anna@lab.example"}])
    await_that(lambda: smtp.letters, what="the letter")
    assert web.seen == []
    open_to_us.run("me/echo")
    await_that(lambda: web.seen, what="the call")
    assert verify("my-own-secret", web.seen[0][2]["sirdar-signature"], web.seen[0][3], now=time.time())
    assert open_to_us.admin.patch("/api/me", json={"notify": []}).status_code == 200


# ---------------------------------------------------------------- inputs by address


def test_an_allowed_address_is_fetched_once_and_staged(open_to_us: Product, web: Web) -> None:
    web.routes["/data/numbers.csv"] = (200, {"content-type": "text/csv"}, b"1\n2\n3\n")
    url = f"{web.url}/data/numbers.csv"
    made = open_to_us.submit("me/size", {"data": url})
    assert made["state"] == "SUBMITTED"
    job = open_to_us.ended(made["id"])
    assert job["state"] == "DONE", job
    assert job["result"] == {"bytes": 6}
    assert open_to_us.admin.get(job["inputs"]["data"]).content == b"1\n2\n3\n"
    assert len([call for call in web.seen if call[0] == "GET"]) == 1
    assert "authorization" not in web.seen[0][2]
    many = open_to_us.run("me/size", foreach=[{"data": url}, {"data": url}])
    assert many["result"] == [{"bytes": 6}, {"bytes": 6}]
    assert len([call for call in web.seen if call[0] == "GET"]) == 2


@pytest.mark.parametrize(
    ("path", "reply", "said"),
    [
        ("/missing.csv", (404, {}, b""), "404"),
        ("/away.csv", (302, {"location": "http://10.11.12.13/x.csv"}, b""), "10.11.12.13"),
        ("/meta.csv", (307, {"location": "http://169.254.169.254/latest/meta-data"}, b""), "169.254.169.254"),
        ("/file.csv", (302, {"location": "file:///etc/passwd"}, b""), "http"),
        ("/loop.csv", (302, {"location": "/loop.csv"}, b""), "redirect"),
        ("/kind.exe", (200, {}, b"MZ"), "suffix"),
    ],
)
def test_what_cannot_be_fetched_fails_the_job_with_the_reason(
    open_to_us: Product, web: Web, path: str, reply: Reply, said: str
) -> None:
    web.routes[path] = reply
    job = open_to_us.run("me/size", {"data": web.url + path}, state="FAILED")
    assert job["outcome"]["reason"] == "input_unreachable", job
    assert said in job["info"], job["info"]
    assert job["attempts"] == 0
    assert open_to_us.counts()["drafts"] == 0


def test_without_leave_loopback_is_refused_at_submission(sirdar: Product, web: Web) -> None:
    sirdar.publish("size", 'wc -c < "$data"', shell=True, inputs={"data": "file"})
    port = web.url.rsplit(":", 1)[1]
    before = sirdar.counts()
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1",
                 "2130706433", "0x7f000001", "0177.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]",
                 "[fd00::1]", "100.64.0.1", "224.0.0.1"):  # fmt: skip
        url = f"http://{host}:{port}/x.csv"
        given = sirdar.admin.post("/api/apps/me/size", json={"inputs": {"data": url}})
        problem(given, 422, "address_not_allowed", "data")
        hook = sirdar.admin.post("/api/apps/me/size", json={"notify": [{"webhook": url}]})
        problem(hook, 422, "address_not_allowed", "webhook")
        mine = sirdar.admin.patch("/api/me", json={"notify": [{"webhook": url}]})
        problem(mine, 422, "address_not_allowed", "webhook")
    assert sirdar.counts() == before
    assert web.seen == []


def test_a_name_that_resolves_to_loopback_is_refused_when_it_is_fetched(sirdar: Product, web: Web) -> None:
    """Names of this machine in /etc/hosts, which only a look-up tells to be its own."""
    names = {
        word for line in Path("/etc/hosts").read_text().splitlines() for word in line.partition("#")[0].split()[1:]
    }
    local = sorted(name for name in names if "localhost" not in name or name.startswith("ip6-"))
    if not local:
        pytest.skip("no name in /etc/hosts but localhost")
    sirdar.publish("size", 'wc -c < "$data"', shell=True, inputs={"data": "file"})
    port = web.url.rsplit(":", 1)[1]
    job = sirdar.run("me/size", {"data": f"http://{local[0]}:{port}/x.csv"}, state="FAILED")
    assert job["outcome"]["reason"] == "input_unreachable"
    assert "may not reach" in job["info"] or "cannot be used" in job["info"], job["info"]
    assert web.seen == []
