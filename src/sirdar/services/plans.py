"""Jobs whose tasks a plan describes: Everest's parameter sweep, and sets of optimisation problems.

The plan and its archive are read when the job is submitted. What its tasks run is written as a hidden version of the application,
which stands for all plans that differ in nothing but values and contents; each task's parameters and files are its input set.
"""

import asyncio
import json
import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from sirdar.domain.app import App, FileEntry, FileRef
from sirdar.domain.expressions import ExpressionError, Value
from sirdar.domain.names import closest
from sirdar.domain.people import Caller
from sirdar.domain.plan import Criterion, Named, Plan, by_line, parse_plan, used_in
from sirdar.domain.plan_app import PlanFiles, app_of, faults_of, files_of, named_by_line, planned
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.sweep import SweepError
from sirdar.services import quotas
from sirdar.services.app_archives import workplace
from sirdar.services.app_cache import LoadedVersion, cache_of
from sirdar.services.context import Services
from sirdar.services.job_inputs import Prepared, prepare, refuse
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.outbound.blob_sink import fetch_blob
from sirdar.services.problem_sets import find_problems, problem_plan
from sirdar.services.publish_code import register_blobs
from sirdar.store import apps as app_store
from sirdar.store.engine import Tx
from sirdar.wire.archive_formats import Limits
from sirdar.wire.archive_names import check_name
from sirdar.wire.archive_pick import Picked, pick
from sirdar.wire.archives import list_archive
from sirdar.wire.description import to_document, version_digest

PLAN_BYTES = 4 * 2**20
Where = Callable[[Collection[str]], dict[str, list[str]]]
SHOWN = 8  # members of the archive that an error names
COMPARED = 1000  # names of an archive that a missing one is compared with


@dataclass(slots=True)
class Expanded:
    """What a plan makes of a submission: the version that its tasks run, their inputs, and the files that all of them have."""

    loaded: LoadedVersion
    prepared: Prepared
    code_files: list[list[Any]] = field(default_factory=list)  # [path, sha256, bytes, mode]
    criterion: Criterion | None = None


def is_planned(loaded: LoadedVersion) -> bool:
    """Whether jobs of this version are described by a plan."""
    return planned(loaded.version.owner_name, loaded.version.alias)


async def expand(
    services: Services,
    caller: Caller,
    loaded: LoadedVersion,
    given: Mapping[str, Any],
    *,
    trusted_files: bool = False,
) -> Expanded:
    """Read the plan and the archive among the inputs. Raises Problem ``invalid_input`` with the plan's lines, or the member.

    ``trusted_files``: they may stand there as the ledger has them, for a job that the caller may see.
    """
    prepared = await prepare(services, caller, loaded.app, given, None, trusted_files=trusted_files)
    await _fetch(services, prepared)
    plan_file, archive = (FileRef.from_json(prepared.common.get(name)) for name in ("plan", "files"))
    if plan_file is None:
        problems = await find_problems(services, prepared.common, archive)
        plan, here = problem_plan(prepared.common, problems), problems.files
    else:
        plan, here = await _read_plan(services, caller, plan_file, archive, loaded.app), {}
    for one in plan.parameters:  # what is the same for all tasks may say where they run
        prepared.common.pop(one.name, None)
        if len(one.values) == 1:
            prepared.common[one.name] = one.values[0]
    try:
        making = partial(plan.combinations, services.settings.foreach_items)
        combinations = await services.combining.run(making, caller.user_id)
    except (SweepError, ExpressionError) as error:
        raise Problem("invalid_input", f"plan: {error}", field="inputs.plan") from None
    files = files_of(plan)
    of_tasks = await run_sync(partial(_own_files, files, combinations))
    wanted = {*files.common, *(path for own in of_tasks for path in own.values())}
    await run_sync(_check_paths, plan, of_tasks, wanted)
    found = {name: (ref, 0o644) for name, ref in here.items() if name in wanted}
    where = partial(named_by_line, plan, of_tasks)
    found |= await _members(services, caller, archive, wanted - found.keys(), where)
    items = await run_sync(partial(_items, combinations, of_tasks, found))
    prepared.items = items
    prepared.blobs |= {ref.sha256 for ref, _ in found.values()}
    code = [[path, ref.sha256, ref.size_bytes, mode] for path in files.common for ref, mode in [found[path]]]
    derived = await _derived(services, loaded, app_of(plan, loaded.app))
    return Expanded(derived, prepared, code, plan.criterion)


async def _fetch(services: Services, prepared: Prepared) -> None:
    """Inputs that are addresses elsewhere are fetched now: the plan is needed to make the job."""
    settings = services.settings
    policy = AddressPolicy.from_lines(settings.fetch_allow)
    for name, value in prepared.common.items():
        if isinstance(value, dict) and "$url" in value:
            found, blob = await fetch_blob(
                value["$url"],
                blobs=services.blobs,
                policy=policy,
                max_bytes=settings.fetch_bytes,
                timeout_s=settings.fetch_s,
            )
            await register_blobs(services, [FileEntry(found.name, blob.sha256, blob.size_bytes)])
            prepared.common[name] = FileRef(found.name, blob.sha256, blob.size_bytes).to_json()
            prepared.blobs.add(blob.sha256)
    prepared.urls.clear()


async def _read_plan(services: Services, caller: Caller, file: FileRef, archive: FileRef | None, base: App) -> Plan:
    if file.size_bytes > PLAN_BYTES:
        raise Problem("too_large", f"{file.name} is over {PLAN_BYTES} bytes.", field="inputs.plan")
    content = b"".join([piece async for piece in services.blobs.read(file.sha256)])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Problem("invalid_input", f"Line {line} of {file.name} is not UTF-8.", field=f"plan:{line}") from None
    read = await services.combining.run(partial(parse_plan, text), caller.user_id)
    errors = read.errors if read.plan is None else faults_of(read.plan, base)
    if errors and archive is not None:
        errors = by_line([*errors, *await _not_there(services, archive, read.inputs)])
    refuse(errors)
    assert read.plan is not None
    return read.plan


# ---------------------------------------------------------------- files


def _own_files(files: PlanFiles, combinations: Sequence[Mapping[str, Value]]) -> list[dict[str, str]]:
    """Paths in the archive of each task's own files, by their inputs; without those that the task has already."""
    made = []
    for values in combinations:
        seen = set(files.common)
        own = {}
        for name, path in files.of_task(values).items():
            if path not in seen:
                own[name] = path
                seen.add(path)
        made.append(own)
    return made


async def _not_there(services: Services, archive: FileRef, inputs: Sequence[Named]) -> list[FieldError]:
    """Files that a plan names, whatever else is wrong with it, and that are not in the archive; of names without parameters."""
    async with services.blobs.file(archive.sha256) as path:
        try:
            members = await run_sync(list_archive, path, limiter=_picking())
        except Problem:  # told when the plan is right
            return []
    names = [posixpath.normpath(member.name) for member in members if not member.is_dir]
    known = set(names)
    by_place: dict[str, list[str]] = {}
    for one in inputs:
        if not used_in(one.path) and (name := posixpath.normpath(one.path)) not in known:
            by_place.setdefault(one.place, []).append(name)
            known.add(name)  # told once
    return await run_sync(_sentences, names, archive, by_place.items())


async def _members(
    services: Services, caller: Caller, archive: FileRef | None, wanted: set[str], where: Where
) -> dict[str, tuple[FileRef, int]]:
    """The files of the archive that tasks need: their blobs and permission bits, by path.

    ``where``: which line of the plan names which of these paths. Raises Problem with all lines whose files are missing.
    """
    if not wanted:
        return {}
    if archive is None:
        raise Problem(
            "invalid_input", f"The plan names {_some(wanted)}, and no files were given.", field="inputs.files"
        )
    with workplace(services) as place:
        async with services.blobs.file(archive.sha256) as path:
            limits = Limits(total_bytes=min(Limits().total_bytes, services.settings.file_bytes))
            made = await run_sync(
                partial(pick, path, wanted, Path(place), limits, name=archive.name), limiter=_picking()
            )
        if missing := sorted(wanted - made.files.keys()):
            refuse(await run_sync(_missing_by_line, where, made.names, archive, missing))
        await services.store.write(partial(_check_quota, services, caller, made.size_bytes))
        gate = asyncio.Semaphore(16)

        async def take(name: str, picked: Picked) -> tuple[str, tuple[FileRef, int]]:
            async with gate:
                blob = await services.blobs.put_path(picked.path, move=True)
                return name, (FileRef(posixpath.basename(name), blob.sha256, blob.size_bytes), picked.mode)

        found = dict(await asyncio.gather(*(take(name, picked) for name, picked in made.files.items())))
    await register_blobs(services, [FileEntry(ref.name, ref.sha256, ref.size_bytes) for ref, _ in found.values()])
    return found


@lru_cache(maxsize=1)
def _picking() -> CapacityLimiter:
    """Archives are unpacked two at a time: each may write a lot."""
    return CapacityLimiter(2)


def _check_quota(services: Services, caller: Caller, size_bytes: int, tx: Tx) -> None:
    quotas.check_bytes(tx.conn, caller.user_id, size_bytes, services.settings, now=tx.now)


def _missing_by_line(
    where: Where, names: Sequence[str], archive: FileRef, missing: Collection[str]
) -> list[FieldError]:
    """Of a set of problems, which has no plan, in the archive."""
    by_place = where(set(missing))
    return by_line(
        _sentences(
            names, archive, ((place if ":" in place else "inputs.files", lost) for place, lost in by_place.items())
        )
    )


def _check_paths(plan: Plan, of_tasks: Sequence[Mapping[str, str]], paths: Iterable[str]) -> None:
    """Values of parameters may have made any path of a name. Raises Problem for those that lead out of the archive."""
    wrong = {path: reason for path in paths if (reason := check_name(path))}
    if wrong:
        by_place = named_by_line(plan, of_tasks, wrong.keys())
        refuse(
            by_line(
                [
                    FieldError(place, f"input_files: {found[0][:200]!r}: {wrong[found[0]]}")
                    for place, found in by_place.items()
                ]
            )
        )


def _sentences(
    names: Sequence[str], archive: FileRef, missing: Iterable[tuple[str, Sequence[str]]]
) -> list[FieldError]:
    """One for each place; the first of them say what may have been meant, which takes its time in large archives."""
    told = []
    for number, (place, lost) in enumerate(missing):
        near = closest(lost[0], _near(lost[0], names)) if number < SHOWN else None
        meant = f"; did you mean {near}?" if near is not None else f". It holds {_some(names) or 'nothing'}."
        told.append(FieldError(place, f"{archive.name} has no file {_some(lost)}{meant}"))
    return told


def _near(name: str, names: Sequence[str]) -> Sequence[str]:
    """Those of the archive that are looked at: of very many only those with the same folder or the same last part, and not all."""
    if len(names) <= COMPARED:
        return names
    folder, last = posixpath.split(name)
    return [one for one in names if posixpath.split(one)[0] == folder or posixpath.basename(one) == last][:COMPARED]


def _some(names: Collection[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _items(
    combinations: Sequence[Mapping[str, Value]],
    of_tasks: Sequence[Mapping[str, str]],
    found: Mapping[str, tuple[FileRef, int]],
) -> list[dict[str, Any]]:
    stored = {path: [ref.to_json()] for path, (ref, _) in found.items()}
    return [
        {**values, **{name: stored[path] for name, path in own.items()}}
        for values, own in zip(combinations, of_tasks, strict=True)
    ]


# ---------------------------------------------------------------- the hidden version


async def _derived(services: Services, loaded: LoadedVersion, app: App) -> LoadedVersion:
    document = to_document(app)
    digest = version_digest(document)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    base = loaded.version
    version_id = await services.store.write(
        lambda tx: app_store.ensure_derived(tx, base.app_id, base.number, digest, text)
    )
    derived = await cache_of(services.store).version_by_id(version_id)
    assert derived is not None
    return derived
