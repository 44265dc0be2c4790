"""Which environments are in use, and by whom: before and after a restart of the agent."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sirdar.agent.environments.all import Environments
from sirdar.agent.environments.base import EnvironmentFailed, Files, Ready, Say
from sirdar.domain.environment import Environment

KEY = "sha256:" + "a" * 64


class Counting:
    """A provider that has one environment, and counts who uses it."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.trusted: list[bool] = []

    def labels(self) -> dict[str, str]:
        return {"environment-python": "test"}

    def handles(self, wanted: Environment) -> bool:
        return wanted.requirements is not None

    def known(self, wanted: Environment, files: Files) -> Ready | None:
        return Ready(KEY)

    async def ensure(self, wanted: Environment, files: Files, say: Say, *, trusted: bool) -> Ready:
        say("working")
        self.trusted.append(trusted)
        return Ready(KEY)

    def hold(self, identity: str) -> None:
        self.held.append(identity)

    def release(self, identity: str) -> None:
        self.held.remove(identity)

    async def collect(self) -> None:
        return


def common_of(owner: str = "me", **wanted: str) -> Any:
    files = [["requirements.txt", "digest", 3, 0o644]]
    job = SimpleNamespace(files=files, owner=owner)
    return SimpleNamespace(app=SimpleNamespace(environment=Environment(**wanted)), job=job, program=None)


def attempt_of(key: str = "job-0-0", environment: str = "") -> Any:
    return SimpleNamespace(key=key, environment=environment)


def environments(provider: Counting, told: list[str], here: Path | None = Path("/blob")) -> Environments:
    tell = lambda attempt, text: told.append(f"{attempt.key}: {text}")  # noqa: E731
    return Environments([provider], lambda sha256: here, tell, lambda common: common.job.owner == "me")


LISTED = common_of(requirements="requirements.txt")


def test_an_environment_is_held_once_for_each_task_until_that_ends() -> None:
    provider = Counting()
    made = environments(provider, [])
    first, second = attempt_of("a-0-0"), attempt_of("a-1-0")
    for attempt in (first, first, second):
        made.hold(attempt, LISTED, Ready(KEY))
    assert provider.held == [KEY, KEY]
    for key in ("a-0-0", "a-0-0", "a-1-0", "b-0-0"):
        made.release(key)
    assert provider.held == []


def test_what_an_earlier_agent_has_started_is_held_again() -> None:
    provider = Counting()
    made = environments(provider, [])
    made.take_up(attempt_of(environment=KEY), LISTED)
    assert provider.held == [KEY]
    made.release("job-0-0")
    assert provider.held == []


@pytest.mark.parametrize(("owner", "trusted"), [("me", True), ("anna", False)])
def test_the_provider_hears_whom_it_may_trust(owner: str, trusted: bool) -> None:
    provider, told = Counting(), []
    made = environments(provider, told)
    asyncio.run(made.ensure(attempt_of(), common_of(owner, requirements="requirements.txt")))
    assert provider.trusted == [trusted] and told == ["job-0-0: working", "job-0-0: "]


def test_what_no_provider_makes_is_said_and_files_on_their_way_may_come_later() -> None:
    with pytest.raises(EnvironmentFailed, match="cannot provide an environment with conda"):
        asyncio.run(environments(Counting(), []).ensure(attempt_of(), common_of(conda="environment.yml")))
    missing = environments(Counting(), [], here=None)
    assert missing.known(LISTED) is None
    with pytest.raises(EnvironmentFailed, match="not here") as caught:
        asyncio.run(missing.ensure(attempt_of(), LISTED))
    assert caught.value.transient
