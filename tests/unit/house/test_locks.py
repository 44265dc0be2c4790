"""Locks say which files are meant by version and hash, name no registry, and cover what pyproject.toml asks for."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def pins(lock: Path) -> dict[str, str]:
    return {name: version for name, version, _ in PIN.findall(lock.read_text())}


def test_there_are_locks() -> None:
    assert {lock.name for lock in LOCKS} >= {"dev.txt", "sirdar.txt", "uv.txt"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_holds_names_versions_and_hashes_only(lock: Path) -> None:
    rest = PIN.sub("", lock.read_text())
    strange = [line for line in rest.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert not strange, "these lines are no pin with hashes"
    assert "://" not in lock.read_text(), "a lock names no address of a registry"


def test_the_lock_covers_all_that_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    asked += [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    asked += [one for group in project["dependency-groups"].values() for one in group]
    asked += (ROOT / "requirements/build.in").read_text().splitlines()
    asked += project["build-system"]["requires"]
    locked = pins(ROOT / "requirements/dev.txt")
    for text in asked:
        if text.startswith(("#", "sirdar[")):
            continue
        wanted = Requirement(text)
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not locked: make lock"
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted} is locked at {version}: make lock"


def test_the_lock_of_the_product_agrees_with_that_of_the_tests() -> None:
    dev, product = pins(ROOT / "requirements/dev.txt"), pins(ROOT / "requirements/sirdar.txt")
    assert {name: dev.get(name) for name in product} == product


def test_locks_of_pages_name_no_registry() -> None:
    for lock in ROOT.glob("*/package-lock.json"):
        assert "omit-lockfile-registry-resolved=true" in lock.with_name(".npmrc").read_text()
        packages = json.loads(lock.read_text())["packages"]
        assert len(packages) > 1
        assert not [name for name, package in packages.items() if "resolved" in package], lock


def test_no_lock_with_addresses_is_kept() -> None:
    kept = subprocess.run(["git", "ls-files", "uv.lock"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert kept.stdout == ""
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
