"""Where a submission would run, before it is made: what the scheduler would decide now."""

from types import SimpleNamespace
from typing import Any, cast

from tests.store.ledger import Ledger, caller
from tests.store.test_placement import GIB, hello

from sirdar.domain.app import App, Resources
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.outlook import Choice, Outlook, outlook

ANNA = caller("anna")


def look(ledger: Ledger, *asked: str, who: str = "anna", **needs: Any) -> Outlook:
    app = App("a", resources=Resources(**needs))
    loaded = LoadedVersion(cast("Any", SimpleNamespace(owner_id="id-anna")), app)
    return ledger.run(outlook(ledger.services, caller(who), loaded, app.resources, asked))


def named(seen: Outlook) -> dict[str, Choice]:
    return {choice.name: choice for choice in seen.choices}


def test_it_starts_where_the_scheduler_would_put_it(ledger: Ledger) -> None:
    hello(ledger.attach("small"), cpus=2, slots=2)
    large = ledger.attach("large")
    hello(large, cpus=16, slots=16)
    seen = look(ledger, cpus=4)
    assert seen.starts is not None and seen.starts.name == "large"
    assert named(seen)["small"].wrong == ("small has 2 cpus; the task needs 4",)
    assert (named(seen)["large"].cpus, named(seen)["large"].free_cpus) == (16, 16)
    assert look(ledger, "small").starts == named(look(ledger))["small"]
    ledger.submit(4, cpus=3)
    assert len(large.claim(12)) == 4
    assert named(look(ledger))["large"].free_cpus == 4
    waits = look(ledger, cpus=5)
    assert waits.starts is None
    assert named(waits)["large"].fits and not named(waits)["large"].has_room


def test_those_who_wait_already_come_first(ledger: Ledger) -> None:
    hello(ledger.attach("one"), cpus=4, slots=4)
    assert look(ledger, cpus=4).starts is not None
    ledger.submit(4)
    seen = look(ledger)
    assert seen.starts is None
    assert seen.ahead == 1
    assert named(seen)["one"].fits


def test_memory_that_is_held_is_said(ledger: Ledger) -> None:
    agent = ledger.attach("one")
    hello(agent)
    ledger.submit(memory_bytes=5 * GIB)
    assert len(agent.claim(1)) == 1
    choice = named(look(ledger, memory_bytes=5 * GIB))["one"]
    assert choice.fits and choice.short is not None and "hold 5.0 of its 8.0 GiB" in choice.short


def test_what_the_application_is_bound_to_is_said(ledger: Ledger) -> None:
    hello(ledger.attach("one"))
    hello(ledger.attach("two"), labels={"site": "lab"})
    bound = named(look(ledger, only=("two",)))
    assert not bound["one"].allowed and bound["one"].wrong == ("the application runs on two only",)
    assert bound["two"].fits
    labelled = look(ledger, labels={"site": "lab"})
    assert [choice.name for choice in labelled.choices if choice.fits] == ["two"]


def test_nobody_learns_of_what_is_not_shared_with_them(ledger: Ledger) -> None:
    hello(ledger.attach("hidden", shared=""))
    assert look(ledger, who="boris") == Outlook(())
    assert look(ledger, who="anna").starts is not None
