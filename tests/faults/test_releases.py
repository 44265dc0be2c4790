"""Releases that differ: an agent is exchanged for another while its programs run, and server and agent speak other protocols.

The other release (``release.py``) has a newer protocol, and fields, records and orders that this one does not know, in all that is
said and written down: to the server, to the agent, in the journal, to the porter, in its log.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.field import Field, Held, field_of
from tests.faults.release import Release
from tests.system.product import await_that

import sirdar

PERIODS = {"lease_s": 1, "lost_after_s": 60, "heartbeat_s": 0.2, "claim_wait_s": 1}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release.copy(tmp_path_factory.mktemp("newer"), "99.0", newer=True)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field_of(tmp_path_factory.mktemp("releases"), agent_token_s=2, **PERIODS) as made:
        made.await_agent()
        yield made


@pytest.fixture(autouse=True)
def as_before(field: Field) -> Iterator[None]:
    yield
    field.network.clear()
    exchange(field, {}, field.agent.kill)


def exchange(field: Field, environment: dict[str, str], end: Callable[[], object]) -> None:
    """The agent ends, and one of another release takes its place."""
    end()
    assert field.agent.process is not None
    field.agent.process.wait(20)
    field.agent.environment = environment
    field.agent.start()
    field.await_agent()


def leave(field: Field) -> None:
    """As ``systemctl stop`` asks it."""
    assert field.agent.process is not None
    field.agent.process.send_signal(signal.SIGTERM)


def version(field: Field) -> str:
    return str(field.server.rows("SELECT agent_version FROM resources WHERE id = ?", field.resource)[0][0])


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def work_in_all_places(field: Field) -> tuple[list[Held], list[Held]]:
    """Two programs that run, and work behind them that was accepted and waits in the porter."""
    running = [field.submit(gate=True) for _ in range(2)]
    for job in running:
        job.await_start()
        job.await_state("RUNNING")
    waiting = [field.submit(given=number == 0) for number in range(2)]
    for job in waiting:
        job.await_state("ACCEPTED", "STAGING_IN")
    return running, waiting


@pytest.mark.parametrize("end", ["asked to leave", "killed"])
@pytest.mark.parametrize("change", ["upgrade", "downgrade"])
def test_an_agent_is_exchanged_while_programs_run(field: Field, newer: Release, change: str, end: str) -> None:
    before, after = ({}, newer.environment) if change == "upgrade" else (newer.environment, {})
    if before:
        exchange(field, before, lambda: leave(field))
    assert version(field) == release_of(newer if before else None)
    running, waiting = work_in_all_places(field)
    porter = field.agent.porter_pid
    assert (str(newer.root) in command_line(porter)) == (change == "downgrade"), "the porter is of the first release"
    exchange(field, after, field.agent.kill if end == "killed" else lambda: leave(field))
    assert version(field) == release_of(newer if after else None)
    assert field.agent.porter_pid == porter
    for job in running:
        assert len(job.starts) == 1
        job.open()
    for job in [*running, *waiting]:
        job.await_done()
        assert field.server.attempts(job.id) == [(0, 1, "ENDED", "ok")], field.server.picture(job.id)
    field.submit(given=True).await_done()  # and new work under that porter, too


def release_of(release: Release | None) -> str:
    return release.version if release is not None else sirdar.__version__


def test_finals_that_were_written_by_another_release_are_delivered(field: Field, newer: Release) -> None:
    exchange(field, newer.environment, lambda: leave(field))
    assert version(field) == newer.version
    rule = field.hold("final_held")
    assert rule is not None
    job = field.submit(given=True)
    rule.await_met()
    exchange(field, {}, field.agent.kill)
    rule.release()
    job.await_done()


# ---------------------------------------------------------------- protocols


def talk(field: Field) -> None:
    """All that agent and server say to one another: files both ways, a wish to cancel, logs, a token that is renewed, a lease."""
    job = field.submit(gate=True, given=True)
    job.await_start()
    job.await_state("RUNNING")
    heard = len(field.network.calls)
    await_that(lambda: any(call.path.endswith("/token") for call in field.network.calls[heard:]), 10, "a new token")
    assert not field.unreachable()
    job.open()
    job.await_done()
    other = field.submit(gate=True)
    other.await_start()
    assert field.server.admin.post(f"/api/jobs/{other.id}/cancel").status_code < 300
    assert field.server.await_end(other.id)["state"] == "CANCELLED"
    await_that(lambda: not other.processes(), 10, "the program's end")


def protocol(field: Field) -> int:
    """What was agreed on at the last hello."""
    return int(
        [call for call in field.network.calls if call.path.endswith("/hello") and call.heard][-1].heard["protocol"]
    )


def test_an_agent_of_the_next_protocol_with_this_server(field: Field, newer: Release) -> None:
    exchange(field, newer.environment, lambda: leave(field))
    assert version(field) == newer.version
    assert protocol(field) == 1
    talk(field)


def test_an_agent_of_the_previous_protocol_with_a_newer_server(newer: Release, tmp_path: Path) -> None:
    with field_of(tmp_path, around_server=newer.environment, agent_token_s=2, **PERIODS) as field:
        field.await_agent()
        assert "novelty" in field.network.calls[-1].heard or any(
            "novelty" in call.heard for call in field.network.calls
        )
        assert protocol(field) == 1
        talk(field)
        exchange(field, newer.environment, lambda: leave(field))
        assert version(field) == newer.version
        assert protocol(field) == 2
        talk(field)


def test_a_protocol_that_the_server_does_not_know_is_told_and_loses_nothing(field: Field, tmp_path: Path) -> None:
    """Its programs go on; when the right release is installed, they are delivered."""
    job = field.submit(gate=True)
    job.await_start()
    job.await_state("RUNNING")
    later = Release.copy(tmp_path / "later", "100.0")
    later.speak((2, 3))
    field.agent.kill()
    field.agent.environment = later.environment
    field.agent.start()
    assert field.agent.process is not None
    assert field.agent.process.wait(20) == 1
    said = (field.agent.home.parent / "agent.err").read_text()
    assert "The agent speaks protocol [2, 3], this server [1]. Install a Sirdar of the server's release" in said
    assert os.path.exists(f"/proc/{field.agent.porter_pid}") and job.processes()
    field.agent.environment = {}
    field.agent.start()
    field.await_agent()
    job.open()
    job.await_done()
