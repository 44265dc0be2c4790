"""The table of a job as a Parquet file: typed columns, written in groups of rows as these are read, so that memory is bounded.

Whole numbers are int64, others double, truths bool, texts string, times timestamps in UTC; what has no value is null. A column
of several kinds is string.
It needs the extra ``parquet`` (pyarrow), which is imported when somebody asks for such a file. Whole numbers beyond 64 bits have no
place in its columns and are left empty there; CSV and JSON have them.
"""

import importlib
from collections.abc import AsyncIterator, Sequence
from types import NoneType
from typing import Any

from sirdar.domain.problems import Problem
from sirdar.domain.task_table import Column, Kind
from sirdar.services.export_threads import in_thread

GROUP_ROWS = 20_000
_LARGEST = 2**63


def require_parquet() -> None:
    """Raises Problem ``invalid_field`` where the server cannot write such files."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Problem(
            "invalid_field",
            "This server cannot write Parquet: it was installed without pyarrow.",
            field="format",
            expected="json or csv",
            hint="Ask its administrator for: pip install 'sirdar[parquet]'",
        ) from None


async def write_parquet(columns: Sequence[Column], batches: AsyncIterator[list[list[Any]]]) -> AsyncIterator[bytes]:
    """The file's bytes, piece by piece. Raises Problem as ``require_parquet``."""
    require_parquet()
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([(column.name, _type(arrow, column)) for column in columns])
    sink = _Sink()
    writer = parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, compression="zstd")
    group: list[list[Any]] = []

    def write() -> bytes:
        if group:
            writer.write_table(_group(arrow, schema, columns, group))
            group.clear()
        return sink.take()

    def close() -> bytes:
        writer.close()
        return sink.take()

    async for rows in batches:
        group.extend(rows)
        if len(group) >= GROUP_ROWS:
            yield await in_thread(write)
    yield await in_thread(write)
    yield await in_thread(close)


def _group(arrow: Any, schema: Any, columns: Sequence[Column], rows: list[list[Any]]) -> Any:
    by_column = zip(columns, schema, zip(*rows, strict=True), strict=True)
    return arrow.table(
        [_array(arrow, column, field.type, values) for column, field, values in by_column], schema=schema
    )


def _array(arrow: Any, column: Column, type_: Any, values: Sequence[Any]) -> Any:
    """All at once, as nearly always; one by one where some of the values are not of the column's type.

    pyarrow itself would cut fractions off, and take a truth for a number.
    """
    if set(map(type, values)) <= _types(column):
        try:
            return arrow.array(values, type_)
        except (arrow.ArrowException, OverflowError):
            pass
    return arrow.array([_value(column, value) for value in values], type_)


def _types(column: Column) -> frozenset[type]:
    """Python's types that pyarrow takes for the column's as they are; none for times."""
    if column.kind is Kind.TIME:
        return frozenset()
    if column.kind is Kind.BOOLEAN:
        return frozenset({bool, NoneType})
    if column.kind is Kind.TEXT:
        return frozenset({str, NoneType})
    return frozenset({int, NoneType}) if column.whole else frozenset({int, float, NoneType})


def _type(arrow: Any, column: Column) -> Any:
    if column.kind is Kind.TIME:
        return arrow.timestamp("us", tz="UTC")
    if column.kind is Kind.BOOLEAN:
        return arrow.bool_()
    if column.kind is Kind.TEXT:
        return arrow.string()
    return arrow.int64() if column.whole else arrow.float64()


def _value(column: Column, value: Any) -> Any:
    """As the column's type takes it; None where it does not."""
    if value is None:
        return None
    if column.kind is Kind.TIME:
        return round(value * 1_000_000)
    if column.kind is Kind.BOOLEAN:
        return value if isinstance(value, bool) else None
    if column.kind is Kind.TEXT:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, bool | str):
        return None
    if column.whole:
        return int(value) if value == int(value) and -_LARGEST <= value < _LARGEST else None
    try:
        return float(value)
    except OverflowError:
        return None


class _Sink:
    """Where the writer writes: what has come since the last look is taken away."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._at += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
