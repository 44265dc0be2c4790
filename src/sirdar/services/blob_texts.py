"""Small files as text."""

from sirdar.services.context import Services


async def read_text(services: Services, sha256: str) -> str | None:
    """The whole blob; None where it is no text in UTF-8."""
    content = b"".join([piece async for piece in services.blobs.read(sha256)])
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
