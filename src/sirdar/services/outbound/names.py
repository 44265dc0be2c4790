"""The name of a fetched file, from what a foreign server says: never a path, never hidden, never empty."""

import re
import unicodedata
from email.message import Message
from urllib.parse import unquote

MAX_NAME_BYTES = 200
DEFAULT_NAME = "file"

CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})

_EXTENDED = re.compile(r";\s*filename\*\s*=\s*\"?(?P<charset>[\w-]+)'[^']*'(?P<text>[^\";\s]*)", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"|?*]')


def name_of(disposition: str | None, path: str) -> str:
    """The file name of a Content-Disposition header, or else the last part of a URL's path."""
    return safe_name(_from_disposition(disposition or "")) or safe_name(path.rstrip("/")) or DEFAULT_NAME


def safe_name(text: str) -> str:
    """The last part of a path as a plain file name, or empty where nothing is left of it."""
    last = re.split(r"[/\\]", text)[-1]
    last = unicodedata.normalize("NFC", last)
    last = "".join(char for char in last if not unicodedata.category(char).startswith("C"))
    last = _UNSAFE.sub("_", last).strip().strip(".").strip()
    return _shortened(last)


def _from_disposition(header: str) -> str:
    """The ``filename*`` parameter (RFC 6266), which comes before the plain ``filename`` where both stand."""
    if match := _EXTENDED.search(header):
        charset = match["charset"] if match["charset"].lower() in CHARSETS else "utf-8"
        return unquote(match["text"], encoding=charset, errors="replace")
    message = Message()
    message["Content-Disposition"] = header.replace("\r", " ").replace("\n", " ")
    return str(message.get_param("filename", "", "content-disposition"))


def _shortened(name: str) -> str:
    """At most MAX_NAME_BYTES of UTF-8, with the suffix kept, for it may decide what the file is taken for."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 20:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    room = MAX_NAME_BYTES - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore") + ending
