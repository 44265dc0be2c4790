"""Brings a task's files to its directory: the application's own, the inputs, templates and values as files."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sirdar.agent.attempts import Attempt, Common, SharedFile
from sirdar.domain.app import FILE_INPUTS, App, FileRef, InputSpec, InputType
from sirdar.domain.command import Rendered, fill_template, render
from sirdar.domain.outcome import Reason
from sirdar.domain.problems import Problem
from sirdar.wire.archive_names import check_name
from sirdar.wire.archives import unpack

FICLONE = 0x40049409
# Where an input has more small files than this, they are linked too: making a file costs ten times as much as a link.
LINK_MANY_OVER = 500
SMALL_BYTES = 4096
Find = Callable[[str], Path | None]


class StageError(Exception):
    """Staging failed; ``reason`` says whose fault it is."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Planned:
    """One file to place. ``unpack``: it is an archive and ``path`` becomes a directory."""

    path: str
    sha256: str
    size_bytes: int
    mode: int = 0o644
    writable: bool = False
    unpack: bool = False


@dataclass(slots=True)
class Plan:
    """All files of a task, and where each file input will be found by the command."""

    files: list[Planned] = field(default_factory=list)
    staged: dict[str, str | list[str]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def plan(attempt: Attempt, common: Common) -> Plan:
    """What is to be placed where. Raises StageError for names that may not become files."""
    entries = common.program.files if common.job.files is None else common.job.files
    made = Plan([Planned(path, sha, size, mode, writable=True) for path, sha, size, mode in entries])
    made.values = {spec.name: spec.default for spec in common.app.inputs if spec.has_default}
    made.values.update(common.job.inputs)
    made.values.update(attempt.inputs)
    made.values.update(attempt.secrets)
    taken: set[str] = set()
    for spec in common.app.inputs:
        value = made.values.get(spec.name)
        if value is None or not _holds_files(spec):
            continue
        if spec.type in {InputType.FILE, InputType.DIRECTORY}:
            made.staged[spec.name] = _plan_one(made, spec, value, taken)
        else:
            made.staged[spec.name] = _plan_list(made, spec, value, taken)
    return made


def _holds_files(spec: InputSpec) -> bool:
    return spec.type in FILE_INPUTS or (
        spec.type is InputType.LIST and spec.items is not None and spec.items.type in FILE_INPUTS
    )


def _plan_one(made: Plan, spec: InputSpec, value: Any, taken: set[str]) -> str:
    ref = _ref(spec, value)
    is_directory = spec.type is InputType.DIRECTORY
    path = spec.path or (spec.name if is_directory else ref.name)
    return _add(made, spec, ref, path, taken, is_directory=is_directory)


def _plan_list(made: Plan, spec: InputSpec, value: Any, taken: set[str]) -> list[str]:
    """Files of a list keep their names; one whose name is taken goes into a folder with its place in the list."""
    is_directory = spec.items is not None and spec.items.type is InputType.DIRECTORY
    paths = []
    for index, item in enumerate(value):
        ref = _ref(spec, item)
        name = f"{spec.name}/{index}" if is_directory else ref.name
        path = f"{spec.path}/{name}" if spec.path else name
        if path in taken:
            path = f"{spec.path or spec.name}/{index}/{ref.name}"
        paths.append(_add(made, spec, ref, path, taken, is_directory=is_directory))
    return paths


def _add(made: Plan, spec: InputSpec, ref: FileRef, path: str, taken: set[str], *, is_directory: bool) -> str:
    reason = check_name(path)
    if reason is not None:
        raise StageError(Reason.STAGE_IN, f"input {spec.name}: {path!r} cannot be the name of a file: {reason}")
    taken.add(path)
    made.files.append(
        Planned(path, ref.sha256, ref.size_bytes, writable=spec.writable or is_directory, unpack=is_directory)
    )
    return path


def _ref(spec: InputSpec, value: Any) -> FileRef:
    ref = FileRef.from_json(value)
    if ref is None:
        raise StageError(Reason.STAGE_IN, f"input {spec.name} is no file")
    return ref


# ---------------------------------------------------------------- placing


def place(made: Plan, target: Path, find: Find, *, copy_below_bytes: int) -> list[SharedFile]:
    """Puts the planned files into the directory; returns those that are links to blobs. Raises StageError or OSError."""
    shared = []
    folders = {""}
    small_inputs = sum(not file.writable and file.size_bytes < copy_below_bytes for file in made.files)
    if small_inputs > LINK_MANY_OVER:
        copy_below_bytes = 0
    base = str(target)
    for file in made.files:
        blob = find(file.sha256)
        if blob is None:
            raise StageError(Reason.STAGE_IN, f"the bytes of {file.path} are not on the resource any more")
        folder = file.path.rpartition("/")[0]
        if folder not in folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
            folders.add(folder)
        path = f"{base}/{file.path}"
        if file.unpack:
            _unpack(file, blob, target)
        elif file.size_bytes < max(copy_below_bytes, SMALL_BYTES if file.writable else 0):
            _copy_small(str(blob), path, file.mode)
        elif file.size_bytes >= SMALL_BYTES and clone(str(blob), path, file.mode):
            continue
        elif not file.writable and _linked(blob, path):
            stat = os.stat(path)  # noqa: PTH116
            shared.append(SharedFile(file.path, file.sha256, stat.st_size, stat.st_mtime_ns))
        else:
            _remove(path)
            shutil.copyfile(blob, path)
            os.chmod(path, file.mode | 0o200)  # noqa: PTH101
    return shared


def _copy_small(blob: str, path: str, mode: int) -> None:
    """With bare system calls: ten thousand small files are staged in this way."""
    source = os.open(blob, os.O_RDONLY)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            out = os.open(path, flags, mode | 0o200)
        except FileExistsError:  # an input takes the place of a file of the application
            _remove(path)
            out = os.open(path, flags, mode | 0o200)
        try:
            while raw := os.read(source, 1 << 20):
                view = memoryview(raw)
                while view:
                    view = view[os.write(out, view) :]
        finally:
            os.close(out)
    finally:
        os.close(source)


_clonable = True


def clone(source: str, path: str, mode: int) -> bool:
    """Makes ``path`` a copy that shares its blocks with the source until one is written. False where that cannot be."""
    global _clonable  # noqa: PLW0603
    if sys.platform != "linux" or not _clonable:
        return False
    import fcntl

    _remove(path)
    with open(source, "rb") as blob, open(path, "wb") as out:
        try:
            fcntl.ioctl(out.fileno(), FICLONE, blob.fileno())
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL}:
                _clonable = False
            os.unlink(path)  # noqa: PTH108
            return False
        os.fchmod(out.fileno(), mode | 0o200)
    return True


def _linked(blob: Path, path: str) -> bool:
    _remove(path)
    try:
        os.link(blob, path)
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return


def _unpack(file: Planned, blob: Path, target: Path) -> None:
    try:
        unpack(blob, target / file.path)
    except Problem as problem:
        raise StageError(Reason.STAGE_IN, f"{file.path} cannot be unpacked: {problem.detail}") from problem
    except ValueError as error:
        raise StageError(Reason.STAGE_IN, f"{file.path} cannot be unpacked there: {error}") from error


# ---------------------------------------------------------------- values as files


def link_code(app: App, target: Path) -> None:
    """Where the code lies on the resource already, its entries are linked into the task's directory."""
    source = Path(app.code.path or "/nowhere")
    if not source.is_dir():
        raise StageError(Reason.STAGE_IN, f"the code's directory {source} is not on the resource")
    for entry in source.iterdir():
        link = target / entry.name
        if not link.exists():
            link.symlink_to(entry)


def write_rendered(rendered: Rendered, folder: Path) -> Path | None:
    """Writes values, parameters and filled templates; returns the path of standard input, if it has one."""
    if not (rendered.files or rendered.templates or rendered.stdin_text is not None or rendered.stdin_path is not None):
        return None
    target = folder / "dir"
    for path, text in rendered.files.items():
        _write(target, path, text)
    for path, source in rendered.templates.items():
        try:
            text = (target / source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StageError(Reason.STAGE_IN, f"the template {source} cannot be read: {error}") from error
        _write(target, path, fill_template(text, rendered.template_values))
    if rendered.stdin_text is not None:
        (folder / "stdin").write_text(rendered.stdin_text, encoding="utf-8")
        return folder / "stdin"
    return target / rendered.stdin_path if rendered.stdin_path is not None else None


def _write(target: Path, path: str, text: str) -> None:
    if check_name(path) is not None:
        raise StageError(Reason.STAGE_IN, f"{path!r} cannot be the name of a file")
    full = target / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.unlink(missing_ok=True)
    full.write_text(text, encoding="utf-8")


def render_task(app: App, made: Plan) -> Rendered:
    """Raises StageError where a value does not fit into a command line."""
    plain: Mapping[str, Any] = {name: value for name, value in made.values.items() if name not in made.staged}
    try:
        return render(app, plain, made.staged)
    except ValueError as error:
        raise StageError(Reason.STAGE_IN, str(error)) from error


def changed(shared: Iterable[SharedFile], target: Path) -> list[SharedFile]:
    """Of the files that the task shared with others, those whose content may not be the same any more."""
    found = []
    for file in shared:
        try:
            stat = os.lstat(target / file.path)
        except OSError:
            continue  # it was removed or renamed: the blob itself is whole
        if (stat.st_size, stat.st_mtime_ns) != (file.size_bytes, file.mtime_ns) and stat.st_nlink > 1:
            found.append(file)
    return found
