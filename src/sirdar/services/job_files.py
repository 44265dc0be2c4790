"""The files of a job, by the paths that its URIs have below ``/api/files/jobs/{job}/``.

``inputs/{input}/{name}`` and, for lists, ``inputs/{input}/{index}/{name}``, or, as Everest's clients have it, by the bare name
where no output is called so; an output by its file's name, or, where two outputs
have files of one name, by ``outputs/{output}/{name}`` and ``outputs/{output}/{index}/{name}``; ``stdout``, ``stderr`` and the
debug archive by its name. All of these also below ``tasks/{no}/``, which a job of many tasks needs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sirdar.domain.app import FileRef
from sirdar.domain.people import Caller
from sirdar.services.access import seen_job
from sirdar.store import files as files_store
from sirdar.store.files import JobOfFiles, TaskOfFiles
from sirdar.store.people import Conn

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A short stream that is kept in its task's row and not as a blob."""

    name: str
    content: bytes


def job_prefix(job_id: str, task: int | None = None) -> str:
    """Where the URIs of a job's files begin; ``task``: of that task's, for a job of many."""
    return f"/api/files/jobs/{job_id}/" + ("" if task is None else f"tasks/{task}/")


# ---------------------------------------------------------------- from values to URIs


def inputs_with_uris(inputs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Stored inputs as the REST API shows them: each file is a URI."""
    return {name: _with_uris(value, f"{prefix}inputs/{quote(name, safe='')}/") for name, value in inputs.items()}


def result_with_uris(result: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Stored outputs as the REST API shows them: each file is a URI, as short as no other file of the task has."""
    first_of_name: dict[str, FileRef] = {}
    for ref in _files_of(result):
        first_of_name.setdefault(ref.name, ref)

    def uri(value: Any, long: str) -> Any:
        if isinstance(value, list):
            return [uri(item, f"{long}{index}/") for index, item in enumerate(value)]
        ref = FileRef.from_json(value)
        if ref is None:
            return value
        return (prefix if first_of_name[ref.name] == ref else long) + quote(ref.name, safe="")

    return {name: uri(value, f"{prefix}outputs/{quote(name, safe='')}/") for name, value in result.items()}


def _with_uris(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_with_uris(item, f"{prefix}{index}/") for index, item in enumerate(value)]
    ref = FileRef.from_json(value)
    return value if ref is None else prefix + quote(ref.name, safe="")


def _files_of(result: Mapping[str, Any]) -> Iterator[FileRef]:
    for value in result.values():
        for item in value if isinstance(value, list) else [value]:
            if (ref := FileRef.from_json(item)) is not None:
                yield ref


# ---------------------------------------------------------------- from URIs to files


def look_up(
    conn: Conn, caller: Caller | None, job_id: str, path: str, *, link: str | None
) -> FileRef | InlineFile | None:
    """The file at ``path`` of a job that the caller may see. Raises ``not_found`` for the job, gives None for the file."""
    return look_in(conn, files_store.job_of_files(conn, seen_job(conn, caller, job_id, link=link).id), path)


def look_in(conn: Conn, job: JobOfFiles, path: str) -> FileRef | InlineFile | None:
    """The file at ``path`` of a job that was looked at already."""
    parts = path.split("/")
    number = 0
    if parts[0] == "tasks" and len(parts) > 2:
        if not parts[1].isdecimal() or int(parts[1]) >= job.total:
            return None
        number, parts = int(parts[1]), parts[2:]
    elif job.many and parts[0] != "inputs":
        return None
    of_inputs = parts[0] == "inputs" and len(parts) > 1
    task = None if of_inputs else files_store.task_of_files(conn, job.id, number)
    if task is not None and (found := _of_task(task, parts)) is not None:
        return found
    inputs = {**job.inputs, **files_store.items_of_task(conn, job, number)} if job.many else job.inputs
    return find_job_file(inputs, None, parts)


def find_job_file(inputs: Mapping[str, Any], task: TaskOfFiles | None, parts: list[str]) -> FileRef | InlineFile | None:
    """The file at a path below a task (or below a job of one), split at slashes. ``task``: None while it has no row."""
    if parts[0] == "inputs" and len(parts) > 1:
        return _at(inputs, parts[1:])
    found = None if task is None else _of_task(task, parts)
    if found is None and len(parts) == 1:
        found = next((ref for ref in _files_of(inputs) if ref.name == parts[0]), None)
    return found


def _of_task(task: TaskOfFiles, parts: list[str]) -> FileRef | InlineFile | None:
    if parts[0] == "outputs" and len(parts) > 2:
        return _at(task.result, parts[1:])
    if len(parts) != 1:
        return None
    for ref in _files_of(task.result):
        if ref.name == parts[0]:
            return ref
    if parts[0] in STREAMS:
        return _stream(parts[0], task.stdout if parts[0] == "stdout" else task.stderr)
    debug = FileRef.from_json(task.debug)
    return debug if debug is not None and debug.name == parts[0] else None


def _at(values: Mapping[str, Any], parts: list[str]) -> FileRef | None:
    """``{key}/{name}`` or ``{key}/{index}/{name}``."""
    value = values.get(parts[0])
    if len(parts) == 3 and isinstance(value, list) and parts[1].isdecimal() and int(parts[1]) < len(value):
        value = value[int(parts[1])]
    elif len(parts) != 2:
        return None
    ref = FileRef.from_json(value)
    return ref if ref is not None and ref.name == parts[-1] else None


def _stream(name: str, stream: Mapping[str, Any] | None) -> FileRef | InlineFile:
    """A stream as ``wire.agent.Stream`` is stored; none was stored where nothing was written."""
    if stream and stream.get("sha256"):
        return FileRef(name, str(stream["sha256"]), int(stream["size"]) - int(stream.get("omitted", 0)))
    return InlineFile(name, str((stream or {}).get("text", "")).encode())
