"""Reads what a program wrote: values, files, patterns, directories, its streams; and brings files to the server."""

import asyncio
import contextlib
import glob
import hashlib
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO

from sirdar.agent.blobs import Blobs
from sirdar.agent.live_streams import count_lines
from sirdar.agent.outcomes import size
from sirdar.agent.patience import TookTooLong, at_most
from sirdar.agent.redact import redact, safe_length
from sirdar.domain.app import FILE_INPUTS, App, FileRef, OutputSpec, OutputType
from sirdar.domain.command import as_text, fill_template
from sirdar.domain.outcome import Reason
from sirdar.domain.outputs import read_value, without_endless
from sirdar.wire.agent import Stream
from sirdar.wire.archives import ZipEntry, pack_zip, walk

VALUE_BYTES = 16 << 20
PATTERN_LIMIT_S = 1.0
COPY_BYTES = 1 << 20
SHOWN_ENTRIES = 20
SHOWN_LEFT_OUT = 5
STREAMS = ("stdout", "stderr")
# 2000-01-01: the time of change of files that were there before the program, and match an output.
UNTOUCHED_S = 946_684_800


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one output. Reason OK: nothing, but the user should know what was left out."""

    reason: Reason
    message: str


@dataclass(slots=True)
class Collected:
    """What was found: values, and files that are still to be brought to the server."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)
    directories: dict[str, Path] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)  # files that matched -> why they are no output
    untouched: frozenset[str] = frozenset()  # files that only the agent can have written
    started_at: float | None = None
    refs: dict[Path, FileRef] = field(default_factory=dict)  # of files that travel in the final
    contents: dict[str, bytes] = field(default_factory=dict)  # ... and their bytes, by digest
    matched: dict[str, list[Path]] = field(
        default_factory=dict
    )  # what was found for a source: several outputs may have it
    read: tuple[Path, str] | None = None  # the file that a value was last read from, and its text

    @property
    def needs_upload(self) -> bool:
        return bool(self.directories) or any(path not in self.refs for paths in self.files.values() for path in paths)


def with_values(app: App, values: Mapping[str, Any]) -> App:
    """The application with the values of a task's inputs in the names of its output files. A value is no pattern."""
    if not any("${" in spec.source for spec in app.outputs):
        return app
    known = {spec.name: values.get(spec.name, spec.default) for spec in app.inputs if spec.type not in FILE_INPUTS}
    words = {name: glob.escape(as_text(value)) for name, value in known.items()}
    outputs = tuple(replace(spec, source=fill_template(spec.source, words)) for spec in app.outputs)
    return replace(app, outputs=outputs)


def mark_untouched(app: App, folder: Path) -> None:
    """Before the program starts: what lies there already and matches an output is none, unless the program writes it."""
    for source in {spec.source for spec in app.outputs}:
        if source not in STREAMS:
            for path in _candidates(folder / "dir", source):
                if _is_regular(path) and not path.is_symlink() and path.stat().st_nlink == 1:
                    os.utime(path, (UNTOUCHED_S, UNTOUCHED_S))


def collect(app: App, folder: Path, shared: Collection[str] = (), started_at: float | None = None) -> Collected:
    """Looks for all declared outputs. A missing required one, or one that cannot be read, becomes a fault.

    ``shared``: files of the directory that are links to blobs; they are no outputs. ``started_at``: when the program started, in
    seconds since 1970.
    """
    found = Collected(untouched=frozenset(shared), started_at=started_at)
    for spec in app.outputs:
        if spec.type is OutputType.FILE:
            _collect_file(spec, folder, found)
        elif spec.type is OutputType.FILES:
            paths = _matches(folder, spec.source, found)
            if paths or not spec.required:
                found.files[spec.name] = _within(spec, paths, found)
            else:
                found.faults.append(_missing(spec, folder))
        elif spec.type is OutputType.DIRECTORY:
            _collect_directory(spec, folder, found)
        else:
            _collect_value(spec, folder, found)
    _tell_left_out(app, folder, found)
    found.read = None
    return found


def _tell_left_out(app: App, folder: Path, found: Collected) -> None:
    """Last of the faults, so that a real one gives the reason. Links to code on the resource are the agent's own."""
    code = Path(app.code.path).resolve() if app.code.path is not None else None
    told = {
        path: why
        for path, why in found.left_out.items()
        if code is None or not (folder / "dir" / path).resolve().is_relative_to(code)
    }
    if told:
        shown = [f"{_text(path.as_posix())} was left out: {why}" for path, why in list(told.items())[:SHOWN_LEFT_OUT]]
        more = [f"{len(told) - SHOWN_LEFT_OUT} more were left out"] if len(told) > SHOWN_LEFT_OUT else []
        found.faults.append(Fault(Reason.OK, "; ".join(shown + more)))


def _collect_file(spec: OutputSpec, folder: Path, found: Collected) -> None:
    paths = _matches(folder, spec.source, found)
    if paths:
        kept = _within(spec, paths[:1], found)
        if kept:
            found.files[spec.name] = kept
    elif spec.required:
        found.faults.append(_missing(spec, folder))


def _collect_directory(spec: OutputSpec, folder: Path, found: Collected) -> None:
    path = folder / "dir" / spec.source
    inside = _is_inside(path, folder)
    if inside and path.is_dir():
        found.directories[spec.name] = path
    elif spec.required:
        found.faults.append(_missing(spec, folder))


def _collect_value(spec: OutputSpec, folder: Path, found: Collected) -> None:
    paths = _matches(folder, spec.source, found)
    if not paths:
        if spec.required:
            found.faults.append(_missing(spec, folder))
        return
    try:
        value = _read_value(spec, _text_of(spec, paths[0], found))
        if spec.type is OutputType.VALUES:
            value, endless = without_endless(value)
            # An output that has a name of its own says itself what it is.
            found.values |= {name: one for name, one in value.items() if name not in found.values}
            if endless:
                found.faults.append(Fault(Reason.OK, f"output {spec.name}: in {spec.source} {endless}"))
        else:
            found.values[spec.name] = value
    except ValueError as error:
        if spec.required:
            found.faults.append(Fault(Reason.OUTPUT_INVALID, f"output {spec.name}: {error}"))
    except OSError as error:
        found.faults.append(Fault(Reason.STAGE_OUT, f"output {spec.name} cannot be read: {error}"))


def _text_of(spec: OutputSpec, path: Path, found: Collected) -> str:
    if found.read is not None and found.read[0] == path:
        return found.read[1]
    with path.open("rb") as file:
        raw = file.read(VALUE_BYTES + 1)
    if len(raw) > VALUE_BYTES:
        raise ValueError(f"{spec.source} is larger than {size(VALUE_BYTES)}, too large to read a value from")
    found.read = path, raw.decode("utf-8", errors="replace")
    return found.read[1]


def _read_value(spec: OutputSpec, text: str) -> Any:
    if spec.regex is None:
        return read_value(spec, text)
    try:
        with at_most(PATTERN_LIMIT_S):
            return read_value(spec, text)
    except TookTooLong:
        raise ValueError(
            f"the search for {spec.regex} in {spec.source} takes longer than {PATTERN_LIMIT_S:g} s; "
            "nested repetitions such as (a+)+ are slow"
        ) from None


def _within(spec: OutputSpec, paths: list[Path], found: Collected) -> list[Path]:
    """Without those over the output's size limit, which are a fault."""
    limit = spec.max_size_bytes
    for path in paths:
        if limit is not None and path.stat().st_size > limit:
            found.faults.append(
                Fault(
                    Reason.OUTPUT_LIMIT,
                    f"output {spec.name}: {_text(path.name)} has {size(path.stat().st_size)}, more than {size(limit)}",
                )
            )
    return [path for path in paths if limit is None or path.stat().st_size <= limit]


def _matches(folder: Path, source: str, found: Collected) -> list[Path]:
    """Regular files inside the task's directory that fit a path or shell pattern, ordered by name; or a stream."""
    if source not in found.matched:
        found.matched[source] = _look_for(folder, source, found)
    return found.matched[source]


def _look_for(folder: Path, source: str, found: Collected) -> list[Path]:
    if source in STREAMS and not (folder / "dir" / source).exists():
        return [folder / source] if (folder / source).exists() else []
    base = folder / "dir"
    kept = []
    for path in _candidates(base, source):
        if not _is_regular(path):
            if path.is_symlink() and not path.exists():
                found.left_out[path.relative_to(base)] = "it is a link to what is not there"
        elif not _is_inside(path, folder):
            found.left_out[path.relative_to(base)] = "it is a link that leads out of the task's directory"
        elif _is_untouched(path, base, found):
            found.left_out[path.relative_to(base)] = "it was there before the program, which did not write it"
        else:
            kept.append(path)
    return kept


def _candidates(base: Path, source: str) -> list[Path]:
    return sorted(base.glob(source)) if any(char in source for char in "*?[") else [base / source]


def _is_untouched(path: Path, base: Path, found: Collected) -> bool:
    """The mark is the agent's. A copy or another name that keeps the time is the program's: the inode changed after its start."""
    if path.relative_to(base).as_posix() in found.untouched:
        return True
    status = path.stat()
    return status.st_mtime == UNTOUCHED_S and (found.started_at is None or status.st_ctime <= found.started_at)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _is_inside(path: Path, folder: Path) -> bool:
    """No output may be read through a link that leads out of the task's directory."""
    if path.parent == folder / "dir" and not path.is_symlink():
        return True
    return path.resolve().is_relative_to((folder / "dir").resolve())


def _text(name: str) -> str:
    """A file's name without what is no UTF-8 in it: no message to the server can hold that."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _missing(spec: OutputSpec, folder: Path) -> Fault:
    entries = sorted(
        _text(entry.name) + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in os.scandir(folder / "dir")
    )
    near = [name for name in entries if fnmatch(name.lower(), f"*{Path(spec.source).stem.lower()}*")]
    shown = ", ".join((near + [name for name in entries if name not in near])[:SHOWN_ENTRIES]) or "nothing"
    more = f" and {len(entries) - SHOWN_ENTRIES} more" if len(entries) > SHOWN_ENTRIES else ""
    return Fault(
        Reason.OUTPUT_MISSING,
        f"the program did not write {spec.source} (output {spec.name}); its directory holds {shown}{more}",
    )


# ---------------------------------------------------------------- bringing files to the server


def read_small(found: Collected, limit_bytes: int) -> None:
    """Reads the small ones among the files, up to so many bytes in all: they travel in the final, without a call of their own.

    One that cannot be read is left to ``upload``, which tells why.
    """
    for path in [path for paths in found.files.values() for path in paths]:
        with contextlib.suppress(OSError):
            if path.stat().st_size <= limit_bytes:
                content = path.read_bytes()
                if len(content) <= limit_bytes:
                    limit_bytes -= len(content)
                    digest = hashlib.sha256(content).hexdigest()
                    found.refs[path] = FileRef(_text(path.name), digest, len(content))
                    found.contents[digest] = content


async def upload(found: Collected, app: App, folder: Path, blobs: Blobs) -> tuple[dict[str, Any], int]:
    """Brings the files to the server; returns all outputs as stored values, and how many bytes they have."""
    for path in [path for paths in found.files.values() for path in paths if path not in found.refs]:
        sha256, size_bytes = await blobs.store(path, final=path.parent != folder)
        found.refs[path] = FileRef(_text(path.name), sha256, size_bytes)
    outputs, total = outputs_of(found, app)
    for name, directory in found.directories.items():
        ref = await store_archive(directory, f"{name}.zip", folder, blobs)
        outputs[name] = ref.to_json()
        total += ref.size_bytes
    return outputs, total


def outputs_of(found: Collected, app: App) -> tuple[dict[str, Any], int]:
    """The outputs as stored values, once all files have their references; and how many bytes the files have."""
    outputs = dict(found.values)
    for name, paths in found.files.items():
        spec, refs = app.output(name), [found.refs[path].to_json() for path in paths]
        outputs[name] = refs[0] if spec is not None and spec.type is OutputType.FILE else refs
    return outputs, sum(found.refs[path].size_bytes for paths in found.files.values() for path in paths)


async def store_archive(directory: Path, name: str, folder: Path, blobs: Blobs) -> FileRef:
    """Packs a directory as zip and brings it to the server."""
    target = folder / f"pack-{name.replace('/', '_')}"
    await asyncio.to_thread(_pack, walk(directory), target)
    sha256, size_bytes = await blobs.store(target, final=True)
    target.unlink(missing_ok=True)
    return FileRef(name, sha256, size_bytes)


def _pack(entries: Sequence[ZipEntry], target: Path) -> None:
    with target.open("wb") as file:
        pack_zip(entries, file)


# ---------------------------------------------------------------- streams


EMPTY = Stream()


@dataclass(frozen=True, slots=True)
class Cap:
    """How much of a long stream is kept, and what must not be seen in it."""

    head_bytes: int
    tail_bytes: int
    secrets: list[bytes]


def read_stream(path: str, inline_bytes: int, secrets: list[bytes]) -> Stream | None:
    """The whole stream, if it is short enough to travel in the final; None if it must become a blob."""
    try:
        if not os.stat(path).st_size:  # noqa: PTH116
            return EMPTY
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return EMPTY
    try:
        raw = os.read(fd, inline_bytes + 1)
    finally:
        os.close(fd)
    if len(raw) > inline_bytes:
        return None
    return Stream(size=len(raw), text=redact(raw, secrets).decode("utf-8", errors="replace"))


async def store_stream(path: Path, cap: Cap, blobs: Blobs) -> Stream:
    """A long stream as a blob: whole, or head and tail with a visible gap."""
    stream, source = await asyncio.to_thread(_copy_stream, path, cap)
    sha256, _ = await blobs.store(source, final=True)
    return stream.model_copy(update={"sha256": sha256})


def _copy_stream(path: Path, cap: Cap) -> tuple[Stream, Path]:
    """The stream but for its digest, and the file to send (removed with the task's directory)."""
    length = path.stat().st_size
    omitted = max(0, length - cap.head_bytes - cap.tail_bytes)
    target = path.with_name(path.name + ".sent")
    with path.open("rb") as file, target.open("wb") as out:
        if not omitted:
            _copy_redacted(file, out, length, cap.secrets)
            return Stream(size=length), target
        held = len(cap.secrets[0]) if cap.secrets else 0  # a secret may lie across a border
        _copy_redacted(file, out, min(length, cap.head_bytes + held), cap.secrets)
        out.seek(cap.head_bytes)
        out.truncate()
        out.write(b"" if _ends_line(file, cap.head_bytes) else b"\n")
        gap_at = out.tell()
        out.write(f"[... {omitted} bytes left out here ...]\n".encode())
        tail_line = count_lines(path, 0, length - cap.tail_bytes)
        held = min(held, length - cap.tail_bytes)
        file.seek(length - cap.tail_bytes - held)
        _copy_redacted(file, out, cap.tail_bytes + held, cap.secrets, skip_bytes=held)
    return Stream(size=length, omitted=omitted, gap_at=gap_at, tail_line=tail_line), target


def _ends_line(file: BinaryIO, place: int) -> bool:
    """Whether a line ends, or none has begun, before that place."""
    if place == 0:
        return True
    file.seek(place - 1)
    return file.read(1) == b"\n"


def _copy_redacted(
    file: BinaryIO, out: BinaryIO, count_bytes: int, secrets: list[bytes], *, skip_bytes: int = 0
) -> None:
    """Copies piece by piece, but for the first bytes; a secret that lies across pieces is found too."""
    held = len(secrets[0]) if secrets else 0
    raw, left, done = b"", count_bytes, skip_bytes  # done: of raw
    while left and (piece := file.read(min(left, COPY_BYTES))):
        left -= len(piece)
        raw += piece
        ready = max(done, safe_length(raw, secrets))
        out.write(redact(raw, secrets)[done:ready])
        gone = max(0, min(ready, len(raw)) - held)
        raw, done = raw[gone:], ready - gone
    out.write(redact(raw, secrets)[done:])


def directory_bytes(folder: Path) -> int:
    """Size of all that lies in the task's directory; what is linked to elsewhere does not count."""
    total = 0
    for root, _, names in os.walk(folder / "dir"):
        for name in names:
            try:
                status = os.lstat(f"{root}/{name}")
            except OSError:  # removed meanwhile
                continue
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                total += status.st_size
    return total


def tail_of(path: Path, secrets: Collection[bytes], count_bytes: int = 4096) -> str:
    """The last whole lines of a long stream as text, without secrets: half a line could hold half of one."""
    before_bytes = max(map(len, secrets), default=0)  # a secret that reaches into the tail is known by its beginning
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - count_bytes - before_bytes))
            tail = redact(file.read(), secrets)[-count_bytes:]
            return tail.partition(b"\n")[2].decode("utf-8", errors="replace")
    except OSError:
        return ""
