"""Some files out of an archive: names never become paths, and nothing is written that was not asked for."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sirdar.domain.problems import Problem
from sirdar.wire.archive_formats import Limits
from sirdar.wire.archive_pick import pick


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_only_what_is_wanted_is_written(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    archive = zipped(tmp_path / "a.zip", ("./a/b.txt", b"bb"), ("c.txt", b"c"), ("big", b"x" * 10**5))
    made = pick(archive, {"a/b.txt", "missing"}, place)
    assert {name: one.path.read_bytes() for name, one in made.files.items()} == {"a/b.txt": b"bb"}
    assert made.names == ["a/b.txt", "c.txt", "big"]
    assert [path.name for path in place.iterdir()] == ["0"]
    assert made.size_bytes == 2


def test_links_and_folders_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind, to in (
            ("link", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard", tarfile.LNKTYPE, "f"),
            ("d", tarfile.DIRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, to
            archive.addfile(info)
        info = tarfile.TarInfo("f")
        info.size, info.mode = 1, 0o755
        archive.addfile(info, io.BytesIO(b"f"))
    made = pick(path, {"link", "hard", "d", "f"}, tmp_path)
    assert {name: oct(one.mode) for name, one in made.files.items()} == {"f": "0o755"}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ((("a", b"1"), ("./a", b"2")), "twice"),
        ((("../a", b"1"),), "leads out"),
        ((("a", b"x" * 2000),), "more than 1000 bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, members: tuple[tuple[str, bytes], ...], says: str) -> None:
    with pytest.raises(Problem) as caught:
        pick(zipped(tmp_path / "a.zip", *members), {"a"}, tmp_path, Limits(total_bytes=1000))
    assert (caught.value.code, says in caught.value.detail) == ("invalid_archive", True), caught.value.detail
