"""Checks what somebody submitted against an application's inputs, strictly and all at once.

Types are strict (``"3"`` is no integer); ``value_texts.from_text`` is the way from a form's or a command line's text to a value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.app import FILE_INPUTS, InputSpec
from sirdar.domain.names import closest
from sirdar.domain.problems import FieldError
from sirdar.domain.value_checks import CHECKS
from sirdar.domain.value_files import refuse_refs
from sirdar.domain.value_words import Invalid, describe, either

Values = dict[str, Any]


def check(
    specs: Sequence[InputSpec],
    given: Mapping[str, Any],
    *,
    partial: bool = False,
    file_refs: bool = True,
    where: str = "inputs",
) -> tuple[Values, list[FieldError]]:
    """The values to run with (defaults filled in) and everything that is wrong with those that were given.

    ``null`` is the same as not given. ``partial``: the inputs that tasks of one job have in common, so nothing is
    required yet and no default is filled in. A file may be given as a URI, which the caller resolves and then checks by
    ``value_files.file_fault``, or as ``{"$file": ...}``; ``file_refs=False`` refuses the latter, as an edge must where
    anybody could name the digest of somebody else's file. ``where`` begins the errors' field names.
    """
    values: Values = {}
    errors: list[FieldError] = []
    seen = 0
    for spec in specs:
        name = spec.name
        value = given.get(name)
        if name in given:
            seen += 1
        if value is None:
            if spec.has_default and not partial:
                values[name] = spec.default
            elif spec.required and not partial:
                errors.append(FieldError(f"{where}.{name}", "is required", describe(spec)))
            continue
        try:
            values[name] = CHECKS[spec.type](spec, value)
            if not file_refs and (
                spec.type in FILE_INPUTS or (spec.items is not None and spec.items.type in FILE_INPUTS)
            ):
                refuse_refs(value)
        except Invalid as error:
            errors.append(FieldError(f"{where}.{name}{error.place}", error.detail, error.expected or describe(spec)))
    if seen != len(given):
        errors.extend(_unknown(specs, given, where))
    return values, errors


def check_value(spec: InputSpec, value: Any) -> Any:
    """``value`` as ``spec`` takes it. Raises ``Invalid``."""
    return CHECKS[spec.type](spec, value)


def _unknown(specs: Sequence[InputSpec], given: Mapping[str, Any], where: str) -> list[FieldError]:
    names = [spec.name for spec in specs]
    known = frozenset(names)
    errors = []
    for name in given:
        if name in known:
            continue
        near = closest(str(name), names)
        meant = f"; did you mean {near}?" if near is not None else ""
        expected = f"one of {either(tuple(names))}" if names else "no inputs"
        errors.append(FieldError(f"{where}.{str(name)[:80]}", f"the application has no such input{meant}", expected))
    return errors
