"""Environments by the real uv, of wheels that are made here: no network."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.wheels import index_of, make_sdist, make_wheel, sha256_of

from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready
from sirdar.agent.environments.python import PythonEnvironments
from sirdar.agent.environments.store import EnvironmentStore
from sirdar.agent.environments.uv import find_uv
from sirdar.domain.environment import Environment

HERE = f">={sys.version_info[0]}.{sys.version_info[1]}"
BACKEND = """
import os, zipfile
def build_wheel(folder, settings=None, metadata=None):
    open(%r, "a").write("ran\\n")
    name = "%s-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("%s.py", "__version__ = 'built'")
        archive.writestr("%s-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: %s\\nVersion: 1.0\\n")
        archive.writestr("%s-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("%s-1.0.dist-info/RECORD", "")
    return name
"""


class Place:
    """A machine with wheels to find, an application's files, and a provider."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root / "wheels"
        self.said: list[str] = []
        make_wheel(self.wheels, "sirdarbase", "1.0")
        make_wheel(self.wheels, "sirdartiny", "1.0")
        make_wheel(self.wheels, "sirdartiny", "2.0", requires_dist="sirdarbase>=1")
        self.begin()

    def begin(self, **more: object) -> PythonEnvironments:
        """Another life of the agent."""
        self.store = EnvironmentStore(self.root / "environments", 1 << 30, boot="this")
        self.provider = PythonEnvironments(self.store, **more)  # type: ignore[arg-type]
        return self.provider

    def files(self, **texts: str) -> Files:
        """By names as ``uv__lock`` for ``uv.lock``, each in a file that is named after nothing."""
        found = {}
        for name, text in texts.items():
            place = self.root / f"blob-{abs(hash(text))}"
            place.write_text(text)
            found[name.replace("__", ".")] = place
        return found

    def ensure(self, wanted: Environment, files: Files, *, trusted: bool = True) -> Ready:
        async def ask() -> Ready:
            ready = await self.provider.ensure(wanted, files, self.said.append, trusted=trusted)
            await self.provider.collect()
            return ready

        return asyncio.run(ask())

    def fault(self, wanted: Environment, files: Files, *, trusted: bool = True) -> EnvironmentFailed:
        with pytest.raises(EnvironmentFailed) as caught:
            self.ensure(wanted, files, trusted=trusted)
        return caught.value

    def made(self) -> list[Path]:
        return [path for path in (self.root / "environments").iterdir() if path.is_dir() and path.name != "cache"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    config = tmp_path / "machine.toml"  # another name would be found by uv itself
    config.write_text(f'no-index = true\nfind-links = ["{tmp_path / "wheels"}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PATH", f"{sys.base_prefix}/bin:/usr/bin:/bin")  # few interpreters: each is asked
    return Place(tmp_path)


def says(ready: Ready, expression: str = "sirdartiny.__version__", name: str = "sirdartiny") -> str:
    program = f"import sys, {name}; print({expression})"
    env = {"PATH": f"{ready.path[0]}:/usr/bin:/bin", **ready.env}
    return subprocess.run(["python", "-c", program], env=env, capture_output=True, text=True, check=True).stdout.strip()


LIST = Environment(requirements="requirements.txt", python=HERE)


def test_a_list_is_made_once_and_found_at_once(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\n")
    assert place.provider.known(LIST, files) is None
    ready = place.ensure(LIST, files)
    assert says(ready) == "2.0" and says(ready, name="sirdarbase", expression="sirdarbase.__version__") == "1.0"
    assert says(ready, "sys.prefix") == ready.env["VIRTUAL_ENV"]
    assert says(ready, "__import__('os').path.exists(sirdartiny.__cached__)") == "True", "compiled beforehand"
    assert ready.identity.startswith("sha256:") and place.said[0].startswith("building environment: Python 3.")
    assert ready.read[0] == ready.env["VIRTUAL_ENV"] and Path(ready.read[1]).is_dir()
    began = time.perf_counter()
    for _ in range(100):
        assert place.provider.known(LIST, files) == ready
    assert (time.perf_counter() - began) / 100 < 0.001
    assert place.ensure(LIST, files) == ready and len(place.made()) == 1
    place.begin()  # another agent asks for the interpreters, and makes nothing
    assert place.provider.known(LIST, files) is None
    assert place.ensure(LIST, files) == ready == place.provider.known(LIST, files)


def test_packages_are_linked_from_the_cache(place: Place) -> None:
    first = place.ensure(LIST, place.files(requirements__txt="sirdartiny\n"))
    other = place.ensure(LIST, place.files(requirements__txt="# another\nsirdartiny\n"))
    assert first.identity != other.identity
    modules = [next(Path(ready.read[0]).glob("lib/*/site-packages/sirdartiny.py")) for ready in (first, other)]
    assert modules[0].samefile(modules[1]) and modules[0].stat().st_nlink >= 3


def test_included_files_and_hashes_count(place: Place) -> None:
    digest = sha256_of(place.wheels / "sirdartiny-1.0-py3-none-any.whl")
    files = place.files(
        requirements__txt="-r base.txt\n-c limits.txt\n", base__txt="sirdartiny\n", limits__txt="sirdartiny<2\n"
    )
    ready = place.ensure(LIST, files)
    assert says(ready) == "1.0"
    changed = {**files, **place.files(limits__txt="sirdartiny<3\n")}
    assert place.provider.known(LIST, changed) is None, "the main file is the same, what it includes is not"
    assert says(place.ensure(LIST, changed)) == "2.0"
    good = place.files(requirements__txt=f"sirdartiny==1.0 --hash=sha256:{digest}\n")
    assert says(place.ensure(LIST, good)) == "1.0"
    fault = place.fault(LIST, place.files(requirements__txt=f"sirdartiny==1.0 --hash=sha256:{'0' * 64}\n"))
    assert "hash" in str(fault).lower() and not fault.transient and digest in fault.log


def test_an_interpreter_alone_has_nothing_but_itself(place: Place) -> None:
    ready = place.ensure(Environment(python=HERE), {})
    assert place.provider.known(Environment(python=HERE), {}) == ready
    assert says(ready, "len(list(__import__('importlib.metadata').metadata.distributions()))", "sys") == "0"


def test_an_interpreter_that_is_not_here_is_said_with_those_that_are(place: Place) -> None:
    fault = place.fault(Environment(python=">=3.99"), {})
    version = ".".join(map(str, sys.version_info[:3]))
    assert str(fault).startswith("no Python on this machine fits >=3.99: there are ") and version in str(fault)
    assert "downloads: true" in str(fault) and place.made() == []


BRINGING_UV = """#!/bin/sh
case "$*" in
*"python list"*) test -e %(brought)s || { echo '[]'; exit 0; };;
*"python install"*) echo "$*" >> %(brought)s; exit 0;;
esac
exec %(uv)s "$@"
"""


def test_uv_brings_an_interpreter_where_the_owner_allows_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    brought, script = place.root / "brought", place.root / "uv"
    script.write_text(BRINGING_UV % {"brought": brought, "uv": find_uv()})
    script.chmod(0o755)
    monkeypatch.setattr("sirdar.agent.environments.interpreters.sys.executable", str(place.root / "no-python"))
    place.begin(find=lambda: str(script))
    assert "fits" in str(place.fault(Environment(python=HERE), {})) and not brought.exists()
    place.begin(find=lambda: str(script), downloads=True)
    assert place.ensure(Environment(python=HERE), {}).path
    assert brought.read_text() == f"python install {HERE}\n"
    fault = place.fault(Environment(python=">=3.99"), {})
    assert str(fault).startswith("no Python for >=3.99 can be had on this machine: there are 3.")


def test_without_uv_it_is_said_what_brings_it(place: Place) -> None:
    place.begin(find=lambda: None)
    assert "this machine has no uv" in str(place.fault(LIST, place.files(requirements__txt="")))


def test_what_cannot_be_made_has_its_log_and_leaves_nothing(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\nsirdarnowhere>=3\n")
    fault = place.fault(LIST, files)
    assert "sirdarnowhere" in str(fault) and str(fault).startswith("the environment could not be made: ")
    assert "$ uv pip install" in fault.log and not fault.transient
    assert place.made() == [] and place.provider.known(LIST, files) is None
    make_wheel(place.wheels, "sirdarnowhere", "3.0")
    assert "sirdarnowhere" in str(place.fault(LIST, files)), "not tried again for each task"
    place.begin(retry_s=0.0)
    assert says(place.ensure(LIST, files)) == "2.0"


def test_an_index_out_of_reach_may_be_back_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{free_port()}/simple")
    fault = place.fault(LIST, place.files(requirements__txt="sirdartiny\n"))
    assert fault.transient, fault.log


def test_only_the_trusted_have_code_of_packages_run_while_it_is_made(place: Place) -> None:
    ran = place.root / "ran"
    name = "sirdarsource"
    make_sdist(place.wheels, name, "1.0", BACKEND % (str(ran), *[name] * 6))
    make_wheel(place.wheels, "sirdarsly", "1.0", {"sly.pth": f"import os; open({str(ran)!r}, 'a').write('pth')\n"})
    files = place.files(requirements__txt=f"{name}\n")
    fault = place.fault(LIST, files, trusted=False)
    assert "not built here for other people than this machine's owner" in str(fault), fault.log
    assert not ran.exists()
    sly = place.ensure(LIST, place.files(requirements__txt="sirdarsly\n"), trusted=False)
    assert not ran.exists(), "a package's own start-up code belongs into the sandbox"
    assert says(sly, "1", "sirdarsly") == "1" and "pth" in ran.read_text()
    ready = place.ensure(LIST, files)
    assert says(ready, f"{name}.__version__", name) == "built" and "ran" in ran.read_text()
    assert place.ensure(LIST, files, trusted=False) == ready, "what is here is here for all"


# ---------------------------------------------------------------- locks


@pytest.fixture
def index(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an index on loopback, for locks: they name where each wheel lies."""
    simple = place.root / "index" / "simple"
    for name in ("sirdartiny", "sirdarbase"):
        (simple / name).mkdir(parents=True)
        links = ""
        for wheel in sorted(place.wheels.glob(f"{name}-*.whl")):
            (simple / name / wheel.name).write_bytes(wheel.read_bytes())
            links += f'<a href="{wheel.name}#sha256={sha256_of(wheel)}">{wheel.name}</a>\n'
        (simple / name / "index.html").write_text(links)
    with index_of(place.root / "index") as url:
        monkeypatch.delenv("UV_CONFIG_FILE")
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{url}/simple")
        yield f"{url}/simple"


PROJECT = f"""
[project]
name = "own"
version = "1.0"
requires-python = "{HERE}"
dependencies = ["sirdartiny<2"]
[dependency-groups]
dev = ["sirdarbase"]
"""


def lock(folder: Path, project: str, *words: str) -> None:
    """With uv itself."""
    uv = find_uv()
    assert uv is not None
    folder.mkdir()
    (folder / "pyproject.toml").write_text(project)
    env = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "UV_PYTHON": sys.executable, "TMPDIR": str(folder)}
    subprocess.run([uv, *words], cwd=folder, env=env, check=True, capture_output=True)


def test_a_uv_lock_is_followed(place: Place, index: str) -> None:
    folder = place.root / "project"
    lock(folder, PROJECT, "lock")
    files = {"pyproject.toml": folder / "pyproject.toml", "uv.lock": folder / "uv.lock"}
    make_wheel(place.wheels, "sirdartiny", "1.5")  # locked means locked
    ready = place.ensure(Environment(lock="uv.lock"), files)
    assert says(ready) == "1.0"
    installed = {path.name.split("-")[0] for path in Path(ready.read[0]).glob("lib/*/site-packages/*.dist-info")}
    assert installed == {"sirdartiny"}, "neither the project itself, nor what its developers need"
    assert place.provider.known(Environment(lock="uv.lock"), files) == ready
    nested = {f"sub/{path}": where for path, where in files.items()}
    assert says(place.ensure(Environment(lock="sub/uv.lock"), nested)) == "1.0"


def test_a_pylock_is_followed(place: Place, index: str) -> None:
    folder = place.root / "project"
    lock(folder, PROJECT, "pip", "compile", "-q", "pyproject.toml", "-o", "pylock.toml")
    files = {"pylock.toml": folder / "pylock.toml"}
    assert says(place.ensure(Environment(lock="pylock.toml"), files, trusted=False)) == "1.0"


def test_a_lock_for_another_python_is_told_so(place: Place) -> None:
    files = place.files(pylock__toml='lock-version = "1.0"\nrequires-python = ">=3.99"\npackages = []\n')
    fault = place.fault(Environment(lock="pylock.toml", python=HERE), files)
    assert f"no Python on this machine fits {HERE} and >=3.99" in str(fault)


def test_a_uv_lock_without_its_project_is_told_so(place: Place) -> None:
    fault = place.fault(Environment(lock="uv.lock"), place.files(uv__lock="version = 1\n"))
    assert str(fault) == "the application has no file pyproject.toml"


# ---------------------------------------------------------------- many askers, and deaths


def test_all_who_ask_at_once_get_the_one(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\n")

    async def ask() -> list[Ready]:
        asked = [place.provider.ensure(LIST, files, place.said.append, trusted=True) for _ in range(20)]
        return await asyncio.gather(*asked)

    ready = asyncio.run(ask())
    assert len({one.identity for one in ready}) == 1 and len(place.made()) == 1
    assert says(ready[0]) == "2.0"


@pytest.mark.parametrize("away", ["lib", "bin/python", "."])
def test_what_somebody_has_taken_away_is_made_again(place: Place, away: str) -> None:
    files = place.files(requirements__txt="sirdartiny\n")
    first = place.ensure(LIST, files)
    path = Path(first.env["VIRTUAL_ENV"]) / away
    path.rename(place.root / "away")
    assert place.provider.known(LIST, files) is None
    again = place.ensure(LIST, files)
    assert says(again) == "2.0" and again.identity == first.identity


def test_a_package_put_in_by_hand_is_noticed(place: Place) -> None:
    files = place.files(requirements__txt="sirdarbase\n")
    first = place.ensure(LIST, files)
    packages = next(Path(first.read[0]).glob("lib/*/site-packages"))
    (packages / "intruder.py").touch()
    assert place.provider.known(LIST, files) is None
    second = place.ensure(LIST, files)
    assert not list(Path(second.read[0]).glob("lib/*/site-packages/intruder.py"))


KILLED = """
import asyncio, sys
from pathlib import Path
from sirdar.agent.environments.python import PythonEnvironments
from sirdar.agent.environments.store import EnvironmentStore
from sirdar.domain.environment import Environment
root, blob = map(Path, sys.argv[1:])
provider = PythonEnvironments(EnvironmentStore(root, 1 << 30, boot="this"), find=lambda: str(root.parent / "uv"))
wanted = Environment(requirements="requirements.txt", python=%r)
asyncio.run(provider.ensure(wanted, {"requirements.txt": blob}, lambda text: print(text, flush=True), trusted=True))
"""
SLOW_UV = """#!/bin/sh
case "$*" in
*"pip install"*) %(uv)s "$@"; touch %(half)s; exec sleep 600;;
esac
exec %(uv)s "$@"
"""


def test_an_agent_killed_in_the_middle_leaves_nothing_that_is_taken_for_whole(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\n")
    half = place.root / "half"
    (place.root / "uv").write_text(SLOW_UV % {"uv": find_uv(), "half": half})
    (place.root / "uv").chmod(0o755)
    words = [sys.executable, "-c", KILLED % HERE, str(place.root / "environments"), str(files["requirements.txt"])]
    agent = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        last = time.monotonic() + 60
        while not half.exists():
            assert agent.poll() is None and time.monotonic() < last
            time.sleep(0.02)
    finally:
        agent.send_signal(signal.SIGKILL)
        agent.wait()
    builder = next((place.root / "environments").glob("*.build/builder"))
    pid = int(builder.read_text().split()[0])
    assert len(place.made()) == 2, "the environment and its draft"
    place.begin()
    await_end(pid)
    asyncio.run(place.provider.collect())
    assert place.made() == [] and place.provider.known(LIST, files) is None
    assert says(place.ensure(LIST, files)) == "2.0" and len(place.made()) == 1


def await_end(pid: int) -> None:
    last = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        assert time.monotonic() < last, "the tool of the dead agent still runs"
        time.sleep(0.02)


def test_an_agent_that_ends_takes_its_tool_with_it(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\n")
    half = place.root / "half"
    (place.root / "uv").write_text(SLOW_UV % {"uv": find_uv(), "half": half})
    (place.root / "uv").chmod(0o755)
    provider = place.begin(find=lambda: str(place.root / "uv"))

    async def live() -> int:
        asyncio.create_task(provider.ensure(LIST, files, place.said.append, trusted=True))  # noqa: RUF006
        async with asyncio.timeout(60):
            while not half.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return int(next((place.root / "environments").glob("*.build/builder")).read_text().split()[0])

    await_end(asyncio.run(live()))
    assert place.made() == []


def test_what_takes_too_long_is_ended_and_said(place: Place) -> None:
    files = place.files(requirements__txt="sirdartiny\n")
    (place.root / "uv").write_text(SLOW_UV % {"uv": find_uv(), "half": place.root / "half"})
    (place.root / "uv").chmod(0o755)
    place.begin(find=lambda: str(place.root / "uv"), build_s=3.0)
    fault = place.fault(LIST, files)
    assert str(fault) == "the environment was not ready within 3 s, when its making was ended"
    assert "+ sirdartiny==2.0" in fault.log


def test_our_own_tokens_are_none_of_its_business(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = place.root / "seen"
    (place.root / "uv").write_text(f'#!/bin/sh\nenv > {seen}\nexec {find_uv()} "$@"\n')
    (place.root / "uv").chmod(0o755)
    for name in ("SIRDAR_TOKEN", "EVEREST_TOKEN", "VIRTUAL_ENV", "UV_PYTHON", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret-or-strange")
    place.begin(find=lambda: str(place.root / "uv"))
    place.ensure(Environment(python=HERE), {})
    told = seen.read_text()
    assert "secret-or-strange" not in told and "UV_CONFIG_FILE=" in told
    mark = json.loads(next((place.root / "environments").glob("*.json")).read_text())
    assert mark["about"]["kind"] == "python"
