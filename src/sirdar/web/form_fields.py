"""A form from an application's inputs, and a submission from what was typed into it. Pure.

Names of the form's own parts: ``in.NAME`` the text of an input, ``file.NAME`` its files, ``kept.NAME`` the uris of files that are
on the server already, ``refused.NAME`` the names of files that the browser did not send, for their input does not take them.
What a text means and whether it fits is said by ``domain.value_texts`` and ``domain.values`` alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sirdar.domain.app import FILE_INPUTS, FileRef, InputSpec, InputType
from sirdar.domain.problems import FieldError
from sirdar.domain.units import format_size
from sirdar.domain.value_files import file_fault
from sirdar.domain.value_texts import from_text
from sirdar.domain.value_words import FILE_EXPECTED, Invalid, describe
from sirdar.domain.values import check
from sirdar.web import formats, service_words, words
from sirdar.web.form_sets import Sets
from sirdar.web.form_sweep import Swept

IN, FILE, KEPT, REFUSED = "in.", "file.", "kept.", "refused."
SHORT_CHOICES = 4  # so many and fewer are shown side by side
LONG_ROWS = 20
WIDGETS = {
    InputType.STRING: "line",
    InputType.TEXT: "text",
    InputType.NUMBER: "number",
    InputType.INTEGER: "number",
    InputType.BOOLEAN: "boolean",
    InputType.ENUM: "choice",
    InputType.FILE: "file",
    InputType.FILES: "files",
    InputType.DIRECTORY: "file",
    InputType.JSON: "json",
    InputType.LIST: "list",
    InputType.SECRET: "secret",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is on the server already."""

    uri: str
    name: str
    size_bytes: int | None


@dataclass(slots=True)
class Given:
    """What a form carries: texts by name, files on the server by name of their input; the last of each text counts, except of
    ``chosen``, which has all."""

    texts: dict[str, str] = field(default_factory=dict)
    kept: dict[str, list[Kept]] = field(default_factory=dict)
    refused: dict[str, list[Kept]] = field(default_factory=dict)  # chosen, but not sent: without a uri
    chosen: dict[str, list[str]] = field(default_factory=dict)
    faults: list[FieldError] = field(default_factory=list)  # files that could not be taken
    sets_file: Kept | None = None  # the input sets of many tasks, in a file on the server
    sets: Sets | None = None  # as they were read, from wherever
    swept: Swept | None = None

    def option(self, name: str) -> str:
        return self.texts.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Field:
    """One input as it stands on the page."""

    spec: InputSpec
    widget: str
    text: str
    kept: Sequence[Kept]
    refused: Sequence[Kept]
    error: str
    takes: str  # in words
    default: str

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def id(self) -> str:
        return f"in-{self.spec.name}"

    @property
    def changed(self) -> bool:
        """Whether a fold around it has to be open."""
        return bool(self.error or self.kept) or self.text != self.default

    @property
    def rows(self) -> int:
        return min(LONG_ROWS, max(4, self.text.count("\n") + 1))

    @property
    def needed(self) -> bool:
        return self.spec.required and not self.spec.has_default


def fields_of(specs: Sequence[InputSpec], given: Given, errors: Mapping[str, str]) -> list[Field]:
    """The form's fields with what was typed and what is wrong with it. ``errors``: by name of the input."""
    return [
        Field(
            spec=spec,
            widget=WIDGETS[spec.type],
            text=given.texts.get(IN + spec.name, ""),
            kept=given.kept.get(spec.name, ()),
            refused=given.refused.get(spec.name, ()),
            error=errors.get(spec.name, ""),
            takes=takes(spec),
            default=text_of(spec, spec.default) if spec.has_default else "",
        )
        for spec in specs
    ]


def takes(spec: InputSpec) -> str:
    """What a field takes, beyond what its shape says: nothing for plain texts, yes or no, and choices."""
    if spec.type in {InputType.BOOLEAN, InputType.ENUM, InputType.SECRET}:
        return ""
    if spec.type in FILE_INPUTS:
        return _takes_files(spec)
    said = describe(spec)
    if spec.type is InputType.LIST:
        return words.gettext("%(list)s; one on each line, or between commas", list=service_words.say(said))
    return "" if said in {"a string of one line", "a text", "a number"} else said


def _takes_files(spec: InputSpec) -> str:
    """Their suffixes and the largest size of one."""
    suffixes = spec.suffixes[:12]
    ending = words.gettext("%(some)s or %(last)s", some=", ".join(suffixes[:-1]), last=suffixes[-1]) if suffixes else ""
    ending = suffixes[0] if len(suffixes) == 1 else ending
    size = formats.in_page_units(format_size(spec.max_size_bytes)) if spec.max_size_bytes is not None else ""
    many = spec.type is InputType.FILES
    if ending and size:
        return (
            words.gettext("%(suffixes)s files, each of at most %(size)s", suffixes=ending, size=size)
            if many
            else words.gettext("a %(suffixes)s file of at most %(size)s", suffixes=ending, size=size)
        )
    if ending:
        return (
            words.gettext("%(suffixes)s files", suffixes=ending)
            if many
            else words.gettext("a %(suffixes)s file", suffixes=ending)
        )
    if size:
        return (
            words.gettext("files, each of at most %(size)s", size=size)
            if many
            else words.gettext("a file of at most %(size)s", size=size)
        )
    return ""


# ---------------------------------------------------------------- from values to texts


def given_values(specs: Sequence[InputSpec], values: Mapping[str, Any]) -> Given:
    """A form that is filled with these values; files, which are uris, apart. Secrets are never filled in."""
    given = Given()
    for spec in specs:
        value = values.get(spec.name)
        if value is None or spec.type is InputType.SECRET:
            continue
        if spec.type in FILE_INPUTS:
            uris = [uri for uri in (value if isinstance(value, list) else [value]) if isinstance(uri, str)]
            given.kept[spec.name] = [Kept(uri, "", None) for uri in uris if uri.startswith("/")]
            given.texts[IN + spec.name] = "\n".join(uri for uri in uris if not uri.startswith("/"))
        else:
            given.texts[IN + spec.name] = text_of(spec, value)
    return given


def defaults(specs: Sequence[InputSpec]) -> Given:
    """A fresh form: what would be taken anyhow stands in it."""
    return given_values(specs, {spec.name: spec.default for spec in specs if spec.has_default})


def text_of(spec: InputSpec, value: Any) -> str:
    """How a value is typed: ``from_text`` gives it back."""
    if spec.type is InputType.ENUM:
        return str(value)
    if isinstance(value, str) and spec.type is not InputType.JSON:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if spec.type is InputType.LIST and isinstance(value, list) and _by_lines(spec, value):
        return "\n".join(text_of(spec.items, item) for item in value) if spec.items is not None else ""
    indent = 2 if isinstance(value, dict | list) else None
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _by_lines(spec: InputSpec, value: list[Any]) -> bool:
    """Whether the elements can stand one on each line and are read back as they were."""
    if spec.items is None or spec.items.type in {InputType.LIST, InputType.JSON} or not value:
        return False
    texts = [text_of(spec.items, item) for item in value]
    plain = all(text and text == text.strip() and len(text.splitlines()) == 1 for text in texts)
    return plain and not texts[0].startswith("[") and (len(texts) > 1 or "," not in texts[0])


# ---------------------------------------------------------------- from texts to values


def read_inputs(specs: Sequence[InputSpec], given: Given) -> tuple[dict[str, Any], list[FieldError]]:
    """What was typed, as a submission's inputs, and what no value could be made of. An input that a sweep gives is left out."""
    values: dict[str, Any] = {}
    errors = list(given.faults)
    for spec in _unswept(specs, given):
        try:
            value = _read(spec, given)
        except Invalid as error:
            errors.append(FieldError(f"inputs.{spec.name}{error.place}", error.detail, error.expected))
            continue
        if value is not None:
            values[spec.name] = value
    return values, errors


def _unswept(specs: Sequence[InputSpec], given: Given) -> list[InputSpec]:
    return [spec for spec in specs if given.swept is None or spec.name not in given.swept.names]


def _read(spec: InputSpec, given: Given) -> Any:
    text = given.texts.get(IN + spec.name, "")
    if spec.type in FILE_INPUTS:
        uris = [kept.uri for kept in given.kept.get(spec.name, ())]
        uris += [line.strip() for line in text.splitlines() if line.strip()]
        if spec.type is InputType.FILES:
            return uris or None
        return uris[-1] if uris else None
    if text == "" and spec.type is not InputType.BOOLEAN:
        return _empty(spec)
    if spec.type is InputType.BOOLEAN and text == "":
        return None
    return from_text(spec, text)


def _empty(spec: InputSpec) -> Any:
    """An emptied field of a text whose default is not empty means an empty text; any other means 'not given'."""
    if spec.type in {InputType.STRING, InputType.TEXT} and spec.has_default and spec.default != "":
        return ""
    return None


def all_errors(specs: Sequence[InputSpec], given: Given) -> list[FieldError]:
    """Everything wrong with what was typed, as the submission would find it; of files their names and sizes are looked at."""
    values, errors = read_inputs(specs, given)
    specs = _unswept(specs, given)
    errors += [fault for spec in specs for fault in _of_files(spec, given)]
    seen = {name_of(error.field) for error in errors}
    _, more = check(specs, values, file_refs=False)
    return errors + [error for error in more if name_of(error.field) not in seen]


def _of_files(spec: InputSpec, given: Given) -> Iterator[FieldError]:
    yield from refused_errors([spec], given)
    for number, kept in enumerate(given.kept.get(spec.name, ())):
        place = f"inputs.{spec.name}" + (f"[{number}]" if spec.type is InputType.FILES else "")
        fault = file_fault(spec, FileRef(kept.name, "", kept.size_bytes or 0)) if kept.name else None
        if fault is not None:
            yield FieldError(place, fault)


def refused_errors(specs: Sequence[InputSpec], given: Given) -> list[FieldError]:
    """What is wrong with files that were chosen and not sent."""
    return [
        FieldError(f"inputs.{spec.name}", fault)
        for spec in specs
        for refused in given.refused.get(spec.name, ())
        if (fault := file_fault(spec, FileRef(refused.name, "", refused.size_bytes or 0)))
    ]


def name_of(place: str) -> str:
    """The input that an error's field is of: ``inputs.data[2]`` is ``data``'s; empty for anything else."""
    if not place.startswith("inputs."):
        return ""
    return place.removeprefix("inputs.").partition("[")[0].partition(".")[0]


def by_name(specs: Sequence[InputSpec], errors: Sequence[FieldError]) -> dict[str, str]:
    """One sentence for each input that has errors, in the order of the fields. What a field takes stands under it anyhow, and is
    not said again."""
    takes_of = {spec.name: describe(spec) for spec in specs}
    said: dict[str, str] = {}
    for error in errors:
        if name := name_of(error.field):
            known = error.expected == takes_of.get(name) or error.expected == FILE_EXPECTED
            said.setdefault(name, in_words(replace(error, expected=None) if known else error))
    return {name: said[name] for name in [*takes_of, *(said.keys() - takes_of.keys())] if name in said}


def in_words(error: FieldError) -> str:
    """What is wrong and what was expected."""
    if error.detail == "is required":
        return words.gettext("It is required.")
    _, bracket, rest = error.field.partition("[")
    told = service_words.say(error.detail).rstrip(".")
    detail = f"[{rest.partition(']')[0]}]: {told}" if bracket else told[:1].upper() + told[1:]
    if error.expected is None or error.expected in error.detail:
        return f"{detail}."
    return words.gettext(
        "%(detail)s. Expected: %(expected)s.", detail=detail, expected=service_words.say(error.expected)
    )
