"""What all tests share: nothing is left behind, missing components are named, a PostgreSQL of the session's own.

Fixtures: ``free_port``, ``postgres_cluster``, ``postgres_url``, ``slurm``. Markers: ``needs("cc", ...)`` and ``postgres``.
Every test runs in an environment where ``SIRDAR_TEST_ID`` is its own, ``TMPDIR`` is the session's own, and neither the
profile nor the tokens of whoever runs the tests are in reach.
"""

import contextlib
import gc
import getpass
import glob
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.slurm_cluster import SlurmCluster

MARKER = "SIRDAR_TEST_ID"
SESSION_ID = uuid.uuid4().hex
IN_CI = os.environ.get("CI") == "true"
LEFT_BEHIND_GRACE_S = 15.0
# Processes that the standard library keeps until the interpreter ends.
KEPT_BY_PYTHON = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

# Components that `needs` knows: what shows that one is there (a command, or a pattern of its path).
COMPONENTS = {
    "cc": "cc",
    "c++": "c++",
    "libamplsolver": "/usr/include/ampl-netlib-solvers/asl.h",
    "libcurl": "/usr/include/*/curl/curl.h",
    "git": "git",
    "make": "make",
    "wrk": "wrk",
    "xz": "xz",
    "systemd-analyze": "systemd-analyze",
    "chromium": "chromium",
    "postgres": "/usr/lib/postgresql/*/bin/initdb",
    "slapd": "/usr/sbin/slapd",
    "matplotlib": "python:matplotlib",
    "moto": "python:moto",
    "obstore": "python:obstore",
    "nginx": "nginx",
    "openssl": "openssl",
    "systemd": "systemd-analyze",
    "buildah": "buildah",
    "podman": "podman",
    "runc": "runc",
    "catatonit": "catatonit",
    "docker-registry": "docker-registry",
    "busybox": "/bin/busybox",
    "mmdebstrap": "mmdebstrap",
    "ip": "ip",
    "cbc": "cbc",
    "bwrap": "bwrap",
    "slurm": "/usr/sbin/slurmctld",
    "slurmd": "/usr/sbin/slurmd",
    "munge": "/usr/sbin/munged",
    "highspy": "python:highspy",
    "pyscipopt": "python:pyscipopt",
    "pyomo": "python:pyomo",
}


# ---------------------------------------------------------------- components


def find_component(name: str) -> str | None:
    """Path of a component (or its name, for a Python package), None where it is missing."""
    sign = COMPONENTS[name]
    if sign.startswith("python:"):
        import importlib.util

        return name if importlib.util.find_spec(sign.removeprefix("python:")) else None
    if sign.startswith("/"):
        found = sorted(glob.glob(sign), key=lambda path: [int(s) for s in path.split("/") if s.isdecimal()])
        return found[-1] if found else shutil.which(sign.rsplit("/", 1)[1])
    return shutil.which(sign)


def require(name: str) -> str:
    """Path of a component. Skips the test where it is missing; fails it with CI=true."""
    if path := find_component(name):
        return path
    reason = f"needs {name}, which is missing here (scripts/debian-packages tests)"
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            require(name)


# ---------------------------------------------------------------- the session's surroundings


def pytest_configure(config: pytest.Config) -> None:
    """Gives the session a TMPDIR and an identity of its own, and hides the caller's profile and tokens."""
    gc.disable()  # until all tests are collected: what is imported and collected stays
    for number in (signal.SIGINT, signal.SIGHUP):  # who starts the tests in the background may have them ignored
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    outer = tempfile.gettempdir()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", outer)  # tmp_path stays where pytest keeps it
    own = tempfile.mkdtemp(prefix="sirdar-tests-", dir=outer)
    config.stash[_TEMP] = Path(own)
    tempfile.tempdir = own
    os.environ["TMPDIR"] = own
    for name in [name for name in os.environ if name.startswith(("SIRDAR_", "EVEREST_"))]:
        if name == "SIRDAR_LONG":  # asks for longer runs of random tests
            continue
        del os.environ[name]
    os.environ[MARKER] = SESSION_ID
    os.environ["SIRDAR_CONFIG_DIR"] = str(Path(own) / "no-profile")
    os.environ["SIRDAR_SOLVERS"] = str(Path(own) / "no-solvers")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and collected tests are no rubbish: looking through them again and again took a tenth of the unit tests' time."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    if own := config.stash.get(_TEMP, None):
        shutil.rmtree(own, ignore_errors=True)


_TEMP = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def session_temp(request: pytest.FixtureRequest) -> Path:
    """The session's own TMPDIR; short enough for the path of a Unix socket."""
    return request.config.stash[_TEMP]


# ---------------------------------------------------------------- nothing is left behind


def living() -> set[int]:
    """Ids of all processes."""
    return (
        {int(name) for name in os.listdir("/proc") if name.isdecimal()} if sys.platform.startswith("linux") else set()
    )


def processes_of(identity: str, under: Path | None = None, known: Collection[int] = ()) -> dict[int, str]:
    """Living processes (pid -> command) that inherited the identity, or that work in a directory below ``under``.

    The second sign is for programs that Sirdar runs: their environment is declared, so they need not carry the first.
    Those in ``known`` were there before, and cost no look.
    """
    found = {}
    for pid in living() - {os.getpid(), *known}:
        process = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):
            command, environment = _settled(process)
            if not command or any(kept in command for kept in KEPT_BY_PYTHON):
                continue
            if _carries(environment, identity) or (under is not None and _works_below(process, under)):
                found[pid] = command
    return found


def _settled(process: Path) -> tuple[str, bytes]:
    """Command line and environment. Both are empty for a moment while a new program is being loaded, so look again.

    They stay empty for a zombie, which has ended and only waits to be reaped, and for threads of the kernel.
    """
    for _ in range(30):
        command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        if command and environment:
            break
        state, parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        if state in "ZX" or parent == "2":
            return "", b""
        time.sleep(0.001)
    return command.replace(b"\0", b" ").decode(errors="replace").strip(), environment


def _carries(environment: bytes, identity: str) -> bool:
    """True where the identity is inherited: the session's own or, below it, a test's (``SESSION.NUMBER``)."""
    marked = f"{MARKER}={identity}".encode()
    return any(name == marked or name.startswith(marked + b".") for name in environment.split(b"\0"))


def _works_below(process: Path, under: Path) -> bool:
    return (process / "cwd").readlink().is_relative_to(under)


def await_none(identity: str, under: Path | None = None, known: Collection[int] = ()) -> dict[int, str]:
    """Waits until no process of the identity lives; ends and returns those that outlive the grace."""
    deadline = time.monotonic() + LEFT_BEHIND_GRACE_S
    while left := processes_of(identity, under, known):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, session_temp: Path) -> Generator[None]:
    """Fails a test that leaves a process or a temporary file. What wider fixtures start is checked at the end."""
    identity = f"{SESSION_ID}.{next(_numbers)}"
    before, known = set(os.listdir(session_temp)), living()
    os.environ[MARKER] = identity
    yield
    os.environ[MARKER] = SESSION_ID
    own_path = getattr(request.node, "funcargs", {}).get("tmp_path")
    left = await_none(identity, own_path, known)
    new = set(os.listdir(session_temp)) - before
    assert not left, f"the test left processes behind: {left}"
    assert not new, f"the test left files behind in TMPDIR: {sorted(new)}"


_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_at_the_end(session_temp: Path) -> Generator[None]:
    """Fails the session's last test where something that a wider fixture started still lives."""
    yield
    left = await_none(SESSION_ID)
    assert not left, f"the session left processes behind: {left}"


# ---------------------------------------------------------------- ports


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of loopback which nobody listens on at that moment."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return find


# ---------------------------------------------------------------- PostgreSQL


class PostgresCluster:
    """A PostgreSQL server of the session's own on a Unix socket: no port, no durability, gone at the end."""

    def __init__(self, initdb: str, directory: Path) -> None:
        self.binaries = Path(initdb).resolve().parent
        self.directory = directory
        # The server refuses to run as root, so root hands its directory to another user.
        self.user = _unprivileged_user() if os.geteuid() == 0 else None
        self.identity = os.environ[MARKER]  # whose processes they are, also those that a later test starts again
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def start(self) -> None:
        if self.user is not None:
            shutil.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        data = self.directory / "data"
        options = ["-U", "sirdar", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = self._spawn("initdb", "-D", str(data), *options)
        if made.wait(timeout=60) != 0:
            raise RuntimeError(f"initdb failed: {self.log()}")
        self.run()

    def run(self) -> None:
        """Its processes start: for the first time, or after ``halt``."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "log_min_messages": "warning",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._spawn("postgres", "-D", str(self.directory / "data"), *words)
        self._await_ready()

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.directory)

    def halt(self) -> None:
        """Its processes end; what they hold stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown: clients are cut off
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(timeout=15)
        self._process = None

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://sirdar@/{database}?host={self.directory}"

    def create_database(self) -> str:
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def _spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        with open(self.directory / "log", "ab") as log:
            return subprocess.Popen(
                [str(self.binaries / program), *words],
                cwd=self.directory,
                env={**os.environ, MARKER: self.identity},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user.pw_uid if self.user else None,
                group=self.user.pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(f"host={self.directory} user=sirdar dbname=postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def _await_ready(self, within_s: float = 30.0) -> None:
        import psycopg

        deadline = time.monotonic() + within_s
        while True:
            try:
                return self._execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {self.log()}") from None
                time.sleep(0.02)


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.fail(f"PostgreSQL refuses to run as {getpass.getuser()}, and there is no user postgres or nobody")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The session's PostgreSQL server. Skips (fails with CI=true) where its binaries are missing."""
    initdb = require("postgres")
    # Beside TMPDIR, not in it: that one is closed to the user that the server runs as.
    directory = Path(tempfile.mkdtemp(prefix="sirdar-pg-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    cluster = PostgresCluster(initdb, directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """SQLAlchemy URL (``postgresql+psycopg://``) of an empty database that is the test's own."""
    name = postgres_cluster.create_database()
    yield postgres_cluster.url(name)
    postgres_cluster.drop_database(name)


# ---------------------------------------------------------------- Slurm


@pytest.fixture(scope="session")
def slurm_daemons() -> Iterator[SlurmCluster]:
    """The session's Slurm: several nodes on this machine. Skips (fails with CI=true) where its programs are missing."""
    for name in ("slurm", "slurmd", "munge"):
        require(name)
    place = Path(tempfile.mkdtemp(prefix="sirdar-slurm-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    place.chmod(0o711)
    cluster = SlurmCluster(place, mark={MARKER: SESSION_ID})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slurm(slurm_daemons: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The session's Slurm, in reach of the commands that the test runs, and without a job at the beginning and at the end."""
    for name, value in slurm_daemons.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm_daemons
    slurm_daemons.clear()


# ---------------------------------------------------------------- S3


@dataclass
class S3Server:
    """An S3 service on loopback (moto's), a process of the session's own. Whoever uses it makes a bucket."""

    url: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def environment(self) -> dict[str, str]:
        """Credentials, which it does not check."""
        return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

    def new_bucket(self) -> str:
        name = f"bucket-{next(self.numbers)}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()
        return name

    def keys(self, bucket: str) -> list[str]:
        """All objects' keys."""
        with urllib.request.urlopen(f"{self.url}/{bucket}") as reply:
            return re.findall("<Key>(.*?)</Key>", reply.read().decode())


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 service; its buckets end with the session."""
    for name in ("moto", "obstore"):
        require(name)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = subprocess.Popen(
        words, env={**os.environ, MARKER: SESSION_ID}, **quiet
    )  # the session's, not the first test's
    server = S3Server(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{server.url}/moto-api/").close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the S3 service did not start"
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()


# ---------------------------------------------------------------- the summary


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.needs("postgres"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _print_times(terminalreporter)
    _print_skips(terminalreporter)


def _print_times(reporter: pytest.TerminalReporter) -> None:
    seconds: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for report in (r for reports in reporter.stats.values() for r in reports if isinstance(r, pytest.TestReport)):
        folder = "/".join(report.nodeid.split("/")[:3] if "/unit/" in report.nodeid else report.nodeid.split("/")[:2])
        folder = folder.split("::")[0]
        seconds[folder] += report.duration
        counts[folder] += report.when == "call"
    if seconds:
        reporter.section("time by folder")
        for folder in sorted(seconds, key=lambda name: -seconds[name]):
            reporter.line(f"{seconds[folder]:8.1f} s  {counts[folder]:5d} tests  {folder}")


def _print_skips(reporter: pytest.TerminalReporter) -> None:
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        where = report.longrepr
        reasons[where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)] += 1
    if reasons:
        reporter.section("skipped, and why")
        for reason, count in reasons.most_common():
            reporter.line(f"{count:5d}  {reason}")
