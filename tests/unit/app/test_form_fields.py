"""A form from a description and back: what stands in a field is read as the value that was meant."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.app.app_strategies import input_specs

from sirdar.domain.app import RESOURCE_FIELDS, App, InputSpec, InputType, Resources
from sirdar.domain.problems import FieldError
from sirdar.domain.values import check
from sirdar.web.form_fields import (
    IN,
    WIDGETS,
    Given,
    Kept,
    all_errors,
    by_name,
    defaults,
    fields_of,
    given_values,
    name_of,
    read_inputs,
    text_of,
)
from sirdar.web.form_options import is_unfolded, overrides_of, places_of, read_options
from sirdar.web.form_sets import Sets


@settings(max_examples=300, deadline=None)
@given(input_specs("x"))
def test_an_untouched_form_means_the_defaults(spec: InputSpec) -> None:
    """As if nothing had been given, for inputs of any kind."""
    values, errors = read_inputs([spec], defaults([spec]))
    assert not errors
    expected, _ = check([spec], {})
    found, _ = check([spec], values)
    assert found == expected


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (InputType.STRING, " a ", " a "),
        (InputType.TEXT, "a\n\nb\n", "a\n\nb\n"),
        (InputType.INTEGER, 2**70, str(2**70)),
        (InputType.NUMBER, 1e-8, "1e-08"),
        (InputType.BOOLEAN, False, "false"),
        (InputType.JSON, {"a": ["ж", None]}, None),
        (InputType.JSON, [], "[]"),
    ],
)
def test_a_value_is_typed_and_read_back(kind: InputType, value: Any, text: str | None) -> None:
    spec = InputSpec("x", kind)
    typed = text_of(spec, value)
    assert text is None or typed == text
    assert read_inputs([spec], Given(texts={"in.x": typed})) == ({"x": value}, [])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=9), max_size=5))
def test_any_list_of_texts_is_typed_and_read_back(value: list[str]) -> None:
    spec = InputSpec("x", InputType.LIST, items=InputSpec("x", InputType.STRING))
    assert read_inputs([spec], Given(texts={"in.x": text_of(spec, value)})) == ({"x": value}, [])


def test_every_kind_has_a_widget() -> None:
    assert WIDGETS.keys() == set(InputType)


def test_an_emptied_text_overrides_a_default_and_an_empty_number_does_not() -> None:
    text = InputSpec("x", InputType.STRING, default="a", has_default=True)
    number = InputSpec("y", InputType.NUMBER, default=1, has_default=True)
    assert read_inputs([text, number], Given(texts={"in.x": "", "in.y": ""})) == ({"x": ""}, [])


def test_files_stand_before_addresses_and_one_file_is_the_last() -> None:
    many, one = InputSpec("m", InputType.FILES), InputSpec("o", InputType.FILE)
    kept = {name: [Kept("/api/files/temp/1/a", "a", 1), Kept("/api/files/temp/2/b", "b", 1)] for name in "mo"}
    given = Given(texts={"in.m": "https://example.org/c\n\n"}, kept=kept)
    values, errors = read_inputs([many, one], given)
    assert values == {
        "m": ["/api/files/temp/1/a", "/api/files/temp/2/b", "https://example.org/c"],
        "o": "/api/files/temp/2/b",
    }
    assert not errors


def test_secrets_are_never_filled_in() -> None:
    spec = InputSpec("key", InputType.SECRET)
    assert given_values([spec], {"key": "hush"}).texts == {}


def test_each_field_says_what_is_wrong_once() -> None:
    specs = [InputSpec("n", InputType.INTEGER, maximum=9), InputSpec("f", InputType.FILE, suffixes=(".csv",))]
    given = Given(texts={"in.n": "10"}, kept={"f": [Kept("/api/files/temp/1/a.txt", "a.txt", 1)]})
    said = by_name(specs, all_errors(specs, given))
    assert said == {"n": "10 is more than 9.", "f": 'The file "a.txt" has another suffix than .csv.'}
    assert [field.error for field in fields_of(specs, given, said)] == [said["n"], said["f"]]


@pytest.mark.parametrize(
    ("place", "name"),
    [("inputs.data", "data"), ("inputs.a-b[2].c", "a-b"), ("foreach[0].x", ""), ("overrides.cpus", ""), ("", "")],
)
def test_the_input_of_an_error(place: str, name: str) -> None:
    assert name_of(place) == name


# ---------------------------------------------------------------- options


def test_options_are_left_out_where_nothing_is_said() -> None:
    assert read_options(Given()) == ({"name": "", "resources": []}, [])
    assert not is_unfolded(Given(texts={"name": "a", "retries": " "}), {})


def test_options_as_a_submission_takes_them() -> None:
    texts = {"name": " a ", "over.cpus": "4", "over.memory": "2 GiB", "retries": "0", "debug": "true"}
    texts |= {"on_failure": "stop", "notify": "address", "notify_to": "https://example.org/"}
    body, errors = read_options(Given(texts=texts, chosen={"resource": ["r1", "r2", ""]}, sets=Sets([{"x": 1}])))
    assert not errors
    assert body == {
        "name": "a",
        "resources": ["r1", "r2"],
        "overrides": {"cpus": 4, "memory": "2 GiB"},
        "retries": 0,
        "debug": True,
        "foreach": [{"x": 1}],
        "onFailure": "stop",
        "notify": [{"webhook": "https://example.org/"}],
    }
    assert is_unfolded(Given(texts=texts), {})


def test_only_what_the_application_lets_change_is_asked() -> None:
    app = App("a", resources=Resources(cpus=2, memory_bytes=2**30, override=frozenset({"memory", "time"})))
    assert [(one.name, one.base) for one in overrides_of(app, Given())] == [("memory", "1 GiB"), ("time", "")]


def test_options_of_slurm_are_asked_where_the_application_speaks_of_them() -> None:
    def asked(resources: Resources, **texts: str) -> list[str]:
        return [
            one.base for one in overrides_of(App("a", resources=resources), Given(texts=texts)) if one.name == "slurm"
        ]

    everything = frozenset(RESOURCE_FIELDS)
    assert asked(Resources(override=everything)) == []
    assert asked(Resources(override=everything), **{"over.slurm": "qos=long"}) == ["as the machine's owner says"]
    assert asked(Resources(override=frozenset({"slurm"}))) == ["as the machine's owner says"]
    assert asked(Resources(slurm={"partition": "fat", "qos": "long"}, override=everything)) == [
        "partition=fat qos=long"
    ]
    assert asked(Resources(slurm={"partition": "fat"})) == []
    body, errors = read_options(Given(texts={"over.slurm": " partition=short  gres=gpu:1,tmp:2 "}))
    assert not errors and body["overrides"] == {"slurm": {"partition": "short", "gres": "gpu:1,tmp:2"}}
    assert places_of([FieldError("overrides.slurm.qos", "has ';' in it")]).keys() == {"over.slurm"}


def test_errors_of_options_find_their_place() -> None:
    errors = [
        FieldError("overrides.cpus", "is too small"),
        FieldError("notify[0].email", "is none"),
        FieldError("foreach[3].x", "is required"),
        FieldError("resources", "There is none"),
    ]
    assert places_of(errors).keys() == {"over.cpus", "notify_to", "foreach", "resource"}


def test_nothing_but_inputs_is_read_of_what_else_a_form_carries() -> None:
    assert read_inputs([], Given(texts={IN + "unknown": "1"})) == ({}, [])
