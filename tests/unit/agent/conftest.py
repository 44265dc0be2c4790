import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_server import FakeServer
from harness import AgentProcess, marked_processes

MakeAgent = Callable[..., AgentProcess]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServer]:
    """A server with an agent of two slots that the tests of one file share; ``server.agent_home`` is its directory."""
    home = tmp_path_factory.mktemp("shared") / "agent"
    with FakeServer() as fake:
        fake.agent_home = home
        agent = AgentProcess(home, fake.url, link_over_bytes=1000).start()
        yield fake
        agent.close()
    assert marked_processes(str(home)) == []


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    """Makes agents that are ended with the test, and checks that no program of theirs is left."""
    agents: list[AgentProcess] = []

    def make(server: FakeServer, name: str = "agent", **settings: Any) -> AgentProcess:
        home = tmp_path / name
        agent = AgentProcess(home, server.url, **settings)
        agents.append(agent)
        return agent

    yield make
    for agent in agents:
        agent.close()
    assert marked_processes(str(tmp_path)) == []
