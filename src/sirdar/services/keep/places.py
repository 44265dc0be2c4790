"""Where a server keeps what is not in its database."""

from sirdar.blobs.base import BlobStore
from sirdar.blobs.opening import open_blobs
from sirdar.services.settings import Settings

KEY = "server.key"
LOGS = "logs"
LOCK = "up.lock"  # of whoever holds the home (server/home.py)


def blobs_of(settings: Settings) -> BlobStore:
    """The blob store that the settings name. Raises Problem ``invalid_field``."""
    return open_blobs(
        settings.blobs,
        settings.home,
        endpoint=settings.s3_endpoint,
        agent_endpoint=settings.s3_agent_endpoint,
        region=settings.s3_region,
        direct=settings.s3_direct,
        address_s=settings.s3_address_s,
    )
