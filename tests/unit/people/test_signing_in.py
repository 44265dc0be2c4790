"""Passwords and the brake on guessing."""

import anyio
import pytest
from argon2 import PasswordHasher

from sirdar.domain.problems import Problem
from sirdar.services import passwords
from sirdar.services.passwords import Passwords
from sirdar.services.throttle import ADDRESS, NAME, PAIR, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused_s(throttle: Throttle, name: str = "anna", address: str = "10.0.0.1") -> float:
    """Seconds to wait, 0 where the guess is looked at."""
    try:
        throttle.enter(name, address)
    except Problem as problem:
        assert problem.code == "too_many_requests"
        assert problem.retry_after_s is not None
        return problem.retry_after_s
    return 0.0


def test_waits_double_up_to_a_limit() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    waits = []
    for _ in range(PAIR.free + 14):
        if wait_s := refused_s(throttle):
            waits.append(wait_s)
            clock.now += wait_s
            assert refused_s(throttle) == 0
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == PAIR.longest_s
    clock.now += PAIR.forgotten_s + 1
    assert [refused_s(throttle) for _ in range(PAIR.free)] == [0] * PAIR.free


def test_a_strangers_guesses_keep_nobody_out_for_long() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for number in range(NAME.free):
        assert refused_s(throttle, address=f"10.0.1.{number}") == 0
    assert 0 < refused_s(throttle, address="192.0.2.1") <= NAME.longest_s
    clock.now += NAME.longest_s
    assert refused_s(throttle, address="192.0.2.1") == 0
    throttle.succeeded("anna", "192.0.2.1")
    assert refused_s(throttle, address="10.0.1.0") == 0


def test_one_address_is_slowed_whatever_the_name() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(ADDRESS.free):
        assert refused_s(throttle, name=f"user{number}") == 0
    assert refused_s(throttle, name="somebody-else") > 0
    assert refused_s(throttle, name="somebody-else", address="10.0.0.2") == 0


def test_success_does_not_free_the_address() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(ADDRESS.free - 1):
        refused_s(throttle, name=f"user{number}")
    for _ in range(3):  # one's own account does not help with guessing others'
        refused_s(throttle, name="mine")
        throttle.succeeded("mine", "10.0.0.1")
    refused_s(throttle, name="victim")
    assert refused_s(throttle, name="victim2") > 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(size=100, clock=Clock())
    for number in range(1000):
        refused_s(throttle, name=f"n{number}", address=f"a{number}")
    assert len(throttle._failures) == 100


def test_passwords() -> None:
    hashed = passwords.hash_now("base camp tent")
    assert hashed.startswith("$argon2id$")
    assert passwords.verify_now(hashed, "base camp tent")
    assert not passwords.verify_now(hashed, "base camp tenT")
    assert not passwords.verify_now(None, "anything")
    assert not passwords.verify_now("no hash at all", "anything")
    assert not passwords.verify_now(hashed, "half \ud800 pair")
    assert not passwords.is_outdated(hashed)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("base camp tent")
    assert passwords.is_outdated(weak) and passwords.verify_now(weak, "base camp tent")


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "eight \ud800 x"])
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(Problem) as caught:
        passwords.check_new(password)
    assert caught.value.code == "invalid_field"


def test_too_many_at_once_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING_MAX", 1)
    outcomes: list[str] = []

    async def guess(work: Passwords) -> None:
        try:
            await work.verify(None, "x")
            outcomes.append("looked at")
        except Problem as problem:
            outcomes.append(problem.code)

    async def many() -> None:
        work = Passwords()
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(guess, work)

    anyio.run(many)
    assert sorted(outcomes) == ["looked at"] * 3 + ["unavailable"] * 2
