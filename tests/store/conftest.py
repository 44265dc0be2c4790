"""Ledgers for the tests of the store: on SQLite, and on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.ledger import Ledger


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Any:
    """The session's PostgreSQL, or None for SQLite. It is started here, before a test's own surroundings are."""
    return request.getfixturevalue("postgres_cluster") if request.param == "postgres" else None


@pytest.fixture
def ledger(database: Any, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on each of the two databases."""
    name = database.create_database() if database else ""
    made = Ledger(database.url(name) if database else f"sqlite:///{tmp_path / 'db'}", tmp_path)
    yield made
    made.close()
    if database:
        database.drop_database(name)
