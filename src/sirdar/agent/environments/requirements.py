"""``requirements.txt`` of an application: which of its files it takes in, and what it may not ask for.

An environment is made of what these files say and of what indexes have. Other files of the machine are the agent's and its owner's:
a line that names one is refused, before the tool sees it.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from sirdar.agent.environments.base import EnvironmentFailed, Files

MOST_FILES = 50
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-r)|(?<=-c))(?P<path>\S.*)")
_LOCATION = re.compile(r"(?:-f|--find-links)(?:\s*=\s*|\s+|(?<=-f))(?P<path>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b.*|-e\S.*")
_NAMED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)")
_REMOTE = re.compile(r"(?:(?:git|hg|svn|bzr)\+)?(?:https?|ssh)://")
_ARCHIVE = re.compile(r"\.(?:whl|zip|tar|tar\.\w+|tgz)$", re.IGNORECASE)


def included(path: str, files: Files) -> list[str]:
    """The file and all that it includes by ``-r`` and ``-c``, each once. Blocks. Raises EnvironmentFailed and OSError."""
    found: list[str] = []
    waiting = [path]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        found.append(path)
        if len(found) > MOST_FILES:
            raise EnvironmentFailed(f"{found[0]} includes more than {MOST_FILES} files")
        text = read_text(path, files)
        for target in _targets(path, text):
            if target not in files:
                raise EnvironmentFailed(f"{path} includes {target}, which is no file of the application")
            waiting.append(target)
    return found


def read_text(path: str, files: Files) -> str:
    """Of one of the application's own files. Raises EnvironmentFailed and OSError."""
    place = files.get(path)
    if place is None:
        raise EnvironmentFailed(f"the application has no file {path}")
    try:
        return place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise EnvironmentFailed(f"{path} is not text in UTF-8") from None


def includes_of(path: str, lines: list[str]) -> list[str]:
    """What lines of another file, in the same syntax, include. Raises EnvironmentFailed."""
    return list(_targets(path, "\n".join(lines)))


def _targets(path: str, text: str) -> Iterator[str]:
    """Paths that the text includes, as the application names them; raises EnvironmentFailed for what is not allowed."""
    for line in logical_lines(text):
        if "${" in line:
            raise EnvironmentFailed(f"{path} names a variable, which is not the same everywhere: {line[:80]}")
        if (match := _INCLUDE.fullmatch(line)) is not None:
            yield _inside(path, match["path"].strip().strip("'\""))
        elif line.startswith("-"):
            _check_option(path, line)
        else:
            _check_requirement(path, line)


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments, those that end with a backslash joined, empty ones left out."""
    joined = re.sub(r"\\\r?\n", " ", text)
    for line in joined.splitlines():
        plain = re.sub(r"(^|\s)#.*$", "", line).strip()
        if plain:
            yield plain


def _inside(path: str, target: str) -> str:
    """The included path, from the application's root."""
    if "://" in target:
        raise EnvironmentFailed(f"{path} includes {target[:80]}: only the application's own files can be included")
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / target).parts:
        if part == "/" or (part == ".." and not parts):
            raise EnvironmentFailed(f"{path} includes {target[:80]}, which lies outside of the application")
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _check_option(path: str, line: str) -> None:
    if _EDITABLE.fullmatch(line):
        detail = "the application's own files lie in the task's directory anyway"
        raise EnvironmentFailed(f"{path} asks for an editable package, {line[:80]!r}: leave it out, {detail}")
    location = _LOCATION.fullmatch(line)
    if location is not None and not _REMOTE.match(location["path"]):
        raise EnvironmentFailed(f"{path} looks for packages in a directory: {line[:80]!r}")
    if "file:" in line:
        raise EnvironmentFailed(f"{path} names a file of the machine: {line[:80]!r}")


def _check_requirement(path: str, line: str) -> None:
    """A name with versions, or a name or nothing with an address."""
    match = _NAMED.match(line)
    rest = match["rest"] if match is not None else line
    address = rest[1:].strip() if rest.startswith("@") else ""
    if address or _REMOTE.match(line):
        if not _REMOTE.match(address or line):
            raise EnvironmentFailed(f"{path} names a file of the machine: {line[:80]!r}")
        return
    word = line.split(maxsplit=1)[0]
    if match is None or "/" in rest.split("--")[0].split(";")[0] or "://" in line or _ARCHIVE.search(word):
        raise EnvironmentFailed(f"{path} names a file, where a package's name is expected: {line[:80]!r}")
