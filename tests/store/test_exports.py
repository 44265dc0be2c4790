"""What is made while it is downloaded is made in threads: the event loop goes on."""

import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import pytest
from tests.store.ledger import Ledger

from sirdar.api import job_table
from sirdar.api.job_table import write_csv, write_json
from sirdar.domain.task_table import Column, Kind
from sirdar.services.apps import load_version
from sirdar.services.plan_results import results_zip
from sirdar.services.table_parquet import write_parquet
from sirdar.services.task_table import Table
from sirdar.store import job_views


def spy(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, seen: list[tuple[str, int]]) -> None:
    real = getattr(owner, name)

    def seeing(*words: Any, **more: Any) -> Any:
        seen.append((name, threading.get_ident()))
        return real(*words, **more)

    monkeypatch.setattr(owner, name, seeing)


def test_the_archive_of_results_is_made_in_threads(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    for name in ("writestr", "close"):
        spy(monkeypatch, zipfile.ZipFile, name, seen)
    job = ledger.submit(5)
    view = ledger.read(lambda conn: job_views.find_job(conn, job))
    assert view is not None

    async def whole() -> bytes:
        loaded = await load_version(ledger.services, view.version_id)
        seen.append(("loop", threading.get_ident()))
        return b"".join([piece async for piece in results_zip(ledger.services, view, loaded)])

    found = ledger.run(whole())
    loop = next(thread for name, thread in seen if name == "loop")
    assert [name for name, _ in seen][:7] == ["loop", *["writestr"] * 5, "close"]
    assert all(thread != loop for _, thread in seen[1:7])  # what is collected later closes again, which does nothing
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 5


def test_a_table_is_turned_into_parquet_in_threads(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    for name in ("write_table", "close"):
        spy(monkeypatch, parquet.ParquetWriter, name, seen)
    monkeypatch.setattr("sirdar.services.table_parquet.GROUP_ROWS", 3)

    async def rows() -> AsyncIterator[list[list[Any]]]:
        for no in range(0, 6, 3):
            yield [[no + more, f"text {no + more}"] for more in range(3)]
        yield [[6, "text 6"]]

    async def whole() -> bytes:
        seen.append(("loop", threading.get_ident()))
        columns = (Column("no", Kind.NUMBER, whole=True), Column("outputs.a", Kind.TEXT))
        return b"".join([piece async for piece in write_parquet(columns, rows())])

    found = ledger.run(whole())
    loop = next(thread for name, thread in seen if name == "loop")
    assert [name for name, _ in seen][:5] == ["loop", *["write_table"] * 3, "close"]
    assert all(thread != loop for name, thread in seen if name != "loop")
    assert [row["no"] for row in parquet.read_table(io.BytesIO(found)).to_pylist()] == list(range(7))


MIXED: list[tuple[Kind, bool, list[Any], str, list[Any]]] = [
    (Kind.NUMBER, True, [1, None, -5], "int64", [1, None, -5]),
    (Kind.NUMBER, True, [1, 2**70, 2.0], "int64", [1, None, 2]),
    (Kind.NUMBER, True, [1, 2.75, True], "int64", [1, None, None]),
    (Kind.NUMBER, False, [1.0, True, 0.5], "double", [1.0, None, 0.5]),
    (Kind.NUMBER, False, [1, 0.5, None], "double", [1.0, 0.5, None]),
    (Kind.NUMBER, False, [2**53 + 1, True, 10**400], "double", [2.0**53, None, None]),
    (Kind.BOOLEAN, False, [True, None, False], "bool", [True, None, False]),
    (Kind.TEXT, False, ["a", True, 0.5], "string", ["a", "true", "0.5"]),
    (Kind.TEXT, False, [None, None, None], "string", [None, None, None]),
    (
        Kind.TIME,
        False,
        [0.0, None, 1_800_000_000.123456],
        "timestamp[us, tz=UTC]",
        [
            datetime(1970, 1, 1, tzinfo=UTC),
            None,
            datetime(2027, 1, 15, 8, 0, 0, 123456, tzinfo=UTC),
        ],
    ),
]


def test_columns_of_parquet_have_the_types_of_their_values_and_nulls_are_nulls(ledger: Ledger) -> None:
    columns = [Column(f"c{at}", kind, whole=whole) for at, (kind, whole, *_) in enumerate(MIXED)]

    async def rows() -> AsyncIterator[list[list[Any]]]:
        yield [list(row) for row in zip(*(given for _, _, given, _, _ in MIXED), strict=True)]

    async def whole() -> bytes:
        return b"".join([piece async for piece in write_parquet(columns, rows())])

    read = parquet.read_table(io.BytesIO(ledger.run(whole())))
    assert [str(field.type) for field in read.schema] == [type_ for _, _, _, type_, _ in MIXED]
    for name, (_, _, _, _, expected) in zip(read.column_names, MIXED, strict=True):
        assert read[name].to_pylist() == expected, name


@pytest.mark.parametrize(("write", "name"), [(write_csv, "_csv"), (write_json, "_json")])
def test_text_is_written_in_threads_piece_by_piece(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, write: Any, name: str
) -> None:
    seen: list[int] = []
    real = getattr(job_table, name)
    monkeypatch.setattr(job_table, name, lambda rows: seen.append(threading.get_ident()) or real(rows))

    async def batches() -> AsyncIterator[list[list[Any]]]:
        yield [[0, 'a "b"', True], [1, None, False]]
        yield [[2, "x,y", None]]

    columns = (Column("no", Kind.NUMBER), Column("outputs.a", Kind.TEXT), Column("outputs.b", Kind.BOOLEAN))

    async def whole() -> tuple[int, list[bytes]]:
        table = Table(SimpleNamespace(), columns, batches())  # type: ignore[arg-type]
        return threading.get_ident(), [piece async for piece in write(table)]

    loop, pieces = ledger.run(whole())
    assert [thread != loop for thread in seen[-2:]] == [True, True]
    text = b"".join(pieces).decode()
    if name == "_csv":
        assert text == 'no,outputs.a,outputs.b\n0,"a ""b""",true\n1,,false\n2,"x,y",\n'
    else:
        assert json.loads(text)["rows"] == [[0, 'a "b"', True], [1, None, False], [2, "x,y", None]]
        assert text.endswith('[1,null,false],\n[2,"x,y",null]\n]}\n')
