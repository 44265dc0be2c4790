"""What an administrator watches: metrics, health and readiness, request ids, log lines."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_server import Failed
from prometheus_client.parser import text_string_to_metric_families
from tests.system.product import Product, await_that, problem
from tests.system.several import Served

Start = Callable[..., Product]
SECRET = "peaks-and-passes-0123456789"


def scraped(product: Product, who: httpx.Client | None = None) -> dict[str, float]:
    """Samples by name and labels, as ``name{a=b}``."""
    reply = (who or product.admin).get("/metrics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]
    return {f"{sample.name}{labels(sample.labels)}": sample.value for sample in samples}


def labels(given: dict[str, str]) -> str:
    words = ",".join(f"{name}={value}" for name, value in sorted(given.items()))
    return f"{{{words}}}" if words else ""


def lines(product: Product) -> list[dict[str, Any]]:
    return [json.loads(line) for line in product.log().splitlines()]


# ---------------------------------------------------------------- metrics


@pytest.fixture(scope="module")
def watched(module_sirdar: Start) -> Product:
    """A server that has done something: a job that went well, one that did not, a file that went in and out."""
    product = module_sirdar(log_level="debug")
    product.run(product.publish("good", "true"))
    product.run(product.publish("bad", ["sh", "-c", "exit 3"]), state="FAILED")
    product.admin.get(product.upload("a.bin", b"x" * 100_000))
    return product


def test_what_happened_is_counted(watched: Product) -> None:
    found = scraped(watched)
    assert found["sirdar_jobs_submitted_total"] == 2
    assert found["sirdar_attempts_offered_total"] == found["sirdar_attempts_accepted_total"] == 2
    assert found["sirdar_claims_total{answer=work}"] >= 1
    assert found["sirdar_attempt_ends_total{reason=ok}"] == 1
    assert found["sirdar_attempt_ends_total{reason=exit_code}"] == 1
    assert found["sirdar_job_ends_total{reason=exit_code,state=FAILED}"] == 1
    assert found["sirdar_transfer_bytes_total{direction=in,peer=user}"] >= 100_000
    assert found["sirdar_transfer_bytes_total{direction=out,peer=user}"] == 100_000
    assert found["sirdar_http_requests_total{method=POST,route=/api/apps/{app:path},status=201}"] == 2
    assert found["sirdar_resource_reachable{resource=local}"] == 1
    assert found["sirdar_ledger_up"] == 1
    assert found["process_cpu_seconds_total"] > 0


def test_a_held_call_is_not_slow(watched: Product) -> None:
    """The call waited for a second and a half for a job's end; the server was busy for some milliseconds of it."""
    before = scraped(watched)
    watched.run(watched.publish("slow", ["sleep", "1.5"]))
    after = scraped(watched)
    for method, route in (("POST", "/api/apps/{app:path}"), ("POST", "/agent/v1/sync")):
        name = f"sirdar_http_latency_seconds_sum{{method={method},route={route}}}"
        assert after[name] - before[name] < 1.0, name


def test_what_a_client_invents_makes_no_series(watched: Product) -> None:
    for path in ("/api/no/such/1", "/nothing/here"):
        watched.admin.get(path)
    watched.admin.request("PROPFIND", "/api/jobs")
    found = scraped(watched)
    assert not [name for name in found if "PROPFIND" in name or "such" in name or "nothing/here" in name]
    assert found["sirdar_http_requests_total{method=OTHER,route=/api/jobs,status=405}"] == 1


def test_the_queue_has_depth_and_age_and_a_silent_agent_shows(own_sirdar: Start) -> None:
    product = own_sirdar(heartbeat_s=0.3, lease_s=1)
    app = product.publish("wait", ["sleep", "60"], resources={"cpus": 1})
    job = product.submit(app, foreach=[{}] * 50)
    await_that(lambda: product.job(job["id"])["state"] == "RUNNING")
    found = scraped(product)
    assert 40 <= found["sirdar_queue_tasks"] < 50
    assert found["sirdar_jobs{state=RUNNING}"] == 1
    assert scraped(product)["sirdar_queue_age_seconds"] > found["sirdar_queue_age_seconds"] > 0
    with stopped_agent(product):
        await_that(lambda: scraped(product)["sirdar_resource_reachable{resource=local}"] == 0)
        await_that(lambda: scraped(product)["sirdar_lease_expiries_total"] >= 1)
    await_that(lambda: scraped(product)["sirdar_resource_reachable{resource=local}"] == 1)
    product.admin.post(f"/api/jobs/{job['id']}/cancel")
    product.ended(job["id"])
    assert scraped(product)["sirdar_queue_tasks"] == scraped(product)["sirdar_queue_age_seconds"] == 0


@contextlib.contextmanager
def stopped_agent(product: Product) -> Iterator[None]:
    """The embedded agent does not move."""
    pid = next(entry["pid"] for entry in lines(product) if entry["event"] == "agent_started")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# ---------------------------------------------------------------- who may read them


def test_metrics_are_for_this_machine_and_administrators(watched: Product) -> None:
    bare = watched.client()
    with bare:
        assert bare.get("/metrics").status_code == 200
        for name in ("x-forwarded-for", "x-real-ip", "via"):  # a proxy on this machine asks for somebody elsewhere
            problem(bare.get("/metrics", headers={name: "192.0.2.1"}), 401, "unauthenticated")
        problem(bare.get("/metrics", headers={"host": "sirdar.example.org"}), 401, "unauthenticated")
    behind = {"x-forwarded-for": "192.0.2.1"}
    assert watched.admin.get("/metrics", headers=behind).status_code == 200
    problem(watched.user("tenzing").get("/metrics", headers=behind), 403, "forbidden")


def test_a_metrics_token_shuts_out_the_machines_other_users(own_sirdar: Start) -> None:
    product = own_sirdar(metrics_token=SECRET)
    with product.client() as bare, product.client(SECRET) as prometheus, product.client(SECRET + "x") as wrong:
        problem(bare.get("/metrics"), 401, "unauthenticated")
        problem(wrong.get("/metrics"), 401, "unauthenticated")
        assert prometheus.get("/metrics").status_code == 200
        problem(prometheus.get("/api/jobs"), 401, "unauthenticated")
        assert product.admin.get("/metrics").status_code == 200
    assert SECRET not in product.log()


# ---------------------------------------------------------------- health and readiness


def test_health_and_readiness(watched: Product) -> None:
    with watched.client() as bare:
        assert bare.get("/api/health").json()["status"] == "ok"
        reply = bare.get("/api/ready")
        assert reply.status_code == 200
        assert set(reply.json()["checks"]) == {"database", "blobs", "server"}


def not_ready(product: Product) -> dict[str, str]:
    """What is wrong, by what it is wrong with; empty where the server is ready. It lives all the same."""
    with product.client() as bare:
        reply = bare.get("/api/ready")
        assert bare.get("/api/health").status_code == 200
    if reply.status_code == 200:
        return {}
    assert int(reply.headers["retry-after"]) > 0
    return {error["field"]: error["detail"] for error in problem(reply, 503, "unavailable")["errors"]}


def test_an_older_schema_is_not_ready_and_a_newer_one_is(own_sirdar: Start) -> None:
    product = own_sirdar()
    (head,) = product.rows("SELECT version_num FROM alembic_version")[0]
    set_schema(product, "0000")
    assert await_that(lambda: not_ready(product)) == {
        "database": f"The database is of schema 0000, and this server needs {head}."
    }
    set_schema(product, "9999")  # a newer server has begun to take over: this one can still work
    await_that(lambda: not not_ready(product))
    set_schema(product, head)


def set_schema(product: Product, revision: str) -> None:
    with contextlib.closing(sqlite3.connect(product.home / "sirdar.db", timeout=10)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Permissions stop everybody but root; root needs the attribute."""
    stop, go = ("chattr +i", "chattr -i") if os.geteuid() == 0 else ("chmod 500", "chmod 700")
    subprocess.run([*stop.split(), folder], check=True)
    try:
        yield
    finally:
        subprocess.run([*go.split(), folder], check=True)


def test_blobs_that_cannot_be_written_are_told_and_come_back(own_sirdar: Start) -> None:
    product = own_sirdar(sweep_every_s=3600)
    with unwritable(product.home / "blobs" / "tmp"):
        assert await_that(lambda: not_ready(product)) == {"blobs": "The blob store cannot be written."}
        assert str(product.home) not in product.admin.get("/api/ready").text
    await_that(lambda: not not_ready(product))


def test_a_server_that_is_leaving_says_so_and_still_answers(own_sirdar: Start) -> None:
    product = own_sirdar()
    with product.client() as bare:
        assert bare.get("/api/ready").status_code == 200
        with stopped_agent(product):  # it takes its time to leave
            assert product.process is not None
            product.process.terminate()
            reply = await_that(lambda: (r := bare.get("/api/ready")).status_code == 503 and r)
            assert problem(reply, 503, "unavailable")["detail"] == "The server is shutting down."
            assert bare.get("/api/health").status_code == 200
        product.process.wait(30)


# ---------------------------------------------------------------- request ids and the log


def test_every_answer_has_an_id_that_its_problem_and_its_line_name(watched: Product) -> None:
    for reply in (
        watched.admin.get("/api/jobs/nope"),
        watched.admin.post("/api/apps/me/nope", json={}),  # a hot route
        watched.admin.post("/api/apps/me/nope", content=b"{}", headers={"cookie": "a=b", "content-length": "2"}),
        watched.admin.get("/nowhere.json"),
    ):
        request_id = reply.headers["x-request-id"]
        assert reply.json()["requestId"] == request_id
        found = [entry for entry in lines(watched) if entry.get("request") == request_id]
        assert found[-1]["event"] == "request"
        assert (found[-1]["status"], found[-1]["level"]) == (reply.status_code, "debug")
    ids = [watched.admin.get("/api/health").headers["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("path", ["/api/jobs", "/api/apps/me/good"])
def test_a_proxys_id_is_kept_and_a_harmful_one_is_not(watched: Product, path: str) -> None:
    post = {"method": "POST", "url": path, "json": {}} if "apps" in path else {"method": "GET", "url": path}
    kept = watched.admin.request(**post, headers={"x-request-id": "edge-7.a_b"})
    assert kept.headers["x-request-id"] == "edge-7.a_b"
    for harmful in ("a b", "x" * 65, 'a"b', ""):
        reply = watched.admin.request(**post, headers={"x-request-id": harmful})
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", reply.headers["x-request-id"])


def test_what_is_no_http_has_an_id_too(watched: Product) -> None:
    with socket.create_connection(("127.0.0.1", watched.port), timeout=10) as raw:
        raw.sendall(b"what?\r\n\r\n")
        head, _, body = raw.makefile("rb").read().partition(b"\r\n\r\n")
    assert f"x-request-id: {json.loads(body)['requestId']}".encode() in head


def test_ends_are_logged_with_job_attempt_resource_and_reason(watched: Product) -> None:
    job = watched.run("me/bad", state="FAILED")
    told = [entry for entry in lines(watched) if entry.get("job") == job["id"]]
    assert [entry["event"] for entry in told] == ["job_submitted", "job_ended", "attempt_ended"]
    end = told[-1]
    assert (end["level"], end["reason"], end["exit_code"]) == ("info", "exit_code", 3)
    assert end["attempt"] == f"{job['id']}-0-0"
    assert end["resource"] == next(entry["resource"] for entry in lines(watched) if entry["event"] == "agent_hello")
    call = next(entry for entry in lines(watched) if entry.get("path") == "/api/apps/me/bad")
    assert call["user"] == "admin"


def test_usually_the_log_tells_of_failures_only_and_can_go_to_standard_error(own_sirdar: Start) -> None:
    product = own_sirdar(log_file="-")
    good, bad = product.publish("good", "true"), product.publish("bad", "false")
    product.run(good)
    job = product.run(bad, state="FAILED")
    told = [json.loads(line) for line in (product.root / "up.err").read_text().splitlines()]
    ended = [entry for entry in told if entry["event"] in {"job_ended", "attempt_ended", "job_submitted", "request"}]
    assert {entry["job"] for entry in ended} == {job["id"]}
    assert not (product.home / "server.log").exists()


def test_a_level_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    product = Product(tmp_path, {"log_level": "loud"})
    with pytest.raises(Failed, match="did not get ready"):
        product.start()
    product.stop()
    assert "SIRDAR_LOG_LEVEL='loud' is none of debug, info, warning, error" in (tmp_path / "up.err").read_text()


# ---------------------------------------------------------------- several servers


@pytest.mark.postgres
def test_servers_of_one_database_count_for_themselves_and_tell_of_one_queue(tmp_path: Path, postgres_url: str) -> None:
    servers: list[Served] = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(Served(tmp_path / name, {}, database=postgres_url, place=tmp_path / "home"))
            servers[-1].start()
        one, two = servers
        one.submit(one.publish("waits", "true"), foreach=[{}] * 7)
        told = [scraped(server) for server in servers]
        assert [found["sirdar_jobs_submitted_total"] for found in told] == [1, 0]
        assert [found["sirdar_queue_tasks"] for found in told] == [7, 7]
        assert min(found["sirdar_queue_age_seconds"] for found in told) > 0
        assert not not_ready(one)
        assert not not_ready(two)
    finally:
        for server in servers:
            server.close_clients()
            server.stop()
