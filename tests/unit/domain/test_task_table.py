"""Which columns the table of a job's tasks has, and what stands in them."""

from typing import Any

import pytest

from sirdar.domain.app import App, InputSpec, InputType, OutputSpec, OutputType
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import (
    Column,
    Kind,
    columns_of,
    found_columns,
    read_axes,
    read_sort,
    value_at,
    varying,
    widen,
)

APP = App(
    "fit",
    inputs=(
        InputSpec("text", InputType.TEXT),
        InputSpec("data", InputType.FILE),
        InputSpec("key", InputType.SECRET),
        InputSpec("beta", InputType.NUMBER, title="Beta"),
        InputSpec("order", InputType.ENUM, values=(1, 2)),
        InputSpec("kind", InputType.ENUM, values=("a", 2)),
        InputSpec("grid", InputType.LIST),
        InputSpec("folds", InputType.INTEGER),
    ),
    outputs=(
        OutputSpec("plot", OutputType.FILE, "plot.png"),
        OutputSpec("label", OutputType.STRING, "stdout"),
        OutputSpec("error", OutputType.NUMBER, "out.json", key="error"),
    ),
)


def test_inputs_differ_where_a_value_does_or_where_some_do_not_give_it() -> None:
    items: list[dict[str, Any]] = [{"a": 1, "b": [1], "c": 1}, {"a": 1, "b": [2]}, {"a": 1, "b": [1], "c": 1}]
    assert varying(items) == {"b", "c"}
    assert varying(items[:1]) == varying([]) == frozenset()


def test_columns_are_scalars_in_the_order_of_the_description_and_never_secrets() -> None:
    differing = {spec.name for spec in APP.inputs} - {"folds"}
    columns = columns_of(APP, differing)[5:]
    assert [(column.name, column.kind) for column in columns] == [
        ("inputs.data", Kind.TEXT),
        ("inputs.beta", Kind.NUMBER),
        ("inputs.order", Kind.NUMBER),
        ("inputs.kind", Kind.TEXT),
        ("outputs.label", Kind.TEXT),
        ("outputs.error", Kind.NUMBER),
        ("totalS", Kind.NUMBER),
        ("stagedInBytes", Kind.NUMBER),
        ("stagedOutBytes", Kind.NUMBER),
        ("attempts", Kind.NUMBER),
    ]
    assert columns[1].title == "Beta"


def test_columns_have_the_units_that_the_description_gives() -> None:
    app = App(
        "rod",
        inputs=(InputSpec("length", InputType.NUMBER, unit="mm"), InputSpec("n", InputType.INTEGER)),
        outputs=(OutputSpec("heat", OutputType.NUMBER, "out.json", unit="K"), OutputSpec("n", OutputType.NUMBER, "n")),
    )
    units = {column.name: column.unit for column in columns_of(app, {"length", "n"})}
    assert units == {
        "no": "", "state": "", "resource": "", "waitS": "s", "runS": "s", "inputs.length": "mm", "inputs.n": "",
        "outputs.heat": "K", "outputs.n": "", "totalS": "s", "stagedInBytes": "B", "stagedOutBytes": "B", "attempts": "",
    }  # fmt: skip


def test_a_files_value_is_its_name_and_what_is_no_scalar_is_none() -> None:
    data, beta = columns_of(APP, {"data", "beta"})[5:7]
    file = {"$file": {"name": "a.csv", "sha256": "0", "size": 1}}
    assert value_at({"data": file, "beta": 0.5}, data) == "a.csv"
    assert value_at({"data": {"$url": "https://example.org"}, "beta": [1]}, data) is None
    assert value_at({"data": "x", "beta": [1]}, beta) is None
    assert value_at({}, beta) is None


def test_what_is_sorted_and_drawn_by() -> None:
    columns = columns_of(APP, {"data", "beta"})
    assert read_sort(columns, "-outputs.error").descending
    assert read_sort(columns, "").column.name == "no"
    with pytest.raises(Problem, match=r"no column 'inputs\.folds'") as caught:
        read_sort(columns, "inputs.folds")
    assert "inputs.beta" in str(caught.value.expected)

    def axes(x: str = "", y: str = "", color: str = "", sought: str = "") -> list[str | None]:
        return [axis.name if axis else None for axis in read_axes(columns, x, y, color, sought=sought)]

    assert axes() == ["inputs.beta", "outputs.error", "inputs.data"]  # the colour tells what the axes do not
    assert axes(sought="error") == axes(sought="nothing that is a column") == axes()
    assert axes(x="inputs.data", sought="error")[2] == "inputs.beta"
    assert axes(color="none")[2] is None
    assert axes(color="inputs.beta")[2] == "inputs.beta"
    one = columns_of(APP, {"beta"})
    assert read_axes(one, "", "", "", sought="error")[2] is None
    assert read_axes(one, "", "runS", "", sought="error")[2] == next(c for c in one if c.name == "outputs.error")
    results: list[dict[str, Any]] = [
        {"n": 1, "x": 1, "ok": True, "mixed": True},
        {"n": 2, "x": 0.5, "mixed": "a"},
        {"n": 2**70},
    ]
    some = App("some", outputs=(OutputSpec("all", OutputType.VALUES, "out.txt"),))
    found: dict[str, Column] = {}
    for result in results[:2]:
        widen(found, found_columns(some, [result], ()))
    assert [(column.name[8:], column.kind, column.whole) for column in found.values()] == [
        ("n", Kind.NUMBER, True), ("x", Kind.NUMBER, False), ("ok", Kind.BOOLEAN, False), ("mixed", Kind.TEXT, False),
    ]  # fmt: skip
    assert not next(found_columns(some, results[2:], ())).whole  # beyond 64 bits
    plain = columns_of(App("plain"), ())
    assert [axis.name if axis else None for axis in read_axes(plain, "", "", "state")] == ["no", "runS", "state"]
