"""``sirdar up`` ends, is killed, is started again: programs go on, and nothing is in anybody's way."""

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_server import BIN, surroundings
from tests.faults.rig import Rig, _holder
from tests.system.product import PATIENCE, _processes_below, await_that

GATED = {
    "inputs": {"gate": {"type": "string"}, "ledger": {"type": "string"}},
    "command": ["sh", "-c", 'echo "$$" >> "$2"; while [ ! -e "$1" ]; do sleep 0.05; done; echo through', "gated",
                "${gate}", "${ledger}"],
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    product = Rig(tmp_path_factory.mktemp("up"), slots=2)
    product.start()
    try:
        yield product
    finally:
        product.again()
        product.close()


@pytest.fixture
def up(shared: Rig) -> Rig:
    """A product that runs, whatever the test before did to it."""
    shared.again()
    shared.await_agent()
    return shared


def gated(product: Rig, tmp_path: Path, *, tasks: int = 1) -> tuple[str, Path, Path]:
    """A job whose programs run until a file appears: (job, that file, a line for each start)."""
    product.publish("gated", **GATED)
    gate, ledger = tmp_path / "gate", tmp_path / "ledger"
    inputs = {"gate": str(gate), "ledger": str(ledger)}
    more = {"foreach": [{}] * tasks} if tasks > 1 else {}
    job = product.submit("me/gated", inputs, **more)["id"]
    await_that(lambda: ledger.exists() and len(ledger.read_text().splitlines()) == tasks, 20, "the programs' start")
    await_that(lambda: product.attempt_is(job, "RUNNING"), 20, "the ledger's word of it")
    return job, gate, ledger


def starts(ledger: Path) -> int:
    return len(ledger.read_text().splitlines())


def signal_up(product: Rig, *numbers: int) -> str:
    """Sends signals to ``sirdar up``, waits for its end, returns what it printed."""
    process = product.process
    assert process is not None and process.stdout is not None
    for number in numbers:
        process.send_signal(number)
    assert process.wait(30) == 0
    said = process.stdout.read().decode()
    product.bury()
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_leaves_the_programs_running(up: Rig, tmp_path: Path, number: int) -> None:
    product = up
    job, gate, ledger = gated(product, tmp_path)
    porter = product.porter_pid
    said = signal_up(product, number)
    assert re.search(r"1 program(s)? run", said) and "next 'sirdar up'" in said, said
    assert not product.agent_pid and product.porter_pid == porter
    product.start()
    assert product.porter_pid == porter
    gate.touch()
    assert product.await_end(job)["state"] == "DONE"
    assert starts(ledger) == 1
    product.check_story(job)
    product.check_quiet()


def test_programs_that_end_while_nothing_is_up_are_delivered(up: Rig, tmp_path: Path) -> None:
    product = up
    job, gate, ledger = gated(product, tmp_path)
    signal_up(product, signal.SIGTERM)
    gate.touch()
    await_that(lambda: not product.porter_pid, 15, "the end of an idle porter")
    assert _processes_below(product.root) == {}
    product.start()
    assert product.await_end(job)["state"] == "DONE"
    assert starts(ledger) == 1


def test_a_second_signal_ends_the_programs(up: Rig, tmp_path: Path) -> None:
    product = up
    job, _, ledger = gated(product, tmp_path)
    said = signal_up(product, signal.SIGINT, signal.SIGTERM)
    assert "ending the programs" in said
    assert not product.porter_pid and _processes_below(product.root) == {}
    product.start()
    assert product.await_end(job)["state"] == "CANCELLED"
    assert starts(ledger) == 1


def test_nothing_new_is_begun_while_the_programs_are_ended(up: Rig, tmp_path: Path) -> None:
    """Many tasks wait, and those that run take their time to end: the places that become free stay free."""
    product = up
    ledger = tmp_path / "ledger"
    script = 'echo x >> "$1"; trap "" TERM; while :; do sleep 0.05; done'
    inputs = {"ledger": {"type": "string"}}
    product.publish("slow", ["sh", "-c", script, "slow", "${ledger}"], inputs=inputs, grace=1)
    job = product.submit("me/slow", {"ledger": str(ledger)}, foreach=[{}] * 30)["id"]
    await_that(lambda: ledger.exists() and starts(ledger) == 2, 20, "the first programs")
    began = time.monotonic()
    signal_up(product, signal.SIGINT, signal.SIGTERM)
    assert time.monotonic() - began < PATIENCE * 8
    assert starts(ledger) == 2 and _processes_below(product.root) == {}
    product.start()
    product.patient("POST", f"/api/jobs/{job}/cancel")
    assert product.await_end(job)["state"] == "CANCELLED"


def test_the_second_signal_may_come_when_the_agent_has_left(up: Rig, tmp_path: Path) -> None:
    """A person takes half a second between two Ctrl-C."""
    product = up
    job, _, _ = gated(product, tmp_path)
    process = product.process
    assert process is not None and process.stdout is not None
    process.send_signal(signal.SIGINT)
    await_that(lambda: not product.agent_pid or process.poll() is not None, 15, "the agent's end")
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    said = signal_up(product)
    assert "ending the programs" in said, said
    assert not product.porter_pid and _processes_below(product.root) == {}
    product.start()
    assert product.await_end(job)["state"] == "CANCELLED"


def test_a_closed_terminal_ends_it_in_good_order(tmp_path: Path) -> None:
    """The terminal is gone: SIGHUP comes, and nothing can be written to it any more."""
    master, slave = pty.openpty()
    environment = surroundings(tmp_path) | {"SIRDAR_ADMIN_PASSWORD": "x" * 12}
    words = [str(BIN / "sirdar"), "up", "--home", str(tmp_path / "server"), "--port", "0", "--slots", "1"]
    process = subprocess.Popen(
        words, env=environment, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    said = b""
    while b"ready http" not in said:
        said += os.read(master, 4096)
    product = Rig(tmp_path)
    product.await_agent()
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0
    assert not product.agent_pid
    assert "Traceback" not in (tmp_path / "server/server.log").read_text()
    if product.porter_pid:
        os.kill(product.porter_pid, signal.SIGTERM)
        await_that(lambda: not product.porter_pid, 10)


# ---------------------------------------------------------------- kill -9


def test_what_a_killed_up_leaves_is_no_obstacle(up: Rig, tmp_path: Path) -> None:
    product = up
    job, gate, ledger = gated(product, tmp_path)
    porter, agent = product.porter_pid, product.agent_pid
    product.kill("server")
    product.start()
    assert product.await_agent() != agent
    assert product.porter_pid == porter
    gate.touch()
    assert product.await_end(job)["state"] == "DONE"
    assert starts(ledger) == 1


def test_the_agent_of_a_killed_up_leaves_by_itself(up: Rig, tmp_path: Path) -> None:
    product = up
    job, gate, ledger = gated(product, tmp_path)
    product.kill("server")
    await_that(lambda: not product.agent_pid, 10, "the agent's end")
    gate.touch()
    await_that(lambda: not product.porter_pid, 15, "the end of an idle porter")
    assert _processes_below(product.root) == {}
    product.start()
    assert product.await_end(job)["state"] == "DONE"
    assert starts(ledger) == 1


def test_an_old_agent_that_does_not_answer_is_ended(up: Rig, tmp_path: Path) -> None:
    product = up
    job, gate, ledger = gated(product, tmp_path)
    agent = product.agent_pid
    product.freeze(agent)
    product.kill("server")
    assert product.agent_pid == agent
    product.start()
    assert product.await_agent() != agent
    gate.touch()
    assert product.await_end(job)["state"] == "DONE"
    assert starts(ledger) == 1


def test_a_home_that_moved_while_its_programs_ran(rig: Callable[..., Rig], tmp_path: Path) -> None:
    product = rig()
    product.publish(
        "writes", ["sh", "-c", 'while [ ! -e "$1" ]; do sleep 0.05; done; echo 42 > answer', "writes", "${gate}"],
        inputs={"gate": {"type": "string"}}, outputs={"answer": {"type": "file", "from": "answer"}},
    )  # fmt: skip
    job = product.submit("me/writes", {"gate": str(tmp_path / "gate")})["id"]
    await_that(lambda: product.attempt_is(job, "RUNNING"), 20)
    signal_up(product, signal.SIGTERM)
    product.home.rename(product.root / "moved")
    product.place = "moved"
    product.start()
    (tmp_path / "gate").touch()
    ended = product.await_end(job)
    assert ended["state"] == "DONE", ended
    assert product.attempts(job) == [(0, 1, "ENDED", "ok")]
    assert product.patient("GET", ended["result"]["answer"]).text == "42\n"


def test_a_first_start_that_is_killed_again_and_again(tmp_path: Path) -> None:
    product = Rig(tmp_path)
    for after_s in (0.25, 0.4, 0.6, 0.8, 1.0, 1.3):
        product.false_start(after_s)
        if product.process is not None:  # it was quicker
            product.kill("all")
    product.start()
    product.await_agent()
    assert product.run(product.publish("true", "/bin/true"))["state"] == "DONE"
    product.check_quiet()
    product.close()


# ---------------------------------------------------------------- who holds a home


def test_a_second_up_says_who_holds_the_home(up: Rig) -> None:
    product = up
    words = [str(BIN / "sirdar"), "up", "--home", str(product.home), "--port", "0"]
    second = subprocess.run(
        words, check=False, env=surroundings(product.root), capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 3
    assert str(product.server_pid) in second.stderr and product.url in second.stderr, second.stderr
    assert product.job(product.submit(product.publish("true", "/bin/true"))["id"])
    assert _holder(product.home / "up.lock") == product.server_pid


def test_a_lock_of_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    product = Rig(tmp_path)
    (product.home / "agent").mkdir(parents=True)
    for lock in ("up.lock", "agent/agent.lock", "agent/porter.lock"):
        (product.home / lock).write_text('{"pid": 1}' if lock == "up.lock" else "1")
    began = time.monotonic()
    product.start()
    product.await_agent()
    assert time.monotonic() - began < 15
    product.close()


def test_a_porter_that_is_told_to_end_is_no_fault_of_its_programs(up: Rig, tmp_path: Path) -> None:
    """As when the machine shuts down: everything gets SIGTERM. The task is tried again."""
    product = up
    job, gate, ledger = gated(product, tmp_path)
    os.kill(product.porter_pid, signal.SIGTERM)
    await_that(lambda: starts(ledger) == 2, 20, "the second try")
    gate.touch()
    assert product.await_end(job)["state"] == "DONE"
    assert product.attempts(job) == [(0, 1, "ENDED", "porter_lost"), (0, 2, "ENDED", "ok")]
