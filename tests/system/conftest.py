"""The real product: one server that tests share, and servers of a test's own. Both are checked when they end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.bad_world import World, world_of
from tests.system.product import Product


@pytest.fixture(scope="session")
def sirdar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A running ``sirdar up`` that all tests share; they leave it as healthy as they found it."""
    product = Product(tmp_path_factory.mktemp("sirdar"))
    product.start()
    try:
        yield product
    finally:
        product.close()


@pytest.fixture
def own_sirdar(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """Starts a ``sirdar up`` of the test's own, with settings: ``own_sirdar(fetch_allow="127.0.0.1")``."""
    yield from _starting(tmp_path)


@pytest.fixture(scope="module")
def module_sirdar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Product]]:
    """The same for all tests of a module."""
    yield from _starting(tmp_path_factory.mktemp("module"))


def _starting(place: Path) -> Iterator[Callable[..., Product]]:
    made: list[Product] = []

    def start(environment: dict[str, str] | None = None, **settings: Any) -> Product:
        root = place / f"own{len(made)}"
        root.mkdir()
        product = Product(root, settings, environment=environment or {})
        made.append(product)
        product.start()
        return product

    yield start
    for product in made:
        product.close()


# ---------------------------------------------------------------- bad input


@pytest.fixture(scope="session")
def world(sirdar: Product) -> Iterator[World]:
    """The shared server, with what the tables of bad input speak of."""
    with world_of(sirdar) as made:
        yield made


@pytest.fixture
def unchanged(world: World) -> Iterator[None]:
    """Checks that nothing was made, nothing was executed, and that the server still answers."""
    before = world.product.counts()
    yield
    assert world.product.counts() == before
    assert not world.canary.exists()
    assert world.clients[""].get("/healthz").json()["status"] == "ok"
