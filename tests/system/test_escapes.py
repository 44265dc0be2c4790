"""A stranger's program tries to get out of a sandbox, and of a container: every way is barred.

What it leaves behind is not followed.
"""

import io
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import containers
from tests.conftest import require
from tests.containers import engine_room
from tests.system.product import Product, await_that

__all__ = ["engine_room"]
SOURCE = Path(__file__).parent / "escapes" / "escape.c"
SECRET = "the secret of another task"
VICTIM = f"echo '{SECRET}' > kept.txt; echo '{SECRET}'; sleep 600"

Word = str | Callable[["Site"], object]


@dataclass
class Site:
    """A server with its agent; ``victim`` is a job of the owner's that runs meanwhile."""

    product: Product
    victim: dict[str, Any]
    mallory: Any
    contained: bool

    @property
    def agent(self) -> Path:
        return self.product.home / "agent"

    @property
    def slot(self) -> Path:
        """The directory of the victim's task."""
        (found,) = [path for path in (self.agent / "work").glob("slot-*/dir/kept.txt") if SECRET in path.read_text()]
        return found.parent.parent

    @property
    def agent_pid(self) -> int:
        return int((self.agent / "agent.lock").read_text())

    @property
    def task_port(self) -> int:
        return int(self.product.admin.get("/api/health").status_code and _status(self.agent)["task_port"])

    def runs(self, app: str, way: str, word: str = "") -> dict[str, Any]:
        """The job of one attempt, ended."""
        return self.product.run(app, {"way": way, "word": word}, who=self.mallory, state=None)

    def text(self, job: dict[str, Any], stream: str = "stdout") -> str:
        return str(self.mallory.get(f"/api/jobs/{job['id']}/{stream}").text)


def _status(agent: Path) -> dict[str, Any]:
    import json

    return dict(json.loads((agent / "agent.json").read_text()))


@pytest.fixture(scope="session")
def escape(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The program that tries. Never run it outside."""
    made = tmp_path_factory.mktemp("escape") / "escape"
    words = [require("cc"), "-Wall", "-Wextra", "-Werror", "-static", "-O1", "-o", made, SOURCE]
    subprocess.run(words, check=True)
    return made.read_bytes()


def publish(product: Product, who: Any, escape: bytes, alias: str, **description: Any) -> str:
    return product.publish(
        alias,
        ["./escape", "${way}", "${word}"],
        who=who,
        files={"escape": escape},
        inputs={"way": {"type": "string"}, "word": {"type": "string", "default": ""}},
        env={"MACHINE": os.readlink("/proc/self/ns/mnt")},
        **description,
    )


INSIDE = ["sandbox", pytest.param("container", marks=[pytest.mark.needs(*containers.NEEDED), containers.AS_ROOT])]


@pytest.fixture(scope="module", params=INSIDE)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, escape: bytes) -> Iterator[Site]:
    require("bwrap")
    contained = request.param == "container"
    product = Product(tmp_path_factory.mktemp("escapes"), {}, environment=_engine(request) if contained else {})
    product.start()
    try:
        yield from _inhabited(product, escape, contained=contained)
    finally:
        product.close()


def _engine(request: pytest.FixtureRequest) -> dict[str, str]:
    room: containers.Room = request.getfixturevalue("engine_room")
    return room.variables


def _inhabited(product: Product, escape: bytes, *, contained: bool) -> Iterator[Site]:
    mallory = product.user("mallory", canPublish=True)
    victim = product.submit(product.publish("victim", VICTIM, shell=True))
    found = Site(product, victim, mallory, contained)
    await_that(lambda: list((found.agent / "work").glob("slot-*/dir/kept.txt")), what="the victim's file")
    for alias, description in APPS.items():
        environment = {**description.get("environment", {}), **({"image": containers.BASE} if contained else {})}
        more = {"environment": environment} if environment else {}
        publish(product, mallory, escape, alias, **{**description, **more})
    yield found
    product.admin.post(f"/api/jobs/{victim['id']}/cancel")
    product.ended(victim["id"])


FILE_OUT = {"out": {"type": "file", "from": "out.txt", "required": False}}
FOLDER_OUT = {"out": {"type": "directory", "from": "out", "required": False}}
APPS: dict[str, dict[str, Any]] = {
    "tries": {},
    "alone": {"environment": {"network": False}},
    "leaves": {"outputs": FILE_OUT},
    "leaves-folder": {"outputs": FOLDER_OUT},
    "fills": {"resources": {"disk": "64 MiB"}},
}

WAYS: list[tuple[str, Word]] = [
    # what is the agent's
    ("reads", lambda site: site.agent / "identity.json"),
    ("reads", lambda site: site.agent / "journal.key"),
    ("reads", lambda site: site.agent / "journal"),
    ("writes", lambda site: site.agent / "policy.yaml"),
    ("lists", lambda site: site.agent / "cache"),
    ("links", lambda site: site.agent / "identity.json"),
    ("connects_unix", lambda site: site.agent / "porter.sock"),
    ("signals", lambda site: site.agent_pid),
    ("traces_other", lambda site: site.agent_pid),
    ("reads_memory", lambda site: site.agent_pid),
    ("reads", lambda site: f"/proc/{site.agent_pid}/environ"),
    ("joins", lambda site: site.agent_pid),
    ("sees_process", "sirdar.agent"),
    # what is the server's, which runs beside it here
    ("reads", lambda site: site.product.home / "server.key"),
    ("reads", lambda site: site.product.home / "sirdar.db"),
    # what is another task's
    ("reads", lambda site: site.slot / "dir/kept.txt"),
    ("reads", lambda site: site.slot / "stdout"),
    ("writes", lambda site: site.slot / "dir/planted.txt"),
    ("lists", lambda site: site.slot / "dir"),
    ("links", lambda site: site.slot / "dir/kept.txt"),
    ("sees_process", "sleep 600"),
    # what is the owner's, and the system's
    ("lists", str(Path.home())),
    ("reads", "/etc/shadow"),
    ("reads", "/proc/1/mem"),
    ("reads", "/dev/mem"),
    ("reads", "/dev/kmsg"),
    ("writes", "/etc/cron.d/planted"),
    ("writes", "/usr/bin/planted"),
    ("writes", "/proc/sys/kernel/core_pattern"),
    ("writes", "/proc/sysrq-trigger"),
    ("writes", "/sys/fs/cgroup/memory/release_agent"),
    ("lists", "/sys/fs/cgroup"),
    ("connects_unix", "/run/dbus/system_bus_socket"),
    ("small_tmp", ""),
    # rights
    ("capable", ""),
    ("no_new_rights", ""),
    ("new_user", ""),
    ("clones_user", ""),
    ("mounts", ""),
    ("remounts", "/usr"),
    ("unmounts", "/proc"),
    ("changes_root", ""),
    ("device", ""),
    ("raw_socket", ""),
    ("packet_socket", ""),
    ("keys", ""),
    ("programs_kernel", ""),
    ("loads_module", ""),
    ("counts_events", ""),
    ("faults_in_user", ""),
    ("opens_handle", ""),
    ("types_into_terminal", ""),
    ("rings", ""),
    # tricks with what is its own
    ("replaces_streams", ""),
    ("replaces_messages", ""),
    ("moves_directory", ""),
]


# Programs read there what their container may use.
NOT_HIDDEN = {("lists", "/sys/fs/cgroup")}


def barred(site: Site, app: str, way: str, word: Word) -> None:
    if site.contained and (way, word) in NOT_HIDDEN:
        pytest.skip("a container shows it, read-only")
    said = str(word if isinstance(word, str) else word(site))
    job = site.runs(app, way, said)
    text = site.text(job)
    assert ("environment" in job) == site.contained, "it has been where it was meant to be"
    assert job["state"] == "DONE" and text.startswith("barred: "), (
        f"{way} {said}: {text}{site.text(job, 'stderr')}{job['info']}"
    )
    assert site.product.job(site.victim["id"])["state"] == "RUNNING"


@pytest.mark.parametrize(("way", "word"), WAYS, ids=[f"{at}-{way}" for at, (way, _) in enumerate(WAYS)])
def test_every_way_is_barred(site: Site, way: str, word: Word) -> None:
    barred(site, "mallory/tries", way, word)


@pytest.mark.parametrize(
    ("way", "word"),
    [
        ("connects", lambda site: site.product.port),
        ("connects", lambda site: site.task_port),
        ("raw_socket", ""),
    ],
    ids=["server", "agent", "raw"],
)
def test_without_a_network_the_machines_own_ports_are_out_of_reach(site: Site, way: str, word: Word) -> None:
    barred(site, "mallory/alone", way, word)


def test_with_a_network_the_agents_port_is_reached(site: Site) -> None:
    """That the attempt itself is sound: the same one gets through where it may."""
    job = site.runs("mallory/tries", "connects", str(site.task_port))
    assert site.text(job).startswith("THROUGH: connected")


SOUND = [
    ("reads", "kept.txt"),
    ("writes", "planted.txt"),
    ("lists", "."),
    ("links", "kept.txt"),
    ("sees_process", "sleep 600"),
    ("signals", "$!"),
    ("traces_other", "$!"),
    ("joins", "$!"),
    ("mounts", ""),
    ("unmounts", "/proc"),
    ("raw_socket", ""),
    ("packet_socket", ""),
    ("new_user", ""),
    ("clones_user", ""),
    ("changes_root", ""),
    ("capable", ""),
    ("keys", ""),
    ("replaces_streams", ""),
    ("replaces_messages", ""),
    ("moves_directory", ""),
    ("bombs", "40"),
]


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize(("way", "word"), SOUND, ids=[way for way, _ in SOUND])
def test_the_same_attempts_get_through_where_little_is_barred(
    escape: bytes, tmp_path: Path, way: str, word: str
) -> None:
    """In namespaces of its own with all rights there, a writable directory, and the system read-only."""
    here = tmp_path / "dir"
    here.mkdir()
    (tmp_path / "escape").write_bytes(escape)
    (tmp_path / "escape").chmod(0o755)
    for path in (here / "kept.txt", tmp_path / "stdout", tmp_path / "messages"):
        path.write_text(SECRET)
    words = [
        "bwrap",
        "--unshare-user",
        "--uid",
        "0",
        "--gid",
        "0",
        "--cap-add",
        "ALL",
        "--unshare-pid",
        "--unshare-net",
    ]
    words += ["--unshare-ipc", "--ro-bind", "/", "/", "--bind", tmp_path, tmp_path, "--dev", "/dev", "--proc", "/proc"]
    script = f'sleep 600 & exec ../escape {way} "{word}"'
    told = subprocess.run(
        [*words, "--die-with-parent", "--chdir", here, "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert told.stdout.startswith("THROUGH: "), told


@pytest.mark.parametrize(
    ("app", "way"), [("leaves", "leaves_link"), ("leaves-folder", "leaves_links_inside"), ("leaves-folder", "leaves_link_folder")]
)  # fmt: skip
def test_a_link_among_the_outputs_is_not_followed(site: Site, app: str, way: str) -> None:
    for target in (site.agent / "identity.json", site.slot / "dir/kept.txt", site.slot / "dir", Path("/etc/shadow")):
        job = site.runs(f"mallory/{app}", way, str(target))
        found = job.get("result", {}).get("out")
        if found is None:
            continue
        content = site.mallory.get(found if isinstance(found, str) else found["uri"]).content
        texts = [content]
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                texts = [archive.read(name) for name in archive.namelist()]
        for text in texts:
            assert SECRET.encode() not in text and b"private_key" not in text and b"root:" not in text


def test_a_fork_bomb_ends_at_its_bound(site: Site) -> None:
    if os.geteuid() != 0:
        pytest.skip("control groups need delegation where the tests do not run as root")
    barred(site, "mallory/tries", "bombs", "20000")


def test_a_program_that_fills_the_disk_is_ended(site: Site) -> None:
    job = site.runs("mallory/fills", "fills", "big")
    assert job["outcome"]["reason"] == "output_limit", job["outcome"]
