"""The disk is full, on a small file system of the test's own: said clearly, nothing is torn, and all goes on when there is room."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_server import BIN, surroundings
from tests.faults.machine import filled, small_disk
from tests.faults.rig import Rig, hold
from tests.system.product import await_that

from sirdar.agent.identity import load_identity

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs, which needs root"
)
GATED = ["sh", "-c", 'echo x >> "$1"; while [ ! -e "$2" ]; do sleep 0.05; done', "gated", "${diary}", "${gate}"]
TEXTS = {"diary": {"type": "string"}, "gate": {"type": "string"}}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str, int], Rig]]:
    """A product that does not run yet, and a place below its home on a file system of so many megabytes."""
    mounted: list[Path] = []
    products: list[Rig] = []

    def make(place: str, megabytes: int) -> Rig:
        product = Rig(tmp_path / "up", {"retry_max_s": 0.2})
        product.root.mkdir()
        where = product.home / place
        where.mkdir(parents=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", where], check=False)
        if made.returncode:
            pytest.skip("this root may not mount")
        mounted.append(where)
        products.append(product)
        return product

    yield make
    for product in products:
        for client in product._clients.values():
            client.close()
        product.stop()
        left = list((product.home / "agent/work").glob("*/dir/*"))
        assert not left, left
    for where in mounted:
        subprocess.run(["umount", "--lazy", where], check=True)


def gated(product: Rig, tmp_path: Path) -> tuple[str, Path, Path]:
    product.publish("gated", GATED, inputs=TEXTS)
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = product.submit("me/gated", {"diary": str(diary), "gate": str(gate)})["id"]
    await_that(lambda: product.attempt_is(job, "RUNNING"), 20, "the program's start")
    return job, diary, gate


def test_a_home_without_room(small: Callable[[str, int], Rig], tmp_path: Path) -> None:
    """Database, blobs, journals and logs have not a byte left, while a program runs."""
    product = small("", 64)
    product.start()
    product.publish("true", "/bin/true")
    assert product.run("me/true")["state"] == "DONE"
    running, diary, gate = gated(product, tmp_path)
    pids = (product.server_pid, product.await_agent(), product.porter_pid)
    jobs = len(product.admin.get("/api/jobs").json())
    with filled(product.home):
        refused = None
        deadline = time.monotonic() + 30
        while refused is None and time.monotonic() < deadline:  # some writes still fit into what the log has already
            reply = product.admin.post("/api/apps/me/true", json={"inputs": {}, "name": "x" * 450})
            if reply.status_code == 201:
                jobs += 1
            else:
                refused = reply
        assert refused is not None
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full"), refused.text
        for reply in (
            product.admin.put("/api/files/temp/a", content=b"x" * 500_000),
            product.admin.post("/api/files/temp", files={"file": ("a", b"x" * 500_000)}),
        ):
            assert (reply.status_code, reply.json()["code"]) == (507, "disk_full"), reply.text
        assert not list((product.home / "blobs/tmp").iterdir())
        for path in ("/api/jobs", f"/api/jobs/{running}", "/api/apps", "/api/resources"):
            assert product.admin.get(path).status_code == 200, path
        assert "disk has 0 KiB left" in product.admin.get(f"/api/jobs/{running}/explain").json()["summary"]
        gate.touch()
        hold(lambda: (product.server_pid, product.agent_pid, product.porter_pid) == pids, 2.0)
    assert product.await_end(running)["state"] == "DONE"
    assert diary.read_text() == "x\n"
    assert product.run("me/true")["state"] == "DONE"
    rows = product.rows("SELECT id FROM jobs")
    for (job,) in rows:
        assert product.await_end(job)["state"] == "DONE"
        product.check_story(job)
    assert len(rows) == jobs + 1
    product.check_quiet()
    assert (product.server_pid, product.agent_pid, product.porter_pid) == pids
    assert "Traceback" not in (product.root / "up.err").read_text()


def test_a_program_that_fills_everything(small: Callable[[str, int], Rig]) -> None:
    """Server, agent and its directory share one small disk: what the program left makes room for the word that it failed."""
    product = small("", 48)
    product.start()
    product.publish("greedy", ["sh", "-c", "head -c 60000000 /dev/zero > all"])
    product.publish("true", "/bin/true")
    job = product.run("me/greedy", state=None)
    assert (job["state"], job["outcome"]["reason"]) == ("FAILED", "exit_code"), job
    assert product.run("me/true")["state"] == "DONE"
    product.check_quiet()


def test_an_agents_place_without_room(small: Callable[[str, int], Rig], tmp_path: Path) -> None:
    """Its journal cannot be written: what runs goes on, what waits goes on waiting, and nothing spins."""
    product = small("agent", 16)
    product.start()
    product.publish("true", "/bin/true", retries=100)
    assert product.run("me/true")["state"] == "DONE"
    running, diary, gate = gated(product, tmp_path)
    pids = (product.await_agent(), product.porter_pid)
    with filled(product.home / "agent"):
        # What fits into the rest of the journal's last page still runs; then the others wait.
        waiting = [product.submit("me/true")["id"] for _ in range(40)]
        hold(lambda: True, 1.0)
        assert product.rows("SELECT 1 FROM jobs WHERE ended_at IS NULL AND id <> ?", running)
        spent_s = _cpu_s(product.server_pid) + _cpu_s(pids[0])
        hold(lambda: (product.agent_pid, product.porter_pid) == pids, 2.0)
        spent_s = _cpu_s(product.server_pid) + _cpu_s(pids[0]) - spent_s
        assert spent_s < 1.0, f"{spent_s} s of CPU in two seconds without work"
        gate.touch()
        assert product.await_end(running)["state"] == "DONE"
    assert diary.read_text() == "x\n"
    for job in waiting:
        assert product.await_end(job)["state"] == "DONE"
        product.check_story(job)
    assert (product.agent_pid, product.porter_pid) == pids
    product.check_quiet()


def test_inputs_and_outputs_that_do_not_fit(small: Callable[[str, int], Rig]) -> None:
    product = small("agent", 16)
    product.start()
    product.publish(
        "reads", ["cat", "given"], inputs={"given": {"type": "file", "path": "given"}}, retries=1,
    )  # fmt: skip
    job = product.run("me/reads", {"given": product.upload("given", os.urandom(20_000_000))}, state=None)
    assert (job["state"], job["outcome"]["reason"]) == ("FAILED", "stage_in"), job
    assert "the disk of the resource is full" in job["info"], job["info"]
    product.publish("writes", ["sh", "-c", "head -c 20000000 /dev/zero > answer"], retries=1)
    job = product.run("me/writes", state=None)
    assert (job["state"], job["outcome"]["reason"]) == ("FAILED", "exit_code"), job
    product.publish("true", "/bin/true")
    assert product.run("me/true")["state"] == "DONE"
    product.check_quiet()


def test_outputs_that_do_not_fit_on_the_server(small: Callable[[str, int], Rig]) -> None:
    product = small("blobs", 8)
    product.start()
    product.publish(
        "writes", ["sh", "-c", "head -c 20000000 /dev/urandom > answer"], retries=1,
        outputs={"answer": {"type": "file", "from": "answer"}},
    )  # fmt: skip
    job = product.run("me/writes", state=None)
    assert (job["state"], job["outcome"]["reason"]) == ("FAILED", "stage_out"), job
    assert "disk is full" in job["info"], job["info"]
    product.publish("speaks", ["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"], retries=1)
    job = product.run("me/speaks", state=None)
    assert (job["state"], job["outcome"]["reason"]) == ("FAILED", "stage_out"), job
    product.check_quiet()


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_start_without_room_says_so(small: Callable[[str, int], Rig]) -> None:
    """Neither the first start nor a later one leaves anything that the next could stumble over."""
    product = small("", 64)
    for _ in range(2):
        with filled(product.home):
            code, said = _up(product)
            assert code == 1, said
            assert "error[disk_full]" in said and str(product.home) in said and "Traceback" not in said, said
        product.start()
        product.await_agent()
        assert product.run(product.publish("true", "/bin/true"))["state"] == "DONE"
        product.stop()
    product.start()


def test_an_agent_that_begins_without_room_says_so(tmp_path: Path) -> None:
    """Its home is new, or has a key and needs a porter: both want room."""
    with small_disk(tmp_path / "home", 16) as home:
        for begun in (False, True):
            if begun:
                load_identity(home)
            with filled(home):
                words = [sys.executable, "-m", "sirdar.agent", "--home", home]
                ended = subprocess.run(
                    words, env=surroundings(tmp_path), capture_output=True, text=True, timeout=30, check=False
                )
            assert ended.returncode == 1, ended.stderr
            assert f"there is no room left in {home}" in ended.stderr and "Traceback" not in ended.stderr


def _up(product: Rig) -> tuple[int, str]:
    words = [BIN / "sirdar", "up", "--home", product.home, "--port", "0", "--slots", "1"]
    ended = subprocess.run(
        words, env=surroundings(product.root), cwd=product.root, capture_output=True, text=True, timeout=30, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr
