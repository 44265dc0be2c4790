"""Commands against the fake server: what they send, what they print."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.client import profile

Sirdar = Callable[..., Any]
DESCRIPTION = """\
sirdar: 1
alias: sumsq
inputs:
  data: {type: file, required: true}
command: python sumsq.py ${data}
outputs:
  total: {type: number, from: stdout}
"""


# ---------------------------------------------------------------- sign in


@pytest.mark.slow
def test_login_keeps_a_token(process: Sirdar, fake: Any, nowhere: Path) -> None:
    ran = process("login", fake.url, "--user", "anna", SIRDAR_PASSWORD="secret")
    assert (ran.code, ran.out) == (0, f"signed in to {fake.url} as anna\n")
    assert profile.load().servers[fake.url] == profile.Login("t0ken", "anna")
    assert process("user", "show", "-q").out == "anna\n"
    assert process("logout").out == f"signed out of {fake.url}\n" and fake.revoked
    assert process("job", "list").code == 4


@pytest.mark.slow
def test_login_by_a_token_from_standard_input(process: Sirdar, fake: Any) -> None:
    assert process("login", fake.url, "--token", "-", stdin="t0ken\n").code == 0
    refused = process("login", fake.url, "--token", "-", stdin="wrong\n")
    assert refused.code == 4
    assert profile.load().servers[fake.url].token == "t0ken", "a token that does not work is not kept"


def test_a_wrong_password_is_said(process: Sirdar, fake: Any) -> None:
    ran = process("login", fake.url, "--user", "anna", SIRDAR_PASSWORD="wrong")
    assert ran.code == 4 and "error[wrong_credentials]: Wrong user name or password." in ran.err


def test_login_over_plain_http_needs_leave(sirdar: Sirdar) -> None:
    ran = sirdar("login", "http://192.0.2.1:8200", "--token", "t")
    assert ran.code == 4 and "unencrypted" in ran.err


# ---------------------------------------------------------------- publish


def test_init_then_publish(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    (signed_in / "sumsq.py").write_text("print(1)")
    (signed_in / "a.csv").write_text("1")
    written = sirdar("init", ".", "--alias", "sumsq", "--command", "python sumsq.py a.csv --power 2")
    assert written.code == 0 and "next: sirdar publish" in written.err
    assert "power" in (signed_in / "sirdar.yaml").read_text()
    assert sirdar("init", "--command", "x").code == 1, "it is there already"
    ran = sirdar("publish")
    assert (ran.code, ran.out) == (0, "published anna/sumsq@1 (2 files, 9 B)\n")
    assert "next: sirdar run anna/sumsq --wait" in ran.err
    assert sirdar("publish", "-q").out == "anna/sumsq@1\n"
    assert json.loads(sirdar("publish", "--json").out)["created"] is False


def test_a_wrong_description_is_found_without_a_server(sirdar: Sirdar, nowhere: Path) -> None:
    (nowhere / "sirdar.yaml").write_text(DESCRIPTION.replace("type: file", "type: fiel") + "colour: red\n")
    ran = sirdar("publish")
    assert ran.code == 2
    assert ran.err.startswith("error[invalid_description]: ")
    assert "line 4" in ran.err and "line 8" in ran.err and "inputs.data" in ran.err


def test_publishing_from_git_sends_no_files(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    (signed_in / "sirdar.yaml").write_text(DESCRIPTION)
    (signed_in / "sumsq.py").write_text("")
    ran = sirdar("publish", "--git", "https://git.example.org/a.git", "--ref", "v1", "--as", "other")
    assert ran.code == 0, ran.err
    body = fake.published[0]
    assert body["files"] == [] and "alias: other" in body["description"]
    assert "git: https://git.example.org/a.git" in body["description"] and "ref: v1" in body["description"]
    assert sirdar("publish", "--ref", "v1").code == 2
    assert sirdar("publish", "--gitlab", "lab/model").code == 2


def test_a_folder_without_description(sirdar: Sirdar, signed_in: Path) -> None:
    ran = sirdar("publish")
    assert ran.code == 2 and "try: `sirdar init" in ran.err


# ---------------------------------------------------------------- run


def test_run_converts_uploads_and_waits(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    (signed_in / "a.csv").write_text("1\n")
    ran = sirdar(
        "run", "me/sumsq", "-i", "data=@a.csv", "-i", "power=3", "-i", "scale=1e3", "-i", "verbose=yes", "-i", "labels=a", "-i",
        "labels=b=c", "-i", 'options={"x": [1]}', "-i", "note=--json", "-i", "fate=done", "-i", "more=@a.csv", "--wait",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert fake.bodies[0]["inputs"] == {
        "data": "/api/files/temp/0/a.csv", "power": 3, "scale": 1000.0, "verbose": True, "labels": ["a", "b=c"],
        "options": {"x": [1]}, "note": "--json", "fate": "done", "more": ["/api/files/temp/0/a.csv"],
    }  # fmt: skip
    assert ran.out.startswith("✓ Done in 6.2 s\n") and "total  14.0" in ran.out


def test_a_failed_job_is_1_and_shows_why(sirdar: Sirdar, signed_in: Path) -> None:
    ran = sirdar("run", "me/sumsq", "-i", "data=/api/files/temp/1/a", "-i", "fate=failed", "--wait")
    assert ran.code == 1
    assert "✕ Failed after 6.2 s: The program ended with exit code 2." in ran.out and "ValueError: no" in ran.out
    assert "next: sirdar explain" in ran.err


def test_a_warning_of_the_server_is_printed_and_the_job_stays(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    ran = sirdar("run", "me/sumsq", "-i", "data=https://example.org/a.csv", "--cpus", "4096")
    assert (ran.code, len(fake.jobs)) == (0, 1)
    assert ran.err.startswith("warning: None of the resources that are attached can ever run it.\n")
    quiet = sirdar("run", "me/sumsq", "-i", "data=https://example.org/a.csv", "--cpus", "4096", "--json")
    assert "warning:" not in quiet.err and json.loads(quiet.out)["warnings"]


def test_detached_and_last(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    ran = sirdar(
        "run", "me/sumsq", "-i", "data=https://example.org/a.csv", "--name", "n", "--on-failure", "stop", "--cpus", "2"
    )
    assert ran.code == 0 and "next: sirdar job watch" in ran.err
    job = next(iter(fake.jobs))
    assert {k: v for k, v in fake.bodies[0].items() if k != "inputs"} == {
        "name": "n",
        "onFailure": "stop",
        "overrides": {"cpus": 2},
    }
    assert sirdar("job", "show", "last", "-q").out == f"{job}\n"
    assert sirdar("job", "cancel", "last").out == f"asked for the end of job {job}\n"
    assert sirdar("job", "watch", "last").code == 3, "it was cancelled"
    assert sirdar("job", "cancel").code == 2


def test_sweeps_from_json_lines(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    (signed_in / "a.csv").write_text("1\n")
    (signed_in / "rows.jsonl").write_text('{"data": "@a.csv", "power": 1}\n\n{"data": "@a.csv", "note": "@a.csv"}\n')
    (signed_in / "common.json").write_text('{"scale": 2, "power": 9}')
    ran = sirdar("run", "me/sumsq", "--inputs", "common.json", "-i", "power=4", "--foreach", "rows.jsonl", "--json")
    assert ran.code == 0, ran.err
    uri = "/api/files/temp/0/a.csv"
    assert fake.bodies[0]["inputs"] == {"scale": 2, "power": 4}
    assert fake.bodies[0]["foreach"] == [{"data": uri, "power": 1}, {"data": uri, "note": "@a.csv"}]
    assert json.loads(ran.out)["state"] == "READY"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("power=two", "power is an integer, and 'two' is not"),
        ("scale=nan", "scale is a number, and 'nan' is not a finite one"),
        ("verbose=maybe", "true or false"),
        ("options={", "an object in JSON"),
        ("data=a.csv", "-i data=@a.csv"),
        ("data=@none.csv", "there is no file none.csv"),
        ("pwoer=2", "-i power=..."),
        ("=2", "name=value"),
        ("power", "name=value"),
    ],
)
def test_inputs_that_cannot_be(sirdar: Sirdar, fake: Any, signed_in: Path, word: str, message: str) -> None:
    ran = sirdar("run", "me/sumsq", "-i", word)
    assert ran.code == 2 and message in ran.err
    assert not fake.jobs and fake.count("PUT", "/api/files") == 0, "nothing is sent"


def test_what_the_server_refuses_is_2(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    fake.fail_next(
        "POST",
        "/api/apps/me/sumsq",
        (
            422,
            {},
            b'{"code": "invalid_input", "detail": "Wrong.", "errors": [{"field": "inputs.data", "detail": "is required"}]}',
        ),
    )
    ran = sirdar("run", "me/sumsq", "-i", "power=2")
    assert ran.code == 2
    assert ran.err == "error[invalid_input]: Wrong.\n  why: inputs.data: is required\n"


def test_outputs_are_downloaded(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    job = json.loads(sirdar("run", "me/sumsq", "-i", "power=2", "--json").out)["id"]
    plot = fake.put_file(job, "plot.png", b"picture")
    fake.finish(job, "DONE", {"plot": plot, "total": 1})
    assert sirdar("job", "download", "last", "--to", "out").out == f"{Path('out') / 'plot.png'}\n"
    assert (signed_in / "out" / "plot.png").read_bytes() == b"picture"
    watched = sirdar("job", "watch", "last")
    assert watched.code == 0 and "plot   plot.png" in watched.out and "next: sirdar job download" in watched.err
    assert sirdar("file", "download", plot, "--to", "p.png").out == "p.png\n"
    assert "a.txt" in sirdar("file", "list", plot).out


@pytest.mark.slow
def test_ctrl_c_detaches_and_twice_cancels(fake: Any, signed_in: Path) -> None:
    command = [sys.executable, "-m", "sirdar.cli.main", "run", "me/sumsq", "-i", "power=2", "--wait"]

    def interrupted(times: int) -> tuple[int, str]:
        known = fake.count("GET", "/events")
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0
        )
        assert running.stderr is not None
        fake.wait_until(lambda fake: fake.count("GET", "/events") > known)
        running.send_signal(signal.SIGINT)
        said = ""
        while "again to cancel" not in said:
            line = running.stderr.readline()
            assert line, said
            said += line
        if times > 1:
            running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=20)
        return running.returncode, said + rest

    code, said = interrupted(1)
    job = list(fake.jobs)[-1]
    assert code == 130 and f"sirdar job watch {job}" in said
    assert fake.jobs[job]["state"] == "READY", "the job goes on"
    code, said = interrupted(2)
    job = list(fake.jobs)[-1]
    assert code == 3 and fake.jobs[job]["state"] == "CANCELLED" and f"asked for the end of job {job}" in said


def test_changes_are_shown_a_line_each(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    job = json.loads(sirdar("run", "me/sumsq", "-i", "power=2", "--json").out)["id"]
    fake.jobs[job]["state"] = "RUNNING"
    fake.say(job, "job", {"state": "RUNNING"})
    fake.say(job, "message", {"text": "fold 3 of 7", "progress": 0.43, "metrics": {"loss": 0.18612}})
    ending = threading.Thread(
        target=lambda: (fake.wait_until(lambda fake: fake.count("GET", "/events") > 0), fake.finish(job, "DONE", {}))
    )
    ending.start()
    ran = sirdar("job", "watch", job)
    ending.join()
    assert "● Running · fold 3 of 7 · loss 0.186 · 43 %\n" in ran.err


@pytest.mark.slow
def test_a_terminal_gets_a_live_line(fake: Any, signed_in: Path) -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "sirdar.cli.main", "run", "me/sumsq", "-i", "power=2", "--wait"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environ.pop("NO_COLOR", None)
    running = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environ)
    os.close(follower)
    fake.wait_until(lambda fake: fake.count("GET", "/events") > 0)
    job = next(iter(fake.jobs))
    fake.say(job, "job", {"state": "RUNNING"})
    fake.say(job, "message", {"text": "fold 3", "progress": 0.5})
    timer = threading.Timer(0.4, fake.finish, (job, "DONE", {"total": 3}))
    timer.start()
    said = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(leader)
    timer.join()
    assert running.wait(20) == 0
    assert "fold 3" in said.decode() and "✓ Done" in said.decode() and b"\x1b[" in said


# ---------------------------------------------------------------- jobs


def test_lists_and_pages(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    assert "no jobs; run an application" in sirdar("job", "list").out
    for n in range(5):
        sirdar("run", "me/sumsq", "-i", f"power={n}", "-i", f"fate={'done' if n % 2 else 'failed'}")
    table = sirdar("job", "list", "--limit", "3").out.splitlines()
    assert len(table) == 4 and table[0].split() == ["STATE", "JOB", "NAME", "APP", "SUBMITTED", "RAN", "OWNER"]
    assert "The program ended with exit code 2." in table[1], "why it failed, not the last thing that the program said"
    assert sirdar("job", "list", "--state", "failed", "-q").out.count("\n") == 3
    assert len(json.loads(sirdar("job", "list", "--limit", "0", "--json").out)) == 5
    page = sirdar("job", "show", "last").out
    assert "app        anna/sumsq@3" in page and "ran        6.2 s" in page


def test_logs_tasks_events_and_explain(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    sirdar("run", "me/sumsq", "-i", "fate=failed")
    job = next(iter(fake.jobs))
    fake.write(job, "stdout", "zwölf\n".encode())
    ran = sirdar("job", "logs", "last")
    assert (ran.out, ran.err) == ("zwölf\n", "Traceback\nValueError: no\n")
    assert json.loads(sirdar("job", "logs", "last", "--stream", "stdout", "--json").out) == [
        {"stream": "stdout", "line": "zwölf"}
    ]
    assert "lab1" in sirdar("job", "tasks", "last").out
    assert sirdar("job", "events", "last").out == "2026-11-22 06:40:00.123 submitted\n"
    assert [event["event"] for event in json.loads(sirdar("job", "events", "last", "--json").out)][-1] == "end"
    assert sirdar("explain", "last").out == "It waits for a slot.\n  why: lab1 has no free slot\n  try: wait\n"
    assert sirdar("job", "share", "last", "--link").out == f"{fake.url}/share/abc\n"
    assert sirdar("job", "resubmit", "last", "-i", "power=7", "-q").out.strip().endswith("z")
    assert fake.bodies[-1] == {"inputs": {"power": 7}}
    assert sirdar("job", "delete", job).out == f"deleted job {job}\n" and job not in fake.jobs


def test_last_is_forgotten_with_its_job(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    sirdar("run", "me/sumsq", "--name", "one", "-i", "power=1")
    sirdar("job", "delete", "--name", "other")
    assert sirdar("job", "show", "last").code == 0
    assert sirdar("job", "delete", "last").code == 0
    gone = sirdar("job", "show", "last")
    assert gone.code == 2 and "no job was submitted" in gone.err


def test_applications(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    page = sirdar("app", "show", "me/sumsq")
    assert "anna/sumsq@3" in page.out and "list of strings" in page.out and "Numbers" in page.out
    assert "next: sirdar run anna/sumsq -i data=@FILE --wait" in page.err
    assert sirdar("app", "list", "-q").out == "anna/sumsq\n"
    assert json.loads(sirdar("app", "openapi", "me/sumsq").out) == {"openapi": "3.1.0"}
    assert sirdar("app", "share", "me/sumsq").out == "user:boris  run\n"
    (signed_in / "app.zip").write_bytes(b"PK12345")
    assert sirdar("app", "import", "app.zip").out == "published anna/sumsq@1\nnote: 7 bytes\n"
    assert "lab1" in sirdar("resource", "list").out


def test_uploads(sirdar: Sirdar, fake: Any, signed_in: Path) -> None:
    (signed_in / "a b.csv").write_text("1")
    uri = sirdar("file", "upload", "a b.csv", "-q").out.strip()
    assert fake.files["/api/files/temp/0/a b.csv"] == b"1" and uri.startswith("/api/files/temp/0/")
    ran = sirdar("file", "upload", "none.csv")
    assert ran.code == 1 and ran.err == "error[file]: none.csv: No such file or directory\n"


# ---------------------------------------------------------------- within a task


def test_status_appends_to_the_message_file(sirdar: Sirdar, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIRDAR_MESSAGE_FILE", str(nowhere / "messages"))
    assert sirdar("status", "fold 3 of 7", "--progress", "0.4", "--metric", "loss=0.2", "--metric", "n=3").code == 0
    assert sirdar("status", "zwölf\nzeilen").code == 0
    lines = [json.loads(line) for line in (nowhere / "messages").read_text().splitlines()]
    assert lines == [
        {"text": "fold 3 of 7", "progress": 0.4, "metrics": {"loss": 0.2, "n": 3.0}},
        {"text": "zwölf\nzeilen"},
    ]
    for wrong in (["--progress", "2"], ["--metric", "loss"], ["--metric", "a=nan"], []):
        assert sirdar("status", *wrong).code == 2


def test_status_speaks_to_the_agent_s_port(sirdar: Sirdar, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("EVEREST_AGENT_ADDRESS", "127.0.0.1")
        monkeypatch.setenv("EVEREST_AGENT_PORT", str(server.getsockname()[1]))
        monkeypatch.setenv("EVEREST_AGENT_TASK_ID", "job-0-0")
        heard: list[bytes] = []

        def listen() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                heard.append(stream.read())

        listener = threading.Thread(target=listen)
        listener.start()
        assert sirdar("status", "hé").code == 0
        listener.join(10)
    assert heard == [b"\0\0\0\x08\0job-0-0" + b"\0\0\0\x03h\xc3\xa9"]


def test_status_outside_a_task(sirdar: Sirdar) -> None:
    ran = sirdar("status", "x")
    assert ran.code == 1 and ran.err.startswith("error[not_in_a_task]")
