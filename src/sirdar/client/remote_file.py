"""A file on the server."""

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from sirdar.client.exchange import Flow, Reply
from sirdar.client.flows.basic import value
from sirdar.client.flows.downloads import download, download_to
from sirdar.client.requests import files as requests
from sirdar.client.retry import RetryPolicy

if TYPE_CHECKING:
    from sirdar.client.client import Client

KEPT_IN_MEMORY_BYTES = 16 * 1024 * 1024


class FileView:
    """Name and address of a file on the server; ``uri`` is what stands in inputs and results."""

    def __init__(self, uri: str, base_url: str) -> None:
        self.uri = uri
        self._base_url = base_url

    @property
    def name(self) -> str:
        return safe_name(unquote(urlsplit(self.uri).path.rpartition("/")[2]))

    @property
    def url(self) -> str:
        """The whole address."""
        return self.uri if "://" in self.uri else f"{self._base_url}{self.uri}"

    def target(self, to: str | Path) -> Path:
        """Where a download to ``to`` lands: in it, under the file's name, where it is a folder."""
        path = Path(to)
        return path / self.name if path.is_dir() or str(to).endswith(("/", "\\")) else path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.uri}>"


class RemoteFile(FileView):
    """A file on the server. It is an input's value as it stands: nothing is downloaded to pass it on."""

    def __init__(self, uri: str, client: "Client") -> None:
        super().__init__(uri, client.url)
        self._client = client
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Bytes; asked of the server once."""
        if self._size is None:
            self._size = size_in(self._client.send(requests.head(self.uri, self._client.url)))
        return self._size

    def download(self, to: str | Path = ".") -> Path:
        """Download to a path, or into a folder that exists; the path. Breaks are resumed, the digest is compared."""
        flow = download_to(self.uri, self._client.url, self.target(to), self._client.policy)
        return self._client.driver.run(flow)

    def read_bytes(self) -> bytes:
        return self._client.driver.run(read_bytes(self.uri, self._client.url, self._client.policy))

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def open(self) -> BinaryIO:
        """A local, seekable copy, open for reading; large ones lie on disk until closed."""
        copy = cast("BinaryIO", tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY_BYTES))  # noqa: SIM115  (the caller closes it)
        try:
            self._client.driver.run(download(self.uri, self._client.url, copy, self._client.policy))
        except BaseException:
            copy.close()
            raise
        copy.seek(0)
        return copy

    def members(self) -> list[dict[str, Any]]:
        """What an archive holds, without downloading it: ``{name, size, isDir}`` each."""
        return list(self._client.driver.run(value(requests.list_archive(self.uri, self._client.url))))

    def delete(self) -> None:
        self._client.send(requests.delete(self.uri, self._client.url))


def read_bytes(uri: str, base_url: str, policy: RetryPolicy) -> Flow[bytes]:
    """The whole file in memory."""
    content = io.BytesIO()
    yield from download(uri, base_url, content, policy)
    return content.getvalue()


def size_in(reply: Reply) -> int:
    """Bytes of a file, from the headers of a HEAD."""
    return int(reply.headers.get("content-length", 0))


def safe_name(name: str) -> str:
    """A name that stays in its folder, whatever a server says."""
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    return last if last not in {"", ".", ".."} else "file"


def uploaded_uri(document: Mapping[str, Any]) -> str:
    return str(document["uri"])
