"""A program's folder as it is published: which files, their digests and modes."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sirdar.client.errors import FolderError
from sirdar.client.ignore import ALWAYS, Pattern, ignored, parse

DESCRIPTIONS = ("sirdar.yaml", "sirdar.yml", "sirdar.json")
IGNORE_FILE = ".sirdarignore"
MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file to publish: where it is here, and its entry there."""

    source: Path
    path: str
    sha256: str
    size_bytes: int
    mode: int

    def to_json(self) -> dict[str, object]:
        """As the API writes it."""
        return {"path": self.path, "sha256": self.sha256, "size": self.size_bytes, "mode": self.mode}


def find_description(folder: Path) -> Path:
    """The description in a folder (or the file itself). Raises FolderError where there is none, or two."""
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder", "give the folder with the program and its sirdar.yaml")
    found = [folder / name for name in DESCRIPTIONS if (folder / name).is_file()]
    if not found:
        raise FolderError(f"{folder} has no sirdar.yaml", f"`sirdar init {folder}` writes one")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise FolderError(f"{folder} has {names}", "keep one of them")
    return found[0]


def read_folder(folder: Path) -> list[FolderFile]:
    """All files to publish, by path. Raises FolderError for what cannot travel: links that leave, odd names, devices."""
    root = folder.resolve()
    patterns = parse([*ALWAYS, *_own_patterns(root)])
    found: list[FolderFile] = []
    for source, path in _walk(root, root, "", patterns, (root,)):
        if len(found) >= MOST_FILES:
            raise FolderError(f"{folder} has more than {MOST_FILES} files", f"list what is not needed in {IGNORE_FILE}")
        found.append(_entry(source, path))
    return sorted(found, key=lambda file: file.path)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_patterns(root: Path) -> list[str]:
    try:
        return (root / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise FolderError(f"{root / IGNORE_FILE} cannot be read: {error}") from error


def _walk(
    root: Path, folder: Path, prefix: str, patterns: tuple[Pattern, ...], above: tuple[Path, ...]
) -> Iterator[tuple[Path, str]]:
    try:
        members = sorted(os.scandir(folder), key=lambda member: member.name)
    except OSError as error:
        raise FolderError(f"{folder} cannot be read: {error.strerror}") from error
    for member in members:
        path = prefix + member.name
        is_folder = member.is_dir()
        if ignored(path, is_folder, patterns):
            continue
        _check_name(path)
        real = _real(root, member) if member.is_symlink() else Path(member.path)
        if not is_folder:
            yield real, path
            continue
        if real in above:
            raise FolderError(f"{path} is a link to a folder that holds it", f"remove it, or list it in {IGNORE_FILE}")
        yield from _walk(root, real, f"{path}/", patterns, (*above, real))


def _real(root: Path, member: "os.DirEntry[str]") -> Path:
    """What a link leads to, provided that it is there and within the folder."""
    link = Path(member.path)
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise FolderError(f"{link} is a link to nowhere", f"remove it, or list it in {IGNORE_FILE}") from error
    if not target.is_relative_to(root):
        hint = f"put the file itself there, or list the link in {IGNORE_FILE}"
        raise FolderError(f"{link} is a link that leaves the folder (to {target})", hint)
    return target


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise FolderError(f"{path!r}: the name is not valid UTF-8", "rename the file") from None
    if "\\" in path or any(ord(char) < 32 for char in path):
        raise FolderError(f"{path!r}: the name has a backslash or a control character", "rename the file")


def _entry(source: Path, path: str) -> FolderFile:
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FolderError(f"{path} is neither a file nor a folder", f"list it in {IGNORE_FILE}")
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        return FolderFile(source, path, sha256_of(source), status.st_size, mode)
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
