"""What is made while it is downloaded is made in threads: the event loop goes on."""

import io
import threading
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import pytest
from tests.store.ledger import Ledger

from sirdar.domain.task_table import Column, Kind
from sirdar.services.apps import load_version
from sirdar.services.plan_results import results_zip
from sirdar.services.table_parquet import write_parquet
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

    async def rows() -> AsyncIterator[list[Any]]:
        for no in range(7):
            yield [no, f"text {no}"]

    async def whole() -> bytes:
        seen.append(("loop", threading.get_ident()))
        columns = (Column("no", Kind.NUMBER, whole=True), Column("outputs.a", Kind.TEXT))
        return b"".join([piece async for piece in write_parquet(columns, rows())])

    found = ledger.run(whole())
    loop = next(thread for name, thread in seen if name == "loop")
    assert [name for name, _ in seen][:5] == ["loop", *["write_table"] * 3, "close"]
    assert all(thread != loop for name, thread in seen if name != "loop")
    assert [row["no"] for row in parquet.read_table(io.BytesIO(found)).to_pylist()] == list(range(7))
