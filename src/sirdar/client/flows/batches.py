"""Many small files at once: what the server does not have of them in a call or two, and the contents of many in one."""

import base64
import hashlib
import io
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from sirdar.client.errors import ApiError, BadReply
from sirdar.client.exchange import Flow
from sirdar.client.flows.basic import document
from sirdar.client.flows.downloads import download
from sirdar.client.flows.uploads import UploadLimits, upload_file
from sirdar.client.requests import files as requests
from sirdar.client.retry import RetryPolicy

ASK_FIRST_BYTES = 512 * 1024  # more than this is sent only where the server says that it does not have it
CALL_BYTES = 2 * 2**20  # of files in one call; JSON makes them somewhat larger
LARGE_BYTES = 2**20  # from here on a file goes up by itself
CALL_FILES = 500
TRUSTED_S = 2700.0  # the server gives files that last an hour at least

# (digest, name) -> (URI, until when it is trusted); no URI: the server has the bytes
KnownFiles = MutableMapping[tuple[str, str], tuple[str, float]]


def bring(files: Sequence[tuple[str, bytes]], known: KnownFiles, limits: UploadLimits) -> Flow[list[str]]:
    """URIs of these (name, bytes). What the server has from this user already is not sent; ``known`` is asked before the server."""
    keys = [(hashlib.sha256(content).hexdigest(), name) for name, content in files]
    now = time.monotonic()
    wanted = {key: content for key, (_, content) in zip(keys, files, strict=True) if not _has_uri(key, known, now)}
    if sum(map(len, wanted.values())) > ASK_FIRST_BYTES:
        for part in _parts(list(wanted), [b""] * len(wanted)):
            yield from _call([(key, None) for key, _ in part], known)
        wanted = {key: content for key, content in wanted.items() if not _has_uri(key, known, now)}
    for (sha256, name), content in list(wanted.items()):
        if len(content) >= LARGE_BYTES:
            uploaded = yield from upload_file(io.BytesIO(content), name, limits)
            known[sha256, name] = (str(uploaded["uri"]), time.monotonic() + TRUSTED_S)
            del wanted[sha256, name]
    for sent in _parts(list(wanted), list(wanted.values())):
        yield from _call(sent, known)
    return [known[key][0] for key in keys]


def carried(files: Sequence[tuple[str, bytes]], known: KnownFiles, limits: UploadLimits) -> Flow[list[Any]]:
    """Values for these (name, bytes) in a submission: URIs, or where it is little the bytes themselves.

    Tell ``taken`` when it has arrived.
    """
    now = time.monotonic()
    keys = [(hashlib.sha256(content).hexdigest(), name) for name, content in files]
    fresh = [len(content) for key, (_, content) in zip(keys, files, strict=True) if not _is_known(key, known, now)]
    if sum(fresh) > ASK_FIRST_BYTES or max(fresh, default=0) >= LARGE_BYTES:
        return list((yield from bring(files, known, limits)))
    return [
        _entry(name, sha256, None if _is_known((sha256, name), known, now) else content)
        for (sha256, name), (_, content) in zip(keys, files, strict=True)
    ]


def taken(values: Sequence[Any], known: KnownFiles) -> None:
    """The server has what went along in a submission."""
    now = time.monotonic()
    for value in values:
        if isinstance(value, dict) and not _is_known(key := (value["sha256"], value["filename"]), known, now):
            known[key] = ("", now + TRUSTED_S)


def _is_known(key: tuple[str, str], known: KnownFiles, now: float) -> bool:
    return key in known and known[key][1] >= now


def _has_uri(key: tuple[str, str], known: KnownFiles, now: float) -> bool:
    return _is_known(key, known, now) and known[key][0] != ""


def _call(files: Sequence[tuple[tuple[str, str], bytes | None]], known: KnownFiles) -> Flow[None]:
    entries = [_entry(name, sha256, content) for (sha256, name), content in files]
    until = time.monotonic() + TRUSTED_S
    reply = yield from document(requests.bring(entries))
    taken = reply.get("files")
    if not isinstance(taken, list) or len(taken) != len(files):
        raise BadReply("the server's answer does not name the files that were sent")
    for (key, _), file in zip(files, taken, strict=True):
        if file is not None:
            known[key] = (str(file["uri"]), until)


def _parts(keys: Sequence[tuple[str, str]], contents: Sequence[bytes]) -> list[list[tuple[tuple[str, str], bytes]]]:
    """As many in one call as its size allows."""
    parts: list[list[tuple[tuple[str, str], bytes]]] = []
    size = 0
    for key, content in zip(keys, contents, strict=True):
        if not parts or size + len(content) > CALL_BYTES or len(parts[-1]) >= CALL_FILES:
            parts.append([])
            size = 0
        parts[-1].append((key, content))
        size += len(content)
    return parts


def _entry(name: str, sha256: str, content: bytes | None) -> dict[str, str]:
    entry = {"filename": name, "sha256": sha256}
    if content is None:
        return entry
    try:
        return {**entry, "text": content.decode()}
    except UnicodeDecodeError:
        return {**entry, "base64": base64.b64encode(content).decode()}


def contents(uris: Sequence[str], base_url: str, policy: RetryPolicy) -> Flow[dict[str, bytes | ApiError]]:
    """What these files on the server hold, or why they cannot be read."""
    found: dict[str, bytes | ApiError] = {}
    left = list(dict.fromkeys(uris))
    while left:
        reply = yield from document(requests.contents(left[:CALL_FILES]))
        for file in reply.get("files") or ():
            uri = str(file["uri"])
            content = content_of(file)
            if isinstance(content, ApiError) and content.code == "too_large":
                content = yield from _alone(uri, base_url, policy)
            if content is not None:
                found[uri] = content
        rest = [uri for uri in left if uri not in found]
        if len(rest) == len(left):
            raise BadReply("the server's answer holds none of the files that were asked for")
        left = rest
    return found


def content_of(file: Mapping[str, Any]) -> bytes | ApiError | None:
    """What an answer says of a file; None: nothing."""
    if problem := file.get("problem"):
        return ApiError(int(problem.get("status", 404)), problem)
    if isinstance(text := file.get("text"), str):
        return text.encode()
    return base64.b64decode(file["base64"]) if isinstance(file.get("base64"), str) else None


def _alone(uri: str, base_url: str, policy: RetryPolicy) -> Flow[bytes]:
    whole = io.BytesIO()
    yield from download(uri, base_url, whole, policy)
    return whole.getvalue()
