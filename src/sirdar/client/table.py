"""The table of a job's tasks: rows as dictionaries, which pandas and friends take as they are."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = 20  # rows in a notebook


class Table(list[dict[str, Any]]):
    """A row for each task, in the order of their numbers: ``pandas.DataFrame(job.table())``.

    ``columns`` are the names of its columns; an input or an output stands under its own name, or as ``inputs.NAME`` and
    ``outputs.NAME`` where that name is taken. ``units``: of the values, as people write them.
    """

    def __init__(self, rows: Iterable[dict[str, Any]], columns: tuple[str, ...], units: Mapping[str, str]) -> None:
        super().__init__(rows)
        self.columns = columns
        self.units = dict(units)

    def column(self, name: str) -> list[Any]:
        """The values of one column. Raises KeyError."""
        if name not in self.columns:
            raise KeyError(f"{name}: the columns are {', '.join(self.columns)}")
        return [row[name] for row in self]

    def to_pandas(self) -> Any:
        """As a ``pandas.DataFrame`` whose index is the task's number. Raises ImportError without pandas."""
        import pandas as pd

        return pd.DataFrame(list(self), columns=list(self.columns)).set_index("no")

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(row[name]))}</td>" for name in self.columns) + "</tr>"
            for row in self[:SHOWN]
        )
        more = f"<p>{len(self)} tasks</p>" if len(self) > SHOWN else ""
        return f"<table><tr>{head}</tr>{body}</table>{more}"


def table_of(document: Mapping[str, Any]) -> Table:
    """The table out of what the server answers: ``{"columns": [{"name", "unit", ...}], "rows": [[...], ...]}``."""
    names = [str(column["name"]) for column in document["columns"]]
    short = [name.partition(".")[2] if name.startswith(("inputs.", "outputs.")) else name for name in names]
    shown = tuple(own if short.count(own) == 1 else name for name, own in zip(names, short, strict=True))
    units = {
        name: column["unit"] for name, column in zip(shown, document["columns"], strict=True) if column.get("unit")
    }
    return Table((dict(zip(shown, row, strict=True)) for row in document["rows"]), shown, units)
