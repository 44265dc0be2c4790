"""A sweep of a submission: its parameters' values checked and resolved once each, and the combinations made of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App, FileRef, InputSpec, InputType
from sirdar.domain.expressions import ExpressionError, Kind, compile_expression
from sirdar.domain.names import closest
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.sweep import (
    MOST_VALUES,
    TOO_LONG,
    Condition,
    SweepError,
    chosen,
    paired_length,
    read_texts,
    refuse_many,
)
from sirdar.domain.value_checks import CHECKS
from sirdar.domain.value_texts import from_text
from sirdar.domain.value_words import Invalid, describe
from sirdar.domain.values import check
from sirdar.services.combining import Expired
from sirdar.services.context import Services
from sirdar.services.job_inputs import MAX_ERRORS, Prepared, Walk, refuse, special_inputs
from sirdar.wire.submit import Sweep

WHERE = "sweep.parameters"


@dataclass(slots=True)
class _Axis:
    spec: InputSpec
    values: list[Any] = field(default_factory=list)

    @property
    def kind(self) -> Kind | None:
        """What a condition may do with its values; None: nothing."""
        if self.spec.type in FILE_INPUTS or self.spec.type is InputType.SECRET:
            return None
        if all(isinstance(value, bool) for value in self.values):
            return "truth"
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values):
            return "number"
        return "text" if all(isinstance(value, str) for value in self.values) else None


async def prepare_sweep(
    services: Services, caller: Caller, app: App, given: Mapping[str, Any], sweep: Sweep
) -> Prepared:
    """The common inputs and the input set of each combination. Raises Problem ``invalid_input`` with every error.

    A value is checked once, however many combinations it stands in.
    """
    common, errors = check(app.inputs, given, partial=True, file_refs=False)
    for name in given.keys() & sweep.parameters.keys():
        errors.append(FieldError(f"inputs.{name}", "has values in the sweep, too: give it once"))
    most = services.settings.foreach_items
    axes = await services.combining.run(partial(_axes, app, sweep, most, errors), caller.user_id)
    refuse(errors)
    places = await services.combining.run(partial(_combinations, axes, sweep, most), caller.user_id)
    _, missing = check(app.inputs, {**common, **{axis.spec.name: axis.values[0] for axis in axes}}, file_refs=False)
    refuse(missing)
    common = {spec.name: spec.default for spec in app.inputs if spec.has_default} | common
    walk = Walk(services, caller)
    common = await walk.common(app.inputs, common)
    for axis in (axis for axis in axes if special_inputs([axis.spec])):
        axis.values = [
            await walk.one(axis.spec, value, f"{WHERE}.{axis.spec.name}[{i}]") for i, value in enumerate(axis.values)
        ]
    refuse(walk.errors)
    items = await services.combining.run(lambda _: _items(axes, places), caller.user_id)
    return Prepared(common, items, walk.blobs, walk.urls)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tasks a sweep has. ``total``: combinations before conditions are asked; None: not counted in the time given."""

    total: int | None
    tasks: int | None


async def count_sweep(
    services: Services, caller: Caller, app: App, sweep: Sweep, *, within_s: float | None = None
) -> Counted:
    """What a submission would make of it, without its files and other inputs. Raises Problem ``invalid_input`` as that does.

    ``within_s``: what takes longer is not counted, and is no fault; nor is it where too many wait for their turn.
    """
    most = services.settings.foreach_items
    errors: list[FieldError] = []
    total = None
    try:
        axes = await services.combining.run(partial(_axes, app, sweep, most, errors), caller.user_id, within_s=within_s)
        refuse(errors)
        counts = [len(axis.values) for axis in axes]
        total = max(counts) if sweep.mode == "zip" else math.prod(counts)
        places = await services.combining.run(
            partial(_combinations, axes, sweep, most), caller.user_id, within_s=within_s
        )
    except Problem as problem:
        if within_s is None or not (problem.detail == TOO_LONG or problem.code == "unavailable"):
            raise
        return Counted(total, None)
    return Counted(total, len(places))


def _axes(app: App, sweep: Sweep, most: int, errors: list[FieldError], expired: Expired) -> list[_Axis]:
    """Values are counted first, so that none is checked in vain."""
    try:
        read = list(_read(app, sweep, most, errors))
        for axis in read:
            axis.values = list(_checked(axis.spec, axis.values, errors, expired))
    except SweepError as error:
        raise Problem("invalid_input", str(error), field="sweep") from None
    return [axis for axis in read if axis.values]


def _read(app: App, sweep: Sweep, most: int, errors: list[FieldError]) -> Iterator[_Axis]:
    counts: list[int] = []
    for name, given in sweep.parameters.items():
        spec = app.input(name)
        if spec is None:
            names = [one.name for one in app.inputs]
            near = closest(name, names)
            meant = f"; did you mean {near}?" if near is not None else ""
            errors.append(FieldError(f"{WHERE}.{name[:80]}", f"the application has no such input{meant}"))
            continue
        try:
            texts = read_texts(given) if isinstance(given, str) else given
        except SweepError as error:
            errors.append(FieldError(f"{WHERE}.{name}", str(error), describe(spec)))
            continue
        counts.append(len(texts) or 1)
        _count(counts, sweep, most)
        before = len(errors)
        values = list(_from_texts(spec, texts, errors)) if isinstance(given, str) else given
        if len(errors) > before:
            continue
        if not values:
            errors.append(FieldError(f"{WHERE}.{name}", "has no values", "at least one"))
        yield _Axis(spec, values)


def _from_texts(spec: InputSpec, texts: Sequence[str], errors: list[FieldError]) -> Iterator[Any]:
    for number, text in enumerate(texts):
        if len(errors) >= MAX_ERRORS:
            return
        try:
            yield from_text(spec, text)
        except Invalid as error:
            place = f"{WHERE}.{spec.name}[{number}]" if len(texts) > 1 else f"{WHERE}.{spec.name}"
            errors.append(FieldError(place, error.detail, describe(spec)))


def _count(counts: Sequence[int], sweep: Sweep, most: int) -> None:
    """Raises SweepError as soon as there are too many, whatever else comes."""
    total = max(counts) if sweep.mode == "zip" else math.prod(counts)
    refuse_many(total, len(sweep.conditions), most, more=len(counts) < len(sweep.parameters))
    if sum(counts) > 2 * MOST_VALUES:
        raise SweepError(f"more than {2 * MOST_VALUES} values of all parameters together")


def _checked(spec: InputSpec, values: Sequence[Any], errors: list[FieldError], expired: Expired) -> Iterator[Any]:
    for number, value in enumerate(values):
        if number % 1000 == 999 and expired():
            raise SweepError(TOO_LONG)
        if len(errors) >= MAX_ERRORS:
            return
        place = f"{WHERE}.{spec.name}[{number}]"
        if value is None:
            errors.append(FieldError(place, "is empty", describe(spec)))
            continue
        try:
            if FileRef.from_json(value) is not None:
                raise Invalid("is a file of the ledger; give its address", describe(spec))
            yield CHECKS[spec.type](spec, value)
        except Invalid as error:
            errors.append(FieldError(place + error.place, error.detail, error.expected or describe(spec)))


def _combinations(axes: Sequence[_Axis], sweep: Sweep, most: int, expired: Expired) -> list[tuple[int, ...]]:
    kinds = {axis.spec.name: axis.kind for axis in axes}
    known = {name: kind for name, kind in kinds.items() if kind is not None}
    names, columns = list(kinds), [axis.values for axis in axes]
    conditions = []
    for number, text in enumerate(sweep.conditions):
        place = "sweep.where" if isinstance(sweep.where, str) else f"sweep.where[{number}]"
        try:
            made = compile_expression(text, known)
            if made.kind == "text":
                raise ExpressionError("a condition is a comparison, such as a*2 < 15")
        except ExpressionError as error:
            told = next(
                (name for name, kind in kinds.items() if kind is None and f"no parameter {name}" in str(error)), None
            )
            detail = f"{told} has values that no condition can compare" if told else str(error)
            raise Problem(
                "invalid_input", detail, field=place, expected="numbers, texts and parameters compared"
            ) from None
        conditions.append(Condition(made, names, columns))
    try:
        counts = [len(column) for column in columns]
        if sweep.mode == "zip":
            paired_length(counts, names)
        return chosen(counts, conditions, most, paired=sweep.mode == "zip", expired=expired)
    except (SweepError, ExpressionError) as error:
        raise Problem("invalid_input", str(error), field="sweep") from None


def _items(axes: Sequence[_Axis], places: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    names = [axis.spec.name for axis in axes]
    columns = [axis.values for axis in axes]
    return [
        {name: column[place] for name, column, place in zip(names, columns, chosen_places, strict=True)}
        for chosen_places in places
    ]
