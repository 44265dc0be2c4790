"""The asynchronous twin: the same behaviour over the same flows."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from sirdar.client import AsyncClient, JobFailed
from sirdar.client.errors import NotFound
from sirdar.client.flows.uploads import UploadLimits
from sirdar.client.retry import RetryPolicy

QUICK = RetryPolicy(retries=4, first_s=0.01, longest_s=0.02)


def run(fake: Any, body: Callable[[AsyncClient], Awaitable[Any]], backend: str = "asyncio") -> Any:
    async def main() -> Any:
        limits = UploadLimits(resumable_from_bytes=1000, portion_bytes=10_000, policy=QUICK)
        async with AsyncClient(fake.url, "t0ken", policy=QUICK, limits=limits) as client:
            return await body(client)

    return anyio.run(main, backend=backend)


def test_a_job_is_awaited_and_its_files_read(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")

    async def body(client: AsyncClient) -> None:
        job = await client.app("me/sumsq").run(data=tmp_path / "a.csv", power=2, _name="first")
        plot = fake.put_file(job.id, "plot.png", b"picture")
        asyncio.get_running_loop().call_later(0.05, fake.finish, job.id, "DONE", {"total": 14.0, "plot": plot})
        result = await job
        assert result["total"] == 14.0
        assert await result["plot"].read_bytes() == b"picture"
        assert await result["plot"].size() == 7
        assert await result["plot"].download(tmp_path) == tmp_path / "plot.png"
        assert await job.download(tmp_path / "all") == [tmp_path / "all" / "plot.png"]
        assert job.state == "DONE"

    run(fake, body)
    assert fake.bodies[0] == {"name": "first", "inputs": {"data": "/api/files/temp/0/a.csv", "power": 2}}


def test_many_jobs_are_waited_for_at_once(fake: Any) -> None:
    async def body(client: AsyncClient) -> None:
        jobs = [await client.app("me/sumsq").run(power=n) for n in range(10)]
        for number, job in enumerate(jobs):
            asyncio.get_running_loop().call_later(0.05, fake.finish, job.id, "DONE", {"total": number})
        results = await asyncio.gather(*(job.result(timeout=20) for job in jobs))
        assert [result["total"] for result in results] == list(range(10))

    run(fake, body)


def test_a_failed_job_raises_and_time_runs_out(fake: Any) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.app("me/sumsq").run(power=2)
        with pytest.raises(TimeoutError):
            await job.result(timeout=0.2)
        assert not await job.done()
        fake.finish(job.id, "FAILED", {})
        with pytest.raises(JobFailed):
            await job
        assert isinstance(await job.exception(), JobFailed)
        assert await job.cancel() is False

    run(fake, body)


def test_uploads_and_submissions_survive_breaks(fake: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 400
    (tmp_path / "big.bin").write_bytes(content)

    async def body(client: AsyncClient) -> None:
        fake.fail_next("PATCH", "/uploads", "serve, then drop")
        fake.fail_next("POST", "/api/apps/me/sumsq", "serve, then drop")
        job = await client.app("me/sumsq").run(data=tmp_path / "big.bin")
        assert list(fake.jobs) == [job.id]
        assert fake.files[job.inputs["data"]] == content
        half = fake.put_file(job.id, "half.bin", content * 10)
        assert await client.file(half).read_bytes() == content * 10

    run(fake, body)


def test_logs_events_tasks_and_lists(fake: Any) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.app("me/sumsq").map([{"power": n} for n in range(3)])
        fake.write(job.id, "stdout", b"one\ntwo\n")
        fake.finish(job.id, "DONE", [])
        assert [line async for line in job.stream_logs()] == ["one", "two"]
        assert [event.kind async for event in job.events()] == ["job", "job", "end"]
        assert [task.number async for task in job.tasks()] == [0, 1, 2]
        assert [found.id async for found in client.jobs(state="DONE")] == [job.id]
        assert (await job.explain()).summary == "It waits for a slot."
        assert (await client.me())["name"] == "anna"
        with pytest.raises(NotFound):
            await client.job("none")

    run(fake, body)


def test_leaving_a_stream_early_closes_it(fake: Any) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.app("me/sumsq").run(power=2)
        events = job.events()
        async for event in events:
            assert event.kind == "job"
            break
        await events.aclose()  # type: ignore[attr-defined]

    run(fake, body)
