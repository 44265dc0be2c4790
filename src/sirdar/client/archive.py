"""A folder as a zip whose bytes depend on its content alone, so that the same folder is stored once."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

FIRST_DATE = (1980, 1, 1, 0, 0, 0)


def zip_folder(folder: Path, target: BinaryIO) -> None:
    """Write all files of a folder, in order of their names and without their times; links are followed to files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out, 256 * 1024)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, _, names in os.walk(folder):
        found += [Path(parent, name) for name in names if Path(parent, name).is_file()]
    return found
