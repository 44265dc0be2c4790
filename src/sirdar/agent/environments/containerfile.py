"""Which of an application's files the building of an image sees: a build is done again only where one of those has changed."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

IGNORES = (".containerignore", ".dockerignore")
_COPY = re.compile(r"(copy|add)\s+(.*)", re.IGNORECASE | re.DOTALL)
_BIND = re.compile(r"run\s+.*--mount=", re.IGNORECASE | re.DOTALL)


def seen(text: str, path: str, files: Iterable[str]) -> list[str]:
    """Paths among the files, sorted: the Containerfile itself (``text``, at ``path``) and what it copies.

    All of them, where what it copies cannot be told without building it.
    """
    paths = sorted(files)
    wanted: set[str] = {path}
    for instruction in _instructions(text):
        if _BIND.match(instruction):
            return paths
        copied = _COPY.match(instruction)
        for source in _sources(copied[2]) if copied is not None else ():
            if "$" in source or source == "<<":
                return paths
            wanted |= {one for one in paths if _is_below(one, source)}
    ignores = [one for one in (*IGNORES, *(f"{path}{name}" for name in IGNORES)) if one in paths]
    return sorted(wanted.union(ignores))


def content(path: str, parts: Mapping[str, Path]) -> str:
    """A digest of what a build is made from."""
    found = {name: hashlib.sha256(place.read_bytes()).hexdigest() for name, place in sorted(parts.items())}
    return hashlib.sha256(json.dumps([path, found]).encode()).hexdigest()


def _instructions(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in re.sub(r"\\\s*\n", " ", "\n".join(lines)).splitlines() if line.strip()]


def _sources(words: str) -> list[str]:
    """What stands before the last word of COPY or ADD; none where it is of another stage, of the web, or written there."""
    options = re.match(r"(?:--\S+\s+)*", words)
    rest = words[options.end() :] if options is not None else words
    if options is not None and "--from=" in options[0]:
        return []
    if "<<" in rest:
        return ["<<"]
    try:
        listed = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    except ValueError:
        return ["$"]
    return [str(word) for word in listed[:-1] if "://" not in str(word)]


def _is_below(path: str, source: str) -> bool:
    plain = str(PurePosixPath("/", source).relative_to("/"))
    if plain == ".":
        return True
    parts = PurePosixPath(path).parts
    pattern = PurePosixPath(plain).parts
    return len(parts) >= len(pattern) and all(map(fnmatchcase, parts[: len(pattern)], pattern))
