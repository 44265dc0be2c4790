"""``code: {path: ...}``: the version of code that lies on the resource, and what happens where it cannot be told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_server import FakeServer
from harness import AgentProcess


def code_at(tmp_path: Path, version: str) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "run.sh").write_text("#!/bin/sh\necho ran in $(basename $(pwd))\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "version").write_text(f"#!/bin/sh\n{version}\n")
    (folder / "version").chmod(0o755)
    return folder


def test_the_version_is_asked_once_a_minute_and_reported(running: FakeServer, tmp_path: Path) -> None:
    folder = code_at(tmp_path, "echo x >> asked; echo; echo 'v1.2 (main)  '; echo more; pwd > where")
    document = {"command": ["./run.sh"], "code": {"path": str(folder), "version_command": ["./version", "--long"]}}
    keys = running.add_job(document, tasks=5)
    finals = [running.final(key) for key in keys]
    assert {(final.reason, final.code_version, final.stdout.text) for final in finals} == {
        ("ok", "v1.2 (main)", "ran in dir\n")
    }
    (again,) = running.add_job(document)
    assert running.final(again).code_version == "v1.2 (main)"
    assert (folder / "asked").read_text() == "x\n"
    assert (folder / "where").read_text() == f"{os.path.realpath(folder)}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["./none"], "./none: No such file"),
        (["sh", "-c", "exit 4"], "ended with exit code 4"),
        (["true"], "printed nothing"),
    ],
)
def test_a_version_that_cannot_be_told_is_unknown_and_no_fault(
    running: FakeServer, tmp_path: Path, command: list[str], words: str
) -> None:
    folder = code_at(tmp_path, "true")
    (key,) = running.add_job({"command": ["./run.sh"], "code": {"path": str(folder), "version_command": command}})
    final = running.final(key)
    assert final.reason == "ok"
    assert final.code_version is not None and final.code_version.startswith("unknown (")
    assert words in final.code_version


def test_code_that_is_not_there_is_said(running: FakeServer, tmp_path: Path) -> None:
    (key,) = running.add_job({"command": ["./run.sh"], "code": {"path": str(tmp_path / "none")}})
    final = running.final(key)
    assert (final.reason, final.code_version) == ("stage_in", None)
    assert "is not on the resource" in final.message


def test_the_tasks_path_ends_with_our_own_commands(running: FakeServer) -> None:
    (key,) = running.add_job({"shell": "command -v sirdar"})
    assert running.final(key).stdout.text.splitlines()[0].endswith("/sirdar")


def test_a_version_command_needs_the_owners_leave_as_any_command(
    server: FakeServer, make_agent: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    folder = code_at(tmp_path, "touch ran")
    agent = make_agent(server)
    agent.home.mkdir()
    (agent.home / "policy.yaml").write_text("allow: {commands: [./run.sh]}\n")
    agent.start()
    document = {"command": ["./run.sh"], "code": {"path": str(folder), "version_command": ["./version"]}}
    (key,) = server.add_job(document)
    final = server.final(key)
    assert (final.reason, final.code_version) == (
        "ok",
        "unknown (its owner does not let the command ./version run there)",
    )
    assert not (folder / "ran").exists()
