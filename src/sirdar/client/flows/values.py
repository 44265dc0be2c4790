"""Values of inputs: files among them are uploaded, everything else becomes plain JSON."""

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Protocol, cast, runtime_checkable

from sirdar.client.exchange import Flow
from sirdar.client.flows.uploads import UploadLimits, upload_file, upload_path

ARCHIVE_IN_MEMORY_BYTES = 16 * 1024 * 1024
DEEPEST = 64


@runtime_checkable
class HasUri(Protocol):
    """A file that is on the server already."""

    @property
    def uri(self) -> str: ...


class ValueUploads:
    """Uploads of one submission: a file that stands in it a thousand times is sent once."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._sent: dict[tuple[str, int, int], str] = {}

    def resolve(self, value: Any, where: str = "inputs", depth: int = 0) -> Flow[Any]:
        """The value as JSON, with URIs in place of files.

        A ``Path`` or an open binary file is uploaded, the folder of a ``Path`` as a zip; a ``str`` never is. Raises
        TypeError for what has no JSON form and ValueError for a number that is not finite, with its place in the inputs.
        """
        if depth > DEEPEST:
            raise TypeError(f"{where}: nested more than {DEEPEST} deep")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where} is {float(value)}, and no input can be: give a finite number")
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, PurePath):
            return (yield from self._upload(Path(value), where))
        if isinstance(value, HasUri):
            return value.uri
        if isinstance(value, Mapping):
            return (yield from self._mapping(value, where, depth))
        if isinstance(value, list | tuple):
            members = []
            for index, member in enumerate(value):
                members.append((yield from self.resolve(member, f"{where}[{index}]", depth + 1)))
            return members
        if hasattr(value, "read"):
            return (yield from self._upload_open(value, where))
        if callable(getattr(value, "tolist", None)):  # a NumPy scalar or array, a pandas series
            return (yield from self.resolve(value.tolist(), where, depth + 1))
        return (yield from self.resolve(_scalar(value, where), where, depth + 1))

    def _mapping(self, value: Mapping[Any, Any], where: str, depth: int) -> Flow[dict[str, Any]]:
        members = {}
        for name, member in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{where}: the keys of an object are strings, not {name!r}")
            members[name] = yield from self.resolve(member, f"{where}.{name}", depth + 1)
        return members

    def _upload(self, path: Path, where: str) -> Flow[str]:
        try:
            status = path.stat()
        except OSError as error:
            raise FileNotFoundError(f"{where}: cannot read {path}: {error.strerror}") from error
        known = (str(path.resolve()), status.st_mtime_ns, status.st_size)
        if known not in self._sent:
            upload = self._upload_folder(path, where) if path.is_dir() else upload_path(path, None, self._limits)
            reply = yield from upload
            self._sent[known] = str(reply["uri"])
        return self._sent[known]

    def _upload_folder(self, path: Path, where: str) -> Flow[dict[str, Any]]:
        from sirdar.client.archive import zip_folder  # zip and tar take a while to import, and few inputs are folders

        with tempfile.SpooledTemporaryFile(ARCHIVE_IN_MEMORY_BYTES) as archive:
            file = cast("BinaryIO", archive)
            try:
                zip_folder(path, file)
            except ValueError as error:
                raise ValueError(f"{where}: {path} cannot be sent as a folder: {error}") from error
            return (yield from upload_file(file, f"{path.resolve().name or 'folder'}.zip", self._limits))

    def _upload_open(self, file: Any, where: str) -> Flow[str]:
        if hasattr(file, "encoding"):
            raise TypeError(f"{where}: open the file in binary mode ('rb')")
        name = getattr(file, "name", None)
        text = os.path.basename(name) if isinstance(name, str) and name else f"{where.rpartition('.')[2]}.bin"  # noqa: PTH119
        reply = yield from upload_file(file, text, self._limits)
        return str(reply["uri"])


def _scalar(value: Any, where: str) -> Any:
    """Numbers of other libraries as Python's own."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{where}: bytes have no JSON form; give io.BytesIO(...) to send them as a file")
    if callable(getattr(value, "__index__", None)):
        return int(value)
    if callable(getattr(value, "__float__", None)):
        return float(value)
    raise TypeError(f"{where}: {type(value).__name__} has no JSON form; use numbers, strings, lists, dicts or Path")
