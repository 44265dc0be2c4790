"""Which blob store a server has, by its settings."""

from pathlib import Path
from urllib.parse import urlsplit

from sirdar.blobs.base import BlobStore
from sirdar.blobs.local import LocalBlobs


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

    Raises ValueError where the address is no such one, or obstore is not installed.
    """
    if not url:
        return LocalBlobs(home / "blobs")
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise ValueError(
            f"SIRDAR_BLOBS={url!r} is no place for blobs: s3://BUCKET/PREFIX, or empty for the home's disk"
        )
    try:
        from sirdar.blobs.s3 import S3Blobs  # an extra: most servers keep their blobs on their disk
        from sirdar.blobs.s3_bucket import S3Place
    except ImportError as error:
        raise ValueError("blobs in S3 need the extra s3: install sirdar[server,s3]") from error
    place = S3Place(parts.netloc, parts.path.strip("/"), endpoint, region, agent_endpoint)
    return S3Blobs(place, home / "tmp", direct=direct, address_s=address_s)
