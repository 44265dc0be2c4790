"""The command line in this process and in processes of its own, against the client tests' fake server."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sirdar.cli.main import run as run_here
from sirdar.client.profile import Login, keep_login


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def fake_server() -> Iterator[Any]:
    name = "sirdar_fake_server"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "client" / "fake_server.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    with sys.modules[name].Running() as state:
        yield state


@pytest.fixture
def fake(fake_server: Any) -> Any:
    fake_server.reset()
    return fake_server


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty profile and an empty folder."""
    for name in list(os.environ):
        if name.startswith(("SIRDAR_", "EVEREST_")) and name != "SIRDAR_TEST_ID":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIRDAR_CONFIG_DIR", str(tmp_path / "config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def signed_in(fake: Any, nowhere: Path) -> Path:
    keep_login(fake.url, Login("t0ken", "anna"))
    return nowhere


@pytest.fixture
def sirdar(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run_here(list(arguments))
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture
def process(nowhere: Path) -> Callable[..., Ran]:
    """Run a command line as a user does."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "sirdar.cli.main", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environ},
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
