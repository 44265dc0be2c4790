"""Environments of conda, by stand-ins on PATH that take the command lines of the real tools: these come from no index of ours."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready
from sirdar.agent.environments.conda import CondaEnvironments
from sirdar.agent.environments.store import EnvironmentStore
from sirdar.domain.environment import Environment

WANTED = Environment(conda="environment.yml")
YAML = "name: x\nchannels: [conda-forge]\ndependencies:\n  - python=3.12\n"
# $1.. as each tool takes them; what they make is a prefix with the command `hello`, which prints the file that it was made of.
FILL = """
fill() {
    mkdir -p "$1/bin" "$1/conda-meta"
    { echo '#!/bin/sh'; echo "cat <<'END'"; cat "$2"; echo END; } > "$1/bin/hello"
    chmod +x "$1/bin/hello"
    echo "Linking python-3.12"
}
"""
TOOLS = {
    "micromamba": 'test "$1 $2 $3 $5" = "create -y -p -f" || exit 64; fill "$4" "$6"',
    "mamba": 'test "$1 $2 $3 $5" = "env create -p -f" && test "$CONDA_ALWAYS_YES" = 1 || exit 64; fill "$4" "$6"',
    "conda": 'test "$1 $2 $3 $5" = "env create -p -f" && test "$CONDA_ALWAYS_YES" = 1 || exit 64; fill "$4" "$6"',
    "pixi": """case "$1" in
init) test "$2" = "--import" || exit 64; mkdir -p "$4"; cp "$3" "$4/pixi.toml";;
install) test "$2" = "--manifest-path" || exit 64; fill "$(dirname "$3")/.pixi/envs/default" "$3";;
*) exit 64;;
esac""",
}


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        (root / "bin").mkdir()
        self.provider = CondaEnvironments(EnvironmentStore(root / "environments", 1 << 30, boot="this"))

    def tool(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{FILL}\necho ran >> {self.root}/runs\n{script}\n")
        path.chmod(0o755)

    def runs(self) -> int:
        path = self.root / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def file(self, text: str = YAML, name: str = "environment.yml") -> Files:
        path = self.root / f"blob-{abs(hash(text))}"
        path.write_text(text)
        return {name: path}

    def ensure(self, files: Files, *, trusted: bool = True) -> Ready:
        async def ask() -> Ready:
            ready = await self.provider.ensure(WANTED, files, self.said.append, trusted=trusted)
            await self.provider.collect()
            return ready

        return asyncio.run(ask())

    def fault(self, files: Files, *, trusted: bool = True) -> EnvironmentFailed:
        with pytest.raises(EnvironmentFailed) as caught:
            self.ensure(files, trusted=trusted)
        return caught.value


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Place(tmp_path)


def hello(ready: Ready) -> str:
    env = {"PATH": os.pathsep.join([*ready.path, "/usr/bin", "/bin"])}
    return subprocess.run(["hello"], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", TOOLS)
def test_each_tool_makes_it_once(place: Place, name: str) -> None:
    place.tool(name, TOOLS[name])
    files = place.file()
    assert place.provider.known(WANTED, files) is None
    ready = place.ensure(files)
    assert hello(ready) == YAML
    assert ready.env["CONDA_PREFIX"] + "/bin" == ready.path[0] and ready.path[0].startswith(ready.read[0])
    assert place.provider.known(WANTED, files) == ready
    runs = place.runs()
    assert place.ensure(files) == ready and place.runs() == runs
    assert place.said[0] == f"building environment with {name}"
    assert dict(place.provider.labels()) == {"environment-conda": name}


def test_the_first_tool_that_is_here_is_taken(place: Place) -> None:
    place.tool("pixi", "exit 1")
    place.tool("micromamba", TOOLS["micromamba"])
    assert hello(place.ensure(place.file())) == YAML


def test_where_there_is_none_it_is_said(place: Place) -> None:
    assert str(place.fault(place.file())).startswith("this machine has none of micromamba, mamba, conda, pixi")
    assert dict(place.provider.labels()) == {}


def test_its_failure_has_the_log(place: Place) -> None:
    place.tool("micromamba", "echo 'error    libmamba Could not solve for environment specs'; exit 1")
    fault = place.fault(place.file())
    assert str(fault).startswith("micromamba could not make the environment: ") and "Could not solve" in str(fault)
    assert "$ micromamba create -y -p" in fault.log and not fault.transient
    assert [path.name for path in (place.root / "environments").iterdir()] == ["cache"]
    place.fault(place.file())
    assert place.runs() == 1, "a failure is remembered for a while"


def test_success_without_an_environment_is_no_success(place: Place) -> None:
    place.tool("conda", "exit 0")
    assert str(place.fault(place.file())) == "conda said that it made the environment, and did not"


def test_it_is_made_for_the_trusted_only_and_then_there_for_all(place: Place) -> None:
    place.tool("micromamba", TOOLS["micromamba"])
    files = place.file()
    assert "for this machine's owner only" in str(place.fault(files, trusted=False)) and place.runs() == 0
    ready = place.ensure(files)
    assert place.ensure(files, trusted=False) == ready


def test_lists_of_pip_belong_to_it(place: Place) -> None:
    place.tool("micromamba", 'cat "$(dirname "$6")/pip.txt"; ' + TOOLS["micromamba"])
    text = YAML + "  - pip:\n      - -r pip.txt\n      - numpy\n"
    files = {**place.file(text), **place.file("one==1\n", "pip.txt")}
    first = place.ensure(files)
    changed = {**files, **place.file("one==2\n", "pip.txt")}
    assert place.provider.known(WANTED, changed) is None
    assert place.ensure(changed).identity != first.identity
    outside = place.file(YAML + "  - pip: ['-r ../secret.txt']\n")
    assert "lies outside of the application" in str(place.fault(outside))


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is not YAML"), ("- 1", "no list of dependencies"), ("", "no list")]
)
def test_what_is_no_such_file_is_said(place: Place, text: str, said: str) -> None:
    place.tool("micromamba", TOOLS["micromamba"])
    assert said in str(place.fault(place.file(text))) and place.runs() == 0
