"""Files as values: a URI, or ``{"$file": ...}``; which of them an input takes."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from sirdar.domain.app import FileRef, InputSpec
from sirdar.domain.names import file_name_fault
from sirdar.domain.units import format_size
from sirdar.domain.value_words import FILE_EXPECTED, Invalid, either, short

MAX_URI = 4096
_SHA256 = re.compile(r"[0-9a-f]{64}")


def file_fault(spec: InputSpec, ref: FileRef) -> str | None:
    """Why ``spec`` does not take this file, by its name and size, or None where it does."""
    if fault := file_name_fault(ref.name):
        return f"the file name {short(ref.name)} {fault}"
    if spec.suffixes and not ref.name.lower().endswith(tuple(suffix.lower() for suffix in spec.suffixes)):
        return f"the file {short(ref.name)} has another suffix than {either(spec.suffixes)}"
    if spec.max_size_bytes is not None and ref.size_bytes > spec.max_size_bytes:
        return (
            f"the file {short(ref.name)} has {format_size(ref.size_bytes)}, "
            f"and at most {format_size(spec.max_size_bytes)} are taken"
        )
    return None


def check_file(spec: InputSpec, value: Any) -> Any:
    """A URI stays as it is; a ``$file`` is checked for its shape, suffix and size."""
    if isinstance(value, str):
        return _uri(spec, value)
    if not isinstance(value, dict) or value.keys() != {"$file"}:
        raise Invalid(f"{short(value)} is not a file", FILE_EXPECTED)
    if fault := file_fault(spec, _file_ref(value)):
        raise Invalid(fault)
    return value


def refuse_refs(value: Any) -> None:
    """Raises ``Invalid`` for a file, or a list of them, that is not named by its uri."""
    for position, item in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(item, str):
            place = f"[{position}]" if isinstance(value, list) else ""
            raise Invalid(f"{short(item)} is not a file's uri", FILE_EXPECTED, place)


def _uri(spec: InputSpec, value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise Invalid(f"{short(value)} is not a well-formed address", FILE_EXPECTED) from None
    local = value.startswith("/api/files/")
    remote = parts.scheme in {"http", "https"} and bool(parts.netloc)
    if len(value) > MAX_URI or not (local or remote) or not value.isprintable() or " " in value:
        raise Invalid(f"{short(value)} is not a file's uri", FILE_EXPECTED)
    if local and spec.suffixes and (fault := file_fault(spec, FileRef(_last_segment(parts.path), "", 0))):
        raise Invalid(fault)
    return value


def _last_segment(path: str) -> str:
    return unquote(path.rsplit("/", 1)[-1])


def _file_ref(value: dict[str, Any]) -> FileRef:
    inner = value["$file"]
    if not isinstance(inner, dict) or not {"name", "sha256", "size"} <= inner.keys():
        raise Invalid("$file needs name, sha256 and size", FILE_EXPECTED)
    name, sha256, size = inner["name"], inner["sha256"], inner["size"]
    if not isinstance(name, str) or not isinstance(sha256, str) or type(size) is not int or size < 0:
        raise Invalid("$file needs name, sha256 and size", FILE_EXPECTED)
    if not _SHA256.fullmatch(sha256):
        raise Invalid(f"{short(sha256)} is not a sha256 in hexadecimal digits", FILE_EXPECTED)
    return FileRef(name, sha256, size)
