"""Listing, unpacking and packing archives: what is refused, and that a refusal leaves nothing behind."""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sirdar.domain.problems import Problem
from sirdar.wire.archives import Limits, ZipEntry, list_archive, pack_zip, unpack, walk

MiB = 1024 * 1024


def make_tar(path: Path, *members: tuple[str, str | bytes, bytes] | tarfile.TarInfo, mode: str = "w") -> Path:
    """Members are (name, type, bytes or link target as bytes), or a TarInfo that holds no bytes."""
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, kind, body = member
            info = tarfile.TarInfo(name)
            if kind == "file":
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
            else:
                types = {"dir": tarfile.DIRTYPE, "sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dev": tarfile.CHRTYPE,
                         "fifo": tarfile.FIFOTYPE}  # fmt: skip
                info.type = types[str(kind)]
                info.linkname = body.decode("utf-8", "surrogateescape")
                tar.addfile(info)
    return path


def make_zip(path: Path, *members: tuple[str, bytes, int]) -> Path:
    """Members are (name, bytes, mode with file type)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body, mode in members:
            info = zipfile.ZipInfo(name)
            info.filename = name
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, body)
    return path


def assert_refused(path: Path, target: Path, *words: str, limits: Limits | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        unpack(path, target, limits)
    assert caught.value.code == "invalid_archive"
    for word in words:
        assert word in caught.value.detail
    assert not target.exists(), "a refused archive left something behind"
    return caught.value


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_every_compression_is_listed_and_unpacked(tmp_path: Path, mode: str) -> None:
    script = tarfile.TarInfo("empty.sh")
    script.mode, script.mtime = 0o4755, 1_700_000_000
    path = make_tar(
        tmp_path / "a",
        ("pack", "dir", b""),
        ("pack/a.csv", "file", b"1\n2\n"),
        ("pack/deep/b.bin", "file", os.urandom(300_000)),
        ("pack/link", "sym", b"deep/b.bin"),
        ("pack/hard.csv", "hard", b"pack/a.csv"),
        script,
        mode=mode,
    )
    listed = list_archive(path)
    assert [(m.name, m.size_bytes, m.is_dir) for m in listed] == [
        ("pack", 0, True),
        ("pack/a.csv", 4, False),
        ("pack/deep/b.bin", 300_000, False),
        ("pack/link", 0, False),
        ("pack/hard.csv", 0, False),
        ("empty.sh", 0, False),
    ]
    assert listed[-1].modified == 1_700_000_000
    done = unpack(path, tmp_path / "t")
    assert (done.files, done.size_bytes) == (5, 300_008)
    assert (tmp_path / "t/pack/a.csv").read_bytes() == b"1\n2\n"
    assert (tmp_path / "t/pack/hard.csv").stat().st_nlink == 1
    assert (tmp_path / "t/pack/link").resolve() == (tmp_path / "t/pack/deep/b.bin").resolve()
    assert stat.S_IMODE((tmp_path / "t/empty.sh").stat().st_mode) == 0o755


def test_a_zip_is_listed_and_unpacked_with_its_modes(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "a.zip",
        ("dir/", b"", stat.S_IFDIR | 0o755),
        ("dir/run.sh", b"#!/bin/sh\n", stat.S_IFREG | 0o755),
        ("данные.csv", b"1", stat.S_IFREG | 0o600),
        ("link", b"dir/run.sh", stat.S_IFLNK | 0o777),
        ("plain", b"x", 0),
    )
    assert [(m.name, m.is_dir) for m in list_archive(path)][:2] == [("dir/", True), ("dir/run.sh", False)]
    assert unpack(path, tmp_path / "t").files == 4
    assert (tmp_path / "t/dir/run.sh").stat().st_mode & 0o111
    assert (tmp_path / "t/данные.csv").read_text() == "1"
    assert (tmp_path / "t/link").read_text() == "#!/bin/sh\n"


def test_names_in_utf8_without_the_flag_are_read_as_utf8(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("данные.csv", b"1", 0))
    raw = path.read_bytes().replace(struct.pack("<H", 0x800), struct.pack("<H", 0))
    path.write_bytes(raw)
    assert [m.name for m in list_archive(path)] == ["данные.csv"]


BAD_NAMES = [
    ("../out", "leads out"),
    ("a/../../out", "leads out"),
    ("a/..", "leads out"),
    ("/etc/passwd", "absolute"),
    ("C:/x", "absolute"),
    ("c:x", "absolute"),
    ("a\\..\\b", "backslash"),
    ("a\nb", "control"),
    ("a\x1b[2J", "control"),
    ("x" * 256, "255 bytes"),
    ("/".join(["d"] * 80), "too deep"),
]


@pytest.mark.parametrize(("name", "why"), BAD_NAMES)
@pytest.mark.parametrize("maker", ["tar", "zip"])
def test_a_name_that_leads_out_or_cannot_stand_is_refused(tmp_path: Path, name: str, why: str, maker: str) -> None:
    path = tmp_path / "a"
    if maker == "tar":
        make_tar(path, ("good", "file", b"1"), (name, "file", b"2"))
    else:
        make_zip(path, ("good", b"1", 0), (name, b"2", 0))
    problem = assert_refused(path, tmp_path / "t", why)
    assert problem.field == name[:300]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("l", "sym", b"/etc/passwd")], "only relative links"),
        ([("l", "sym", b"../x")], "outside"),
        ([("a/l", "sym", b"../../x")], "outside"),
        ([("x", "sym", b"."), ("y", "sym", b"x/..")], "outside"),
        ([("d/x", "sym", b".."), ("y", "sym", b"d/x/../z")], "outside"),
        ([("x", "sym", b"y"), ("y", "sym", b"x")], "circle"),
        ([("x", "sym", b"."), ("x/y", "file", b"1")], "file or link"),
        ([("l", "sym", b"d"), ("d", "dir", b""), ("l/y", "file", b"1")], "file or link"),
        ([("h", "hard", b"/etc/passwd")], "no earlier file"),
        ([("h", "hard", b"../../etc/passwd")], "no earlier file"),
        ([("s", "sym", b"a"), ("h", "hard", b"s")], "no earlier file"),
        ([("null", "dev", b"")], "a device"),
        ([("pipe", "fifo", b"")], "a device"),
        ([("a", "file", b"1"), ("a", "file", b"2")], "twice"),
        ([("a", "file", b"1"), ("./a", "file", b"2")], "twice"),
        ([("a/b", "file", b"1"), ("a//b", "file", b"2")], "twice"),
        ([("a", "file", b"1"), ("a/b", "file", b"2")], "file or link"),
        ([("a/b", "file", b"1"), ("a", "file", b"2")], "twice"),
    ],
)
def test_links_that_lead_out_and_what_is_no_file_are_refused(
    tmp_path: Path, members: list[tuple[str, str, bytes]], why: str
) -> None:
    assert_refused(make_tar(tmp_path / "a.tar", *members), tmp_path / "t", why)


def test_links_that_lead_out_may_be_left_out_instead(tmp_path: Path) -> None:
    members = [("a", "file", b"1"), ("in", "sym", b"a"), ("out", "sym", b"/etc/passwd"), ("via", "sym", b"out")]
    path = make_tar(tmp_path / "a.tar", *members)  # type: ignore[arg-type]
    unpack(path, tmp_path / "t", outward_links="skip")
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["a", "in"]


def test_a_zip_with_a_link_that_leads_out_or_a_device_is_refused(tmp_path: Path) -> None:
    link = make_zip(tmp_path / "l.zip", ("l", b"../../etc", stat.S_IFLNK | 0o777))
    assert_refused(link, tmp_path / "t", "outside")
    device = make_zip(tmp_path / "d.zip", ("d", b"", stat.S_IFBLK | 0o600))
    assert_refused(device, tmp_path / "t", "device")


def test_a_name_with_a_zero_byte_or_bytes_that_are_no_utf8_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "z.zip", ("aXb", b"1", 0))
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    assert_refused(path, tmp_path / "t", "zero byte")
    with tarfile.open(tmp_path / "z.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(os.fsdecode(b"a\xff")))
    assert_refused(tmp_path / "z.tar", tmp_path / "t", "not UTF-8")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "e.zip", ("a", b"1", 0))
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert_refused(path, tmp_path / "t", "encrypted")


def test_archives_that_ask_for_gigabytes_of_memory_are_refused(tmp_path: Path) -> None:
    plain = make_tar(tmp_path / "a.tar", ("a", "file", b"1")).read_bytes()
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(plain, filters=filters))
    assert (
        packed[12:16] == b"\x02\x00!\x01"
    )  # block header: its size, no sizes given, LZMA2 with one byte of properties
    packed[16] = 40  # a dictionary of 4 GiB
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    (tmp_path / "a.tar.xz").write_bytes(packed)
    assert_refused(tmp_path / "a.tar.xz", tmp_path / "t", "limit")
    with zipfile.ZipFile(tmp_path / "l.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1")
    assert_refused(tmp_path / "l.zip", tmp_path / "t", "method 14")


def test_bombs_end_at_the_limit_of_bytes_members_and_ratio(tmp_path: Path) -> None:
    zeros = bytes(2 * MiB)
    for path in (
        make_zip(tmp_path / "b.zip", ("a", zeros, 0), ("b", zeros, 0)),
        make_tar(tmp_path / "b.tgz", ("a", "file", zeros), ("b", "file", zeros), mode="w:gz"),
    ):
        assert_refused(path, tmp_path / "t", "more than 3145728 bytes", limits=Limits(total_bytes=3 * MiB))
        assert_refused(path, tmp_path / "t", "more than 1 files", limits=Limits(members=1))
        with pytest.raises(Problem):
            list_archive(path, Limits(total_bytes=3 * MiB))
    with gzip.open(tmp_path / "r.tgz", "wb", compresslevel=9) as out:
        info = tarfile.TarInfo("zeros")
        info.size = 256 * MiB
        out.write(info.tobuf())
        for _ in range(70):
            out.write(bytes(MiB))
    assert_refused(tmp_path / "r.tgz", tmp_path / "t", "more than 67108864 bytes")


def test_a_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "h.tar").write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(MiB))
    assert_refused(tmp_path / "h.tar", tmp_path / "t", "header is too long")


def damage_middle(raw: bytes) -> bytes:
    return raw[: len(raw) // 2] + b"\xff" * 40 + raw[len(raw) // 2 + 40 :]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2", "zip"])
@pytest.mark.parametrize("damage", [damage_middle, lambda raw: raw[: len(raw) // 2]], ids=["flipped", "cut"])
def test_a_damaged_archive_is_refused(tmp_path: Path, mode: str, damage: Callable[[bytes], bytes]) -> None:
    body = os.urandom(4096)
    path = tmp_path / "d"
    if mode == "zip":
        make_zip(path, ("a", body, 0), ("b", body, 0))
    else:
        make_tar(path, ("a", "file", body), ("b", "file", body), mode=mode)
        if mode == "w":  # the middle of plain bytes is nobody's to check: hit the second header
            path.write_bytes(path.read_bytes()[:9000])
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(path, tmp_path / "t")


def test_a_tar_with_a_damaged_header_in_the_middle_is_not_taken_as_its_end(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "d.tar", ("a", "file", b"x" * 512), ("b", "file", b"y"))
    raw = bytearray(path.read_bytes())
    raw[1024 + 150] ^= 0xFF  # in the checksum of the second header
    path.write_bytes(raw)
    assert_refused(path, tmp_path / "t", "damaged")


@pytest.mark.parametrize("body", [b"", b"not an archive at all", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9"])
def test_what_is_no_archive_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x").write_bytes(body)
    assert_refused(tmp_path / "x", tmp_path / "t", "cannot be read as an archive")


def test_the_target_must_be_empty_and_is_emptied_after_a_refusal(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    bad = make_tar(tmp_path / "a.tar", ("a", "file", b"1"), ("../b", "file", b"1"))
    with pytest.raises(Problem):
        unpack(bad, target)
    assert list(target.iterdir()) == []
    (target / "mine").write_text("x")
    with pytest.raises(ValueError, match="not empty"):
        unpack(bad, target)
    assert (target / "mine").exists()


def test_packing_is_deterministic_and_comes_back_whole(tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "sub").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "sub/b.txt").write_text("b" * 1000)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "alias").symlink_to("run.sh")
    (source / "outside").symlink_to("/etc/hostname")
    entries = walk(source)
    assert [e.name for e in entries] == ["alias", "empty", "run.sh", "sub/b.txt"]
    first, second = io.BytesIO(), io.BytesIO()
    pack_zip([*entries, ZipEntry("note.txt", b"n")], first)
    os.utime(source / "run.sh", (1, 1))
    pack_zip([ZipEntry("note.txt", b"n"), *reversed(entries)], second)
    assert first.getvalue() == second.getvalue()
    (tmp_path / "p.zip").write_bytes(first.getvalue())
    unpack(tmp_path / "p.zip", tmp_path / "t")
    assert [e.name for e in walk(tmp_path / "t")] == ["alias", "empty", "note.txt", "run.sh", "sub/b.txt"]
    assert (tmp_path / "t/run.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(ValueError, match="cannot stand"):
        pack_zip([ZipEntry("../x", b"")], io.BytesIO())
    with pytest.raises(ValueError, match="twice"):
        pack_zip([ZipEntry("x", b""), ZipEntry("x", b"")], io.BytesIO())


def test_a_directory_is_as_large_as_the_reader_takes_it(tmp_path: Path) -> None:
    """Where a ZIP64 record stands before the end, zipfile reads as much as that says, whatever the end itself says."""
    path = make_zip(tmp_path / "a.zip", ("a.txt", b"a", 0o644))
    content = path.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    size, offset = struct.unpack_from("<LL", content, at + 12)
    record = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, 1 << 40, offset)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, at, 1)
    path.write_bytes(content[:at] + record + locator + content[at:])
    assert size < 100
    with pytest.raises(Problem, match="more than"):
        list_archive(path, Limits())
