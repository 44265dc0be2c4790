"""What stands beside the axes and below the picture."""

from collections.abc import Mapping, Sequence
from typing import Any

OWN = {
    "no": "task",
    "waitS": "waiting time",
    "runS": "run time",
    "totalS": "time from submission to end",
    "stagedInBytes": "bytes staged in",
    "stagedOutBytes": "bytes staged out",
}


def name_of(column: Mapping[str, str]) -> str:
    """The title of the description, or the name."""
    name = column["name"]
    return column.get("title") or OWN.get(name) or name.removeprefix("inputs.").removeprefix("outputs.")


def label_of(column: Mapping[str, str]) -> str:
    """With the unit: ``Error (K)``."""
    unit = column.get("unit")
    return f"{name_of(column)} ({unit})" if unit else name_of(column)


def value_text(value: Any, column: Mapping[str, str] | None = None) -> str:
    """A value in few digits, with its unit where the column is given."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    unit = (column or {}).get("unit")
    return f"{text.lower() if isinstance(value, bool) else text}{f' {unit}' if unit else ''}"


def caption_of(document: Mapping[str, Any], subject: str) -> str:
    """Whose values they are, how many tasks are shown, and why the others are not."""
    left = document["leftOut"]
    names = {"failed": "failed", "cancelled": "cancelled", "notEnded": "not ended", "withoutValue": "without a value"}
    reasons = [f"{left[key]:,} {words}" for key, words in names.items() if left.get(key)]
    shown, total = document["shown"], document["total"]
    counted = f"{total:,} tasks" if shown == total else f"{shown:,} of {total:,} tasks"
    parts = [subject, counted + (f" ({', '.join(reasons)})" if reasons else "")]
    if document["sampled"]:
        parts.append("taken evenly")
    if document["repeated"]:
        parts.append("mean where several tasks share a cell")
    return " · ".join(part for part in parts if part)


def best_text(document: Mapping[str, Any]) -> str:
    """``smallest Error: 0.2 K at beta = 0.1, order = 2``."""
    best, column = document["best"], document["y"]
    sense = "largest" if document["sense"] == "max" else "smallest"
    at = parameters(document["dimensions"], best["values"])
    return f"{sense} {name_of(column)}: {value_text(best['y'], column)} at {at}"


def parameters(columns: Sequence[Mapping[str, str]], values: Sequence[Any]) -> str:
    return ", ".join(
        f"{name_of(column)} = {value_text(value, column)}" for column, value in zip(columns, values, strict=True)
    )
