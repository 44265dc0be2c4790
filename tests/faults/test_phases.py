"""A task is held in each phase of its life by real means, and server, agent, porter or all of them are killed there."""

from collections.abc import Iterator

import pytest
from tests.faults.field import PHASES, Field, field_of
from tests.system.product import await_that

VICTIMS = ("agent", "server", "porter", "all")
# What a phase looks like in the ledger while it is held.
LEDGER = {
    "offered": ("OFFERED",),
    "accepted": ("ACCEPTED",),
    "staging_in": ("STAGING_IN",),
    "running": ("RUNNING",),
    "staging_out": ("STAGING_OUT",),
    "final_held": ("RUNNING", "STAGING_OUT"),  # the latter where its output took a moment
    "final_sent": ("ENDED",),
}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field_of(tmp_path_factory.mktemp("phases"), agent={"claim_wait_s": 1}) as made:
        yield made


@pytest.fixture(autouse=True)
def clear(field: Field) -> Iterator[None]:
    """A test that fails must not stand in the way of the next one, nor its job take a slot from the next one's."""
    yield
    field.network.clear()
    field.end_all()


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("phase", LEDGER)
def test_a_death_in_each_phase(field: Field, phase: str, victim: str) -> None:
    rule = field.hold(phase)
    job = field.submit(gate=phase in ("running", "final_held"), given=phase not in ("running", "final_held"))
    if phase in ("running", "final_held"):
        job.await_start()
        job.await_state("RUNNING")
    if phase == "final_held":
        job.open()
    if rule is not None:
        rule.await_met()
    job.await_state(*LEDGER[phase])
    field.kill(victim)
    if rule is not None:
        rule.release()
    job.open()
    lost = phase == "running" and victim in ("porter", "all")
    job.await_done(starts=2 if lost else 1)


def test_every_phase_is_held_by_something() -> None:
    assert set(LEDGER) == {*PHASES, "running"}


def test_nothing_lives_after_all_that(field: Field) -> None:
    field.network.clear()
    field.server.check_quiet()
    await_that(lambda: not list(field.agent.home.glob("work/*/dir/*")), 10, "empty directories of tasks")
