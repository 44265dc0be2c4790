"""The Python client against the real product."""

import concurrent.futures
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.system.product import Product

from sirdar.client import AsyncClient, Client, JobCancelled, JobFailed, RemoteFile
from sirdar.client.errors import InvalidRequest, NotFound, ServerUnreachable, Unauthenticated
from sirdar.client.flows.uploads import UploadLimits
from sirdar.client.retry import RetryPolicy

PROGRAM = """\
import json, sys
numbers = [float(line) for line in open(sys.argv[1])]
print(f"read {len(numbers)} numbers", flush=True)
print("warning: few", file=sys.stderr)
json.dump({"total": sum(x ** int(sys.argv[2]) for x in numbers)}, open("result.json", "w"))
open("copy of data.csv", "w").write(open(sys.argv[1]).read())
sys.exit(int(sys.argv[3]))
"""
DESCRIPTION = """\
sirdar: 1
alias: client-sums
name: Sum of powers
inputs:
  data: {type: file, required: true}
  power: {type: integer, default: 2, minimum: 1, maximum: 9}
  exit: {type: integer, default: 0}
command: python3 sums.py ${data} ${power} ${exit}
outputs:
  total: {type: number, from: result.json, key: total}
  copy: {type: file, from: copy of data.csv}
"""


@pytest.fixture(scope="module")
def client(sirdar: Product) -> Iterator[Client]:
    with Client(sirdar.url, sirdar.token()) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sums")
    (root / "sirdar.yaml").write_text(DESCRIPTION)
    (root / "sums.py").write_text(PROGRAM)
    return root


@pytest.fixture(scope="module")
def app(client: Client, folder: Path) -> Any:
    return client.app(client.publish(folder).ref)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a b ü.csv"
    path.write_text("1\n2\n3\n")
    return path


@pytest.fixture(scope="module")
def sleeper(sirdar: Product) -> str:
    return sirdar.publish("client-sleeper", ["sleep", "${s}"], inputs={"s": {"type": "number", "default": 60}})


def test_publishing_the_same_bytes_again_makes_no_version(client: Client, folder: Path, app: Any) -> None:
    again = client.publish(folder)
    assert not again.created and again.ref == app.ref


def test_a_job_from_file_to_file(app: Any, data: Path, tmp_path: Path) -> None:
    job = app.run(data=data, power=3, _name="cubes")
    result = job.result(timeout=60)
    assert result["total"] == 36.0
    assert isinstance(result["copy"], RemoteFile)
    assert (result["copy"].name, result["copy"].size, result["copy"].read_text()) == (
        "copy of data.csv",
        6,
        "1\n2\n3\n",
    )
    assert [path.name for path in job.download(tmp_path / "out")] == ["copy of data.csv"]
    assert list(job.stream_logs("both")) == ["read 3 numbers", "warning: few"]
    assert (job.name, job.state, job.outcome.reason) == ("cubes", "DONE", "ok")
    assert job.stdout.read_text() == "read 3 numbers\n"
    assert [task.state for task in job.tasks()] == ["DONE"]
    assert "✓ DONE" in job._repr_html_()
    kinds = [event.kind for event in job.events(timeout=30)]
    assert kinds[-1] == "end" and "job" in kinds
    assert job.explain().state == "DONE"


def test_wait_in_the_submission_itself(app: Any, data: Path) -> None:
    job = app.run(data=data, _wait=60)
    assert job.is_over and job.result()["total"] == 14.0


def test_an_output_is_the_next_job_s_input(app: Any, data: Path) -> None:
    first = app.run(data=data, _wait=60).result()
    assert app.run(data=first["copy"], power=1, _wait=60).result()["total"] == 6.0


def test_a_failure_says_why(app: Any, data: Path) -> None:
    job = app.run(data=data, exit=3, _wait=60)
    with pytest.raises(JobFailed, match="exit code 3") as caught:
        job.result()
    assert caught.value.outcome.exit_code == 3 and caught.value.outcome.fault == "program"
    assert job.resubmit(exit=0).result(timeout=60)["total"] == 14.0


def test_cancel(client: Client, sleeper: str) -> None:
    job = client.app(sleeper).run(s=60)
    assert job.cancel()
    with pytest.raises(JobCancelled):
        job.result(timeout=60)
    assert job.cancelled()


def test_map_is_one_job(app: Any, data: Path) -> None:
    job = app.map([{"power": 1}, {"power": 2}, {"power": 3, "exit": 1}], data=data)
    result = job.result(timeout=60)
    assert [row["total"] for row in result[:2]] == [6.0, 14.0]
    assert result[1]["copy"].read_text() == "1\n2\n3\n"
    assert [task.state for task in job.tasks()] == ["DONE", "DONE", "FAILED"]


def test_a_map_of_very_many_travels_by_file_both_ways(client: Client, sirdar: Product) -> None:
    ref = sirdar.publish(
        "client-echo",
        ["echo", "${n}"],
        inputs={"n": {"type": "integer"}, "pad": {"type": "string", "default": ""}},
        outputs={"n": {"type": "integer", "from": "stdout", "regex": "\\d+"}},
    )
    job = client.app(ref).map({"n": n, "pad": "x" * 3000} for n in range(400))
    assert [row["n"] for row in job.result(timeout=100)] == list(range(400))


def test_jobs_are_futures(client: Client, sirdar: Product) -> None:
    ref = sirdar.publish("client-true", ["true"])
    jobs = [client.app(ref).run() for _ in range(15)]
    done, left = concurrent.futures.wait(jobs, timeout=60)
    assert len(done) == 15 and not left
    assert all(job.exception() is None for job in concurrent.futures.as_completed(jobs, timeout=10))


def test_large_files_go_up_and_down_in_portions(sirdar: Product, app: Any, tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    (tmp_path / "big.bin").write_bytes(content)
    limits = UploadLimits(resumable_from_bytes=1_000_000, portion_bytes=700_000)
    with Client(sirdar.url, sirdar.token(), limits=limits) as client:
        uploaded = client.upload(tmp_path / "big.bin")
        target = uploaded.download(tmp_path / "back.bin")
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()
        uploaded.delete()
        with pytest.raises(NotFound):
            uploaded.read_bytes()


def test_errors_of_the_real_server(client: Client, app: Any, sirdar: Product, data: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        app.run(data=data, power=77)
    assert caught.value.code == "invalid_input" and "power" in str(caught.value)
    with pytest.raises(NotFound):
        client.job("0000000000000000").result()
    with Client(sirdar.url, "wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.me()


def test_lists(client: Client, app: Any, data: Path) -> None:
    for _ in range(3):
        app.run(data=data, _wait=60)
    assert len(list(client.jobs(limit=2, state="DONE"))) == 2
    assert client.job(next(client.jobs()).id[:12]).state in {"DONE", "FAILED", "CANCELLED"}
    assert any(found["alias"] == "client-sums" for found in client.apps(owner="me"))
    assert client.resources()[0]["state"] == "online"


def test_the_asynchronous_twin(sirdar: Product, app: Any, data: Path) -> None:
    async def main() -> None:
        async with AsyncClient(sirdar.url, sirdar.token()) as client:
            jobs = [await client.app(app.ref).run(data=data, power=power) for power in (1, 2)]
            assert [(await job)["total"] for job in jobs] == [6.0, 14.0]
            assert await (await jobs[0])["copy"].read_bytes() == b"1\n2\n3\n"
            assert [line async for line in jobs[0].stream_logs()] == ["read 3 numbers"]
            assert (await client.me())["name"] == "admin"

    anyio.run(main)


def test_a_task_reaches_the_server_and_its_jobs_are_children(sirdar: Product, client: Client) -> None:
    import sys

    child = sirdar.publish("client-child", ["true"])
    program = (
        "import sirdar\n"
        "with sirdar.connect() as client:\n"
        f"    job = client.app({child!r}).run(_wait=60)\n"
        "    print(job.state)\n"
    )
    parent = sirdar.publish("client-parent", [sys.executable, "parent.py"], files={"parent.py": program})
    job = client.app(parent).run()
    job.result(timeout=60)
    assert list(job.stream_logs()) == ["DONE"]
    assert [one.state for one in job.children()] == ["DONE"]


@pytest.mark.slow
def test_waiting_survives_a_restart_of_the_server(own_sirdar: Any) -> None:
    product = own_sirdar()
    ref = product.publish("nap", ["sleep", "2"])
    with (
        Client(product.url, product.token(), policy=RetryPolicy(retries=1, first_s=0.05)) as client,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        job = client.app(ref).run()
        waiting = pool.submit(job.wait, 90)
        port = product.port
        product.stop()
        with pytest.raises(ServerUnreachable):
            client.me()
        product.start(port)
        assert waiting.result(90).state in {"DONE", "CANCELLED", "FAILED"}
