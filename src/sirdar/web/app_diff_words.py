"""What changed between two versions, in sentences of the page's language."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.app_diff import Change, Field, FileChange, Kind
from sirdar.domain.command import as_line
from sirdar.web import formats
from sirdar.web.words import gettext, ngettext

LONGEST = 60
_SIZES = frozenset({"memory", "disk", "max_size"})
_SPANS = frozenset({"time", "grace", "retention", "idle"})
_LEAST = {"cpus": "1", "nodes": "1", "gpus": "0"}  # what holds where the description says nothing


def sentence(change: Change) -> str:
    """One change as a sentence."""
    if change.kind is Kind.MOVED:
        return _moved(change)
    if change.part in {"input", "output"}:
        return _of_spec(change)
    if change.part == "resource":
        old, new = (_needed(change.name, value) for value in (change.old, change.new))
        return gettext("Resources: %(name)s %(old)s, now %(new)s", name=change.name, old=old, new=new)
    if change.name:
        return _of_key(change)
    return _of_text(change)


def file_sentence(change: FileChange) -> str:
    if change.kind is Kind.ADDED:
        return gettext("File %(path)s added, %(size)s", path=change.path, size=formats.size(change.new_bytes))
    if change.kind is Kind.REMOVED:
        return gettext("File %(path)s removed", path=change.path)
    if change.mode:
        return gettext("File %(path)s may be executed, or may no more", path=change.path)
    old, new = formats.size(change.old_bytes), formats.size(change.new_bytes)
    return gettext("File %(path)s changed, from %(old)s to %(new)s", path=change.path, old=old, new=new)


def file_counts(found: Sequence[FileChange]) -> list[str]:
    """In short: ``2 files changed``."""
    count = {kind: sum(one.kind is kind for one in found) for kind in Kind}
    told = [
        ngettext("%(num)s file added", "%(num)s files added", n) if (n := count[Kind.ADDED]) else "",
        ngettext("%(num)s file changed", "%(num)s files changed", n) if (n := count[Kind.CHANGED]) else "",
        ngettext("%(num)s file removed", "%(num)s files removed", n) if (n := count[Kind.REMOVED]) else "",
    ]
    return [text for text in told if text]


# ---------------------------------------------------------------- inputs and outputs


def _of_spec(change: Change) -> str:
    name, is_input = change.name, change.part == "input"
    if change.kind is Kind.REMOVED:
        return (
            gettext("Input %(name)s removed", name=name) if is_input else gettext("Output %(name)s removed", name=name)
        )
    if change.kind is Kind.ADDED:
        what = spec_words(change.new)
        if is_input:
            return gettext("Input %(name)s added: %(what)s", name=name, what=what)
        return gettext("Output %(name)s added: %(what)s", name=name, what=what)
    what = "; ".join(_of_field(field) for field in change.fields)
    if is_input:
        return gettext("Input %(name)s: %(what)s", name=name, what=what)
    return gettext("Output %(name)s: %(what)s", name=name, what=what)


def spec_words(spec: Mapping[str, Any]) -> str:
    """``integer, default 7``; the keys are the language's own words."""
    words = [str(spec["type"])]
    if spec.get("required"):
        words.append(gettext("required"))
    for key in ("from", "key", "default", "minimum", "maximum", "values"):
        if key in spec:
            words.append(f"{key} {_shown(key, spec[key])}")
    return ", ".join(words)


def _of_field(field: Field) -> str:
    if field.key in {"description", "pattern", "regex", "items"}:
        return gettext("another %(key)s", key=field.key)
    if field.old is None:
        return gettext("%(key)s is now %(new)s", key=field.key, new=_shown(field.key, field.new))
    if field.new is None:
        return gettext("no %(key)s any more (it was %(old)s)", key=field.key, old=_shown(field.key, field.old))
    old, new = _shown(field.key, field.old), _shown(field.key, field.new)
    return gettext("%(key)s: %(old)s, now %(new)s", key=field.key, old=old, new=new)


def _moved(change: Change) -> str:
    names = ", ".join(change.new)
    if change.part == "inputs":
        return gettext("Inputs in another order: %(names)s", names=names)
    return gettext("Outputs in another order: %(names)s", names=names)


# ---------------------------------------------------------------- the rest


def _needed(key: str, value: Any) -> str:
    if value is None:
        return _LEAST.get(key) or gettext("without limit")
    return _shown(key, value)


def _of_key(change: Change) -> str:
    place = f"{change.part} {change.name}"
    if change.kind is Kind.ADDED:
        return gettext("%(what)s added: %(new)s", what=place, new=_shown(change.name, change.new))
    if change.kind is Kind.REMOVED:
        return gettext("%(what)s removed", what=place)
    old, new = _shown(change.name, change.old), _shown(change.name, change.new)
    return gettext("%(key)s: %(old)s, now %(new)s", key=place, old=old, new=new)


def _of_text(change: Change) -> str:
    """A key of the whole. Long texts stand in the lines below."""
    key = change.part
    if key == "command":
        new = as_line(change.new) if change.new else formats.NOTHING
        return gettext("Command is now: %(command)s", command=new if len(new) <= 200 else f"{new[:199]}…")
    if key == "examples" and change.kind is Kind.CHANGED:
        return gettext("%(key)s changed", key=key)
    long = any(isinstance(value, str) and len(value) > LONGEST for value in (change.old, change.new))
    if long and change.kind is Kind.CHANGED:
        return gettext("%(key)s changed", key=key)
    if change.kind is Kind.ADDED:
        return gettext("%(what)s added: %(new)s", what=key, new=_shown(key, change.new))
    if change.kind is Kind.REMOVED:
        return gettext("%(what)s removed", what=key)
    return gettext("%(key)s: %(old)s, now %(new)s", key=key, old=_shown(key, change.old), new=_shown(key, change.new))


def _shown(key: str, value: Any) -> str:
    if key in _SIZES and isinstance(value, int):
        return formats.memory(value)
    if key in _SPANS and isinstance(value, int | float):
        return formats.duration(value)
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return formats.value(", ".join(str(item) for item in value), LONGEST)
    if isinstance(value, str):
        return formats.value(value.strip() or '""', LONGEST)
    if isinstance(value, dict):
        return formats.value(json.dumps(value, ensure_ascii=False), LONGEST)
    return formats.value(value, LONGEST)
