"""The fault matrix (``matrix.py``): what strikes at the server."""

from collections.abc import Iterator

import pytest
from tests.conftest import require
from tests.faults.field import Field, field_of
from tests.faults.machine import Clock
from tests.faults.matrix import PERIODS, PHASES, SERVER, Fault, Phase, Things, play
from tests.faults.release import Release

pytestmark = pytest.mark.needs("cc")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Field, Things]]:
    place = tmp_path_factory.mktemp("matrix")
    things = Things(
        server_clock=Clock.make(place, require("cc")), release=Release.copy(place / "release", "99.0", newer=True)
    )
    assert things.server_clock is not None
    with field_of(place / "field", around_server=things.server_clock.environment, **PERIODS) as made:
        yield made, things


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("fault", SERVER, ids=lambda fault: fault.name)
def test_matrix(scene: tuple[Field, Things], fault: Fault, phase: Phase) -> None:
    field, things = scene
    play(field, phase, fault, things)
