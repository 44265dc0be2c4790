"""The scripts and the bench harness: what they promise of themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from bench import report, run
from bench.report import Config, Row

ROOT = Path(__file__).parents[3]
PACKAGES = ROOT / "scripts" / "debian-packages"


# ---------------------------------------------------------------- scripts/debian-packages


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with the shell's own tools only, and a user who is not root."""
    for name in ("sh", "sed", "sort", "tr", "grep", "cut", "cat"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    user = tmp_path / "id"
    user.write_text("#!/bin/sh\necho 1000\n")
    user.chmod(0o755)
    return {"PATH": str(tmp_path)}


def packages(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # The child must die with the test's marker, which the leak check looks for.
    env = {**(environment or os.environ), "SIRDAR_TEST_ID": os.environ["SIRDAR_TEST_ID"]}
    return subprocess.run([PACKAGES, *words], env=env, capture_output=True, text=True, check=False)


def test_it_lists_parts_and_packages() -> None:
    listed = packages("--list", "tests")
    assert listed.returncode == 0
    assert {line.split()[1] for line in listed.stdout.splitlines()} >= {"postgresql", "gcc", "wrk"}


def test_another_user_is_told_what_is_missing(bare: dict[str, str]) -> None:
    told = packages("tests", environment=bare)
    assert told.returncode == 1
    assert "wrk" in told.stderr
    assert "sudo scripts/debian-packages tests" in told.stderr


def test_where_it_may_not_install_it_goes_on_if_told_so(bare: dict[str, str]) -> None:
    told = packages("--if-allowed", "tests", environment=bare)
    assert told.returncode == 0
    assert "will be skipped" in told.stderr


@pytest.mark.parametrize("words", [(), ("--what",), ("no-such-part",)])
def test_it_refuses_what_it_does_not_know(words: tuple[str, ...]) -> None:
    assert packages(*words).returncode == 2


# ---------------------------------------------------------------- make


def test_every_target_of_make_is_explained() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"demo", "test", "check", "bench", "env", "lock"} <= {line.split()[0] for line in listed.stdout.splitlines()}


def test_ci_runs_make_test_as_a_newcomer_would() -> None:
    words = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert words[-1] == "exec make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)


# ---------------------------------------------------------------- bench


def test_a_row_knows_whether_its_goal_is_reached() -> None:
    assert Row("a", 950, "tasks/s", limit=1900, ratio_at_least=0.5).reached is True
    assert Row("a", 940, "tasks/s", limit=1900, ratio_at_least=0.5).reached is False
    assert Row("a", 19, "ms", at_most=20).reached is True
    assert Row("a", 19, "ms").reached is None


def test_runs_are_alternated() -> None:
    order: list[str] = []
    figures = report.alternate(3, {"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert report.medians(figures) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.95, 95), (1.0, 100), (0.0, 1)])
def test_percentiles(part: float, expected: float) -> None:
    assert report.percentile(range(1, 101), part) == expected


def test_a_bench_leaves_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bench.bench_feet")
    module.run = lambda config: [Row("up", 2.0, "km/h", limit=4.0, limit_what="downhill", ratio_at_least=0.4)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench.bench_feet", module)
    assert run.run_one("feet", Config(tmp_path, rounds=1), tmp_path) is not None
    table = (tmp_path / "feet.md").read_text()
    assert "| up | 2 km/h | 4 km/h (downhill) | 0.50 | at least 0.4 of the limit | yes |" in table
    assert os.uname().nodename not in (tmp_path / "feet.json").read_text()


def test_a_bench_that_breaks_is_told_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.run_one("there_is_none", Config(tmp_path, rounds=1), tmp_path) is None
    assert "ModuleNotFoundError" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
