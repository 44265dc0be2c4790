"""Which blob store a server has, by its settings."""

from pathlib import Path
from urllib.parse import urlsplit

from sirdar.blobs.base import BlobStore
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem


def open_blobs(
    url: str,
    home: Path,
    *,
    endpoint: str = "",
    agent_endpoint: str = "",
    region: str = "",
    direct: bool = True,
    address_s: float = 3600.0,
) -> BlobStore:
    """``s3://BUCKET/PREFIX``, or the directory ``blobs`` of the home where the address is empty.

    Raises Problem ``invalid_field`` where the address is no such one, or obstore is not installed.
    """
    if not url:
        return LocalBlobs(home / "blobs")
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        detail = f"SIRDAR_BLOBS={url!r} is no place for blobs."
        raise _unusable(detail, expected="s3://BUCKET/PREFIX, or none for the home's disk")
    try:
        from sirdar.blobs.s3 import S3Blobs  # an extra: most servers keep their blobs on their disk
        from sirdar.blobs.s3_bucket import S3Place
    except ImportError as error:
        raise _unusable(
            "Blobs in S3 need the package obstore.", expected="an installation of sirdar[server,s3]"
        ) from error
    place = S3Place(parts.netloc, parts.path.strip("/"), endpoint, region, agent_endpoint)
    try:
        return S3Blobs(place, home / "tmp", direct=direct, address_s=address_s)
    except ValueError as error:
        raise _unusable(str(error), expected="SIRDAR_BLOBS, SIRDAR_S3_ENDPOINT and AWS_* that fit together") from error


def _unusable(detail: str, *, expected: str) -> Problem:
    return Problem("invalid_field", detail, field="blobs", expected=expected)
