"""The whole table of a job as text, streamed: CSV and JSON; and which form a request asks for by ``Accept``."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_core import to_json

from sirdar.api.paging import iso
from sirdar.domain.task_table import Column, Kind
from sirdar.services.task_table import Table

PARQUET = "application/vnd.apache.parquet"
LINES_AT_ONCE = 500
_FORMS = {"application/json": "json", "text/csv": "csv", PARQUET: "parquet", "application/x-parquet": "parquet"}


def accepted_form(accept: str) -> str:
    """The first of the kinds named that there is; JSON where none is."""
    kinds = (one.split(";")[0].strip().lower() for one in accept.split(","))
    return next((_FORMS[kind] for kind in kinds if kind in _FORMS), "json")


async def write_csv(found: Table) -> AsyncIterator[str]:
    """A line of names, then one for each task."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in found.columns])
    lines, times = 1, _times(found.columns)
    async for row in found.rows:
        writer.writerow([_word(value) for value in _dated(row, times)])
        lines += 1
        if lines >= LINES_AT_ONCE:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
            lines = 0
    yield text.getvalue()


async def write_json(found: Table) -> AsyncIterator[bytes]:
    """An object with ``columns`` and ``rows``, a line for each task."""
    buffer = b'{"columns":' + to_json([column_shape(column) for column in found.columns]) + b',"rows":['
    count, times = 0, _times(found.columns)
    async for row in found.rows:
        buffer += (b",\n" if count else b"\n") + to_json(_dated(row, times))
        count += 1
        if count % LINES_AT_ONCE == 0:
            yield buffer
            buffer = b""
    yield buffer + b"\n]}\n"


def column_shape(column: Column) -> dict[str, str]:
    """A column as replies describe it."""
    return {"name": column.name, "kind": column.kind.value, "title": column.title, "unit": column.unit}


def _times(columns: Sequence[Column]) -> list[int]:
    return [place for place, column in enumerate(columns) if column.kind is Kind.TIME]


def _dated(row: list[Any], times: Sequence[int]) -> list[Any]:
    for place in times:
        row[place] = iso(row[place])
    return row


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
