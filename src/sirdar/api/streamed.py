"""Addresses whose bodies stream to disk, under limits of their own; any other body has the limit ``body_bytes``."""

from collections.abc import Mapping

# By method, how they begin.
STREAMED: Mapping[str, tuple[str, ...]] = {
    "POST": ("/api/files/temp", "/api/apps/import"),
    "PUT": ("/api/files/temp/", "/api/apps/publish/blobs/", "/agent/v1/attempts/", "/agent/v1/blobs/"),
    "PATCH": ("/api/files/uploads/", "/agent/v1/blobs/"),
}
FORM = ("/apps/", "/run")  # the form that runs an application: how its address begins and ends


def is_streamed(method: str, path: str) -> bool:
    begins, ends = FORM
    is_form = method == "POST" and path.startswith(begins) and path.endswith(ends)
    return is_form or path.startswith(STREAMED.get(method, ()))
