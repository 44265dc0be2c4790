"""What changed between two versions of an application. Pure; compares canonical documents, in the language's own keys."""

import difflib
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sirdar.domain.app import FileEntry

CONTEXT = 3
MOST_WORK = 2_000_000  # looks at lines by difflib for one pair of texts
_NAMED = {"inputs": "input", "outputs": "output"}  # lists whose members have names
_KEYED = {"env": "env", "templates": "template", "resources": "resource", "environment": "environment", "code": "code"}


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"  # the same ones in another order


@dataclass(frozen=True, slots=True)
class Field:
    """A key of an input or output that is another one now; None where it was, or is, not there."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    ``part``: ``input``, ``output``, ``env``, ``template``, ``resource``, ``environment``, ``code``, each with a ``name``; or
    ``inputs`` and ``outputs`` (moved); or another key of the description, whose name is empty.
    """

    part: str
    name: str
    kind: Kind
    old: Any = None
    new: Any = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """One of the application's own files; ``mode``: only whether it may be executed has changed."""

    path: str
    kind: Kind
    old_bytes: int | None = None
    new_bytes: int | None = None
    mode: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of both texts, of the old one (``-``), of the new one (``+``), or a gap (``@``). Numbers count from 1."""

    mark: str
    text: str
    old_no: int | None = None
    new_no: int | None = None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Differences of two canonical documents, in the order of the newer one's keys."""
    found: list[Change] = []
    for key in dict.fromkeys([*new, *old]):
        if key in _NAMED:
            found += _named(key, old.get(key, ()), new.get(key, ()))
        elif key in _KEYED:
            found += _keyed(_KEYED[key], old.get(key, {}), new.get(key, {}))
        elif old.get(key) != new.get(key):
            found.append(_change(key, "", old.get(key), new.get(key)))
    return found


def file_changes(old: Sequence[FileEntry], new: Sequence[FileEntry]) -> list[FileChange]:
    """Files by path: added, removed, or with other bytes or another mode."""
    before, after = {file.path: file for file in old}, {file.path: file for file in new}
    found = []
    for path in sorted({*before, *after}):
        was, now = before.get(path), after.get(path)
        if was is None and now is not None:
            found.append(FileChange(path, Kind.ADDED, new_bytes=now.size_bytes))
        elif now is None and was is not None:
            found.append(FileChange(path, Kind.REMOVED, old_bytes=was.size_bytes))
        elif was is not None and now is not None and (was.sha256 != now.sha256 or was.mode != now.mode):
            same = was.sha256 == now.sha256
            found.append(FileChange(path, Kind.CHANGED, was.size_bytes, now.size_bytes, mode=same))
    return found


def lines(old: str, new: str, context: int = CONTEXT) -> list[Line]:
    """The differing lines of two texts with some around them; empty where they are the same."""
    every = list(_all_lines(old.splitlines(), new.splitlines()))
    near: set[int] = set()
    for number, line in enumerate(every):
        if line.mark != " ":
            near.update(range(number - context, number + context + 1))
    found: list[Line] = []
    hidden = False
    for number, line in enumerate(every):
        if number in near:
            found += [Line("@", ""), line] if hidden else [line]
        hidden = number not in near
    return found


def _all_lines(a: Sequence[str], b: Sequence[str]) -> Iterator[Line]:
    for tag, i1, i2, j1, j2 in _steps(a, b):
        if tag == "equal":
            yield from (Line(" ", a[i], i + 1, j1 + i - i1 + 1) for i in range(i1, i2))
            continue
        yield from (Line("-", a[i], old_no=i + 1) for i in range(i1, i2))
        yield from (Line("+", b[j], new_no=j + 1) for j in range(j1, j2))


def _steps(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """difflib's steps between lines that stand once in each text. What would take it too long stands as replaced."""
    left = MOST_WORK
    for (i1, j1), (i2, j2) in pairwise([(0, 0), *_anchors(a, b), (len(a), len(b))]):
        head, tail = _same_ends(a[i1:i2], b[j1:j2])
        yield "equal", i1, i1 + head, j1, j1 + head
        old, new = a[i1 + head : i2 - tail], b[j1 + head : j2 - tail]
        work = _most_work(old, new)
        if work is None or work > left:
            yield "replace", i1 + head, i2 - tail, j1 + head, j2 - tail
        else:
            left -= work
            for tag, o1, o2, n1, n2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
                yield tag, i1 + head + o1, i1 + head + o2, j1 + head + n1, j1 + head + n2
        yield "equal", i2 - tail, i2, j2 - tail, j2


def _same_ends(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How many lines both begin with, and of the rest, end with."""
    shorter = min(len(a), len(b))
    head = next((n for n in range(shorter) if a[n] != b[n]), shorter)
    return head, next((n for n in range(shorter - head) if a[-1 - n] != b[-1 - n]), shorter - head)


def _most_work(old: Sequence[str], new: Sequence[str]) -> int | None:
    """Looks at lines, at most, of difflib: it goes through all of them for each run of equal ones. None: there are none."""
    counts = Counter(new)
    pairs = sum(counts[line] for line in old)
    return (min(len(old), len(new), pairs) + 1) * (len(old) + pairs) if pairs else None


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Where lines are that stand once in each text between its equal ends: the most of them that keep their order."""
    head, tail = _same_ends(a, b)
    old, new = _once(a, head, len(a) - tail), _once(b, head, len(b) - tail)
    last: list[int] = []  # the least place in b at which a chain of each length ends
    ends: list[int] = []  # and that in a
    before: dict[int, int | None] = {}
    for line, i in old.items():
        if (j := new.get(line)) is not None:
            at = bisect(last, j)
            last[at : at + 1], ends[at : at + 1] = [j], [i]
            before[i] = ends[at - 1] if at else None
    chain: list[tuple[int, int]] = []
    place = ends[-1] if ends else None
    while place is not None:
        chain.append((place, new[a[place]]))
        place = before[place]
    return chain[::-1]


def _once(text: Sequence[str], start: int, end: int) -> dict[str, int]:
    """The lines that stand there once, in order, and where."""
    counts = Counter(text[start:end])
    return {text[place]: place for place in range(start, end) if counts[text[place]] == 1}


# ---------------------------------------------------------------- parts


def _named(key: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Change]:
    before, after = {spec["name"]: spec for spec in old}, {spec["name"]: spec for spec in new}
    found = []
    for name in dict.fromkeys([*after, *before]):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        fields = _fields(was, now) if was is not None and now is not None else ()
        found.append(_change(_NAMED[key], name, was, now, fields))
    kept = [name for name in before if name in after], [name for name in after if name in before]
    if kept[0] != kept[1]:
        found.append(Change(key, "", Kind.MOVED, kept[0], kept[1]))
    return found


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Field, ...]:
    keys = [key for key in dict.fromkeys([*new, *old]) if key != "name"]
    return tuple(Field(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key))


def _keyed(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    names = [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]
    return [_change(part, name, old.get(name), new.get(name)) for name in names]


def _change(part: str, name: str, old: Any, new: Any, fields: tuple[Field, ...] = ()) -> Change:
    kind = Kind.ADDED if old is None else Kind.REMOVED if new is None else Kind.CHANGED
    return Change(part, name, kind, old, new, fields)
