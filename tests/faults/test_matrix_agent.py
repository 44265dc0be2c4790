"""The fault matrix (``matrix.py``): what strikes at the agent and its machine."""

import os
import sys
from collections.abc import Iterator

import pytest
from tests.conftest import require
from tests.faults.field import Field, field_of
from tests.faults.machine import Boot, Clock, small_disk
from tests.faults.matrix import AGENT, PERIODS, PHASES, Fault, Phase, Things, play

pytestmark = [
    pytest.mark.needs("cc"),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts, which needs root"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Field, Things]]:
    """An agent on a small disk, in a boot of its own, with a clock of its own."""
    place = tmp_path_factory.mktemp("matrix")
    boot, clock = Boot(place / "boot"), Clock.make(place, require("cc"))
    boot.next()
    around = {"around_agent": clock.environment, "inside": boot.inside}
    root = place / "field"
    with small_disk(root / "agent/home", 32), field_of(root, agent_token_s=2, **around, **PERIODS) as made:
        yield made, Things(boot=boot, agent_clock=clock)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("fault", AGENT, ids=lambda fault: fault.name)
def test_matrix(scene: tuple[Field, Things], fault: Fault, phase: Phase) -> None:
    field, things = scene
    play(field, phase, fault, things)
