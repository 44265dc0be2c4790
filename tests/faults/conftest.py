"""Fixtures: products whose processes may die, checked when they end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Starts a product of the test's own: ``rig(slots=2, lease_s=1)``."""
    made: list[Rig] = []

    def start(slots: int = 2, **settings: Any) -> Rig:
        root = tmp_path / f"rig{len(made)}"
        root.mkdir()
        product = Rig(root, settings, slots=slots)
        made.append(product)
        product.start()
        return product

    yield start
    for product in made:
        product.again()
        product.close()
