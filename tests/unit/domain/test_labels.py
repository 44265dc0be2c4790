"""Labels that an application asks for, with values of inputs in them."""

from sirdar.domain.labels import depend_on, has_label, labels_for
from sirdar.domain.placement import Place, Wanted, misfits


def test_plain_labels_stay_as_they_are() -> None:
    labels = {"site": "lab"}
    assert labels_for(labels, {"site": "other"}, [{"a": 1}]) is labels
    assert depend_on(labels) == frozenset()


def test_values_are_put_into_keys_and_values() -> None:
    labels = {"solver-${solver}": "*", "site": "${where}"}
    assert depend_on(labels) == {"solver", "where"}
    assert labels_for(labels, {"solver": "ipopt", "where": "lab"}) == {"solver-ipopt": "*", "site": "lab"}


def test_a_job_of_many_asks_for_all_that_its_tasks_ask_for() -> None:
    labels = {"solver-${solver}": "*"}
    items = [{"solver": "scip"}, {}, {"other": 1}, {"solver": "cbc"}]
    assert labels_for(labels, {"solver": "ipopt"}, items) == {
        "solver-scip": "*",
        "solver-ipopt": "*",
        "solver-cbc": "*",
    }


def test_any_value_will_do_where_only_the_label_is_asked_for() -> None:
    assert has_label({"solver-ipopt": "3.14"}, "solver-ipopt", "*")
    assert has_label({"solver-ipopt": "3.14"}, "solver-ipopt", "3.14")
    assert not has_label({"solver-ipopt": "3.14"}, "solver-ipopt", "3.12")
    assert not has_label({}, "solver-ipopt", "*")
    wanted = Wanted("job", "anna", 1, labels=frozenset({("solver-cbc", "*"), ("site", "lab")}))  # type: ignore[arg-type]
    place = Place("id", "box", 2, 2**30, labels={"site": "home"})  # type: ignore[arg-type]
    assert misfits(wanted, place) == [
        "box has site=home; the application asks for site=lab",
        "box has no label solver-cbc; the application asks for it",
    ]
