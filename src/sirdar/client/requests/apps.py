"""Applications: find, describe, publish, share, keep secrets."""

from collections.abc import Sequence
from typing import Any

from sirdar.client.exchange import FilePart, Request
from sirdar.client.requests.address import params, piece, without_none

UPLOAD_TIMEOUT_S = 300.0


def app_path(ref: str, *tail: str) -> str:
    """Path of an application named by id, ``owner/alias`` or either with ``@version``. Raises ValueError for others."""
    parts = ref.split("/")
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"{ref!r} names no application; write owner/alias, owner/alias@3 or its id")
    return "/".join(["/api/apps", *map(piece, parts), *map(piece, tail)])


def describe(ref: str) -> Request:
    return Request("GET", app_path(ref))


def listing(owner: str | None = None, text: str | None = None, limit: int | None = None) -> Request:
    return Request("GET", "/api/apps", params({"owner": owner, "text": text, "limit": limit}))


def search(part: str) -> Request:
    return Request("GET", "/api/apps/search", {"name": part})


def versions(ref: str) -> Request:
    return Request("GET", app_path(ref, "versions"))


def source(ref: str) -> Request:
    return Request("GET", app_path(ref, "source"))


def openapi(ref: str) -> Request:
    return Request("GET", app_path(ref, "openapi.json"))


def export(ref: str) -> Request:
    return Request("GET", app_path(ref, "export"), timeout_s=UPLOAD_TIMEOUT_S)


def archive(ref: str, archived: bool) -> Request:
    return Request("POST", app_path(ref, "archive"), json={"archived": archived}, repeatable=True)


def shares(ref: str) -> Request:
    return Request("GET", app_path(ref, "share"))


def share(ref: str, subject: str, permission: str = "run") -> Request:
    return Request("PUT", app_path(ref, "share", subject), json={"permission": permission})


def unshare(ref: str, subject: str) -> Request:
    return Request("DELETE", app_path(ref, "share", subject))


def set_secret(ref: str, name: str, value: str) -> Request:
    return Request("PUT", app_path(ref, "secrets", name), json={"value": value})


def unset_secret(ref: str, name: str) -> Request:
    return Request("DELETE", app_path(ref, "secrets", name))


def plan(description: str, files: Sequence[dict[str, Any]], note: str | None = None) -> Request:
    """Check a publication and learn which blobs the server lacks. Creates nothing."""
    return Request("POST", "/api/apps/publish/plan", json=_publication(description, files, note), repeatable=True)


def put_blob(sha256: str, part: FilePart) -> Request:
    return Request("PUT", f"/api/apps/publish/blobs/{piece(sha256)}", body=part, timeout_s=UPLOAD_TIMEOUT_S)


def publish(description: str, files: Sequence[dict[str, Any]], note: str | None = None) -> Request:
    """Make the version. The same bytes make none, so it may be sent again."""
    body = _publication(description, files, note)
    return Request("POST", "/api/apps/publish", json=body, repeatable=True, timeout_s=UPLOAD_TIMEOUT_S)


def import_archive(body: FilePart, content_type: str) -> Request:
    """Publish an exported application; ``body`` is a whole multipart form with the part ``file``."""
    headers = {"Content-Type": content_type}
    return Request("POST", "/api/apps/import", body=body, headers=headers, timeout_s=UPLOAD_TIMEOUT_S)


def _publication(description: str, files: Sequence[dict[str, Any]], note: str | None) -> dict[str, Any]:
    return without_none({"description": description, "files": list(files), "note": note})
