"""Outputs of a job as Python values: files as objects, everything else as it is."""

import io
import json
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from sirdar.client.errors import BadReply, NotFound
from sirdar.client.exchange import Flow
from sirdar.client.flows.basic import document
from sirdar.client.flows.downloads import download, download_to
from sirdar.client.requests import apps
from sirdar.client.retry import RetryPolicy
from sirdar.client.views import job_file_path

FILES_PREFIX = "/api/files/"
OutputSpecs = MutableMapping[str, Mapping[str, Any] | None]


def outputs(
    job: Mapping[str, Any],
    base_url: str,
    make_file: Callable[[str], Any],
    known_specs: OutputSpecs,
    policy: RetryPolicy,
) -> Flow[Any]:
    """A dict of outputs; for a job of many tasks a list of them, None for a task without. ``known_specs`` is a cache.

    Which strings are files is read from the application's description, so that a program may print an address.
    """
    result = job.get("result")
    if isinstance(result, str) or (isinstance(result, Mapping) and set(result) == {"uri"} and _many_tasks(job)):
        result = yield from _fetched(result if isinstance(result, str) else str(result["uri"]), base_url, policy)
    if not _mentions_files(result):
        return result
    specs = yield from _specs(job, known_specs)
    if isinstance(result, list):
        return [_convert(member, specs, job, make_file) for member in result]
    return _convert(result, specs, job, make_file)


def download_outputs(
    job: Mapping[str, Any], folder: Path, base_url: str, known_specs: OutputSpecs, policy: RetryPolicy
) -> Flow[list[Path]]:
    """Download all output files of a job into a folder (of many tasks: into one for each, by number). The paths."""
    result = yield from outputs(job, base_url, _FileUri, known_specs, policy)
    found = []
    for uri in dict.fromkeys(_marked(result)):
        place = job_file_path(uri, str(job["id"])) or ()
        target = folder.joinpath(*(place[1:] if place[0] == "tasks" and len(place) > 2 else place))
        found.append((yield from download_to(uri, base_url, target, policy)))
    return found


class _FileUri(str):
    """A string of a result that is a file, told apart from one that merely looks so."""


def _marked(values: Any) -> list[str]:
    if isinstance(values, _FileUri):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    return [uri for value in values for uri in _marked(value)] if isinstance(values, list) else []


def _many_tasks(job: Mapping[str, Any]) -> bool:
    tasks = job.get("tasks")
    return isinstance(tasks, Mapping) and int(tasks.get("total", 1)) > 1


def _fetched(uri: str, base_url: str, policy: RetryPolicy) -> Flow[Any]:
    content = io.BytesIO()
    yield from download(uri, base_url, content, policy)
    try:
        return json.loads(content.getvalue())
    except ValueError as error:
        raise BadReply(f"the job's results at {uri} are not JSON") from error


def _mentions_files(value: Any) -> bool:
    if isinstance(value, str):
        return FILES_PREFIX in value
    if isinstance(value, Mapping):
        return any(_mentions_files(member) for member in value.values())
    return isinstance(value, list) and any(_mentions_files(member) for member in value)


def _specs(job: Mapping[str, Any], known: OutputSpecs) -> Flow[Mapping[str, Any] | None]:
    """Declared outputs of the job's app version; None where the caller may see the job but not its application."""
    ref = f"{job.get('appId')}@{job['appVersion']}" if job.get("appVersion") else str(job.get("appId"))
    if ref not in known:
        try:
            known[ref] = (yield from document(apps.describe(ref))).get("outputs") or {}
        except NotFound:
            known[ref] = None
    return known[ref]


def _convert(
    values: Any, specs: Mapping[str, Any] | None, job: Mapping[str, Any], make_file: Callable[[str], Any]
) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {name: _one(name, value, specs, str(job["id"]), make_file) for name, value in values.items()}


def _one(name: str, value: Any, specs: Mapping[str, Any] | None, job_id: str, make_file: Callable[[str], Any]) -> Any:
    spec = (specs or {}).get(name)
    if isinstance(value, list) and (spec is None or _is_uri(spec.get("items") or {})):
        return [_one(name, member, None, job_id, make_file) for member in value]
    if not isinstance(value, str) or (spec is not None and not _is_uri(spec)):
        return value
    return make_file(value) if value.startswith(FILES_PREFIX) and job_file_path(value, job_id) else value


def _is_uri(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("format") == "uri")
