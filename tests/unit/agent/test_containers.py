"""Command lines of the container engines, and what of a task's environment they get."""

import json
import os
import stat
from pathlib import Path

import pytest

from sirdar.agent.environments import engines
from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.engines import Engine, find_engine, own_environment
from sirdar.agent.executors.base import Launch, Wrap
from sirdar.agent.porter.wrap import Wrap as PorterWrap
from sirdar.agent.wraps.containers import contain, with_gpus

ALL = frozenset({"cpu", "memory", "pids"})


def launch(folder: Path, **more: object) -> Launch:
    (folder / "dir").mkdir(parents=True, exist_ok=True)
    given: dict[str, object] = {
        "key": "job/1:2", "argv": ["solve", "x"], "env": {"SIRDAR_TOKEN": "secret-word", "LD_PRELOAD": "./evil.so"},
        "base_env": {"PATH": "/agent/bin", "HOME": "/root", "SIRDAR_URL": "http://here"}, "cwd": f"{folder}/dir",
        "stdout": f"{folder}/stdout", "stderr": f"{folder}/stderr", "cpus": 2, "memory_bytes": 1 << 30,
    }  # fmt: skip
    return Launch(**{**given, **more})  # type: ignore[arg-type]


def contained(folder: Path, engine: Engine, *, network: bool = True, **more: object) -> tuple[Launch, str]:
    made = contain(launch(folder, **more), engine, Path("/home"), image="abc", network=network)
    assert made.wrap is not None
    return made, " ".join(made.wrap.words)


def test_podman_as_root(tmp_path: Path) -> None:
    engine = Engine("podman", "/usr/bin/podman", controllers=ALL, env={"PATH": "/usr/bin"})
    made, words = contained(tmp_path, engine)
    assert words.startswith("/usr/bin/podman run --rm --init --pull never --name sirdar-job-1-2 ")
    for part in (
        "--cap-drop all --security-opt no-new-privileges", "--read-only", f"--user {os.getuid()}:{os.getgid()}", "--network host",
        "--cpus 2 --pids-limit 1024 --memory 1073741824 --memory-swap 1073741824", f"--workdir {tmp_path}/dir",
        f"--mount type=bind,source={tmp_path}/dir,target={tmp_path}/dir", "--label sirdar.home=/home",
    ):  # fmt: skip
        assert f" {part} " in words, part
    assert words.endswith(" abc") and "--userns" not in words and "--interactive" not in words
    assert made.memory_bytes is None and made.wrap is not None
    assert made.wrap.end == ["/usr/bin/podman", "rm", "--force", "--time", "0", "sirdar-job-1-2"]


def test_podman_without_root_limits_what_it_may(tmp_path: Path) -> None:
    engine = Engine("podman", "podman", rootless=True, controllers=frozenset({"pids"}))
    _, words = contained(tmp_path, engine, network=False, stdin="/dev/null")
    assert (
        "--userns keep-id" in words
        and "--network none" in words
        and "--pids-limit" in words
        and "--interactive" in words
    )
    assert "--memory" not in words and "--cpus" not in words


def test_docker(tmp_path: Path) -> None:
    made, words = contained(tmp_path, Engine("docker", "/bin/docker", controllers=ALL))
    assert words.startswith("/bin/docker run --rm --init --pull never ") and "--tmpfs /tmp:" in words
    for other in ("--image-volume", "--http-proxy", "--read-only-tmpfs", "--conmon-pidfile", "--userns"):
        assert other not in words, "podman's own"
    assert made.wrap is not None and made.wrap.end == ["/bin/docker", "rm", "--force", "sirdar-job-1-2"]


def test_apptainer(tmp_path: Path) -> None:
    made, words = contained(tmp_path, Engine("apptainer", "/bin/apptainer", env={"PATH": "/bin"}), network=False)
    assert words.startswith("/bin/apptainer --silent exec --containall --cleanenv --no-home ")
    assert f"--bind {tmp_path}/dir:{tmp_path}/dir" in words and words.endswith("--net --network none abc")
    assert made.env["APPTAINERENV_SIRDAR_TOKEN"] == "secret-word" and made.base_env == {"PATH": "/bin"}
    assert made.memory_bytes == 1 << 30, "a process of ours: the porter limits it"


def test_the_engine_gets_nothing_of_the_task(tmp_path: Path) -> None:
    """Its command runs outside of the container, where ``LD_PRELOAD`` of a stranger would be a way out."""
    env = {"KEY": "-----\nof two lines", "LD_AUDIT": "a\nb", "ENV": "x\ny", "not a name": "1"}
    engine = Engine("podman", "podman", controllers=ALL, env={"HOME": "/agent"})
    given = {"SIRDAR_TOKEN": "secret-word", "LD_PRELOAD": "./evil.so", **env}
    made, words = contained(tmp_path, engine, env=given)
    assert "secret-word" not in words and "evil" not in words
    assert made.base_env is engine.env and made.env == {"KEY": "-----\nof two lines", "SIRDAR_TASK_ID": "job/1:2"}
    assert "--env KEY" in words and "LD_AUDIT" not in words
    file = tmp_path / "environment"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = file.read_text().splitlines()
    assert "LD_PRELOAD=./evil.so" in lines and "SIRDAR_URL=http://here" in lines and "HOME=/tmp" in lines
    assert not [line for line in lines if line.startswith(("PATH=", "KEY", "not"))]


def test_gpus_by_cdi() -> None:
    made = with_gpus(Wrap("podman", ["podman", "run", "abc"], inside=True), ["0", "3"])
    assert made.words == ["podman", "run", "--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=3", "abc"]
    made = with_gpus(Wrap("apptainer", ["apptainer", "--silent", "exec", "abc"], inside=True), ["1"])
    assert made.words == ["apptainer", "--silent", "exec", "--nv", "abc"]
    none = Wrap("podman", ["podman", "run", "abc"], inside=True)
    assert with_gpus(none, [""]) is none


def stand_in(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_engine_is_found_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    stand_in(tmp_path / "bin", "apptainer", "echo apptainer version 1.3.4")
    stand_in(tmp_path / "bin", "docker", "echo 27.1")
    host = {"cgroupVersion": "v1", "cgroupControllers": ["cpu"], "security": {"rootless": True}}
    info = json.dumps({"host": host, "version": {"Version": "5.1"}})
    stand_in(tmp_path / "bin", "podman", f"echo '{info}'")
    found = find_engine()
    assert (found.kind, found.version, found.rootless, found.controllers) == ("podman", "5.1", True, frozenset())
    assert find_engine("docker").version == "27.1" and find_engine("apptainer").version == "1.3.4"
    stand_in(tmp_path / "bin", "podman", "echo 'Error: no storage' >&2; exit 125")
    assert find_engine().kind == "docker", "the next one that works"
    with pytest.raises(EnvironmentFailed, match="podman does not work here: no storage"):
        find_engine("podman")
    asked = json.dumps({"host": host, "version": {"Version": "5.1"}, "store": {"runRoot": "/" + "r" * 50}})
    stand_in(tmp_path / "bin", "podman", f"echo '{asked}'")
    with pytest.raises(
        EnvironmentFailed, match=r"its runroot /r+ is longer than 50 letters: set a shorter one in storage\.conf"
    ):
        find_engine("podman")  # what tidies up after its containers would fail, and each of them last 20 s longer
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(EnvironmentFailed, match=r"no container engine \(podman, docker, apptainer\)"):
        find_engine()


def test_of_the_agents_environment_an_engine_gets_what_concerns_it() -> None:
    given = {
        "PATH": "/bin",
        "CONTAINERS_CONF": "c",
        "XDG_RUNTIME_DIR": "/run/1",
        "LD_PRELOAD": "x",
        "SIRDAR_TOKEN": "t",
    }
    assert own_environment(given) == {"PATH": "/bin", "CONTAINERS_CONF": "c", "XDG_RUNTIME_DIR": "/run/1"}


@pytest.mark.parametrize(
    ("code", "said", "fact"),
    [
        (3, "", {"code": 3}),
        (143, "", {"code": -15}),
        (127, "sh: x: not found", {"code": 127}),
        (1, "Traceback", {"code": 1}),
        (1, "ERROR (catatonit:2): failed to exec pid1: No such file or directory", {"code": None, "errno": 2}),
        (126, "ERROR (catatonit:2): failed to exec pid1: Permission denied", {"code": None, "errno": 13}),
        (127, "[FATAL tini (7)] exec x failed: No such file or directory", {"code": None, "errno": 2}),
        (125, "Error: abc: image not known", {"code": None, "errno": 5}),
    ],
)
def test_how_a_container_ended(tmp_path: Path, code: int, said: str, fact: dict[str, object]) -> None:
    (tmp_path / "err").write_text(f"before\n{said}\n")
    wrap = PorterWrap({"kind": "podman", "words": ["podman", "run", "abc"], "inside": True})
    found = wrap.read_end(code, str(tmp_path / "err"), signalled=False)
    assert {key: found[key] for key in fact} == fact, found


@pytest.mark.parametrize(
    ("code", "said", "fact"),
    [
        (255, "said by the program", {"code": 255}),
        (255, 'FATAL:   "x": executable file not found in $PATH', {"code": None, "errno": 2}),
        (
            255,
            "FATAL:   could not open image a.sif",
            {"error": "the container could not be made: could not open image a.sif"},
        ),
        (1, "FATAL:   said by the program", {"code": 1}),
    ],
)
def test_how_one_of_apptainer_ended(tmp_path: Path, code: int, said: str, fact: dict[str, object]) -> None:
    (tmp_path / "err").write_text(f"before\n{said}\n")
    wrap = PorterWrap({"kind": "apptainer", "words": ["apptainer", "exec", "a.sif"], "inside": True})
    found = wrap.read_end(code, str(tmp_path / "err"), signalled=False)
    assert {key: found[key] for key in fact} == fact, found


def test_a_kill_that_nobody_sent_is_a_lack_of_memory(tmp_path: Path) -> None:
    limited = PorterWrap({"kind": "docker", "words": ["docker", "run", "--memory", "1", "abc"], "inside": True})
    assert limited.container_facts(-9, signalled=False).get("oom") is True
    assert "oom" not in limited.container_facts(-9, signalled=True)
    free = PorterWrap({"kind": "docker", "words": ["docker", "run", "abc"], "inside": True})
    assert "oom" not in free.container_facts(-9, signalled=False)


@pytest.mark.parametrize(
    ("code", "last", "started"),
    [
        (
            126,
            "Error: runc: runc create failed: error during container init: rlimit: OCI permission denied",
            False,
        ),
        (127, "docker: Error response from daemon: OCI runtime error: no such device", False),
        (126, "sh: ./tool: Permission denied", True),
        (1, "Error: the model has no OCI permission denied of its own", True),
    ],
)
def test_a_container_that_the_engine_could_not_make_is_no_end_of_the_program(
    tmp_path: Path, code: int, last: str, started: bool
) -> None:
    (tmp_path / "stderr").write_text(f"{last}\n")
    end = PorterWrap({"kind": "podman", "words": ["podman", "run"], "inside": True}).read_end(
        code, str(tmp_path / "stderr"), signalled=False
    )
    assert (end["code"] == code) is started
    assert started or (end["what"] == "system" and "container could not be made" in end["error"])


def test_each_engine_that_does_not_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    stand_in(tmp_path / "bin", "podman", "echo 'Error: broken database' >&2; exit 125")
    stand_in(tmp_path / "bin", "docker", "exec sleep 600")
    monkeypatch.setattr(engines, "PROBE_PATIENCE_S", 0.5)
    with pytest.raises(EnvironmentFailed) as caught:
        find_engine()
    assert str(caught.value) == (
        "podman does not work here: broken database; docker does not work here: it gave no answer in 0.5 s"
    )
