"""``wire.staging``: what is copied, what is linked, and that ten thousand files are no matter."""

import errno
import os
import time
from pathlib import Path

import pytest

from sirdar.wire import staging
from sirdar.wire.staging import StageEntry, stage_files


def _blob(folder: Path, content: bytes, name: str = "blob") -> str:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o444)
    return str(path)


def _inode(path: str | Path) -> int:
    return os.stat(path).st_ino


def test_a_small_file_is_a_copy_that_its_owner_may_change(tmp_path: Path) -> None:
    source = _blob(tmp_path, b"x" * 100)
    target = f"{tmp_path}/dir/sub/a.txt"
    staged = stage_files([(source, target, 0o640, 100)])
    assert staged.size_bytes == 100 and staged.linked == []
    assert Path(target).read_bytes() == b"x" * 100
    assert os.stat(target).st_mode & 0o777 == 0o640 and _inode(target) != _inode(source)


def test_a_large_file_is_a_link_where_it_may_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_reflinked", lambda entry: False)
    source = _blob(tmp_path, b"y" * 5000)
    linked, program, changed = (f"{tmp_path}/dir/{name}" for name in ("data", "program", "changed"))
    staged = stage_files(
        [
            StageEntry(source, linked, 0o644, 5000),
            StageEntry(source, program, 0o755, 5000),
            StageEntry(source, changed, 0o644, 5000, writable=True),
        ],
        link_over_bytes=4096,
    )
    assert staged.size_bytes == 15000 and staged.linked == [linked]
    assert _inode(linked) == _inode(source) and os.stat(linked).st_mode & 0o777 == 0o444
    assert os.access(program, os.X_OK) and _inode(program) != _inode(source)
    Path(changed).write_bytes(b"z")
    assert Path(source).read_bytes() == b"y" * 5000


def test_many_small_files_are_links_but_for_those_that_are_written_or_run(tmp_path: Path) -> None:
    source = _blob(tmp_path, b"1")
    entries = [StageEntry(source, f"{tmp_path}/dir/{n}", 0o644, 1) for n in range(6)]
    entries += [
        StageEntry(source, f"{tmp_path}/dir/run", 0o755, 1),
        StageEntry(source, f"{tmp_path}/dir/w", 0o644, 1, True),
    ]
    assert stage_files(entries, link_many_over=6).linked == []
    staged = stage_files(entries, link_many_over=5)
    assert staged.linked == [f"{tmp_path}/dir/{n}" for n in range(6)]
    assert _inode(tmp_path / "dir/run") != _inode(source) != _inode(tmp_path / "dir/w")


def test_what_is_there_is_replaced(tmp_path: Path) -> None:
    old, new = _blob(tmp_path, b"old", "old"), _blob(tmp_path, b"new!", "new")
    target = f"{tmp_path}/dir/a"
    stage_files([(old, target, 0o644, 3), (new, target, 0o644, 4)])
    assert Path(target).read_bytes() == b"new!"
    stage_files([(old, target, 0o644, 3)], link_many_over=0)
    assert Path(target).read_bytes() == b"old" and Path(new).read_bytes() == b"new!"


def test_a_link_that_cannot_be_made_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", refuse)
    source = _blob(tmp_path, b"a")
    staged = stage_files([(source, f"{tmp_path}/dir/{n}", 0o644, 1) for n in range(3)], link_many_over=0)
    assert staged.linked == [] and (tmp_path / "dir/2").read_bytes() == b"a"


def test_a_blob_that_is_gone_or_has_another_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stage_files([(f"{tmp_path}/none", f"{tmp_path}/dir/a", 0o644, 1)])
    with pytest.raises(FileNotFoundError):
        stage_files([(f"{tmp_path}/none", f"{tmp_path}/dir/a", 0o644, 1)], link_many_over=0)
    with pytest.raises(OSError, match="has not the 7 bytes"):
        stage_files([(_blob(tmp_path, b"12345678"), f"{tmp_path}/dir/a", 0o644, 7)])


def test_ten_thousand_files(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    sources = [_blob(tmp_path / "blobs", b"%d" % n, str(n)) for n in range(100)]
    entries = [(sources[n % 100], f"{tmp_path}/dir/{n // 100}/{n}", 0o644, len(str(n % 100))) for n in range(10_000)]
    began = time.perf_counter()
    staged = stage_files(entries)
    took_s = time.perf_counter() - began
    assert staged.size_bytes == sum(entry[3] for entry in entries)
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "dir")) == 10_000
    assert took_s < 10  # the bench has the true limit; this one only catches a change of kind
