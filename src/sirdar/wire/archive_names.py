"""Names of members of an archive: which may become files, and where links really lead."""

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping

MAX_PART_BYTES = 255
MAX_NAME_BYTES = 2048
MAX_DEPTH = 64
MAX_LINK_HOPS = 40

_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS = re.compile(r'[<>:"|?*]|[. ](/|$)')


def check_name(name: str) -> str | None:
    """Why a name may not be unpacked, as the end of a sentence; None if it may. ``.`` and ``./a`` may."""
    if not name or "\0" in name:
        return "the name is empty or holds a zero byte"
    if name.startswith("/") or _DRIVE.match(name):
        return "the name is absolute"
    if "\\" in name:
        return "the name holds a backslash"
    if any("\ud800" <= char <= "\udfff" for char in name):
        return "the name is not UTF-8"
    if any(unicodedata.category(char) == "Cc" for char in name):
        return "the name holds control characters"
    parts = name.split("/")
    if ".." in parts:
        return "the name leads out of the directory"
    if len(name.encode()) > MAX_NAME_BYTES or len(parts) > MAX_DEPTH:
        return "the name is too long or too deep"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return "a part of the name is longer than 255 bytes"
    if sys.platform == "win32" and _WINDOWS.search(name):
        return "Windows cannot hold the name"
    return None


def resolve_link(name: str, links: Mapping[str, str], fold: Callable[[str], str]) -> str | None:
    """Why a link leads out of the archive's directory, following the archive's other links; None if it stays inside.

    ``links`` maps each link's name, as ``fold`` gives it, to what it points to.
    """
    place, ahead, hops = list[str](), name.split("/"), 0
    while ahead:
        part = ahead.pop(0)
        if part in {"", "."}:
            continue
        if part == "..":
            if not place:
                return "that is outside of the directory"
            place.pop()
            continue
        place.append(part)
        points_to = links.get(fold("/".join(place)))
        if points_to is None:
            continue
        hops += 1
        if hops > MAX_LINK_HOPS:
            return "the links go round in a circle"
        if points_to.startswith("/") or _DRIVE.match(points_to) or "\\" in points_to or not points_to.isprintable():
            return "only relative links without special characters are accepted"
        place.pop()
        ahead = points_to.split("/") + ahead
    return None
