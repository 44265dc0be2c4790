"""What a server forgets when another one of the same database changes rights."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sirdar.services import others, quotas
from sirdar.services.others import forget_changed
from sirdar.store.hints import Hints


class Noted:
    """Writes down what it is told to forget."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def forget(self, *args: Any, **named: Any) -> None:
        self.said.append((*args, *named.items()))

    def forget_all(self) -> None:
        self.said.append("all")


@pytest.mark.parametrize(
    ("hints", "people", "apps"),
    [
        (Hints(rights={"user:u1"}), [(("user_id", "u1"),)], []),
        (Hints(rights={"token:t1"}), [(("token_id", "t1"),)], []),
        (Hints(rights={"users"}), [()], []),
        (Hints(rights={"app:a1"}), [], [("a1",)]),
        (Hints(everything=True), [()], ["all"]),
        (Hints(jobs={"j1"}, queue=True), [], []),
    ],
)
def test_exactly_what_changed_is_forgotten(
    hints: Hints, people: list[Any], apps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    auth, cache = Noted(), Noted()
    monkeypatch.setattr(others, "cache_of", lambda store: cache)
    counted: list[str] = []
    monkeypatch.setattr(quotas, "forget", counted.append)
    forget_changed(cast(Any, SimpleNamespace(auth=auth, store=None)), hints)
    assert (auth.said, cache.said) == (people, apps)
    assert counted == (["u1"] if "user:u1" in hints.rights else [])
