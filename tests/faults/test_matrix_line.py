"""The fault matrix (``matrix.py``): what befalls the line between agent and server."""

from collections.abc import Iterator

import pytest
from tests.faults.field import Field, field_of
from tests.faults.matrix import LINE, PERIODS, PHASES, Fault, Phase, Things, play


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field_of(tmp_path_factory.mktemp("matrix"), agent_token_s=2, **PERIODS) as made:
        yield made


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("fault", LINE, ids=lambda fault: fault.name)
def test_matrix(field: Field, fault: Fault, phase: Phase) -> None:
    play(field, phase, fault, Things())
