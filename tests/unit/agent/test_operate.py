"""What the owner of a machine does from outside, on homes that are made by hand."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sirdar.agent import operate
from sirdar.agent.attempts import Attempt
from sirdar.agent.home import DRAFT, STATUS, THROWAWAY, Home, peek_status, try_lock, write_private
from sirdar.agent.identity import Identity, load_identity, save_identity
from sirdar.agent.journal import encode
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.programs import programs_here, programs_running
from sirdar.agent.records import offers_record, run_record
from sirdar.agent.seal import Seal
from sirdar.agent.sweep import sweep_throwaways

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
KEY = "job-0-1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that has joined, with one attempt that was handed to the porter."""
    place = Home(tmp_path / "home")
    place.write_status({"name": "lab", "trouble": ""})
    place.close()
    save_identity(place.path, Identity(b"k" * 32, "res", "lab", "http://127.0.0.1:9"))
    attempt = Attempt(KEY, "job", {}, {}, "")
    attempt.folder = place.path / "work"
    (place.path / "journal").write_bytes(encode([offers_record([attempt], Seal(place.path)), run_record(attempt)]))
    return place.path


@pytest.fixture
def program() -> Iterator[int]:
    """A process that lives."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def tell(home: Path, *records: dict[str, Any], boot: str | None = None) -> None:
    first = {"r": "boot", "boot": boot_id() if boot is None else boot, "porter": 1}
    lines = [json.dumps(record) + "\n" for record in (first, {"r": "got", "ids": [KEY]}, *records)]
    (home / "porter.log").write_text("".join(lines))


def start(pid: int) -> dict[str, Any]:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return {"r": "start", "id": KEY, "pid": pid, "at": 1.0, "ticks": [ticks, ticks]}


def test_leaving_is_refused_while_a_program_runs_and_the_agent_goes_on(home: Path, program: int) -> None:
    held = Home(home)  # this process stands for the agent: whoever asks it to end ends the test
    tell(home, start(program))
    try:
        with pytest.raises(operate.Unable, match=r"^1 program runs on this machine$"):
            operate.leave(home, force=False)
    finally:
        held.close()


def test_leaving_is_refused_while_the_server_does_not_know_an_end(home: Path) -> None:
    tell(home, {"r": "end", "id": KEY})
    with pytest.raises(operate.Unable, match="1 task has ended here, and the server has not heard how"):
        operate.leave(home, force=False)


def test_of_a_revoked_machine_only_what_truly_runs_keeps_it(home: Path, program: int) -> None:
    place = Home(home)
    place.write_status({"trouble": "detached: revoked"})
    place.close()
    tell(home, start(program))
    with pytest.raises(operate.Unable, match="1 program runs"):
        operate._check_idle(home)
    tell(home, start(program), {"r": "end", "id": KEY})
    operate._check_idle(home)


def test_programs_are_told_by_the_system_not_by_what_was_once_started(home: Path, program: int) -> None:
    tell(home)
    assert (programs_here(home), programs_running(home)) == (0, 0), "it was taken over by a porter that is dead"
    tell(home, start(program))
    assert (programs_here(home), programs_running(home)) == (1, 1)
    tell(home, start(program), boot="an earlier one")
    assert programs_here(home) == 0
    tell(home, {**start(os.getpid()), "ticks": [1, 1]})
    assert programs_here(home) == 0, "another process has its number now"


def test_the_status_is_what_is_true_now(home: Path, program: int) -> None:
    tell(home, start(program))
    found = operate.standing(home)
    assert (found.state, found.running) == ("stopped", 1)
    assert found.trouble == "1 program runs on without the agent: sirdar agent start takes up what runs"
    held = Home(home)
    try:
        assert operate.standing(home).running == 1, "though the agent has written nothing of it yet"
        tell(home, start(program), {"r": "end", "id": KEY})
        assert operate.standing(home).running == 0
    finally:
        held.close()
    found = operate.standing(home)
    assert (found.state, found.running, found.trouble) == ("stopped", 0, "")


def test_a_drained_machine_says_so_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def change_mode(self: object, request: Any) -> None:
        asked.append(request.mode)

    monkeypatch.setattr("sirdar.agent.link.Link.change_mode", change_mode)
    held = Home(home)
    try:
        operate.change_mode(home, "drain")
        assert (asked, operate.standing(home).mode) == (["drain"], "drain")
        assert peek_status(home)["name"] == "lab", "the rest stays"
    finally:
        held.close()


def test_an_agent_that_has_only_a_token_is_found_and_told_of_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nowhere = tmp_path / "default"
    assert operate.home_here(nowhere) == nowhere
    held = Home(tmp_path / f"{THROWAWAY}x")
    try:
        load_identity(held.path)
        held.write_status({"pid": os.getpid(), "name": "cloud", "server": "http://here", "trouble": "", "slots": 2})
        assert operate.home_here(nowhere) == held.path
        found = operate.standing(held.path)
        assert (found.state, found.name, found.server, found.running) == ("attached", "cloud", "http://here", 0)
        for act in (lambda: operate.change_mode(held.path, "drain"), lambda: operate.leave(held.path, force=False)):
            with pytest.raises(operate.Unable, match="cloud is attached by a resource token") as told:
                act()
            assert "sirdar resource drain cloud" in told.value.hint
    finally:
        held.close()
    assert operate.home_here(nowhere) == nowhere, "it has died"


def test_homes_of_killed_throw_away_agents_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, living, carrying, orphaned, of_others, young = (
        tmp_path / f"{THROWAWAY}{name}" for name in ("dead", "living", "carrying", "orphaned", "of_others", "young")
    )
    for place in (dead, living, carrying, orphaned):
        Home(place).close()
        (place / "work" / "input").write_text("a user's")
    (dead / "work").chmod(0o500)
    held = Home(living)
    tell(orphaned, start(program))
    porter = os.open(carrying / "porter.lock", os.O_RDWR | os.O_CREAT)
    assert try_lock(porter)
    for place in (of_others, young):
        place.mkdir()
    (young / "agent.lock").touch()  # it has not come to its lock yet
    (tmp_path / f"{THROWAWAY}link").symlink_to(dead)
    assert sweep_throwaways() == [dead]
    assert all((place / "work" / "input").exists() for place in (living, carrying, orphaned))
    assert of_others.exists() and young.exists()
    held.close()
    os.close(porter)
    assert sorted(sweep_throwaways()) == [carrying, living]


def test_several_may_write_how_it_stands_at_once(tmp_path: Path) -> None:
    """The agent and `sirdar agent drain` do: each write succeeds, and whoever reads sees one of them whole."""
    place = Home(tmp_path / "home")
    place.write_status({"mode": "active"})
    at_once = threading.Barrier(4)

    def write(mode: str) -> None:
        at_once.wait()
        for _ in range(50):
            place.write_status({"mode": mode})
            assert peek_status(place.path)["mode"] in ("active", "drain")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, mode) for mode in ("active", "drain") * 2]:
            done.result()
    place.close()
    assert not list(place.path.glob("*.new"))
    assert (place.path / STATUS).stat().st_mode & 0o777 == 0o600


def test_drafts_of_those_who_were_killed_are_removed(tmp_path: Path) -> None:
    Home(tmp_path).close()
    old, young = tmp_path / f"{STATUS}.a{DRAFT}", tmp_path / f"{STATUS}.b{DRAFT}"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    Home(tmp_path).close()
    assert young.exists() and not old.exists()


def test_a_write_without_room_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / STATUS).mkdir()  # what cannot be replaced
    with pytest.raises(OSError):
        write_private(tmp_path / STATUS, "{}")
    assert [path.name for path in tmp_path.iterdir()] == [STATUS]
