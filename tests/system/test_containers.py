"""Applications whose environment is a container image: through a real server, its agent, podman and a registry."""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import containers
from tests.containers import BASE, PASSWORD, PERSON, Room, engine_room
from tests.engines import stand_in
from tests.system.product import Product, await_that

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.builders import note_builder
from sirdar.agent.environments.image_builds import ImageBuilds, end_forgotten_builds
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.environments.images import Images
from sirdar.agent.executors.base import Launch
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.wraps.containers import contain
from sirdar.domain.environment import Environment

__all__ = ["engine_room"]
pytestmark = [
    pytest.mark.needs(*containers.NEEDED, "docker-registry"),
    pytest.mark.timeout(240),
    containers.AS_ROOT,
]
LOOK = """
import json, os, socket
seen = {"home": os.path.exists(os.environ["WHERE"]), "uid": os.getuid(), "here": os.listdir("."), "etc": os.listdir("/etc"),
        "nets": len(socket.if_nameindex()), "secret": os.environ["LINES"], "path": os.environ["PATH"]}
open("made.txt", "w").write("made")
try:
    open("/bin/new", "w")
except OSError as error:
    seen["bin"] = error.errno
print(json.dumps(seen))
"""


@dataclass(frozen=True, slots=True)
class Yard:
    """A server with an agent that has podman, a registry that is open, and one that asks for a password."""

    site: Product
    room: Room
    open: str
    closed: str

    @property
    def auth(self) -> Path:
        return self.site.home / "agent" / "auth.json"

    def push(self, name: str, target: str, *options: str) -> None:
        self.room.do("podman", "push", "--quiet", "--tls-verify=false", *options, name, f"docker://{target}")
        self.room.do("podman", "rmi", "--force", name)

    def image(self, target: str, size: int = 0, marker: str = "", *options: str) -> None:
        """One that is in a registry, and not here."""
        name = f"localhost/{target.rpartition('/')[2].partition(':')[0]}"
        self.room.build(name, f"FROM {BASE}\nCOPY filling /filling\n", {"filling": os.urandom(size) + marker.encode()})
        self.push(name, target, *options)

    def publish(self, alias: str, command: str, environment: dict[str, Any], **more: Any) -> str:
        return self.site.publish(alias, command, environment=environment, **more)


@pytest.fixture(scope="module")
def yard(
    module_sirdar: Callable[..., Product],
    engine_room: Room,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Yard]:
    place = tmp_path_factory.mktemp("registries")
    with (
        containers.registry(place / "open") as first,
        containers.registry(place / "closed", with_passwords=True) as second,
    ):
        more = {"SIRDAR_AGENT_REGISTRY": f"{first}/built", "SIRDAR_AGENT_IMAGE_BYTES": str(100 << 30)}
        yield Yard(module_sirdar({**engine_room.variables, **more}), engine_room, first, second)


def test_a_program_runs_in_an_image_that_is_pulled_once(yard: Yard) -> None:
    target = f"{yard.open}/team/tool:1"
    yard.image(target, 24 << 20)
    app = yard.publish(
        "tool", "python3 look.py", {"image": target}, files={"look.py": LOOK}, shell=False,
        env={"WHERE": str(yard.site.home / "server.key"), "LINES": "one\ntwo"},
        outputs={"seen": {"type": "json", "from": "stdout"}, "made": {"type": "file", "from": "made.txt"}},
    )  # fmt: skip
    jobs = [yard.site.submit(app) for _ in range(2)]
    said: set[str] = set()
    await_that(lambda: _note(yard, jobs[0]["id"], said), within_s=90, what="its end")
    assert any(f"pulling image {target}, " in text and text.endswith(" MB") for text in said), said
    ended = [yard.site.ended(job["id"], wait=90) for job in jobs]
    assert [job["state"] for job in ended] == ["DONE", "DONE"]
    seen = ended[0]["result"]["seen"]
    assert not seen["home"] and seen["uid"] == os.getuid() and seen["here"] == ["look.py"]
    assert seen["bin"] == 30 and seen["secret"] == "one\ntwo" and seen["path"] == "/usr/local/bin:/usr/bin:/bin"
    assert seen["nets"] > 1, "the machine's own network"
    assert ended[0]["environment"] == ended[1]["environment"]
    assert ended[0]["environment"].startswith(f"{yard.open}/team/tool@sha256:")
    assert not ended[0]["statusMessage"]
    pulls = [
        line
        for line in (yard.site.home / "agent" / "agent.log").read_text().splitlines()
        if "image_pulled" in line and f"{yard.open}/team/tool@" in line
    ]
    assert len(pulls) == 1, "the two asked at the same time"
    assert not yard.room.containers()


def _note(yard: Yard, job: str, said: set[str]) -> bool:
    found = yard.site.job(job)
    said.add(found["statusMessage"] or "")
    return found["state"] in {"DONE", "FAILED"}


def test_an_image_without_a_network(yard: Yard) -> None:
    code = "python3 -c 'import socket; print(len(socket.if_nameindex()))'"
    app = yard.publish(
        "alone", code, {"image": BASE, "network": False}, outputs={"n": {"type": "integer", "from": "stdout"}}
    )
    assert yard.site.run(app)["result"]["n"] == 1, "its own loopback"


def test_ends_in_a_container_are_told_apart(yard: Yard) -> None:
    inside = {"image": BASE}
    app = yard.publish("missing", "no-such-program", inside)
    assert yard.site.run(app, state="FAILED")["outcome"]["reason"] == "command_not_found"
    app = yard.publish("hungry", "python3 -c 'bytearray(1 << 30)'", inside, resources={"memory": "64 MiB"})
    assert yard.site.run(app, state="FAILED")["outcome"]["reason"] == "out_of_memory"
    app = yard.publish("code", "exit 126", inside, shell=True)
    outcome = yard.site.run(app, state="FAILED")["outcome"]
    assert (outcome["reason"], outcome["exitCode"]) == ("exit_code", 126)
    app = yard.publish("long", "sirdar-is-not-here; sleep 600", inside, shell=True)
    job = yard.site.submit(app)
    await_that(yard.room.containers, within_s=60, what="its container")
    yard.site.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert yard.site.ended(job["id"])["outcome"]["reason"] == "cancelled"
    assert not yard.room.containers()


def test_images_that_are_not_to_be_had(yard: Yard) -> None:
    app = yard.publish("none", "true", {"image": f"{yard.open}/team/none:1"})
    outcome = yard.site.run(app, state="FAILED", wait=90)["outcome"]
    assert outcome["reason"] == "environment"
    assert outcome["message"] == f"image {yard.open}/team/none:1: the registry {yard.open} has no such image"
    login = f"--creds={PERSON}:{PASSWORD}"
    target = f"{yard.closed}/secret/tool:2"
    yard.image(target, 0, "secret", login)
    app = yard.publish("locked", "cat /filling", {"image": target})
    outcome = yard.site.run(app, state="FAILED", wait=90)["outcome"]
    assert outcome["reason"] == "environment" and "wants credentials" in outcome["message"]
    _log_in(yard, f"{PERSON}:wrong")
    outcome = yard.site.run(app, state="FAILED", wait=90)["outcome"]
    assert "refuses the credentials of this agent" in outcome["message"]
    _log_in(yard, f"{PERSON}:{PASSWORD}")
    job = yard.site.run(app, wait=90)
    assert yard.site.admin.get(job["stdout"]).text.endswith("secret")


def _log_in(yard: Yard, pair: str) -> None:
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    yard.auth.write_text(json.dumps({"auths": {yard.closed: entry}}))
    assert yard.auth.stat().st_mode & 0o777 == 0o600


def test_an_image_is_built_once_and_shared(yard: Yard) -> None:
    files = {
        "Containerfile": f"FROM {BASE}\nCOPY list.txt /list.txt\n",
        "list.txt": "one two",
        "main.py": "print(open('/list.txt').read())",
    }
    wanted = {"build": "Containerfile"}
    app = yard.publish("built", "python3 main.py", wanted, files=files)
    first = yard.site.run(app, wait=120)
    assert yard.site.admin.get(first["stdout"]).text == "one two\n"
    assert first["environment"].startswith(f"{yard.open}/built/sirdar-build@sha256:"), "other agents pull it"
    app = yard.publish("built", "python3 main.py", wanted, files={**files, "main.py": "print('another program')"})
    assert yard.site.run(app, wait=120)["environment"] == first["environment"], "of what the build does not see"
    app = yard.publish("built", "python3 main.py", wanted, files={**files, "list.txt": "three"})
    assert yard.site.run(app, wait=120)["environment"] != first["environment"]


def test_a_build_that_fails_says_why(yard: Yard) -> None:
    files = {"Containerfile": f"FROM {BASE}\nRUN echo the reason >&2; exit 3\n"}
    app = yard.publish("broken", "true", {"build": "Containerfile"}, files=files)
    job = yard.site.run(app, state="FAILED", wait=120)
    assert job["outcome"]["reason"] == "environment"
    assert job["outcome"]["message"].startswith("the image could not be built from Containerfile")
    assert "the reason" in yard.site.admin.get(job["stderr"]).text


def test_a_build_that_nobody_waits_for_any_more_is_ended(yard: Yard) -> None:
    mark = f"601.{os.getpid()}"
    files = {"Containerfile": f"FROM {BASE}\nRUN sleep {mark}\n"}
    app = yard.publish("tedious", "true", {"build": "Containerfile"}, files=files)
    job = yard.site.submit(app)["id"]
    await_that(lambda: f"sleep {mark}" in _commands(), within_s=60, what="the step")
    assert yard.site.admin.post(f"/api/jobs/{job}/cancel").status_code in {200, 202}
    assert yard.site.ended(job)["state"] == "CANCELLED"
    await_that(lambda: mark not in _commands(), within_s=30, what="the step's end")


def test_what_a_killed_agent_was_building_is_ended_by_the_next(
    engine_room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in engine_room.variables.items():
        monkeypatch.setenv(name, value)
    mark = f"602.{os.getpid()}"
    place = tmp_path / "images" / "build-x"
    (place / "context").mkdir(parents=True)
    (place / "context/Containerfile").write_text(f"FROM {BASE}\nRUN sleep {mark}\n")
    quiet: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = ["podman", "build", "--tag", "localhost/forgotten", place / "context"]
    with subprocess.Popen(words, start_new_session=True, **quiet) as build:
        note_builder(place, build.pid, boot_id())
        await_that(lambda: f"sleep {mark}" in _commands(), within_s=60, what="the step")
        ending = threading.Thread(target=end_forgotten_builds, args=(place.parent,))
        ending.start()
        build.wait(30)
        ending.join(30)
    await_that(lambda: mark not in _commands(), within_s=20, what="the step's end")
    assert not place.exists()


def test_roots_engine_builds_for_the_machines_owner_only(yard: Yard) -> None:
    """Whoever may publish would be root in what is built."""
    anna = yard.site.user("anna", canPublish=True)
    files = {"Containerfile": f"FROM {BASE}\nRUN echo annas > /hers\n"}
    theirs = yard.publish("hers", "cat /hers", {"build": "Containerfile"}, files=files, who=anna)
    said = yard.site.run(theirs, who=anna, state="FAILED")["outcome"]
    assert said["reason"] == "environment" and "built here for its owner only" in said["message"], said
    own = yard.publish("owners", "cat /hers", {"build": "Containerfile"}, files=files)
    yard.site.run(own, wait=120)
    yard.site.run(theirs, who=anna, wait=60)  # what is here may be used by all


def test_a_build_ends_at_the_agents_limit(engine_room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the step that it is at."""
    for name, value in engine_room.variables.items():
        monkeypatch.setenv(name, value)
    mark = f"600.{os.getpid()}"
    (tmp_path / "Containerfile").write_text(f"FROM {BASE}\nRUN sleep {mark}\n")
    builds = ImageBuilds(ImageStore(tmp_path, engine="podman", bound_bytes=0), retry_s=60.0, build_s=4.0)
    said: list[str] = []

    async def body() -> None:
        wanted = Environment(build="Containerfile")
        with pytest.raises(EnvironmentFailed, match=r"could not be built from Containerfile within 4 s, which is this"):
            await builds.ensure(wanted, {"Containerfile": tmp_path / "Containerfile"}, said.append, trusted=True)

    asyncio.run(body())
    assert any(f"step 2 of 3: RUN sleep {mark}" in text for text in said), said
    await_that(lambda: mark not in _commands(), within_s=20, what="the step's end")


def _commands() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


CDI = Path("/run/cdi")


@pytest.mark.skipif(CDI.exists() or Path("/etc/cdi").exists(), reason="this machine has devices of its own")
def test_a_container_gets_the_gpus_of_its_task(
    own_sirdar: Callable[..., Product], engine_room: Room, tmp_path: Path
) -> None:
    """By CDI, as NVIDIA's toolkit describes them: here each is a variable."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA T1\necho NVIDIA T2\n")
    (tools / "nvidia-smi").chmod(0o755)
    devices = [{"name": str(n), "containerEdits": {"env": [f"CARD{n}=here"]}} for n in range(2)]
    CDI.mkdir()
    try:
        (CDI / "nvidia.json").write_text(
            json.dumps({"cdiVersion": "0.3.0", "kind": "nvidia.com/gpu", "devices": devices})
        )
        site = own_sirdar({**engine_room.variables, "PATH": f"{tools}:{os.environ['PATH']}"})
        for count, seen in ((1, "here. CUDA="), (2, "here.here CUDA=")):
            wanted: dict[str, Any] = {"environment": {"image": BASE}, "resources": {"gpus": count}}
            app = site.publish(f"on-{count}", "echo $CARD0.$CARD1 CUDA=$CUDA_VISIBLE_DEVICES", shell=True, **wanted)
            assert site.admin.get(site.run(app)["stdout"]).text.strip() == seen
        app = site.publish("without", "echo $CARD0.$CARD1", shell=True, environment={"image": BASE})
        assert site.admin.get(site.run(app)["stdout"]).text.strip() == ".", "it asked for none"
    finally:
        shutil.rmtree(CDI)


def test_containers_of_a_dead_porter_are_ended(yard: Yard) -> None:
    app = yard.publish("lives", "sleep 600", {"image": BASE}, retries=0)
    job = yard.site.submit(app)
    (name,) = await_that(yard.room.containers, within_s=60, what="its container")
    await_that(lambda: yard.site.job(job["id"])["state"] == "RUNNING", what="its start")
    status = json.loads((yard.site.home / "agent" / "agent.json").read_text())
    os.kill(status["porter_pid"], signal.SIGKILL)
    ended = yard.site.ended(job["id"], wait=90)
    assert ended["outcome"]["reason"] == "porter_lost"
    await_that(lambda: name not in yard.room.containers(), within_s=30, what="its end")
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in told.splitlines() if name in line]


def test_only_images_of_the_agent_are_removed(
    engine_room: Room, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own, that nothing uses, and that have no further name; the owner's stay, however large."""
    for name, value in engine_room.variables.items():
        monkeypatch.setenv(name, value)
    yard_images = engine_room.images()
    with containers.registry(tmp_path_factory.mktemp("registry")) as place:
        names = [f"{place}/lab/tool{number}:1" for number in range(4)]
        for name in names:
            local = f"localhost/{name.rpartition('/')[2].partition(':')[0]}"
            engine_room.build(local, f"FROM {BASE}\nCOPY filling /filling\n", {"filling": os.urandom(4096)})
            engine_room.do("podman", "push", "--quiet", "--tls-verify=false", local, f"docker://{name}")
            engine_room.do("podman", "rmi", "--force", local)
        engine_room.do("podman", "pull", "--quiet", "--tls-verify=false", names[0])
        asyncio.run(_pull_and_collect(engine_room, tmp_path, names))
    left = engine_room.do("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert f"{place}/lab/tool0:1" in left, "the owner's own"
    assert "localhost/mine:latest" in left, "named by the owner meanwhile"
    assert len(engine_room.images() - yard_images) == 3, "those two, and what is in use"


async def _pull_and_collect(room: Room, home: Path, names: list[str]) -> None:
    store = ImageStore(home, engine="podman", bound_bytes=0)
    images = Images(store, retry_s=60.0)
    ready = [await images.ensure(Environment(image=name), {}, lambda text: None, trusted=True) for name in names]
    room.do("podman", "tag", ready[1].image, "localhost/mine")
    images.hold(ready[2].identity)
    await images.collect()
    assert images.known(Environment(image=names[2]), {}) == ready[2]
    assert images.known(Environment(image=names[3]), {}) is None


def test_docker_by_a_command_that_speaks_as_it_does(
    engine_room: Room, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in engine_room.variables.items():
        monkeypatch.setenv(name, value)
    stand_in(tmp_path / "bin", "docker")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with containers.registry(tmp_path_factory.mktemp("registry")) as place:
        target = f"{place}/lab/docked:1"
        engine_room.do("podman", "push", "--quiet", "--tls-verify=false", BASE, f"docker://{target}")
        store = ImageStore(tmp_path, engine="docker", bound_bytes=1 << 40)
        ready = asyncio.run(
            Images(store, retry_s=60.0).ensure(Environment(image=target), {}, lambda text: None, trusted=True)
        )
    assert ready.identity.startswith(f"{place}/lab/docked@sha256:")
    folder = tmp_path / "slot"
    (folder / "dir").mkdir(parents=True)
    plain = Launch(
        key="one", argv=["sh", "-c", "echo $WORD; cat; touch made; exit 3"], env={"WORD": "said"}, base_env={}, cwd=f"{folder}/dir",
        stdout="", stderr="", stdin="given", memory_bytes=256 << 20,
    )  # fmt: skip
    made = contain(plain, store.engine, tmp_path, image=ready.image, network=False)
    assert made.wrap is not None and made.wrap.kind == "docker"
    words, env = [*made.wrap.words, *made.argv], {**made.base_env, **made.env}
    done = subprocess.run(words, input="given", env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "said\ngiven"), done.stderr
    assert (folder / "dir" / "made").stat().st_uid == os.getuid()
    subprocess.run(made.wrap.end, env=dict(made.base_env), check=False, capture_output=True)
    assert engine_room.containers() == []
