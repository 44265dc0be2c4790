"""The whole table of a job as text, streamed: CSV and JSON; and which form a request asks for by ``Accept``."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from sirdar.api.paging import iso
from sirdar.domain.task_table import Column, Kind
from sirdar.services.export_threads import in_thread
from sirdar.services.task_table import Table

PARQUET = "application/vnd.apache.parquet"
_FORMS = {"application/json": "json", "text/csv": "csv", PARQUET: "parquet", "application/x-parquet": "parquet"}


def accepted_form(accept: str) -> str:
    """The first of the kinds named that there is; JSON where none is."""
    kinds = (one.split(";")[0].strip().lower() for one in accept.split(","))
    return next((_FORMS[kind] for kind in kinds if kind in _FORMS), "json")


async def write_csv(found: Table) -> AsyncIterator[bytes]:
    """A line of names, then one for each task."""
    times = _times(found.columns)
    yield _csv([[column.name for column in found.columns]])
    async for rows in found.batches:
        yield await in_thread(lambda rows=rows: _csv([_words(row) for row in _dated(rows, times)]))  # type: ignore[misc]


async def write_json(found: Table) -> AsyncIterator[bytes]:
    """An object with ``columns`` and ``rows``, a line for each task."""
    times = _times(found.columns)
    before = b'{"columns":' + to_json([column_shape(column) for column in found.columns]) + b',"rows":[\n'
    async for rows in found.batches:
        yield before + await in_thread(lambda rows=rows: _json(_dated(rows, times)))  # type: ignore[misc]
        before = b",\n"
    yield b"\n]}\n" if before == b",\n" else before + b"]}\n"


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _json(rows: Iterable[Sequence[Any]]) -> bytes:
    return b",\n".join(map(to_json, rows))


def column_shape(column: Column) -> dict[str, str]:
    """A column as replies describe it."""
    return {"name": column.name, "kind": column.kind.value, "title": column.title, "unit": column.unit}


def _times(columns: Sequence[Column]) -> list[int]:
    return [place for place, column in enumerate(columns) if column.kind is Kind.TIME]


def _dated(rows: list[list[Any]], times: Sequence[int]) -> list[list[Any]]:
    """With times as they are written."""
    for row in rows:
        for place in times:
            row[place] = iso(row[place])
    return rows


def _words(row: list[Any]) -> list[Any]:
    """Truths as JSON writes them."""
    return [("true" if value else "false") if value is True or value is False else value for value in row]
