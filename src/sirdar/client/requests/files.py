"""Files: upload at once or resumably, read, list, remove."""

from collections.abc import Mapping, Sequence

from sirdar.client.exchange import FilePart, Request
from sirdar.client.requests.address import local_path, piece

UPLOAD_TIMEOUT_S = 300.0


def put_temp(name: str, part: FilePart) -> Request:
    """Upload in one go. Sent again it makes a second temporary file, which expires: no harm."""
    return Request("PUT", f"/api/files/temp/{piece(name)}", body=part, timeout_s=UPLOAD_TIMEOUT_S)


def start_upload(name: str, size_bytes: int) -> Request:
    """Begin a resumable upload. One that is begun twice expires by itself, so it may be sent again."""
    return Request("POST", "/api/files/uploads", json={"filename": name, "length": size_bytes}, repeatable=True)


def continue_upload(upload: str, part: FilePart, offset: int) -> Request:
    path = f"/api/files/uploads/{piece(upload)}"
    return Request("PATCH", path, {"offset": str(offset)}, body=part, timeout_s=UPLOAD_TIMEOUT_S)


def upload_state(upload: str) -> Request:
    return Request("GET", f"/api/files/uploads/{piece(upload)}")


def complete_upload(upload: str) -> Request:
    path = f"/api/files/uploads/{piece(upload)}/complete"
    return Request("POST", path, repeatable=True, timeout_s=UPLOAD_TIMEOUT_S)


def abandon_upload(upload: str) -> Request:
    return Request("DELETE", f"/api/files/uploads/{piece(upload)}")


def read(uri: str, base_url: str, *, start: int = 0, etag: str | None = None) -> Request:
    """Download from byte ``start`` on, provided that the file is still the one of ``etag``."""
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    return Request("GET", local_path(uri, base_url), headers=headers)


def head(uri: str, base_url: str) -> Request:
    return Request("HEAD", local_path(uri, base_url), headers={"Accept-Encoding": "identity"})


def list_archive(uri: str, base_url: str) -> Request:
    """What an archive holds, without downloading it."""
    return Request("GET", local_path(uri, base_url), {"list": "1"})


def delete(uri: str, base_url: str) -> Request:
    return Request("DELETE", local_path(uri, base_url))


def bring(files: Sequence[Mapping[str, str]]) -> Request:
    """Many small files in one call: ``{filename, sha256, text or base64}`` each, without bytes where the server may have them.

    Sent again it gives the same files."""
    body = {"files": list(files)}
    return Request("POST", "/api/files/batch", json=body, repeatable=True, timeout_s=UPLOAD_TIMEOUT_S)


def contents(uris: Sequence[str]) -> Request:
    """What many small files hold."""
    return Request("POST", "/api/files/contents", json={"uris": list(uris)}, repeatable=True)
