"""The command line against the real product, as processes."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN
from tests.system.product import ADMIN_PASSWORD, Product

from sirdar.client.profile import Login, keep_login

PROGRAM = """\
import subprocess, sys, time
numbers = [float(line) for line in open(sys.argv[1])]
subprocess.run([sys.argv[4], "status", "half way", "--progress", "0.5", "--metric", "loss=0.25"], check=True)
open("plot.txt", "w").write("plot")
print("total", sum(x ** int(sys.argv[2]) for x in numbers))
print("oh no", file=sys.stderr)
sys.exit(int(sys.argv[3]))
"""
DESCRIPTION = f"""\
sirdar: 1
alias: cli-sums
inputs:
  data: {{type: file, title: Numbers, suffixes: [.csv], required: true}}
  power: {{type: integer, default: 2, minimum: 1, maximum: 9}}
  exit: {{type: integer, default: 0}}
command: python3 sums.py ${{data}} ${{power}} ${{exit}} {BIN / "sirdar"}
outputs:
  total: {{type: number, from: stdout, regex: 'total (.*)'}}
  plot: {{type: file, from: plot.txt}}
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture(scope="module")
def cli(sirdar: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """``sirdar`` in a folder of its own, signed in as the administrator."""
    root = tmp_path_factory.mktemp("cli")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SIRDAR_", "EVEREST_"))}
    environ |= {"SIRDAR_CONFIG_DIR": str(root / "config")}
    work = root / "work"
    (work / "sums").mkdir(parents=True)
    (work / "sums" / "sirdar.yaml").write_text(DESCRIPTION)
    (work / "sums" / "sums.py").write_text(PROGRAM)
    (work / "a.csv").write_text("1\n2\n3\n")

    def run(*words: Any, stdin: str = "", **more: str) -> Ran:
        done = subprocess.run(
            [BIN / "sirdar", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=work,
            env={**environ, **more},
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    run.work, run.environ = work, environ  # type: ignore[attr-defined]
    signed = run("login", sirdar.url, "--user", "admin", SIRDAR_PASSWORD=ADMIN_PASSWORD)
    assert signed.code == 0, signed.err
    assert run("publish", "sums", "-q").out == "admin/cli-sums@1\n"
    yield run


def test_run_to_the_outputs(cli: Cli) -> None:
    ran = cli("run", "me/cli-sums", "-i", "data=@a.csv", "-i", "power=3", "--wait", "--download", "out")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("✓ Done in ") and "total  36.0" in ran.out and "downloaded out/plot.txt" in ran.out
    assert (cli.work / "out" / "plot.txt").read_text() == "plot"  # type: ignore[attr-defined]
    shown = json.loads(cli("job", "show", "last", "--json").out)
    assert shown["statusMessage"] == "half way" and shown["metrics"] == {"loss": 0.25}
    assert cli("job", "logs", "last").out == "total 36.0\n"
    assert cli("job", "logs", shown["id"][:8]).err == "oh no\n", "a beginning of the id is enough"
    assert "half way" in cli("job", "show", "last").out
    assert cli("job", "tasks", "last", "-q").out == "0\n"
    assert cli("explain", "last").code == 0


def test_a_failure_is_1_and_shows_the_program_s_words(cli: Cli) -> None:
    ran = cli("run", "me/cli-sums", "-i", "data=@a.csv", "-i", "exit=3", "--wait")
    assert ran.code == 1 and "exit code 3" in ran.out and "oh no" in ran.out
    again = cli("job", "resubmit", "last", "-i", "exit=0", "--wait", "--json")
    assert again.code == 0 and json.loads(again.out)["result"]["total"] == 14.0


def test_what_the_server_refuses_is_2(cli: Cli) -> None:
    ran = cli("run", "me/cli-sums", "-i", "data=@a.csv", "-i", "power=77")
    assert ran.code == 2
    assert ran.err.startswith("error[invalid_input]: inputs.power: 77") and "/docs/errors/invalid_input" in ran.err
    assert cli("run", "me/cli-sums").code == 2
    assert cli("run", "me/none").code == 1


def test_sweeps(cli: Cli) -> None:
    rows = cli.work / "rows.jsonl"  # type: ignore[attr-defined]
    rows.write_text('{"data": "@a.csv", "power": 1}\n{"data": "@a.csv", "power": 2}\n')
    ran = cli("run", "me/cli-sums", "--foreach", rows, "--wait", "--json")
    assert ran.code == 0, ran.err
    assert [row["total"] for row in json.loads(ran.out)["result"]] == [6.0, 14.0]


def test_cancel_is_3_and_ctrl_c_130(cli: Cli, sirdar: Product) -> None:
    sirdar.publish("cli-sleeper", ["sleep", "60"])
    running = subprocess.Popen(
        [BIN / "sirdar", "run", "me/cli-sleeper", "--wait"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=cli.environ,  # type: ignore[attr-defined]
    )
    assert running.stderr is not None
    said = ""
    while "Running" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=30)
    assert running.returncode == 130 and "sirdar job watch" in rest
    assert json.loads(cli("job", "show", "last", "--json").out)["state"] == "RUNNING"
    assert cli("job", "cancel", "last").code == 0
    assert cli("job", "watch", "last").code == 3


def test_a_newcomer_s_way(cli: Cli) -> None:
    folder = cli.work / "fresh"  # type: ignore[attr-defined]
    folder.mkdir()
    (folder / "double.py").write_text("import sys\nprint(2 * float(open(sys.argv[1]).read()))\n")
    (folder / "n.txt").write_text("21\n")
    made = cli("init", folder, "--alias", "double", "-c", "python3 double.py n.txt", "-o", "twice:number=stdout")
    assert made.code == 0, made.err
    published = cli("publish", folder)
    assert published.code == 0, published.err
    following = published.err.split("next: ")[1].strip().replace("@FILE", f"@{folder / 'n.txt'}")
    ran = cli(*following.split()[1:])
    assert ran.code == 0 and "twice  42.0" in ran.out


def test_applications_travel(cli: Cli) -> None:
    assert cli("app", "export", "me/cli-sums", "-o", "sums.zip").code == 0
    assert cli("app", "import", "sums.zip").code == 0
    assert "power" in cli("app", "show", "me/cli-sums").out
    assert "alias: cli-sums" in cli("app", "show", "me/cli-sums", "--source").out
    assert json.loads(cli("app", "openapi", "me/cli-sums").out)["openapi"].startswith("3.")
    assert cli("app", "archive", "me/cli-sums").code == 0
    assert cli("run", "me/cli-sums", "-i", "data=@a.csv").code != 0
    assert cli("app", "archive", "me/cli-sums", "--undo").code == 0


def test_people(cli: Cli) -> None:
    made = json.loads(cli("user", "create", "cli-anna", "--publish", "--json").out)
    assert "/login/" in made["loginLink"]
    assert cli("user", "set", "cli-anna", "--max-jobs", "5", "--no-publish").code == 0
    anna = json.loads(cli("user", "show", "cli-anna", "--json").out)
    assert anna["quotas"]["jobsInFlight"] == 5 and anna["canPublish"] is False
    assert cli("group", "create", "cli-lab").code == 0
    assert cli("group", "add", "cli-lab", "cli-anna").out == "cli-lab: cli-anna\n"
    assert cli("app", "share", "me/cli-sums", "group:cli-lab").out == "group:cli-lab  run\n"
    assert cli("run", "me/cli-sums", "-i", "data=@a.csv", "--wait").code == 0
    assert cli("job", "share", "last", "cli-anna").code == 0
    assert cli("job", "share", "last").out == "user:cli-anna\n"
    assert "?share=" in cli("job", "share", "last", "--link").out
    assert cli("group", "delete", "cli-lab").code == 0
    assert cli("user", "disable", "cli-anna").code == 0


def test_tokens(cli: Cli, sirdar: Product, tmp_path: Path) -> None:
    made = cli("token", "create", "ci", "--scope", "read", "--lifetime", "1d", "--json")
    token = json.loads(made.out)
    assert cli("job", "list", "-q", SIRDAR_URL=sirdar.url, SIRDAR_TOKEN=token["access_token"]).code == 0
    refused = cli("run", "me/cli-sums", "-i", "data=@a.csv", SIRDAR_URL=sirdar.url, SIRDAR_TOKEN=token["access_token"])
    assert refused.code == 1 and "error[forbidden]" in refused.err
    assert cli("token", "revoke", token["id"]).code == 0
    assert cli("job", "list", SIRDAR_URL=sirdar.url, SIRDAR_TOKEN=token["access_token"]).code == 4


def test_backup_and_restore(cli: Cli, sirdar: Product) -> None:
    saved = cli("backup", "copy", "--home", sirdar.home)
    assert saved.code == 0, saved.err
    restored = cli("restore", "copy", "--home", "second")
    assert restored.code == 0, restored.err
    year = str(datetime.now(UTC).year)
    assert f"taken at: {year}-" in saved.out and f"taken at: {year}-" in restored.out
    again = json.loads(cli("restore", "copy", "--home", "third", "--json").out)["taken_at"]
    assert again.endswith("Z") and datetime.fromisoformat(again)
    checked = cli("doctor", "--home", "second", "--json")
    assert {row["name"]: row["ok"] for row in json.loads(checked.out)}["server"] is True
    assert checked.code == 0
    policy = cli.work / "second" / "agent" / "policy.yaml"  # type: ignore[attr-defined]
    policy.parent.mkdir(exist_ok=True)
    policy.write_text("isolation: none\n")
    warned = cli("doctor", "--home", "second")
    assert warned.code == 0, "a warning is no failure"
    assert "! sandbox: policy.yaml says isolation: none" in warned.out
    assert "environments: of Python packages by uv 0." in warned.out
    policy.write_text("isolation: bubblewrap\n")
    assert "every program runs in a sandbox" in cli("doctor", "--home", "second").out or not shutil.which("bwrap")
    policy.write_text("isolation: jail\n")
    assert cli("doctor", "--home", "second").code == 1


def test_up_signs_its_own_user_in(cli: Cli, tmp_path: Path) -> None:
    """The profile that ``sirdar up`` writes is the one that the commands read."""
    environ = {**cli.environ, "SIRDAR_CONFIG_DIR": str(tmp_path / "config")}  # type: ignore[attr-defined]
    serving = subprocess.Popen(
        [BIN / "sirdar", "up", "--home", tmp_path / "home", "--port", "0", "--slots", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        assert serving.stdout is not None
        deadline = time.monotonic() + 60
        while not serving.stdout.readline().startswith("ready "):
            assert time.monotonic() < deadline and serving.poll() is None
        config = {"SIRDAR_CONFIG_DIR": str(tmp_path / "config")}
        assert cli("user", "show", "-q", **config).out == "admin\n"
        assert (tmp_path / "config" / "profile.json").stat().st_mode & 0o777 == 0o600
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(30)
        if serving.stdout is not None:
            serving.stdout.close()
    assert serving.returncode == 0


def test_another_server_by_option(cli: Cli, sirdar: Product, tmp_path: Path) -> None:
    keep_login("http://127.0.0.1:9", Login("t"), environ={"SIRDAR_CONFIG_DIR": str(tmp_path)})
    config = {"SIRDAR_CONFIG_DIR": str(tmp_path)}
    assert cli("job", "list", **config).code == 4
    assert cli("user", "show", "-q", "--server", sirdar.url, SIRDAR_TOKEN=sirdar.token(), **config).out == "admin\n"
