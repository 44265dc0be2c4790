"""Which files a task's directory shall hold, and under which names.

What the author of the application wrote counts first: its own files, and every ``path`` in its description. A name that came
with an upload is only a wish: one that is taken goes into a folder that is named after the input. So nobody who may run an
application can put another program in the place of the author's.
"""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sirdar.agent.attempts import Attempt, Common
from sirdar.domain.app import FILE_INPUTS, App, CodeKind, FileRef, InputSpec, InputType
from sirdar.domain.outcome import Reason
from sirdar.wire.archive_names import check_name
from sirdar.wire.archives import fold

STREAMS = ("stdout", "stderr")  # an output may be read from these: a file of that name would be taken for the stream


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
    given = [spec for spec in common.app.inputs if made.values.get(spec.name) is not None and _holds_files(spec)]
    if given:
        names = _authors_names(common.app, made.files)
        for spec in sorted(given, key=_is_directory, reverse=True):  # their names are the author's too
            _plan_input(made, spec, made.values[spec.name], names)
    return made


def _holds_files(spec: InputSpec) -> bool:
    if not spec.staged:
        return False
    return spec.type in FILE_INPUTS or (
        spec.type is InputType.LIST and spec.items is not None and spec.items.type in FILE_INPUTS
    )


def _is_directory(spec: InputSpec) -> bool:
    return InputType.DIRECTORY in {spec.type, spec.items.type if spec.items is not None else None}


def _authors_names(app: App, own: Iterable[Planned]) -> "Names":
    """All that the application brings, or has written itself."""
    names = Names([*STREAMS, *(file.path for file in own), *app.templates])
    for spec in app.inputs:
        if spec.path is not None:
            (names.take_folder if spec.type in {InputType.FILES, InputType.LIST} else names.take)(spec.path)
    if app.params is not None:
        names.take(app.params)
    if app.code.kind is CodeKind.PATH:
        for name in entries_of(app):
            names.take(name)
    return names


def entries_of(app: App) -> list[str]:
    """Names of what lies in the code's directory on this resource. Raises StageError where there is none."""
    source = Path(app.code.path or "/nowhere")
    try:
        return [entry.name for entry in source.iterdir()]
    except OSError as error:
        message = f"the code's directory {source} is not on the resource, or cannot be read ({error.strerror})"
        raise StageError(Reason.STAGE_IN, message) from error


# ---------------------------------------------------------------- names


class Names:
    """Paths of a task's directory that are taken, compared as the file system here does."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = {"."}
        for path in taken:
            self.take(path)

    def take(self, path: str) -> None:
        key = fold(posixpath.normpath(path))
        self._files.add(key)
        self._take_folders(posixpath.dirname(key))

    def take_folder(self, path: str) -> None:
        """Files may still lie below it."""
        self._take_folders(fold(posixpath.normpath(path)))

    def _take_folders(self, key: str) -> None:
        while key and key not in self._folders:
            self._folders.add(key)
            key = posixpath.dirname(key)

    def is_free(self, path: str) -> bool:
        """Whether nothing lies there, below it, or as a file in place of one of its folders."""
        key = fold(posixpath.normpath(path))
        if key in self._files or key in self._folders:
            return False
        while key := posixpath.dirname(key):
            if key in self._files:
                return False
        return True

    def first_free(self, wishes: Iterable[str]) -> str:
        """Takes the first of these that is free."""
        path = next(path for path in wishes if self.is_free(path))
        self.take(path)
        return path


def _wishes(preferred: str, folder: str, rest: str) -> Iterator[str]:
    """``preferred``, then ``folder/rest``, then ``folder-1/rest``, and so on; without a rest the folders themselves."""
    below = f"/{rest}" if rest else ""
    yield preferred
    yield folder + below
    number = 0
    while True:
        number += 1
        yield f"{folder}-{number}{below}"


def _plan_input(made: Plan, spec: InputSpec, value: Any, names: Names) -> None:
    if spec.type in {InputType.FILE, InputType.DIRECTORY}:
        made.staged[spec.name] = _plan_one(made, spec, value, names)
    else:
        made.staged[spec.name] = _plan_list(made, spec, value, names)


def _plan_one(made: Plan, spec: InputSpec, value: Any, names: Names) -> str:
    ref = _ref(spec, value)
    is_directory = spec.type is InputType.DIRECTORY
    if spec.path is not None:  # the author's own wish, and free to replace one of the application's files
        return _add(made, spec, ref, spec.path, is_directory=is_directory)
    name = spec.name if is_directory else _checked(spec, ref.name)
    path = names.first_free(_wishes(name, spec.name, "" if is_directory else name))
    return _add(made, spec, ref, path, is_directory=is_directory)


def _plan_list(made: Plan, spec: InputSpec, value: Any, names: Names) -> list[str]:
    """Files of a list keep their names; one whose name is taken goes into a folder with its place in the list."""
    is_directory = _is_directory(spec)
    folder = spec.path or spec.name
    paths = []
    for index, item in enumerate(value):
        ref = _ref(spec, item)
        name = "" if is_directory else _checked(spec, ref.name)
        wished = f"{folder}/{index}" if is_directory else f"{spec.path}/{name}" if spec.path else name
        path = names.first_free(_wishes(wished, f"{folder}/{index}", name))
        paths.append(_add(made, spec, ref, path, is_directory=is_directory))
    return paths


def _add(made: Plan, spec: InputSpec, ref: FileRef, path: str, *, is_directory: bool) -> str:
    made.files.append(
        Planned(path, ref.sha256, ref.size_bytes, writable=spec.writable or is_directory, unpack=is_directory)
    )
    return path


def _checked(spec: InputSpec, name: str) -> str:
    reason = check_name(name)
    plain = posixpath.normpath(name)
    if reason is None and plain == ".":
        reason = "it is no name"
    if reason is not None:
        raise StageError(Reason.STAGE_IN, f"input {spec.name}: {name!r} cannot be the name of a file: {reason}")
    return plain


def _ref(spec: InputSpec, value: Any) -> FileRef:
    ref = FileRef.from_json(value)
    if ref is None:
        raise StageError(Reason.STAGE_IN, f"input {spec.name} is no file")
    return ref
