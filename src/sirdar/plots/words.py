"""What stands beside the axes and below the picture."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from sirdar.plots.ticks import number_text

STRONG = 200  # lines of a parallel plot up to which all are drawn alike; of more, so many of the best stand out
FAINT = 3000  # of the others that are drawn, faintly
LONGEST = 40  # letters of a value in the caption
ALONG, UP = 70, 38  # letters of a name in one line below and beside a picture

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
    unit = (column or {}).get("unit")
    if isinstance(value, bool):
        return str(value).lower()
    text = number_text(value) if isinstance(value, int | float) else " ".join(str(value).split())
    return f"{text}{f' {unit}' if unit else ''}"


def short(text: str, letters: int) -> str:
    """At most so many letters, the rest as an ellipsis."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def short_apart(texts: Sequence[str], letters: int) -> list[str]:
    """All in so many letters; where that makes some of them alike, beginning and end are kept."""
    cut = [short(text, letters) for text in texts]
    if len(set(cut)) == len(set(texts)):
        return cut
    end = max(2, letters // 2)
    return [text if len(text) <= letters else f"{text[: letters - end - 1]}…{text[-end:]}" for text in texts]


def wrapped(text: str, letters: int, *, lines: int = 2) -> str:
    """In so many lines of so many letters, the rest as an ellipsis. Long names are parted at their underscores first."""
    parts = _joined(text, letters) if "_" in text and " " not in text else wrap(text, letters)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], short(" ".join(parts[lines - 1 :]), letters)]
        parts[-1] = parts[-1] if parts[-1].endswith("…") else parts[-1][: letters - 1] + "…"
    return "\n".join(parts)


def _joined(name: str, letters: int) -> list[str]:
    """``learning_``, ``rate_of_fit``."""
    parts: list[str] = [""]
    for word in name.replace("_", "_ ").split():
        for piece in (word[at : at + letters] for at in range(0, len(word), letters)):
            if parts[-1] and len(parts[-1]) + len(piece) > letters:
                parts.append("")
            parts[-1] += piece
    return parts


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
    if strong := document["kind"] == "parallel" and standing_out(shown):
        others = shown - strong
        faint = "the others faintly" if others <= FAINT else f"{FAINT:,} of the others faintly"
        parts.append(f"the {strong} best drawn strongly, {faint}")
    if document["grid"] and any(None in row for row in document["grid"]["values"]):
        parts.append("grey: no value")
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
        f"{name_of(column)} = {short(value_text(value, column), LONGEST)}"
        for column, value in zip(columns, values, strict=True)
    )


def standing_out(lines: int) -> int:
    """How many of so many lines of a parallel plot are drawn strongly; 0 where all are alike."""
    return STRONG if lines > 2 * STRONG else 0
