"""Deaths and silences: every attempt has one true end."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from fake_server import FakeServer, wait_for
from harness import AgentProcess, marked_processes

from sirdar.agent.journal import encode, replay

GATED = "echo up; while [ ! -e {gate} ]; do sleep 0.02; done; echo through; exit 5"


def test_an_agent_that_was_killed_takes_its_programs_up_again(server: FakeServer, make_agent, tmp_path) -> None:
    agent = make_agent(server).start()
    gate, count = tmp_path / "gate", tmp_path / "count"
    command = f"echo x >> {count}; " + GATED.format(gate=gate)
    keys = server.add_job({"command": ["sh", "-c", command]}, tasks=2)
    wait_for(lambda: len([1 for _, state in server.started if state == "RUNNING"]) == 2)
    porter = agent.porter_pid
    agent.kill()
    agent.start()
    assert agent.porter_pid == porter
    assert {owned.key for owned in server.hellos[-1].owned} == set(keys)
    assert server.finals == {}
    gate.touch()
    for key in keys:
        assert (server.final(key).reason, server.final(key).exit_code) == ("exit_code", 5)
        assert server.final(key).stdout.text == "up\nthrough\n"
    assert count.read_text() == "x\nx\n"


@pytest.mark.parametrize("ahead_s", [-86_400.0, 86_400.0])
def test_an_agent_whose_clock_is_wrong_is_served(server: FakeServer, make_agent, ahead_s: float) -> None:
    """The server's time is in its refusal; later the server's clock is set right, and the token is worth nothing."""
    server.clock_ahead_s = ahead_s
    make_agent(server).start()
    (key,) = server.add_job({"command": ["true"]})
    assert server.final(key).reason == "ok"
    server.clock_ahead_s, server.token = 0.0, "t2"
    (key,) = server.add_job({"command": ["true"]}, job="jobb")
    assert server.final(key).reason == "ok"


def test_ends_while_no_agent_lives_are_not_lost(server: FakeServer, make_agent, tmp_path) -> None:
    agent = make_agent(server, porter_idle_s=0.3).start()
    gate = tmp_path / "gate"
    (key,) = server.add_job({"command": ["sh", "-c", GATED.format(gate=gate)]})
    wait_for(lambda: (key, "RUNNING") in server.started)
    porter = agent.porter_pid
    agent.kill()
    gate.touch()
    wait_for(lambda: not os.path.exists(f"/proc/{porter}"), what="an idle porter without an agent ends")
    agent.start()
    assert (server.final(key).reason, server.final(key).exit_code) == ("exit_code", 5)


def test_a_dead_porter_costs_its_programs_and_says_so(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    (key,) = server.add_job({"command": ["sh", "-c", "sleep 60 & sleep 60"], "env": {"MARK": "of-dead-porter"}})
    wait_for(lambda: (key, "RUNNING") in server.started)
    os.kill(agent.porter_pid, signal.SIGKILL)
    assert server.final(key).reason == "porter_lost"
    wait_for(lambda: marked_processes("MARK=of-dead-porter") == [])
    (after,) = server.add_job({"command": ["true"]}, job="jobb")
    assert server.final(after).reason == "ok"


def test_agent_and_porter_dead_together(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    keys = server.add_job({"command": ["sleep", "60"], "env": {"MARK": "of-both-dead"}}, tasks=2)
    wait_for(lambda: len([1 for _, state in server.started if state == "RUNNING"]) == 2)
    porter = agent.porter_pid
    agent.kill()
    os.kill(porter, signal.SIGKILL)
    agent.start()
    assert {server.final(key).reason for key in keys} == {"porter_lost"}
    assert marked_processes("MARK=of-both-dead") == []


def test_the_outbox_waits_for_a_server_that_is_away(server: FakeServer, make_agent, tmp_path) -> None:
    make_agent(server).start()
    gate = tmp_path / "gate"
    keys = server.add_job({"command": ["sh", "-c", GATED.format(gate=gate)]}, tasks=2)
    wait_for(lambda: len([1 for _, state in server.started if state == "RUNNING"]) == 2)
    server.stop()
    gate.touch()
    wait_for(lambda: marked_processes(str(gate)) == [])
    server.session = "lost"  # as after a restart: hello must come first
    server.start()
    for key in keys:
        assert server.final(key).exit_code == 5
    assert len(server.hellos) == 2


def test_finals_survive_the_death_of_agent_and_server(server: FakeServer, make_agent, tmp_path) -> None:
    agent = make_agent(server).start()
    gate = tmp_path / "gate"
    (key,) = server.add_job({"command": ["sh", "-c", GATED.format(gate=gate)]})
    wait_for(lambda: (key, "RUNNING") in server.started)
    server.down = True
    gate.touch()
    journal = agent.home / "journal"
    wait_for(lambda: b'"t":"final"' in journal.read_bytes())
    agent.kill()
    agent.start(ready=False)
    server.down = False
    assert server.final(key).exit_code == 5


def test_lost_answers_change_nothing(server: FakeServer, make_agent) -> None:
    make_agent(server).start()
    server.lose_answers = 3
    keys = server.add_job({"command": ["true"]}, tasks=20)
    for key in keys:
        assert server.final(key).reason == "ok"


def test_an_expired_token_is_renewed(server: FakeServer, make_agent) -> None:
    make_agent(server).start()
    server.token = "t2"
    (key,) = server.add_job({"command": ["true"]})
    assert server.final(key).reason == "ok"


def test_sigterm_leaves_programs_running_and_says_how_many(server: FakeServer, make_agent, tmp_path) -> None:
    agent = make_agent(server).start()
    gate = tmp_path / "gate"
    (key,) = server.add_job({"command": ["sh", "-c", GATED.format(gate=gate)]})
    wait_for(lambda: (key, "RUNNING") in server.started)
    assert "1 programs run on" in agent.signal(signal.SIGTERM)
    agent.start()
    gate.touch()
    assert server.final(key).exit_code == 5


def test_sigterm_leaves_no_idle_porter_behind(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    (key,) = server.add_job({"command": ["true"]})
    server.final(key)
    porter = agent.porter_pid
    assert agent.signal(signal.SIGTERM) == "agent ended\n"
    assert not os.path.exists(f"/proc/{porter}")


def test_sigusr1_cancels_everything_and_ends_the_porter(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    (key,) = server.add_job({"command": ["sleep", "60"]})
    wait_for(lambda: (key, "RUNNING") in server.started)
    porter = agent.porter_pid
    assert agent.signal(signal.SIGUSR1) == "agent ended\n"
    assert server.final(key).reason == "cancelled"
    assert not os.path.exists(f"/proc/{porter}")


def test_a_second_agent_on_the_same_home_says_who_holds_it(server: FakeServer, make_agent) -> None:
    first = make_agent(server).start()
    second = make_agent(server).start(ready=False)
    assert second.process is not None and first.process is not None
    assert second.process.wait(20) == 3
    assert f"process id {first.process.pid} holds" in (first.home.parent / "agent.log").read_text()


# ---------------------------------------------------------------- the machine restarts


def restart_machine(agent: AgentProcess, *, journal: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Leaves on the disk what another boot finds: ``journal`` says which records had come there."""
    porter = agent.porter_pid
    agent.kill()
    os.kill(porter, signal.SIGKILL)
    path = agent.home / "journal"
    records = journal(replay(path))
    path.write_bytes(encode([record | {"boot": "earlier"} if "boot" in record else record for record in records]))
    log = agent.home / "porter.log"
    facts = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [fact | {"boot": "earlier"} if fact["r"] == "boot" else fact for fact in facts if fact["r"] != "forget"]
    log.write_text("".join(json.dumps(fact) + "\n" for fact in kept))


@pytest.mark.parametrize("last", ["offers", "run"])
def test_what_was_taken_before_the_machine_restarted_is_lost(
    server: FakeServer, make_agent: Callable[..., AgentProcess], last: str
) -> None:
    """Also where the porter's log has an end: what the program wrote may be gone, or another task's by now."""
    agent = make_agent(server, porter_idle_s=60).start()
    (key,) = server.add_job({"command": ["echo", "result"]})
    assert server.final(key).reason == "ok"
    wait_for(lambda: b'"t":"gone"' in (agent.home / "journal").read_bytes())
    server.finals.clear()

    def up_to_last(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return records[: 1 + next(n for n, record in enumerate(records) if record["t"] == last)]

    restart_machine(agent, journal=up_to_last)
    agent.start()
    assert server.final(key).reason == "porter_lost"


def test_a_final_that_came_to_the_disk_is_delivered_after_a_restart(
    server: FakeServer, make_agent: Callable[..., AgentProcess]
) -> None:
    agent = make_agent(server, porter_idle_s=60).start()
    (key,) = server.add_job({"command": ["echo", "result"]})
    assert server.final(key).reason == "ok"
    wait_for(lambda: b'"t":"gone"' in (agent.home / "journal").read_bytes())
    server.finals.clear()
    restart_machine(agent, journal=lambda records: [record for record in records if record["t"] != "gone"])
    agent.start()
    assert server.final(key).stdout.text == "result\n"


def test_an_agent_that_is_asked_to_end_says_so_and_its_programs_run_on(
    server: FakeServer, make_agent, tmp_path
) -> None:
    agent = make_agent(server).start()
    gate = tmp_path / "gate"
    (key,) = server.add_job({"command": ["sh", "-c", GATED.format(gate=gate)]})
    wait_for(lambda: (key, "RUNNING") in server.started)
    assert "1 programs run on" in agent.signal(signal.SIGTERM)
    last = server.beats[-1]
    assert last.stops and [owned.key for owned in last.owned] == [key]
    agent.start()
    gate.touch()
    assert server.final(key).reason == "exit_code"
    assert not any(beat.stops for beat in server.beats[:-1])


def logged(agent: Any) -> list[tuple[str, str, str | None]]:
    """What the agent's log says of attempts: the event, the key, the reason."""
    lines = [json.loads(line) for line in (agent.home / "agent.log").read_text().splitlines()]
    told = [(line["event"], line.get("attempt"), line.get("reason")) for line in lines]
    return [
        one for one in told if one[0].startswith(("attempt_taken", "attempt_started", "attempt_ended", "attempt_ref"))
    ]


def test_the_log_tells_the_way_of_each_attempt_and_a_refusal_names_the_machine(server: FakeServer, make_agent) -> None:
    agent = make_agent(server)
    agent.home.mkdir()
    (agent.home / "policy.yaml").write_text("deny: {commands: [python3]}")
    agent.start()
    (key,) = server.add_job({"command": ["sh", "-c", "exit 3"]})
    assert server.final(key).reason == "exit_code"
    taken, started, ended = logged(agent)
    assert (taken, ended) == (("attempt_taken", key, None), ("attempt_ended", key, "exit_code"))
    assert started[:2] == ("attempt_started", key)
    (other,) = server.add_job({"command": ["python3", "-c", "1"]}, job="jobb")
    assert server.final(other).message == "here: its owner does not let the command python3 run there"
    assert logged(agent)[3:] == [("attempt_taken", other, None), ("attempt_refused", other, "refused")]
