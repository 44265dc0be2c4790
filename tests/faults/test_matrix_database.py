"""The fault matrix (``matrix.py``): PostgreSQL is restarted under a server that runs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import PostgresCluster, require
from tests.faults.field import Field, field_of
from tests.faults.matrix import DATABASE, PERIODS, PHASES, Fault, Phase, Things, play

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Field, Things]]:
    """A PostgreSQL of this module's own, since it is stopped; the server's files lie beside it."""
    place = Path(tempfile.mkdtemp(prefix="sirdar-pg-", dir="/tmp"))
    cluster = PostgresCluster(require("postgres"), place / "pg")
    cluster.directory.mkdir()
    place.chmod(0o755)
    cluster.start()
    try:
        url = cluster.url(cluster.create_database())
        with field_of(place / "field", database=url, **PERIODS) as made:
            yield made, Things(database=cluster)
    finally:
        cluster.stop()
        shutil.rmtree(place)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("fault", DATABASE, ids=lambda fault: fault.name)
def test_matrix(scene: tuple[Field, Things], fault: Fault, phase: Phase) -> None:
    field, things = scene
    play(field, phase, fault, things)
