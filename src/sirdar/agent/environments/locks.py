"""``uv.lock`` and ``pylock.toml``: which interpreters they are for, and that they name no files of the machine."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from sirdar.agent.environments.base import EnvironmentFailed

LOCAL = ("path", "directory", "editable", "virtual")


def read_lock(path: str, text: str) -> Mapping[str, Any]:
    """Raises EnvironmentFailed."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentFailed(f"{path} is not TOML: {error}") from None


def python_of(lock: Mapping[str, Any]) -> str:
    """Which interpreters it was made for; empty: any."""
    wanted = lock.get("requires-python", "")
    return wanted if isinstance(wanted, str) else ""


def check_uv_lock(path: str, lock: Mapping[str, Any]) -> None:
    """The project itself is not installed; all else comes from an index or an address. Raises EnvironmentFailed."""
    for package in _tables(lock, "package", "packages"):
        source = package.get("source")
        if not isinstance(source, dict):
            continue
        for kind in LOCAL:
            if kind in source and source[kind] != ".":
                raise _local(path, package, source[kind])


def check_pylock(path: str, lock: Mapping[str, Any]) -> None:
    """Raises EnvironmentFailed where a package is a file or a directory."""
    for package in _tables(lock, "packages"):
        for kind in ("directory", "vcs", "archive", "sdist"):
            _check_place(path, package, package.get(kind))
        for wheel in _tables(package, "wheels"):
            _check_place(path, package, wheel)


def _check_place(path: str, package: Mapping[str, Any], place: Any) -> None:
    if isinstance(place, dict) and "path" in place:
        raise _local(path, package, place["path"])
    if isinstance(place, dict) and str(place.get("url", "")).startswith("file:"):
        raise _local(path, package, place["url"])


def _tables(document: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    for name in names:
        rows = document.get(name)
        yield from (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()


def _local(path: str, package: Mapping[str, Any], place: Any) -> EnvironmentFailed:
    detail = "only packages of an index or an address can be installed"
    return EnvironmentFailed(f"{path} takes {package.get('name', 'a package')} from {str(place)[:80]!r}: {detail}")
