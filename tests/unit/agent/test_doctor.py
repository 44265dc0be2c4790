"""What ``sirdar doctor`` says of a machine that runs jobs, by stand-ins of the programs that it asks."""

from pathlib import Path

import pytest

from sirdar.agent.doctor import Check, check


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole ``PATH``, but for what a shell script needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def stand_in(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


def found(home: Path) -> dict[str, Check]:
    return {one.name: one for one in check(home)}


def test_a_machine_that_has_nothing(path: Path, tmp_path: Path) -> None:
    says = found(tmp_path / "home")
    assert set(says) == {"sandbox", "containers", "environments"}
    assert not says["sandbox"].ok and says["sandbox"].warning and "bubblewrap" in says["sandbox"].detail
    assert says["containers"].ok and "podman, docker, apptainer are not here" in says["containers"].detail


def test_an_engine_that_does_not_work_is_told_with_its_own_words(path: Path, tmp_path: Path) -> None:
    stand_in(path, "docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    one = found(tmp_path)["containers"]
    assert not one.ok and one.warning and one.detail.endswith("Cannot connect to the Docker daemon")


def test_an_engine_and_what_it_cannot_limit(path: Path, tmp_path: Path) -> None:
    stand_in(path, "apptainer", "echo apptainer version 1.3.6")
    one = found(tmp_path)["containers"]
    assert one.ok and "by apptainer 1.3.6" in one.detail and "cannot limit cpu, memory, pids" in one.detail


def test_a_cluster_that_answers_and_one_that_does_not(path: Path, tmp_path: Path) -> None:
    stand_in(path, "sinfo", "echo 'main*'; echo other; echo other")
    one = found(tmp_path)["slurm"]
    assert one.ok and "partitions: main*, other." in one.detail
    stand_in(path, "sinfo", "echo 'sinfo: error: Unable to contact slurm controller' >&2; exit 1")
    one = found(tmp_path)["slurm"]
    assert not one.ok and one.warning and "Unable to contact slurm controller" in one.detail


@pytest.mark.parametrize(("name", "text", "kind"), [
    ("policy.yaml", "isolation: jail\n", "sandbox"),
    ("slurm.yaml", "mode: rockets\n", "slurm"),
])  # fmt: skip
def test_a_file_that_keeps_the_agent_from_starting_is_a_failure(
    path: Path, tmp_path: Path, name: str, text: str, kind: str
) -> None:
    stand_in(path, "sinfo", "echo main")
    (tmp_path / name).write_text(text)
    one = found(tmp_path)[kind]
    assert not one.ok and not one.warning and name in one.detail
