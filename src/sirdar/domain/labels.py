"""Labels: what an application asks of a resource, which may depend on what a job is given."""

from collections.abc import Iterable, Mapping
from typing import Any

from sirdar.domain.command import fill_template, places

ANY_VALUE = "*"  # as a value that is asked for: the label must be there, whatever it says


def has_label(labels: Mapping[str, str], key: str, value: str) -> bool:
    """Whether a resource with these labels has the one that is asked for."""
    return key in labels and value in (ANY_VALUE, labels[key])


def depend_on(labels: Mapping[str, str]) -> frozenset[str]:
    """Names of the inputs that these labels take values from."""
    return frozenset(name for key, value in labels.items() for name in (*places(key), *places(value)))


def labels_for(
    labels: Mapping[str, str], common: Mapping[str, Any], items: Iterable[Mapping[str, Any]] | None = None
) -> Mapping[str, str]:
    """The labels with the values of inputs put in: all that any of a job's tasks asks for, since all run on one set of resources.

    ``items``: what each task is given over the common inputs; None for a job of one task. Where tasks ask for one label with two
    values, which no resource has, the last of them is kept.
    """
    names = depend_on(labels)
    if not names:
        return labels
    given: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for item in (common,) if items is None else items:
        values = {name: item.get(name, common.get(name)) for name in names}
        given.setdefault(tuple(map(repr, values.values())), values)
    return {
        fill_template(key, values): fill_template(value, values)
        for values in given.values()
        for key, value in labels.items()
    }
