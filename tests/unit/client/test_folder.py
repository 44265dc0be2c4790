"""What of a folder is published."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from sirdar.client.errors import FolderError
from sirdar.client.folder import find_description, read_folder
from sirdar.client.ignore import ignored, parse


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def paths(root: Path) -> list[str]:
    return [file.path for file in read_folder(root)]


def test_what_nobody_wants_is_left_out(tmp_path: Path) -> None:
    make(
        tmp_path,
        "sirdar.yaml",
        "a.py",
        ".git/config",
        "sub/.git/config",
        "__pycache__/a.pyc",
        "sub/b.py",
        ".venv/x",
        "sub/sirdar.yaml",
    )
    assert paths(tmp_path) == ["a.py", "sub/b.py", "sub/sirdar.yaml"]


def test_sirdarignore(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "keep.log", "data/a.csv", "data/b.txt", "sub/data/c.csv", "top.txt", "sub/top.txt")
    (tmp_path / ".sirdarignore").write_text("# notes\n*.log\n!keep.log\n/data/\n/top.txt\n")
    assert paths(tmp_path) == ["keep.log", "sub/data/c.csv", "sub/top.txt"]


@pytest.mark.parametrize(
    ("pattern", "path", "is_folder", "matches"),
    [
        ("*.o", "a/b.o", False, True),
        ("*.o", "a.out", False, False),
        ("build/", "build", False, False),
        ("build/", "x/build", True, True),
        ("/build", "x/build", True, False),
        ("a/b", "x/a/b", False, False),
        ("a/**/b", "a/b", False, True),
        ("a/**/b", "a/x/y/b", False, True),
        ("**/b", "b", False, True),
        ("a/**", "a/x/y", False, True),
        ("a*c", "a/c", False, False),
        ("?.txt", "a.txt", False, True),
        ("?.txt", "ab.txt", False, False),
        ("[a-c].txt", "b.txt", False, True),
        ("[!a-c].txt", "b.txt", False, False),
        ("[]x].txt", "].txt", False, True),
        ("\\#x", "#x", False, True),
        ("\\!x", "!x", False, True),
        ("a+b(c)", "a+b(c)", False, True),
        ("x[", "x[", False, True),
    ],
)
def test_patterns_are_those_of_git(pattern: str, path: str, is_folder: bool, matches: bool) -> None:
    assert ignored(path, is_folder, parse([pattern])) is matches


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "a.txt", "sub/b.txt")
    (root / "link.txt").symlink_to("a.txt")
    (root / "folder").symlink_to("sub")
    assert paths(root) == ["a.txt", "folder/b.txt", "link.txt", "sub/b.txt"]
    cases = {
        "out": ("/etc/passwd", "leaves the folder"),
        "up": ("..", "leaves the folder"),
        "gone": ("nothing", "link to nowhere"),
        "loop": (".", "holds it"),
    }
    for name, (target, words) in cases.items():
        (root / name).symlink_to(target)
        with pytest.raises(FolderError, match=words):
            read_folder(root)
        (root / name).unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="no such names and files there")
def test_names_and_things_that_cannot_travel(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FolderError, match="neither a file nor a folder"):
        read_folder(tmp_path)
    (tmp_path / "pipe").unlink()
    for name in (b"bad\xff", b"a\nb", b"a\\b"):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "w"):
            pass
        with pytest.raises(FolderError, match="rename the file"):
            read_folder(tmp_path)
        os.unlink(path)


def test_modes_and_digests(tmp_path: Path) -> None:
    make(tmp_path, "a.sh", "b.txt")
    (tmp_path / "a.sh").chmod(0o700)
    first, second = read_folder(tmp_path)
    digest = hashlib.sha256(b"a.sh").hexdigest()
    assert first.to_json() == {"path": "a.sh", "sha256": digest, "size": 4, "mode": 0o755}
    assert second.mode == 0o644 and second.size_bytes == 5


def test_the_description_is_found_or_missed(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"has no sirdar\.yaml"):
        find_description(tmp_path)
    make(tmp_path, "sirdar.yaml")
    assert find_description(tmp_path) == find_description(tmp_path / "sirdar.yaml") == tmp_path / "sirdar.yaml"
    make(tmp_path, "sirdar.json")
    with pytest.raises(FolderError, match="keep one of them"):
        find_description(tmp_path)
    with pytest.raises(FolderError, match="is not a folder"):
        find_description(tmp_path / "none")
