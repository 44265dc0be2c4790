"""The blocking client against a fake server over real HTTP."""

import asyncio
import concurrent.futures
import hashlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sirdar.client import Client, JobCancelled, JobFailed, RemoteFile
from sirdar.client.errors import InvalidRequest, NotFound, ServerError, ServerUnreachable, Unauthenticated
from sirdar.client.flows.uploads import UploadLimits
from sirdar.client.retry import RetryPolicy

QUICK = RetryPolicy(retries=4, first_s=0.01, longest_s=0.02)


def test_a_path_is_uploaded_and_a_string_is_not(client: Client, fake: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n2\n")
    client.app("me/sumsq").run(data=tmp_path / "a.csv", note=str(tmp_path / "a.csv"), power=3)
    sent = fake.bodies[0]["inputs"]
    assert sent == {"data": "/api/files/temp/0/a.csv", "note": str(tmp_path / "a.csv"), "power": 3}
    assert fake.files["/api/files/temp/0/a.csv"] == b"1\n2\n"


def test_files_within_lists_and_objects_are_found_and_sent_once(client: Client, fake: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1\n")
    client.app("me/sumsq").map([{"data": path, "options": {"deep": [path]}} for _ in range(50)], power=2)
    assert fake.count("PUT", "/api/files/temp") == 1
    assert fake.bodies[0]["foreach"][7] == {
        "data": "/api/files/temp/0/a.csv",
        "options": {"deep": ["/api/files/temp/0/a.csv"]},
    }
    assert fake.bodies[0]["inputs"] == {"power": 2}


def test_open_files_and_remote_files_are_inputs(client: Client, fake: Any) -> None:
    stream = io.BytesIO(b"bytes")
    client.app("me/sumsq").run(data=stream, more=[RemoteFile("/api/files/temp/9/x", client)])
    assert fake.bodies[0]["inputs"] == {"data": "/api/files/temp/0/data.bin", "more": ["/api/files/temp/9/x"]}
    assert fake.files["/api/files/temp/0/data.bin"] == b"bytes"


def test_a_stream_that_cannot_seek_is_sent_as_it_comes(client: Client, fake: Any) -> None:
    class Pipe(io.RawIOBase):
        left = 3

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            if not self.left:
                return 0
            self.left -= 1
            buffer[:2] = b"ab"
            return 2

    with io.BufferedReader(Pipe()) as pipe:
        uploaded = client.upload(pipe, "pipe.bin")
    assert fake.files[uploaded.uri] == b"ababab"


def test_a_folder_is_sent_as_an_archive_of_stable_bytes(client: Client, fake: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "b.txt").write_text("b")
        (tmp_path / name / "a.txt").write_text("a")
    client.app("me/sumsq").run(data=tmp_path / "one", more=[tmp_path / "two"])
    assert fake.files["/api/files/temp/0/one.zip"] == fake.files["/api/files/temp/1/two.zip"]


def test_a_folder_is_sent_whole_with_what_its_links_lead_to(client: Client, fake: Any, tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "empty").mkdir(parents=True)
    (tmp_path / "large.csv").write_text("elsewhere")
    (root / "data.csv").symlink_to(tmp_path / "large.csv")
    (root / "run.sh").write_text("true")
    (root / "run.sh").chmod(0o700)
    client.app("me/sumsq").run(data=root)
    with zipfile.ZipFile(io.BytesIO(fake.files["/api/files/temp/0/in.zip"])) as archive:
        assert archive.namelist() == ["data.csv", "empty/", "run.sh"]
        assert archive.read("data.csv") == b"elsewhere"
        modes = [info.external_attr >> 16 & 0o777 for info in archive.infolist()]
        assert modes == [0o644, 0o755, 0o755]
    (root / "a\\b").touch()
    with pytest.raises(ValueError, match=r"inputs\.data: .* cannot be sent as a folder: .*holds a backslash"):
        client.app("me/sumsq").run(data=root)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"raw", "io.BytesIO"),
        ({1: 2}, "keys of an object"),
        ({"a": {3}}, "inputs.x.a: set has no JSON form"),
        (io.StringIO(), "binary mode"),
    ],
)
def test_values_without_a_json_form_are_refused_with_their_place(client: Client, value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        client.app("me/sumsq").run(x=value)


def test_numbers_of_numpy_become_plain_numbers(client: Client, fake: Any) -> None:
    numpy = pytest.importorskip("numpy")
    client.app("me/sumsq").run(power=numpy.int64(3), scale=numpy.float32(0.5), labels=numpy.arange(3))
    assert fake.bodies[0]["inputs"] == {"power": 3, "scale": 0.5, "labels": [0, 1, 2]}


def test_a_number_that_is_not_finite_is_refused_with_its_place(client: Client, fake: Any) -> None:
    numpy = pytest.importorskip("numpy")
    app = client.app("me/sumsq")
    for values in (numpy.array([1.0, numpy.nan]), [1.0, float("nan")], [1, numpy.float32("nan")]):
        with pytest.raises(ValueError, match=r"^sweep\.parameters\.scale\[1\] is nan, and no input can be"):
            app.sweep(scale=values)
    for one in (float("-inf"), numpy.float64("-inf"), numpy.float32("-inf"), numpy.array(-numpy.inf)):
        with pytest.raises(ValueError, match=r"^inputs\.scale is -inf"):
            app.run(scale=one)
    with pytest.raises(ValueError, match=r"^foreach\[1\]\.labels\[0\]\[2\] is nan"):
        app.map([{"labels": 1}, {"labels": numpy.array([[1, 2, numpy.nan]])}])
    assert not fake.bodies


def test_the_result_has_files_where_the_application_declares_them(client: Client, fake: Any, tmp_path: Path) -> None:
    job = client.app("me/sumsq").run(power=2)
    plot = fake.put_file(job.id, "plot.png", b"picture")
    part = fake.put_file(job.id, "part 1.bin", b"part")
    fake.finish(job.id, "DONE", {"total": 14.0, "plot": plot, "where": plot, "parts": [part]})
    result = job.result(timeout=10)
    assert result["total"] == 14.0
    assert result["where"] == plot, "a string output stays a string, whatever it looks like"
    assert isinstance(result["plot"], RemoteFile)
    assert (result["plot"].name, result["plot"].size, result["plot"].read_bytes()) == ("plot.png", 7, b"picture")
    assert result["parts"][0].name == "part 1.bin"
    with result["plot"].open() as copy:
        assert copy.read() == b"picture"
    assert result["plot"].download(tmp_path) == tmp_path / "plot.png"
    assert sorted(path.name for path in job.download(tmp_path / "all")) == ["part 1.bin", "plot.png"]


def test_a_job_of_many_tasks_gives_a_list(client: Client, fake: Any, tmp_path: Path) -> None:
    job = client.app("me/sumsq").map([{"power": n} for n in range(3)])
    plots = [f"/api/files/jobs/{job.id}/tasks/{n}/plot.png" for n in (0, 2)]
    for uri in plots:
        fake.files[uri] = uri.encode()
    fake.finish(job.id, "DONE", [{"total": 1, "plot": plots[0]}, None, {"total": 3, "plot": plots[1]}])
    result = job.result(timeout=10)
    assert [row and row["total"] for row in result] == [1, None, 3]
    assert result[2]["plot"].read_bytes() == plots[1].encode()
    assert job.download(tmp_path) == [tmp_path / "0" / "plot.png", tmp_path / "2" / "plot.png"]
    assert [task.state for task in job.tasks()] == ["DONE"] * 3


def test_long_lists_of_inputs_travel_as_a_file(client: Client, fake: Any) -> None:
    client.app("me/sumsq").map({"note": "x" * 1000, "power": n} for n in range(1100))
    uri = fake.bodies[0]["foreach"]["uri"]
    assert fake.files[uri].count(b"\n") == 1100


def test_results_of_very_many_tasks_are_fetched(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").map([{}, {}])
    uri = fake.put_file(job.id, "results.json", b'[{"total": 1}, null]')
    fake.finish(job.id, "DONE", uri)
    assert job.result(timeout=10) == [{"total": 1}, None]


def test_a_failed_job_raises_with_its_outcome_and_outputs(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    fake.finish(job.id, "FAILED", {"total": 1})
    with pytest.raises(JobFailed, match="exit code 2") as caught:
        job.result(timeout=10)
    assert (caught.value.outcome.reason, caught.value.outcome.exit_code, caught.value.outputs) == (
        "exit_code",
        2,
        {"total": 1},
    )
    assert isinstance(job.exception(), JobFailed)
    assert "sirdar explain" in str(caught.value)


def test_a_cancelled_job_is_a_cancelled_future(client: Client) -> None:
    job = client.app("me/sumsq").run(power=2)
    assert job.cancel() is True
    with pytest.raises(concurrent.futures.CancelledError):
        job.result(timeout=10)
    assert job.cancelled() and job.done() and not job.running()
    assert isinstance(job.exception(), JobCancelled)
    assert job.cancel() is False, "it has ended"


def test_result_gives_up_in_time(client: Client) -> None:
    job = client.app("me/sumsq").run(power=2)
    with pytest.raises(TimeoutError, match=r"is READY after 0\.2 s"):
        job.result(timeout=0.2)


@pytest.mark.parametrize("holds", [True, False])
def test_waiting_survives_breaks(client: Client, fake: Any, holds: bool) -> None:
    fake.holds = holds
    job = client.app("me/sumsq").run(power=2)
    fake.fail_next("GET", job.id, 503, times=3)
    fake.fail_next("GET", job.id, "drop", times=9)  # more than one call would bear
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(job.result, 20)
        fake.wait_until(lambda fake: not fake.faults)
        fake.finish(job.id, "DONE", {"total": 5})
        assert waiting.result(20) == {"total": 5}


@pytest.mark.slow
def test_events_survive_breaks(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    fake.say(job.id, "drop", None)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        hearing = pool.submit(lambda: [event.kind for event in job.events()])
        fake.wait_until(lambda fake: fake.count("GET", "/events") >= 2)
        fake.fail_next("GET", "/events", 503)
        fake.fail_next("GET", "/events", "drop")
        fake.say(job.id, "drop", None)
        fake.wait_until(lambda fake: not fake.faults)
        fake.finish(job.id, "DONE", {"total": 5})
        assert hearing.result(20) == ["job", "job", "end"]


def test_futures_work_with_wait_and_as_completed(client: Client, fake: Any) -> None:
    jobs = [client.app("me/sumsq").run(power=n) for n in range(12)]
    called: list[str] = []
    jobs[3].add_done_callback(lambda job: called.append(job.id))  # type: ignore[attr-defined]
    fake.finish(jobs[3].id, "DONE", {"total": 3})
    done, rest = concurrent.futures.wait(jobs, timeout=20, return_when=concurrent.futures.FIRST_COMPLETED)
    assert done == {jobs[3]} and len(rest) == 11
    for job in jobs:
        if job is not jobs[3]:
            fake.finish(job.id, "FAILED" if job is jobs[5] else "DONE", {"total": 0})
    finished = list(concurrent.futures.as_completed(jobs, timeout=20))
    assert set(finished) == set(jobs)
    assert called == [jobs[3].id]
    assert isinstance(jobs[5].exception(), JobFailed)


def test_a_future_of_a_deleted_job_ends(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    del fake.jobs[job.id]
    done, _ = concurrent.futures.wait([job], timeout=20)
    assert done == {job}


def test_a_job_can_be_awaited_as_a_wrapped_future(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2, fate="done")

    async def main() -> Any:
        return await asyncio.wait_for(asyncio.wrap_future(job), 20)

    assert asyncio.run(main()) == {"total": 14.0}


def test_the_client_works_within_a_running_event_loop(client: Client) -> None:
    async def cell() -> Any:
        return client.app("me/sumsq").run(fate="done").result(timeout=10)

    assert asyncio.run(cell()) == {"total": 14.0}


@pytest.mark.slow
def test_properties_look_again(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    fake.jobs[job.id] |= {"state": "RUNNING", "statusMessage": "fold <3> of 7", "progress": 0.43}
    fake.wait_until(lambda _: job.running())
    assert (job.status_message, job.progress) == ("fold <3> of 7", 0.43)
    assert (
        "● RUNNING" in job._repr_html_() and "fold &lt;3&gt; of 7" in job._repr_html_() and "43%" in job._repr_html_()
    )
    assert "Numbers" in client.app("me/sumsq")._repr_html_()


def test_logs_are_followed_to_their_end(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    fake.write(job.id, "stdout", b"first\nhal")
    fake.write(job.id, "stderr", b"oops\n")
    assert list(job.stream_logs(follow=False)) == ["first", "hal"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        following = pool.submit(lambda: list(job.stream_logs("both")))
        euro = "f €\nlast".encode()
        fake.write(job.id, "stdout", euro[:3])
        fake.wait_until(lambda fake: fake.count("GET", "/stdout") >= 3)
        fake.write(job.id, "stdout", euro[3:])
        fake.finish(job.id, "DONE", {})
        left = following.result(20)
    assert [line for line in left if line.stream == "stdout"] == ["first", "half €", "last"]  # type: ignore[attr-defined]
    assert [line for line in left if line.stream == "stderr"] == ["oops"]  # type: ignore[attr-defined]


def test_events_come_once_over_reconnections(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    fake.say(job.id, "message", {"text": "a"})
    fake.say(job.id, "drop", None)
    fake.say(job.id, "message", {"text": "b"})
    fake.finish(job.id, "DONE", {})
    assert [(event.kind, event.data.get("text")) for event in job.events(timeout=20)] == [
        ("job", None),
        ("message", "a"),
        ("message", "b"),
        ("job", None),
        ("end", None),
    ]


def test_explain_resubmit_and_share(client: Client, fake: Any) -> None:
    job = client.app("me/sumsq").run(power=2)
    assert str(job.explain()) == "It waits for a slot.\n  why: lab1 has no free slot\n  try: wait"
    again = job.resubmit(power=3)
    assert again.id != job.id and again.inputs["power"] == 3
    assert job.share_link().endswith("/share/abc")


# ---------------------------------------------------------------- uploads, downloads


def test_large_uploads_go_on_where_they_broke(fake: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 400
    (tmp_path / "big.bin").write_bytes(content)
    limits = UploadLimits(resumable_from_bytes=1000, portion_bytes=10_000, policy=QUICK)
    with Client(fake.url, "t0ken", policy=QUICK, limits=limits) as client:
        fake.fail_next("PATCH", "/uploads", "serve, then drop")  # the portion arrived, the answer did not
        fake.fail_next("PATCH", "/uploads", "drop")
        fake.fail_next("POST", "/complete", 503)
        uploaded = client.upload(tmp_path / "big.bin")
    assert fake.files[uploaded.uri] == content


def test_downloads_go_on_where_they_broke(client: Client, fake: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    uri = fake.put_file("j", "half.bin", content)
    target = client.file(uri).download(tmp_path / "out.bin")
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()
    assert fake.count("GET", "half.bin") == 2
    assert list(tmp_path.iterdir()) == [target], "no partial file is left"


def test_a_download_that_fails_leaves_what_was_there(client: Client, fake: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(NotFound):
        client.file("/api/files/jobs/j/none").download(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_token_goes_to_its_own_server_alone(client: Client) -> None:
    with pytest.raises(ValueError, match="not an address of this server"):
        client.file("http://192.0.2.1/api/files/temp/1/x").read_bytes()


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", [502, 503, "drop", (429, {"Retry-After": "0"}, b"")])
def test_reads_are_repeated(client: Client, fake: Any, fault: Any) -> None:
    fake.fail_next("GET", "/api/me", fault, times=3)
    assert client.me()["name"] == "anna"
    assert fake.count("GET", "/api/me") == 4


def test_a_submission_whose_answer_was_lost_is_not_doubled(client: Client, fake: Any) -> None:
    fake.fail_next("POST", "/api/apps/me/sumsq", "serve, then drop")
    job = client.app("me/sumsq").run(power=2)
    assert list(fake.jobs) == [job.id]
    assert fake.count("POST", "/api/apps/me/sumsq") == 2


def test_what_may_not_be_repeated_is_not(client: Client, fake: Any) -> None:
    fake.fail_next("POST", "/share/link", "drop")
    job = client.app("me/sumsq").run(power=2)
    with pytest.raises(ServerUnreachable):
        job.share_link()
    assert fake.count("POST", "/share/link") == 1


def test_errors_are_typed_and_say_what_to_try(client: Client, fake: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.app("me/sumsq").run(nonsense=1)
    assert caught.value.code == "invalid_input"
    assert "inputs.nonsense: is no input" in str(caught.value) and "try: look at the inputs" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).errors == caught.value.errors
    with pytest.raises(NotFound, match="no application"):
        client.app("me/none").run()
    fake.fail_next("GET", "/api/me", (500, {"content-type": "text/html"}, b"<html>"))
    with pytest.raises(ServerError, match="status 500"):
        client.me()
    with Client(fake.url, "wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.me()


def test_no_server_is_said_plainly() -> None:
    nobody = Client("http://127.0.0.1:9", policy=RetryPolicy(retries=0))
    with nobody as client, pytest.raises(ServerUnreachable, match=r"no server answers at http://127\.0\.0\.1:9"):
        client.me()


def test_lists_are_read_page_by_page(client: Client, fake: Any) -> None:
    for _ in range(5):
        client.app("me/sumsq").run(fate="done")
    found = list(client.iterate(_listing(limit=2)))
    assert len(found) == 5 and len({job["id"] for job in found}) == 5
    assert len(list(client.jobs(limit=3))) == 3


def _listing(limit: int) -> Any:
    from sirdar.client.requests import jobs

    return jobs.listing(limit=limit)


def test_publishing_sends_what_is_missing(client: Client, fake: Any, tmp_path: Path) -> None:
    (tmp_path / "sirdar.yaml").write_text("sirdar: 1\nalias: sumsq\ncommand: python a.py\n")
    (tmp_path / "a.py").write_text("print(1)")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    first = client.publish(tmp_path)
    assert (first.ref, first.created) == ("anna/sumsq@1", True)
    assert [file["path"] for file in fake.published[0]["files"]] == ["a.py"]
    second = client.publish(tmp_path)
    assert not second.created and fake.count("PUT", "/blobs/") == 1
