"""Reads a posted form whose files stream into blobs, in constant memory; nothing is taken before the form's secret was seen."""

from collections.abc import AsyncIterator

from fastapi import Request

from sirdar.api.form_parts import At, Event, FormParts, Limits, text_of
from sirdar.domain.app import App
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.value_checks import MAX_FILES
from sirdar.services import files
from sirdar.services.context import Services
from sirdar.web import session
from sirdar.web.form_fields import FILE, KEPT, REFUSED, Given, Kept

SETS_FILE = "foreach_file"  # the part with a file of input sets
SETS_KEPT = "foreach_kept"  # its uri, once it is on the server
TEXT_BYTES = 4_200_000  # of one field: a text has at most a million characters
ALL_TEXT_BYTES = 16_000_000
LIMITS = Limits(MAX_FILES + 2000, TEXT_BYTES, ALL_TEXT_BYTES)
SECRET = "csrf"  # noqa: S105  (the name of a field)


async def read(request: Request, services: Services, caller: Caller, app: App) -> Given:
    """What the form carries; its files are temporary files of the caller's now.

    A file that cannot be taken (its name, its size, a quota) is a fault of its field, and the rest is read on. Raises Problem
    ``csrf`` where the secret does not stand first, ``invalid_request`` where the form is broken.
    """
    given = Given()
    inputs = frozenset(spec.name for spec in app.inputs)
    events = FormParts(request, LIMITS, lambda part: part.filename is not None).events()
    checked = False
    async for event in events:
        part = event.part
        if event.at is At.BEGIN and part.is_file:
            if not checked:
                session.check_secret(request, services, "")
            await _take_file(services, caller, given, events, event, inputs)
        elif event.at is At.END:
            if not checked:
                session.check_secret(request, services, text_of(bytes(part.text)) if part.name == SECRET else "")
                checked = True
            _take_text(given, part.name, text_of(bytes(part.text)), inputs)
    if not checked:
        session.check_secret(request, services, "")
    await name_kept(services, caller, given)
    return given


def _take_text(given: Given, name: str, text: str, inputs: frozenset[str]) -> None:
    if name.startswith(KEPT):
        if (field := name.removeprefix(KEPT)) in inputs:
            given.kept.setdefault(field, []).append(Kept(text, "", None))
        return
    if name.startswith(REFUSED):
        size, _, filename = text.partition(" ")
        if (field := name.removeprefix(REFUSED)) in inputs and size.isascii() and size.isdecimal() and len(size) < 20:
            given.refused.setdefault(field, []).append(Kept("", filename, int(size)))
        return
    if name == SETS_KEPT:
        given.sets_file = given.sets_file or Kept(text, "", None)
        return
    text = text.replace("\r\n", "\n")  # as forms send the ends of lines
    given.texts[name] = text
    given.chosen.setdefault(name, []).append(text)


async def _take_file(
    services: Services,
    caller: Caller,
    given: Given,
    events: AsyncIterator[Event],
    begun: Event,
    inputs: frozenset[str],
) -> None:
    field, name = begun.part.name.removeprefix(FILE), begun.part.filename or ""
    chunks = _bytes_of(events)
    is_sets = begun.part.name == SETS_FILE
    if not name or not (is_sets or (begun.part.name.startswith(FILE) and field in inputs)):
        async for _ in chunks:  # a field in which no file was chosen has an empty one
            pass
        return
    try:
        file = await files.upload(services, caller, name, chunks)
    except Problem as problem:
        async for _ in chunks:
            pass
        place = "foreach" if is_sets else f"inputs.{field}"
        given.faults.append(FieldError(place, problem.detail, problem.expected))
        return
    if is_sets:
        given.sets_file = Kept(files.uri_of(file), file.name, file.size_bytes)
        return
    given.kept.setdefault(field, []).append(Kept(files.uri_of(file), file.name, file.size_bytes))


async def _bytes_of(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """The bytes of the part that has begun, up to its end."""
    async for event in events:
        if event.at is At.END:
            return
        yield event.content


async def name_kept(services: Services, caller: Caller, given: Given) -> None:
    """Names and sizes of the files that are on the server already; what is not there any more is said at its field."""
    for field, listed in given.kept.items():
        named = []
        for kept in listed:
            if kept.name:
                named.append(kept)
                continue
            try:
                ref = await files.resolve_uri(services, caller, kept.uri)
            except Problem as problem:
                given.faults.append(FieldError(f"inputs.{field}", problem.detail, problem.hint))
                continue
            named.append(Kept(kept.uri, ref.name, ref.size_bytes))
        given.kept[field] = named
