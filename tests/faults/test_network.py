"""The network between server and agent fails: answers are lost or come twice, tokens expire, the line is cut."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.field import Field, field_of, finals
from tests.faults.proxy import Call
from tests.faults.rig import hold
from tests.system.product import await_that


def syncs(call: Call) -> bool:
    return call.path.endswith("/sync")


def heartbeats(call: Call) -> bool:
    return call.path.endswith("/heartbeat")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Attempts of a silent agent are given up after two seconds, its lease lasts one."""
    settings = {"lease_s": 1, "lost_after_s": 2, "heartbeat_s": 0.2, "agent_token_s": 3, "accept_s": 4}
    with field_of(tmp_path_factory.mktemp("network"), agent={"claim_wait_s": 1}, **settings) as made:
        yield made


# ---------------------------------------------------------------- what is lost or doubled


@pytest.mark.parametrize("phase", ["offered", "accepted", "final_sent", "final_held"])
def test_calls_whose_answers_are_lost_are_repeated(field: Field, phase: str) -> None:
    rule = field.hold(phase)
    assert rule is not None
    rule.times = 2
    job = field.submit(given=True)
    job.await_done()
    await_that(lambda: len(rule.calls) == 2, 10, "the second try")
    rule.release()


def test_a_final_that_comes_twice_counts_once(field: Field) -> None:
    rule = field.network.add("twice", finals)
    job = field.submit()
    rule.await_met()
    job.await_done()
    rule.release()
    assert sum(len(data["tasks"]) for kind, data in field.server.story(job.id) if kind == "ended") == 1


def test_every_call_comes_twice(field: Field) -> None:
    rule = field.network.add("twice", lambda call: True)
    jobs = [field.submit(given=number == 0) for number in range(3)]
    for job in jobs:
        job.await_done()
    rule.release()


def test_every_second_answer_is_lost(field: Field) -> None:
    numbers = iter(range(1_000_000))
    rule = field.network.add("lose", lambda call: next(numbers) % 2 == 0)
    jobs = [field.submit(given=number == 0) for number in range(3)]
    for job in jobs:
        job.await_done()
    rule.release()


def test_a_program_outlives_its_agents_tokens(field: Field) -> None:
    job = field.submit(gate=True, given=True)
    job.await_start()
    tokens = sum(call.path.endswith("/token") for call in field.network.calls)
    await_that(lambda: sum(call.path.endswith("/token") for call in field.network.calls) > tokens, 10, "a new token")
    job.open()
    job.await_done()


def test_tokens_that_expired_while_the_line_was_cut(field: Field) -> None:
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    field.server.kill("server")  # the server's clock goes on, its memory does not
    field.network.cut()
    job.open()
    hold(lambda: True, 3.5)
    field.server.again()
    field.network.clear()
    job.await_done()


@pytest.mark.parametrize("arrives", ["once", "twice"])
def test_a_heartbeat_from_before_the_acceptance_takes_nothing_away(field: Field, arrives: str) -> None:
    """It was sent when the agent did not own the attempt yet, and arrives when the server believes that it does."""
    late = field.network.add("hold", heartbeats, before=True, times=1)
    if arrives == "twice":
        field.network.add("twice", lambda call: call in late.calls)
    late.await_met()
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    late.release()
    hold(lambda: field.server.attempt_is(job.id, "RUNNING"), 1.0)
    job.open()
    job.await_done()


def test_the_hello_of_an_earlier_life_comes_late(field: Field) -> None:
    """It was on its way when the agent was killed, and arrives when the next one is at work."""
    field.agent.kill()
    late = field.network.add("hold", lambda call: call.path.endswith("/hello"), before=True, times=1)
    field.agent.start()
    late.await_met()
    field.agent.kill()
    field.agent.start()
    field.await_agent()
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    late.release()
    hold(lambda: field.server.attempt_is(job.id, "RUNNING"), 1.5)
    assert field.seen()["session"] == field.agent.status()["session"]
    job.open()
    job.await_done()


# ---------------------------------------------------------------- the line is cut


def test_a_cut_that_is_shorter_than_the_patience_changes_nothing(field: Field) -> None:
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    field.network.cut()
    await_that(field.unreachable, 10, "the end of the lease")
    field.network.clear()
    await_that(lambda: not field.unreachable(), 10, "the agent's return")
    hold(lambda: field.server.attempt_is(job.id, "RUNNING"), 0.5)
    job.open()
    job.await_done()


def test_a_cut_that_is_longer_and_the_program_still_runs(field: Field) -> None:
    """The task waits for a replacement; its own agent comes back first and goes on: nothing is started twice."""
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    field.network.cut()
    await_that(lambda: "returned" in [kind for kind, _ in field.server.story(job.id)], 15, "the task's return")
    field.network.clear()
    await_that(lambda: "reachable" in [kind for kind, _ in field.server.story(job.id)], 15, "the agent's return")
    hold(lambda: len(job.starts) == 1, 1.0)
    job.open()
    job.await_done()


def test_a_claim_is_the_first_that_comes_back(field: Field) -> None:
    """Heartbeats stay lost a little longer: the agent asks for work before it has said what it still runs."""
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    field.network.cut()
    await_that(lambda: "returned" in [kind for kind, _ in field.server.story(job.id)], 15, "the task's return")
    silent = field.network.add("lose", heartbeats, before=True)
    field.network.is_cut = False
    claims = field.network.add("pass", lambda call: syncs(call) and "claim" in call.said)
    claims.await_met()
    hold(lambda: len(job.starts) == 1, 1.5)
    silent.release()
    job.open()
    job.await_done()


def test_a_cut_that_is_longer_and_the_program_ends_meanwhile(field: Field) -> None:
    job = field.submit(gate=True, given=True)
    job.await_start()
    job.await_state("RUNNING")
    field.network.cut()
    job.open()
    await_that(lambda: "returned" in [kind for kind, _ in field.server.story(job.id)], 15, "the task's return")
    field.network.clear()
    job.await_done()


def test_without_a_retry_the_lost_task_ends_and_its_program_too(field: Field) -> None:
    field.publish(retries=0)
    try:
        job = field.submit(gate=True)
        job.await_start()
        job.await_state("RUNNING")
        field.network.cut()
        ended = field.server.await_end(job.id)
        assert (ended["state"], field.server.attempts(job.id)) == ("FAILED", [(0, 1, "ENDED", "agent_lost")])
        field.network.clear()
        place = str(job.place).encode()
        await_that(lambda: not programs(place), 15, "the end of a program that nobody wants")
        field.server.check_story(job.id)
    finally:
        field.publish(retries=20)


def test_a_job_that_is_cancelled_while_the_line_is_cut(field: Field) -> None:
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    field.network.cut()
    assert field.server.admin.post(f"/api/jobs/{job.id}/cancel").status_code < 300
    assert field.server.await_end(job.id)["state"] == "CANCELLED"
    field.network.clear()
    await_that(lambda: not programs(str(job.place).encode()), 15, "the program's end")
    field.server.check_story(job.id)


def programs(word: bytes) -> list[int]:
    """Programs that name a place in their command."""
    found = []
    for pid in [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


# ---------------------------------------------------------------- the server is slow


def test_a_server_that_stood_still_gives_nobody_up(field: Field) -> None:
    """It stands longer than lease and patience together: that was its own absence, not the agent's."""
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    pid = field.server.server_pid
    field.server.freeze(pid)
    hold(lambda: True, 4.0)
    field.server.thaw(pid)
    hold(lambda: "returned" not in [kind for kind, _ in field.server.story(job.id)], 1.5)
    assert not field.unreachable()
    job.open()
    job.await_done()


def test_an_agent_that_stood_still_goes_on(field: Field) -> None:
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    assert field.agent.process is not None
    pid = field.agent.process.pid
    field.server.freeze(pid)
    await_that(lambda: "returned" in [kind for kind, _ in field.server.story(job.id)], 15, "the task's return")
    field.server.thaw(pid)
    await_that(lambda: "reachable" in [kind for kind, _ in field.server.story(job.id)], 15, "the agent's return")
    hold(lambda: len(job.starts) == 1, 0.5)
    job.open()
    job.await_done()


# ---------------------------------------------------------------- the agent of the server's own machine


@pytest.fixture
def embedded(tmp_path: Path) -> Callable[..., AbstractContextManager[Field]]:
    def make(**settings: Any) -> AbstractContextManager[Field]:
        return field_of(tmp_path, embedded=True, **settings)

    return make


def test_a_server_that_starts_while_outputs_are_put_beside_its_own(
    embedded: Callable[..., AbstractContextManager[Field]],
) -> None:
    """It clears away drafts of the dead, and the agent's are not among them."""
    with embedded() as field:
        field.server.publish(
            "large", ["sh", "-c", 'echo x >> "$1"; head -c 300000000 /dev/zero > answer', "large", "${diary}"],
            inputs={"diary": {"type": "string"}}, outputs={"answer": {"type": "file", "from": "answer"}},
        )  # fmt: skip
        diary = field.root / "diary"
        job = field.server.submit("me/large", {"diary": str(diary)})["id"]
        drafts = field.server.home / "blobs/tmp"
        assert field.agent.process is not None
        await_that(lambda: list(drafts.iterdir()), 30, "the draft of the output")
        field.server.freeze(field.agent.process.pid)
        assert list(drafts.iterdir()), "the agent was too quick for this test"
        field.server.kill("server")
        field.server.again()
        field.server.thaw(field.agent.process.pid)
        assert field.server.await_end(job)["state"] == "DONE"
        assert diary.read_text() == "x\n", field.server.picture(job)
