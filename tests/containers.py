"""What tests with containers share: an engine whose storage is the test's own, a small image, and a registry on loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDED = ("buildah", "podman", "runc", "catatonit", "busybox")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="containers are run as root")
CONF = """[containers]
default_ulimits = ["nofile=1024:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{here}/engine"
image_copy_tmp_dir = "storage"
"""  # of the engine's other directories none is named: what cleans up after a container would not hear of it, and be waited for
STORAGE = '[storage]\ndriver = "{driver}"\ngraphroot = "{here}/graph"\nrunroot = "{run}"\n'
TOOLS = (
    "sh",
    "sleep",
    "cat",
    "echo",
    "env",
    "id",
    "ls",
    "head",
    "stat",
    "touch",
    "true",
    "wget",
    "nproc",
    "mkdir",
    "tail",
    "trap",
)
BASE = "localhost/small"
PERSON, PASSWORD = "anna", "sesame"
HTPASSWD = "anna:$2y$05$OL9KNKqyknU6EPxZjV7Q8uCKvmRv90DQCeRy6GH3A98JZKj.5PtyW\n"


@dataclass(frozen=True, slots=True)
class Room:
    """podman and buildah with everything of theirs below one directory."""

    here: Path
    variables: dict[str, str]

    def do(self, *words: str | Path, check: bool = True) -> str:
        done = subprocess.run(
            words, env={**os.environ, **self.variables}, cwd=self.here, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def build(self, name: str, lines: str, files: dict[str, bytes] | None = None) -> str:
        """An image made here; returns its id."""
        context = self.here / "context"
        context.mkdir()
        try:
            (context / "Containerfile").write_text(lines)
            for path, content in (files or {}).items():
                (context / path).write_bytes(content)
            return self.do("buildah", "build", "--quiet", "--isolation", "chroot", "--tag", name, context).strip()
        finally:
            shutil.rmtree(context)

    def images(self) -> set[str]:
        return set(self.do("podman", "images", "--all", "--quiet", "--no-trunc").split())

    def containers(self) -> list[str]:
        return self.do("podman", "ps", "--all", "--format", "{{.Names}}").split()


@contextlib.contextmanager
def room(here: Path) -> Iterator[Room]:
    """Empty at first. Nothing of it is left."""
    found = Room(here, {"CONTAINERS_CONF": f"{here}/c.conf", "CONTAINERS_STORAGE_CONF": f"{here}/s.conf"})
    (here / "c.conf").write_text(CONF.format(here=here))
    run = tempfile.mkdtemp(prefix="sirdar-run-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))  # of 50 letters at most,
    # or what cleans up after a container refuses it, and `podman run` waits 20 s for that
    (here / "s.conf").write_text(STORAGE.format(here=here, run=run, driver="overlay"))
    if (
        subprocess.run(
            ["podman", "info"], env={**os.environ, **found.variables}, capture_output=True, check=False
        ).returncode
        != 0
    ):
        shutil.rmtree(here / "graph", ignore_errors=True)  # a file system that overlay does not work on
        (here / "s.conf").write_text(STORAGE.format(here=here, run=run, driver="vfs"))
    try:
        yield found
    finally:
        found.do("podman", "rm", "--all", "--force", "--time", "0", check=False)
        found.do("buildah", "rm", "--all", check=False)
        found.do("podman", "rmi", "--all", "--force", check=False)
        for mount in [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]:
            if mount.startswith((f"{here}/", f"{run}/")):
                subprocess.run(["umount", mount], check=False)
        shutil.rmtree(here)
        shutil.rmtree(run)


def add_base(found: Room) -> None:
    """``BASE``: a shell, a few commands, and Python."""
    folder = found.here / "base"
    (folder / "bin").mkdir(parents=True)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", folder / "bin" / "busybox")
    for name in TOOLS:
        (folder / "bin" / name).symlink_to("busybox")
    _add_python(folder)
    lines = ["FROM scratch", "COPY . /", "ENV PATH=/usr/local/bin:/usr/bin:/bin"]
    (folder / "Containerfile").write_text("\n".join(lines) + "\n")
    found.do("buildah", "build", "--quiet", "--isolation", "chroot", "--tag", BASE, folder)
    shutil.rmtree(folder)


def _add_python(folder: Path) -> None:
    """This interpreter, at its own place, with the libraries that it is linked to."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program, library = Path(sys.base_prefix, "bin", version).resolve(), Path(sys.base_prefix, "lib", version)
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for source in [program, *(Path(word) for word in told.split() if word.startswith("/"))]:
        target = folder / str(source).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    left_out = shutil.ignore_patterns(
        "test", "tests", "site-packages", "dist-packages", "idlelib", "tkinter", "ensurepip", "config-*", "*.a"
    )
    shutil.copytree(library, folder / str(library).lstrip("/"), ignore=left_out)
    (folder / "usr" / "local" / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "usr" / "local" / "bin" / "python3").symlink_to(program)


@pytest.fixture(scope="session")
def engine_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One for all tests of the session, with ``BASE``."""
    with room(tmp_path_factory.mktemp("engine")) as found:
        add_base(found)
        yield found


@pytest.fixture
def podman_here(engine_room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
    """Whatever the test starts finds this engine."""
    for name, value in engine_room.variables.items():
        monkeypatch.setenv(name, value)
    return engine_room


@contextlib.contextmanager
def registry(here: Path, *, with_passwords: bool = False) -> Iterator[str]:
    """A registry on loopback; yields ``host:port``. ``with_passwords``: ``PERSON`` with ``PASSWORD`` alone may use it."""
    here.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    lines = ["version: 0.1", "log: {level: error}", f"storage: {{filesystem: {{rootdirectory: {here}/blobs}}}}"]
    lines.append(f"http: {{addr: '127.0.0.1:{port}'}}")
    if with_passwords:
        (here / "htpasswd").write_text(HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: here, path: {here}/htpasswd}}}}")
    (here / "registry.yml").write_text("\n".join(lines) + "\n")
    with (here / "log").open("wb") as log:
        words: Sequence[str | Path] = ["docker-registry", "serve", here / "registry.yml"]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _await_answer(f"http://127.0.0.1:{port}/v2/", process, here / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await_answer(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    last = time.monotonic() + 30
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < last, log.read_text()
            time.sleep(0.02)
        else:
            return
