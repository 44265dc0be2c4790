"""Small files that travel in a submission itself, where their URIs would stand: ``{"filename": ..., "text": ...}``.

They become files of the caller's, as if uploaded just before. ``base64`` is for bytes that are no text; ``sha256`` alone for those
that the server may have from the same user already.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import file_batches
from sirdar.services.context import Services
from sirdar.services.file_batches import Brought
from sirdar.services.files import uri_of
from sirdar.services.job_inputs import refuse

Sets = list[dict[str, Any]]
KEYS = frozenset({"text", "base64", "sha256"})
CONTENTS, NOT_HERE = "text or base64", "the server does not have these bytes from you"
EXPECTED = "filename, and one of text, base64 and sha256, each a string"


async def bring_inline(
    services: Services, caller: Caller, app: App, sets: Sequence[tuple[str, Mapping[str, Any]]]
) -> Sets:
    """The input sets, with URIs in place of files that they carry. ``sets``: each with what its fields' names begin with.

    What looks like no file stays, to be refused by whoever checks values. Raises Problem ``invalid_input`` with every error.
    """
    names = _file_inputs(app)
    given = [dict(one) for _, one in sets]
    found = [
        carried
        for (where, _), values in zip(sets, given, strict=True)
        for name in names
        for carried in _carried(values, name, f"{where}.{name}")
    ]
    if not found:
        return given
    brought = [read_inline(one.holder[one.key], one.place) for one in found]
    files = await file_batches.bring(services, caller, brought)
    refuse([FieldError(one.place, NOT_HERE, CONTENTS) for one, file in zip(found, files, strict=True) if file is None])
    for one, file in zip(found, files, strict=True):
        one.holder[one.key] = uri_of(file) if file is not None else None
    return given


def may_carry(app: App) -> bool:
    """Whether a submission to this application may carry files at all."""
    return bool(_file_inputs(app))


def _file_inputs(app: App) -> list[str]:
    return [spec.name for spec in app.inputs if (spec.items or spec).type in FILE_INPUTS]


@dataclass(frozen=True, slots=True)
class _Carried:
    """A file in a submission. ``place``: in words; ``holder[key]``: the same for programs."""

    place: str
    holder: Any
    key: Any


def _carried(values: dict[str, Any], name: str, where: str) -> Iterator[_Carried]:
    """The files in one input's value, which may be a list of them."""
    value = values.get(name)
    if isinstance(value, list):
        values[name] = listed = list(value)
        yield from (_Carried(f"{where}[{no}]", listed, no) for no, item in enumerate(listed) if _looks_so(item))
    elif _looks_so(value):
        yield _Carried(where, values, name)


def _looks_so(value: object) -> bool:
    return isinstance(value, dict) and "filename" in value


def read_inline(value: Mapping[str, Any], place: str) -> Brought:
    """Raises Problem ``invalid_field`` where it is none."""
    said = value.keys() - {"filename"}
    if not said or said - KEYS or said >= {"text", "base64"}:
        raise Problem("invalid_field", f"{place} is no file with its bytes.", field=place, expected=EXPECTED)
    if not all(isinstance(word, str) for word in value.values()):
        raise Problem("invalid_field", f"{place} has what is no string.", field=place, expected=EXPECTED)
    content = _content(value, place)
    sha256 = value.get("sha256") or file_batches.digest(content or b"")
    return Brought(value["filename"], sha256, content, place)


def _content(value: Mapping[str, str], place: str) -> bytes | None:
    if "text" in value:
        return value["text"].encode(errors="surrogatepass")
    if "base64" not in value:
        return None
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid_field", "That is no base64.", field=f"{place}.base64") from None
