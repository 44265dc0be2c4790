"""What a job of a plan gives as a whole, made while it is downloaded: ``results.zip``, with a folder for each task."""

import posixpath
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sirdar.domain.app import FileRef, OutputSpec
from sirdar.domain.command import as_text
from sirdar.domain.plan_app import result_path
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.context import Services
from sirdar.services.export_threads import in_thread
from sirdar.store import jobs as job_store
from sirdar.store import task_views
from sirdar.store.job_views import JobView
from sirdar.store.people import Conn

PARAMETERS = "parameters.txt"
TASKS_AT_ONCE, VALUES_AT_ONCE = 200, 2000
YIELD_BYTES = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # equal results are equal archives


async def results_zip(services: Services, job: JobView, loaded: LoadedVersion) -> AsyncIterator[bytes]:
    """The archive, piece by piece: folders ``0/``, ``1/``, ..., each with ``parameters.txt`` and the task's output files.

    By the plan's criterion, if it has one: the best task's folder comes first."""
    sink = _Sink()
    specs = {spec.name: spec for spec in loaded.app.outputs}
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    try:
        order = await _order(services, job)
        for first in range(0, job.total, TASKS_AT_ONCE):
            numbers = order[first : first + TASKS_AT_ONCE]
            items, results = await services.store.read(partial(_read, job=job, numbers=numbers))
            for no in numbers:
                async for piece in _folder(services, archive, sink, no, items.get(no, {}), results.get(no, {}), specs):
                    yield piece
        await in_thread(archive.close)  # the directory at the end: a hundred bytes for each member
        yield await in_thread(sink.take)
    finally:
        archive.fp = None  # where nobody reads on, no directory is written


def _read(
    conn: Conn, *, job: JobView, numbers: Sequence[int]
) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    return job_store.load_items(conn, job.id, list(numbers)), task_views.results_by_no(conn, job.id, numbers)


async def _order(services: Services, job: JobView) -> Sequence[int]:
    """The tasks' numbers: by the criterion, the best first, those without a value last; else as they are."""
    criterion = job.criterion
    if criterion is None or not criterion.key:
        return range(job.total)
    values: dict[int, float] = {}
    after = -1
    while True:
        found = await services.store.read(partial(task_views.results, job_id=job.id, after=after, limit=VALUES_AT_ONCE))
        for no, result in found:
            if (value := criterion.value(result, {})) is not None:
                values[no] = -value if criterion.maximize else value
        if len(found) < VALUES_AT_ONCE:
            break
        after = found[-1][0]
    return await in_thread(lambda: sorted(range(job.total), key=lambda no: (no not in values, values.get(no, 0.0), no)))


async def _folder(
    services: Services,
    archive: zipfile.ZipFile,
    sink: "_Sink",
    no: int,
    item: Mapping[str, Any],
    result: Mapping[str, Any],
    specs: Mapping[str, OutputSpec],
) -> AsyncIterator[bytes]:
    parameters = {name: value for name, value in item.items() if not isinstance(value, list | dict)}
    lines = "".join(f"{name} = {as_text(value)}\n" for name, value in parameters.items())
    await in_thread(partial(archive.writestr, _info(f"{no}/{PARAMETERS}"), lines.encode()))
    taken = {PARAMETERS}
    for spec, ref in _files(result, specs):
        path = result_path(spec, parameters, ref.name)
        if path in taken:
            continue
        taken.add(path)
        with archive.open(_info(f"{no}/{path}"), "w", force_zip64=ref.size_bytes >= 2**31) as member:
            async for piece in services.blobs.read(ref.sha256):
                await in_thread(partial(member.write, piece))
                if sink.size >= YIELD_BYTES:
                    yield sink.take()
    if sink.size >= YIELD_BYTES:
        yield sink.take()


def _files(result: Mapping[str, Any], specs: Mapping[str, OutputSpec]) -> Iterator[tuple[OutputSpec, FileRef]]:
    for name, spec in specs.items():
        value = result.get(name)
        for one in value if isinstance(value, list) else [value]:
            if (ref := FileRef.from_json(one)) is not None:
                yield spec, ref


def _info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(posixpath.normpath(path), _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


class _Sink:
    """What the archive has written and nobody has taken yet. It cannot seek, so sizes follow the members."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def close(self) -> None:
        """It is nobody's file."""

    def take(self) -> bytes:
        taken, self._pieces, self.size = b"".join(self._pieces), [], 0
        return taken
