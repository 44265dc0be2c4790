"""Reads the posted editor: the text, the fields beside it, the files and what is added to them."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from fastapi import Request

from sirdar.api.form_parts import At, Event, FormParts, Limits, text_of
from sirdar.domain.app import FileEntry
from sirdar.domain.names import path_fault
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import drafts
from sirdar.services.context import Services
from sirdar.services.publish import Publication
from sirdar.web import session
from sirdar.web.words import gettext
from sirdar.wire.description_form import EXAMPLE_FIELDS, RESOURCES, SECTIONS, TEXTS, Form, Row, apply_form, read_form
from sirdar.wire.yaml_lines import MAX_BYTES, TextError, load
from sirdar.wire.yaml_write import mapping, quoted

DESCRIPTION = "sirdar.yaml"
ROWS_MAX = 500
TEXT_BYTES = 32 * MAX_BYTES  # the list of files is the longest: a hundred bytes for each
LIMITS = Limits(20_000, TEXT_BYTES, 2 * TEXT_BYTES)


@dataclass(slots=True)
class Draft:
    """The editor's state; the server keeps none of it. ``opened``: the path of the file that is edited, with its text.

    ``typed``: that text as a file of the publication, where it differs from what is kept; its bytes are not on the server.
    """

    text: str
    files: dict[str, FileEntry] = field(default_factory=dict)
    note: str = ""
    opened: str = ""
    opened_text: str | None = None
    typed: FileEntry | None = None
    faults: list[FieldError] = field(default_factory=list)

    @property
    def publication(self) -> Publication:
        files = self.files if self.typed is None else {**self.files, self.typed.path: self.typed}
        return Publication(self.text, tuple(files.values()), self.note)

    @property
    def files_json(self) -> str:
        return json.dumps([[one.path, one.sha256, one.size_bytes, one.mode] for one in self.files.values()])

    def add(self, file: FileEntry) -> None:
        """A file that replaces another keeps its mode."""
        before = self.files.get(file.path)
        self.files[file.path] = FileEntry(file.path, file.sha256, file.size_bytes, before.mode if before else file.mode)


async def read(request: Request, services: Services, caller: Caller) -> tuple[Draft, str]:
    """The draft, with changed fields put into its text, and what is to be done. Raises Problem ``csrf``, ``invalid_request``."""
    texts: dict[str, str] = {}
    added: list[FileEntry] = []
    faults: list[FieldError] = []
    events = FormParts(request, LIMITS, lambda part: part.filename is not None).events()
    checked = False
    async for event in events:
        part = event.part
        if not checked and (event.at is At.END or part.is_file):
            session.check_secret(request, services, text_of(bytes(part.text)) if part.name == "csrf" else "")
            checked = True
        if event.at is At.BEGIN and part.is_file:
            await _take_file(services, caller, events, event, added, faults)
        elif event.at is At.END:
            texts[part.name] = text_of(bytes(part.text)).replace("\r\n", "\n")
    if not checked:
        session.check_secret(request, services, "")
    draft = Draft(texts.get("description", ""), _files(texts.get("files", "")), texts.get("note", ""), faults=faults)
    await _take_description(services, caller, draft, added)
    _merge(draft, texts)
    if not any(file.path == texts.get("opened", "").strip() for file in added):  # else the file that was chosen stands
        draft.opened, draft.opened_text = texts.get("opened", ""), texts.get("opened_text")
    return draft, texts.get("do", "check")


async def _take_file(
    services: Services,
    caller: Caller,
    events: AsyncIterator[Event],
    begun: Event,
    added: list[FileEntry],
    faults: list[FieldError],
) -> None:
    path = _path(begun.part.name, begun.part.filename or "")
    chunks = _bytes_of(events)
    try:
        if path:
            added.append(await drafts.put_file(services, caller, path, chunks))
    except Problem as problem:
        faults.append(FieldError(f"files.{path}", problem.detail, problem.expected or problem.hint))
    async for _ in chunks:  # a field in which no file was chosen has an empty one
        pass


def _path(name: str, filename: str) -> str:
    """Of a folder that was chosen its own name is left out: what lies in it is what is published."""
    parts = PurePosixPath(filename.replace("\\", "/")).parts
    return "/".join(parts[1:] if name == "folder" and len(parts) > 1 else parts)


async def _bytes_of(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """The bytes of the part that has begun, up to its end."""
    async for event in events:
        if event.at is At.END:
            return
        yield event.content


async def _take_description(services: Services, caller: Caller, draft: Draft, added: list[FileEntry]) -> None:
    """A ``sirdar.yaml`` among the added files is the description."""
    for file in added:
        text = await drafts.text_of(services, caller, file) if file.path == DESCRIPTION else None
        if text is None:
            draft.add(file)
        else:
            draft.text = text


# ---------------------------------------------------------------- the open file


async def take_typed(services: Services, caller: Caller, draft: Draft) -> bool:
    """What is typed counts as ``draft.typed``, though nobody kept it; False where its path is wrong, which is a fault.

    A file that was only looked at stays as it is, whatever its ends of lines are.
    """
    if draft.opened_text is None or not (draft.opened.strip() or draft.opened_text):
        return True
    path = opened_path(draft)
    if path is None:
        return False
    before = draft.files.get(path)
    if before is None or not await _is_text(services, caller, before, draft.opened_text):
        content = draft.opened_text.encode()
        mode = before.mode if before else 0o644
        draft.typed = FileEntry(path, hashlib.sha256(content).hexdigest(), len(content), mode)
    return True


async def keep_typed(services: Services, caller: Caller, draft: Draft) -> None:
    """Its bytes are stored, and it is one of the files. Raises Problem ``too_large``, ``quota_exceeded``."""
    if draft.typed is not None and draft.opened_text is not None:
        draft.add(await drafts.put_text(services, caller, draft.typed.path, draft.opened_text))
        draft.typed = None


def opened_path(draft: Draft) -> str | None:
    """The path of the open file; None, and a fault of the draft, where it cannot be one."""
    path = draft.opened.strip()
    if fault := path_fault(path) if path else gettext("is empty"):
        draft.faults.append(FieldError("files", gettext("The file's path %(what)s", what=fault)))
        return None
    return path


async def _is_text(services: Services, caller: Caller, file: FileEntry, typed: str) -> bool:
    try:
        text = await drafts.text_of(services, caller, file)
    except Problem:
        return False  # its bytes are gone
    return text is not None and text.replace("\r\n", "\n").replace("\r", "\n") == typed


def _files(text: str) -> dict[str, FileEntry]:
    """What the page carried. Whether these bytes are the caller's to publish is asked of the store, not of the page."""
    try:
        rows = json.loads(text or "[]")
        files = [FileEntry(str(path), str(sha256), int(size), int(mode)) for path, sha256, size, mode in rows]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Problem("invalid_request", "The form's list of files cannot be read.") from error
    return {file.path: file for file in files}


# ---------------------------------------------------------------- fields


def _merge(draft: Draft, texts: dict[str, str]) -> None:
    """Changed fields go into the text. ``last`` is the text that the fields were filled from."""
    last = texts.get("last", "")
    if "fields" not in texts:
        return
    try:
        old = read_form(last)
        new = _form(texts, old)
        if new != old:
            draft.text = apply_form(draft.text, old, new)
    except TextError:
        return  # the text is no YAML now: it is shown with what is wrong, and the fields wait


def _form(texts: dict[str, str], old: Form) -> Form:
    rows = {section: tuple(_rows(texts, section)) for section in SECTIONS}
    return Form(
        {key: _taken(texts, f"text.{key}", old.texts[key]) for key in TEXTS},
        {key: _taken(texts, f"resources.{key}", old.resources[key]) for key in RESOURCES},
        rows["inputs"],
        rows["outputs"],
        tuple(_examples(texts)) if "examples.count" in texts else old.examples,
    )


def _examples(texts: dict[str, str]) -> Iterator[Row]:
    for number in range(_count(texts, "examples")):
        at = f"examples.{number}."
        values = {key: texts.get(at + key, "").strip() for key in EXAMPLE_FIELDS}
        yield Row(texts.get(f"{at}title", "").strip(), values)


def _count(texts: dict[str, str], section: str) -> int:
    count = texts.get(f"{section}.count", "0")
    return min(int(count), ROWS_MAX) if count.isascii() and count.isdecimal() and len(count) < 5 else 0


def _taken(texts: dict[str, str], name: str, before: str) -> str:
    """What a field without a change sends may differ from the text in spaces around it."""
    given = texts.get(name, before)
    return before if given.strip() == before.strip() else given


def _rows(texts: dict[str, str], section: str) -> list[Row]:
    rows = []
    for number in range(_count(texts, section)):
        at = f"{section}.{number}."
        values = {key: texts.get(at + key, "").strip() for key in SECTIONS[section]}
        rows.append(Row(texts.get(f"{at}name", "").strip(), values, texts.get(f"{at}was", "")))
    return rows


def change_rows(draft: Draft, section: str, what: str, number: int) -> None:
    """``add``, ``up``, ``down`` or ``remove`` a row, in the text."""
    try:
        form = read_form(draft.text)
    except TextError:
        return
    rows = list(form.rows(section))
    if what == "add":
        rows.append(_new_row(section, {row.name for row in rows}, form))
    elif not 0 <= number < len(rows):
        return
    elif what == "remove":
        del rows[number]
    else:
        other = number - 1 if what == "up" else number + 1
        if 0 <= other < len(rows):
            rows[number], rows[other] = rows[other], rows[number]
    inputs, outputs, shown = (tuple(rows) if name == section else form.rows(name) for name in (*SECTIONS, "examples"))
    draft.text = apply_form(draft.text, form, Form(form.texts, form.resources, inputs, outputs, shown))


def _new_row(section: str, names: set[str], form: Form) -> Row:
    if section == "examples":
        given = {row.name: row.values["default"] for row in form.inputs if row.values.get("default")}
        pairs = mapping({name: text if _is_yaml(text) else quoted(text) for name, text in given.items()})
        title = next(
            word for n in range(1, ROWS_MAX + 2) if (word := gettext("Example %(number)s", number=n)) not in names
        )
        return Row(title, {"inputs": pairs})
    base, values = (
        ("input", {"type": "string"}) if section == "inputs" else ("output", {"type": "file", "from": "output.txt"})
    )
    name = next(word for n in range(1, ROWS_MAX + 2) if (word := f"{base}_{n}") not in names)
    return Row(name, values)


def _is_yaml(text: str) -> bool:
    """Whether the text can stand in a mapping on one line as it is."""
    try:
        node, _ = load(f"{{x: {text}}}")
    except TextError:
        return False
    return isinstance(node.value, dict) and len(node.value) == 1
