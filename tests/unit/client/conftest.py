"""The fake server, as new for each test."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sirdar.client import Client
from sirdar.client.retry import RetryPolicy

QUICK = RetryPolicy(retries=4, first_s=0.01, longest_s=0.02)


def _load() -> Any:
    name = "sirdar_fake_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_server.py"))
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def fake_server() -> Iterator[Any]:
    with _load().Running() as state:
        yield state


@pytest.fixture
def fake(fake_server: Any) -> Any:
    fake_server.reset()
    return fake_server


@pytest.fixture
def client(fake: Any) -> Iterator[Client]:
    with Client(fake.url, "t0ken", policy=QUICK) as made:
        yield made
