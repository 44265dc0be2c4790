"""A server's backup while jobs run, its restoring elsewhere, its move to PostgreSQL: with people, files, jobs of all kinds."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from own_server import BIN, surroundings
from tests.system.attached import Ran
from tests.system.product import Product, await_that

from sirdar.blobs.logs import SEGMENT_BYTES, LogStore
from sirdar.domain.ids import AttemptKey, JobId
from sirdar.store.schema import HEAD

FILE = os.urandom(300_000)
GATED = """
cat given > taken; cat given | wc -c
seq -f "line %g of a long log" 0 2999 | head -c 60000
while [ ! -e "${gate}" ]; do sleep 0.05; done
"""


def sirdar(root: Path, *words: Any, within_s: float = 120, **more: str) -> Ran:
    """The command line, beside a server."""
    done = subprocess.run(
        [BIN / "sirdar", *map(str, words)],
        env=surroundings(root) | more,
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """Products of the test's own by name; the home of one is ``tmp_path/NAME/server``. None runs yet."""
    made: list[Product] = []

    (tmp_path / "gates").mkdir()
    policy = f"isolation: {{read: [{tmp_path / 'gates'}]}}\n"  # a program of anna's waits for what comes there

    def make(name: str, slots: int = 1, **settings: Any) -> Product:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Product(tmp_path / name, {"agent_porter_idle_s": 1, **settings}, slots=slots, policy=policy))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Kept:
    """What people did before, and how it must look afterwards, wherever it is."""

    def __init__(self, server: Product, gate: Path) -> None:
        self.gate = gate
        anna = server.user("anna", canPublish=True)
        inputs = {"given": {"type": "file", "path": "given"}, "gate": {"type": "string"}}
        outputs = {"taken": {"type": "file", "from": "taken"}}
        server.publish("gated", GATED, shell=True, inputs=inputs, outputs=outputs, who=anna, resources={"cpus": 1})
        given = server.upload("given", FILE, anna)
        self.token = server.token("anna", "base camp tent")
        open_gate = gate.with_name("open")
        open_gate.touch()
        self.done = server.run("me/gated", {"given": given, "gate": str(open_gate)}, who=anna)
        body = {"given": given, "gate": str(gate)}
        self.running = server.submit("me/gated", body, who=anna)["id"]
        self.waiting = [server.submit("me/gated", body, who=anna)["id"] for _ in range(3)]
        await_that(lambda: server.job(self.running, anna)["state"] == "RUNNING", what="a running job")

    def check(self, server: Product) -> None:
        """People sign in, old tokens work, what was done is there, and what waits or runs comes to its end, once."""
        anna = server.signed_in("anna")
        with server.client(self.token) as by_token:
            assert by_token.get("/api/me").status_code == 200
        self._check_done(server, anna, self.done["id"])
        self.gate.touch()
        for job in (self.running, *self.waiting):
            assert server.ended(job, anna)["state"] == "DONE"
            self._check_done(server, anna, job)
        again = server.run("me/gated", {"given": self.done["result"]["taken"], "gate": str(self.gate)}, who=anna)
        self._check_done(server, anna, again["id"])

    def _check_done(self, server: Product, anna: httpx.Client, job: str) -> None:
        found = server.job(job, anna)
        assert found["state"] == "DONE", found
        assert anna.get(found["result"]["taken"]).content == FILE
        log = anna.get(f"/api/files/jobs/{job}/stdout").text
        assert log.startswith("300000\nline 0 of") and len(log) > 59_000
        with server.client() as nobody:
            assert nobody.get(found["result"]["taken"]).status_code == 401


def test_a_backup_while_jobs_run(product: Callable[..., Product], tmp_path: Path) -> None:
    old, new = product("old"), product("new")
    old.start()
    kept = Kept(old, tmp_path / "gates/gate")
    key = AttemptKey(JobId(kept.running), 0, 1)
    logs = LogStore(old.home / "logs")
    logs.append_newest(key, "stderr", 10_000_000, 1000, b"x" * SEGMENT_BYTES)  # as of a long stream
    logs.append_newest(key, "stderr", 10_000_000 + SEGMENT_BYTES, 1000, b"x\nlate\n")  # that goes on within a line
    saved = sirdar(tmp_path, "backup", "copy.tar", "--home", old.home, "--json")
    assert saved.code == 0, saved.err
    said = json.loads(saved.out)
    assert said["blobs"] >= 2 and said["missing_blobs"] == 0 and said["schema"] == HEAD
    assert old.job(kept.running)["state"] == "RUNNING", "the server was disturbed"
    restored = sirdar(tmp_path, "restore", "copy.tar", "--home", new.home)
    assert restored.code == 0, restored.err
    assert "next: sirdar up --home" in restored.err
    stderr = LogStore(new.home / "logs").live(key, "stderr")
    assert (stderr.omitted, stderr.read(stderr.size - 5, 5)) == (10_000_000, b"late\n")
    new.start()
    kept.check(new)
    kept.check(old)


@pytest.mark.postgres
@pytest.mark.needs("moto", "obstore")
def test_from_postgresql_and_s3_to_one_home(
    postgres_url: str, s3_server: Any, product: Callable[..., Product], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    place = {"blobs": f"s3://{s3_server.new_bucket()}/lab", "s3_endpoint": s3_server.url}
    old, new = product("old", database=postgres_url, **place), product("new")
    old.start()
    kept = Kept(old, tmp_path / "gates/gate")
    where = {f"SIRDAR_{name.upper()}": value for name, value in place.items()}
    saved = sirdar(tmp_path, "backup", "copy", "--home", old.home, "--database", postgres_url, **where)
    assert saved.code == 0, saved.err
    assert sirdar(tmp_path, "restore", "copy", "--home", new.home).code == 0
    new.start()
    kept.check(new)
    new.stop()
    back = tmp_path / "third"
    again = sirdar(tmp_path, "backup", "second.tar", "--home", new.home)
    assert again.code == 0, again.err
    refused = sirdar(tmp_path, "restore", "second.tar", "--home", back, "--database", postgres_url, **where)
    assert refused.code == 1 and "is not empty" in refused.err and not back.exists()


@pytest.mark.postgres
def test_promote_while_a_program_runs(postgres_url: str, product: Callable[..., Product], tmp_path: Path) -> None:
    """The program outlives its server, and the promoted one hears of its end, once."""
    server = product("lab")
    server.start()
    kept = Kept(server, tmp_path / "gates/gate")
    given = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    held = sirdar(tmp_path, "promote", "--home", server.home, "--database", given)
    assert held.code == 1 and "Stop it first" in held.err
    leave(server)
    moved = sirdar(tmp_path, "promote", "--home", server.home, "--database", given)
    assert moved.code == 0, moved.err
    assert not (server.home / "sirdar.db").exists()
    server.start(server.port)
    assert server.job(kept.running)["state"] == "RUNNING"
    kept.check(server)
    assert not (server.home / "sirdar.db").exists(), "an SQLite database was made beside"
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as db:
        attempts = db.execute("SELECT state, reason FROM attempts").fetchall()
        ends = db.execute("SELECT job_id FROM events WHERE kind = 'ended'").fetchall()
    assert attempts == [("ENDED", "ok")] * 6, "something was tried again"
    assert len(ends) == len(set(ends)) == 6, "a job ended twice, or never"


def leave(server: Product) -> None:
    """As ``systemctl stop`` does: the programs run on."""
    process = server.process
    assert process is not None and process.stdout is not None
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    process.stdout.close()
    server.process = None


def test_a_backup_of_a_home_that_is_served_with_postgresql_says_what_is_missing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "blobs").mkdir(parents=True)
    refused = sirdar(tmp_path, "backup", "copy.tar", "--home", home)
    assert refused.code == 1 and f"{home} has no SQLite database" in refused.err, refused
    assert "with --database or SIRDAR_DATABASE" in refused.err


def test_migrate(product: Callable[..., Product], tmp_path: Path) -> None:
    server = product("lab", slots=0)
    home = server.home
    assert sirdar(tmp_path, "migrate", "--check", "--home", home).code == 1
    made = sirdar(tmp_path, "migrate", "--home", home)
    assert made.code == 0 and f"schema empty -> {HEAD}" in made.out, made
    checked = sirdar(tmp_path, "migrate", "--check", "--home", home, "--json")
    assert checked.code == 0 and json.loads(checked.out)["behind"] is False
    server.start()
    assert sirdar(tmp_path, "migrate", "--home", home).code == 0, "there is nothing to do"
    leave(server)
    subprocess.run(
        [sys.executable, "-c", f"import sqlite3; d = sqlite3.connect({str(home / 'sirdar.db')!r}); "
         "d.execute(\"UPDATE alembic_version SET version_num = '0042'\"); d.commit()"],
        check=True,
    )  # fmt: skip
    for words in (["migrate", "--home", home], ["up", "--home", home, "--port", "0", "--slots", "0"]):
        refused = sirdar(tmp_path, *words)
        assert refused.code == 1 and "0042 is of a newer release" in refused.err, refused
        assert "Traceback" not in refused.err


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs, which needs root")
def test_no_room(product: Callable[..., Product], tmp_path: Path) -> None:
    """For the backup, for the home that is restored: said, and nothing is left."""
    server = product("lab", slots=0)
    server.start()
    for _ in range(4):
        server.upload("noise", os.urandom(2_000_000))
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        for name in ("copy.tar", "copy"):
            full = sirdar(tmp_path, "backup", small / name, "--home", server.home)
            assert full.code == 1 and "error[disk_full]" in full.err, full
            assert os.listdir(small) == []
        assert sirdar(tmp_path, "backup", "copy.tar", "--home", server.home).code == 0
        full = sirdar(tmp_path, "restore", "copy.tar", "--home", small / "new")
        assert full.code == 1 and "error[disk_full]" in full.err, full
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_blobs_stay_while_they_are_copied(product: Callable[..., Product], tmp_path: Path) -> None:
    """Files come and go while backups are taken, on a server that collects at once: every backup is whole."""
    server = product("lab", slots=0, blob_grace_s=0, sweep_every_s=0.05)
    server.start()
    names: list[str] = []
    for turn in range(3):
        names += [server.upload("noise", os.urandom(400_000)) for _ in range(6)]
        taking = subprocess.Popen(
            [BIN / "sirdar", "backup", f"copy{turn}.tar", "--home", server.home, "--json"],
            env=surroundings(tmp_path), cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        while taking.poll() is None:
            if names:
                assert server.admin.delete(names.pop()).status_code in {200, 204}
            time.sleep(0.02)
        assert taking.stdout is not None
        said = json.loads(taking.stdout.read())
        taking.stdout.close()
        assert taking.returncode == 0 and said["missing_blobs"] == 0, said
