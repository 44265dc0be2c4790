"""Patterns of ``.sirdarignore``: those of ``.gitignore``, as its manual describes them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALWAYS = (
    ".git/",
    ".hg/",
    ".svn/",
    "__pycache__/",
    "*.pyc",
    ".venv/",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".DS_Store",
    "/.sirdarignore",
    "/sirdar.yaml",
    "/sirdar.yml",
    "/sirdar.json",
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line. ``keep``: it began with an exclamation mark; ``folders_only``: it ended with a slash."""

    expression: re.Pattern[str]
    keep: bool
    folders_only: bool


def parse(lines: Iterable[str]) -> tuple[Pattern, ...]:
    """Patterns of the lines that are neither empty nor comments."""
    return tuple(pattern for line in lines if (pattern := _pattern(line.rstrip("\r\n"))))


def ignored(path: str, is_folder: bool, patterns: Sequence[Pattern]) -> bool:
    """True where the last pattern that matches says so. ``path`` is relative, with forward slashes.

    What lies in an ignored folder is ignored whatever is said of it: walkers do not enter such a folder.
    """
    for pattern in reversed(patterns):
        if (is_folder or not pattern.folders_only) and pattern.expression.fullmatch(path):
            return not pattern.keep
    return False


def _pattern(line: str) -> Pattern | None:
    line = line if line.endswith("\\ ") else line.rstrip(" ")
    if not line or line.startswith("#"):
        return None
    keep = line.startswith("!")
    line = line[1:] if keep else line
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    anchored = "/" in line
    body = _translated(line.lstrip("/"))
    return Pattern(re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL), keep, folders_only)


def _translated(glob: str) -> str:
    """A glob as a regular expression; ``*`` stays within one name, ``**`` does not."""
    out: list[str] = []
    place = 0
    while place < len(glob):
        rest = glob[place:]
        if rest.startswith("**/"):
            out.append("(?:.*/)?")
            place += 3
        elif rest.startswith("**"):
            out.append(".*")
            place += 2
        elif rest[0] == "[" and (inner := re.match(r"\[[!^]?\]?[^\]/]*\]", rest)):
            out.append(_char_class(inner.group()))
            place += len(inner.group())
        elif rest[0] == "\\" and len(rest) > 1:
            out.append(re.escape(rest[1]))
            place += 2
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])))
            place += 1
    return "".join(out)


def _char_class(text: str) -> str:
    inner = text[1:-1]
    negated = inner[:1] in {"!", "^"}
    inner = (inner[1:] if negated else inner).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return f"[^/{inner}]" if negated else f"[{inner}]"
