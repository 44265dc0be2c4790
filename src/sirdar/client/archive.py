"""A folder of the user's as a zip whose bytes depend on its content alone, so that the same folder is stored once."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from sirdar.wire.archives import pack_zip, walk

LEVEL = 1  # it is packed while somebody waits


def zip_folder(folder: Path, target: BinaryIO) -> None:
    """Write all of a folder, in order of the names, without times; of the modes only whether a file may be executed.

    Links are followed to files, outside too: the folder is the user's own. Raises ValueError for a name that no archive
    may hold.
    """
    entries = walk(folder, outward_links=True)
    plain = [replace(entry, mode=0o755 if entry.mode & 0o111 else 0o644) for entry in entries]
    pack_zip(plain, target, level=LEVEL)
