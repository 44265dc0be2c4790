"""``deploy/nginx/sirdar.conf`` in front of a real server: nothing is held back, nothing is cut off, metrics stay inside."""

import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.system.product import Product, await_that, problem

from sirdar.api.submit import MAX_WAIT_S

pytestmark = pytest.mark.needs("nginx", "openssl")
EXAMPLE = Path(__file__).parents[2] / "deploy/nginx/sirdar.conf"
MAIN = """daemon off; master_process off; pid {here}/nginx.pid; error_log {here}/error.log;
events {{}}
http {{ access_log off; {places} include {here}/sirdar.conf; }}
"""
PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Front:
    """nginx before a server."""

    product: Product
    url: str
    here: Path
    admin: httpx.Client


@pytest.fixture(scope="module")
def front(module_sirdar: Callable[..., Product], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    here = tmp_path_factory.mktemp("nginx")
    product = module_sirdar()
    port = free()
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", here / "key.pem", "-out", here / "fullchain.pem"]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    (here / "sirdar.conf").write_text(example(here, product.port, port))
    places = " ".join(f"{name}_temp_path {here}/{name};" for name in PLACES)
    (here / "nginx.conf").write_text(MAIN.format(here=here, places=places))
    nginx = subprocess.Popen(["nginx", "-p", here, "-e", here / "error.log", "-c", here / "nginx.conf"], cwd=here)
    trusted = ssl.create_default_context(cafile=str(here / "fullchain.pem"))
    headers = {"authorization": f"Bearer {product.token()}"}
    try:
        url = f"https://localhost:{port}"
        with httpx.Client(base_url=url, headers=headers, verify=trusted, timeout=60, trust_env=False) as admin:
            await_that(lambda: nginx.poll() is not None or answers(admin), what="nginx")
            assert nginx.poll() is None, (here / "error.log").read_text()
            yield Front(product, url, here, admin)
    finally:
        nginx.terminate()
        nginx.wait(10)


def example(here: Path, server: int, port: int) -> str:
    """The file as it ships, but for ports, the name and the certificate's place."""
    text = EXAMPLE.read_text()
    for there, mine in (
        ("server 127.0.0.1:8200;", f"server 127.0.0.1:{server};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{free()};"),
        ("/etc/ssl/sirdar/", f"{here}/"),
    ):
        assert there in text
        text = text.replace(there, mine)
    return text.replace("sirdar.example.org", "localhost")


def free() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_events_arrive_when_they_happen(front: Front) -> None:
    go = front.product.root / "go"
    script = f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo second"
    app = front.product.publish("talks", ["bash", "-c", script])
    job = front.product.submit(app)
    seen: list[str] = []
    with front.admin.stream("GET", f"/api/jobs/{job['id']}/events?log=stdout") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            seen.append(line)
            if "first" in line and not go.exists():
                assert front.product.job(job["id"])["state"] == "RUNNING"
                go.touch()  # were the first word held back until the end, it would never come
            if line == "event: end":
                break
    assert any("second" in line for line in seen)


def test_an_upload_goes_through_while_it_comes(front: Front) -> None:
    drafts = front.product.home / "blobs" / "tmp"

    def body() -> Iterator[bytes]:
        for _ in range(24):
            yield b"x" * MIB
        await_that(lambda: sum(path.stat().st_size for path in drafts.iterdir()) > 8 * MIB, what="the first part")
        yield b"end"

    reply = front.admin.put("/api/files/temp/large.bin", content=body())
    assert reply.status_code == 200, reply.text
    assert reply.json()["length"] == 24 * MIB + 3
    got = front.admin.get(reply.json()["uri"])
    assert len(got.content) == 24 * MIB + 3
    assert not [path for place in PLACES for path in (front.here / place).rglob("*") if path.is_file()]


def test_a_long_call_is_held_until_the_end_and_the_settings_allow_the_longest(front: Front) -> None:
    app = front.product.publish("takes", ["sleep", "3"])
    reply = front.admin.post(f"/api/apps/{app}?wait=60", json={})
    assert (reply.status_code, reply.json()["state"]) == (201, "DONE")
    periods = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", EXAMPLE.read_text())
    assert len(periods) == 2
    assert min(map(int, periods)) > MAX_WAIT_S


def test_metrics_stay_inside_whatever_a_client_says(front: Front) -> None:
    for headers in ({}, {"x-forwarded-for": "127.0.0.1"}, {"host": "127.0.0.1"}):
        assert front.admin.get("/metrics", headers=headers).status_code == 404
    odd = front.admin.get("/metrics/", headers={"authorization": ""})
    assert odd.status_code in {401, 404}


def test_errors_of_the_server_pass_with_nginxs_id(front: Front) -> None:
    reply = front.admin.get("/api/jobs/nope")
    body = problem(reply, 404, "not_found")
    assert re.fullmatch(r"[0-9a-f]{32}", body["requestId"])
