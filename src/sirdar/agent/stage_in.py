"""Brings a task's files to its directory: the application's own, the inputs, templates and values as files."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sirdar.agent.attempts import Common, SharedFile
from sirdar.agent.digests import digest_of
from sirdar.agent.stage_plan import Plan, Planned, StageError, entries_of
from sirdar.domain.app import App, CodeKind
from sirdar.domain.command import Rendered, fill_template, render
from sirdar.domain.outcome import Reason
from sirdar.domain.problems import Problem
from sirdar.wire.archive_names import check_name
from sirdar.wire.archives import unpack
from sirdar.wire.staging import StageEntry, stage_files

Find = Callable[[str], Path | None]


def place(made: Plan, target: Path, find: Find, *, link_over_bytes: int) -> list[SharedFile]:
    """Puts the planned files into the directory; returns those that are links to blobs. Raises StageError or OSError."""
    base = str(target)
    entries, digests = [], {}
    for file in made.files:
        if not file.unpack:
            path = f"{base}/{file.path}"
            digests[path] = (file.path, file.sha256)
            entries.append(StageEntry(_source(file, find), path, file.mode, file.size_bytes, file.writable))
    linked = stage_files(entries, link_over_bytes=link_over_bytes).linked
    for file in made.files:
        if file.unpack:
            _unpack(file, Path(_source(file, find)), target)
    return [_shared(path, *digests[path]) for path in linked]


def _source(file: Planned, find: Find) -> str:
    blob = find(file.sha256)
    if blob is None:
        raise StageError(Reason.STAGE_IN, f"the bytes of {file.path} are not on the resource any more")
    return str(blob)


def _shared(full: str, path: str, sha256: str) -> SharedFile:
    stat = os.stat(full)  # noqa: PTH116
    return SharedFile(path, sha256, stat.st_size, stat.st_mtime_ns)


def _unpack(file: Planned, blob: Path, target: Path) -> None:
    try:
        unpack(blob, target / file.path)
    except Problem as problem:
        raise StageError(Reason.INPUT_INVALID, f"{file.path} cannot be unpacked: {problem.detail}") from problem
    except ValueError as error:
        raise StageError(Reason.INPUT_INVALID, f"{file.path} cannot be unpacked there: {error}") from error


# ---------------------------------------------------------------- values as files


def own_file(common: Common, find: Find, path: str) -> Path:
    """One of the application's own files, whatever an input has put into the directory. Raises StageError."""
    entries = common.program.files if common.job.files is None else common.job.files
    found = next((find(sha256) for name, sha256, _, _ in entries if name == path), None)
    code = common.app.code
    if found is None and code.kind is CodeKind.PATH and code.path is not None:
        found = Path(code.path) / path
    if found is None:
        raise StageError(Reason.STAGE_IN, f"{path} is none of the application's files")
    return found


def write_rendered(rendered: Rendered, folder: Path, own: Callable[[str], Path]) -> Path | None:
    """Writes values, parameters and filled templates; returns the path of standard input, if it has one.

    ``own`` gives the file of a template: the application's, never an input's.
    """
    target = folder / "dir"
    for path, text in rendered.files.items():
        _write(target, path, text)
    for path, source in rendered.templates.items():
        try:
            text = own(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StageError(Reason.STAGE_IN, f"the template {source} cannot be read: {error}") from error
        _write(target, path, fill_template(text, rendered.template_values))
    if rendered.stdin_text is not None:
        (folder / "stdin").write_text(rendered.stdin_text, encoding="utf-8")
        return folder / "stdin"
    return target / rendered.stdin_path if rendered.stdin_path is not None else None


def link_code(app: App, target: Path) -> None:
    """Where the code lies on the resource already, its entries are linked into the task's directory, last of all.

    What lies there already stays, and a folder of the task's own gets links to the entries that it lacks: nothing is ever
    written through a link into the code itself.
    """
    entries_of(app)
    _link_entries(Path(app.code.path or "/nowhere"), target)


def _link_entries(source: Path, target: Path) -> None:
    for entry in source.iterdir():
        link = target / entry.name
        if link.is_dir() and not link.is_symlink() and entry.is_dir():
            _link_entries(entry, link)
        elif not link.is_symlink() and not link.exists():
            link.symlink_to(entry)


def _write(target: Path, path: str, text: str) -> None:
    if check_name(path) is not None:
        raise StageError(Reason.STAGE_IN, f"{path!r} cannot be the name of a file")
    full = target / path
    full.parent.mkdir(parents=True, exist_ok=True)
    mode = full.stat().st_mode & 0o777 if full.is_file() else None  # a template may be a program
    full.unlink(missing_ok=True)
    full.write_text(text, encoding="utf-8")
    if mode is not None:
        full.chmod(mode)


def render_task(app: App, made: Plan) -> Rendered:
    """Raises StageError where a value does not fit into a command line."""
    plain: Mapping[str, Any] = {name: value for name, value in made.values.items() if name not in made.staged}
    try:
        return render(app, plain, made.staged)
    except ValueError as error:
        raise StageError(Reason.STAGE_IN, str(error)) from error


def changed(shared: Iterable[SharedFile], target: Path) -> list[SharedFile]:
    """Of the files that the task shared with others, those that have other bytes now. Reads what looks touched."""
    found = []
    for file in shared:
        path = target / file.path
        try:
            stat = os.lstat(path)
        except OSError:
            continue  # it was removed or renamed: the blob itself is whole
        if stat.st_nlink < 2 or (stat.st_size, stat.st_mtime_ns) == (file.size_bytes, file.mtime_ns):
            continue
        if digest_of(path)[0] != file.sha256:  # the server makes blobs young again, which changes their time alone
            found.append(file)
    return found
