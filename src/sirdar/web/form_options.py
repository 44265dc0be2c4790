"""What a form says beside the inputs: name, resources, what the application lets change, what is tried again, who is told. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sirdar.domain.app import App
from sirdar.domain.problems import FieldError
from sirdar.domain.units import format_duration, format_size
from sirdar.web import formats, words
from sirdar.web.form_fields import Given, in_words

OVER = "over."
NOBODY, ACCOUNT, ADDRESS = "nobody", "account", "address"
COUNTS = frozenset({"cpus", "gpus", "nodes"})
OVERRIDE_ORDER = ("cpus", "memory", "time", "gpus", "nodes", "disk")


@dataclass(frozen=True, slots=True)
class Override:
    """One need of the application that a submission may change. ``base``: what holds where nothing is given."""

    name: str
    title: str
    unit: str
    base: str


def overrides_of(app: App) -> list[Override]:
    """Those that the application lets change, in the order in which they are shown."""
    titles = {
        "cpus": (words.gettext("Processors"), words.gettext("cpus")),
        "memory": (words.gettext("Memory"), ""),
        "time": (words.gettext("Time limit"), ""),
        "gpus": (words.gettext("Graphics processors"), words.gettext("gpus")),
        "nodes": (words.gettext("Nodes"), words.gettext("nodes")),
        "disk": (words.gettext("Disk"), ""),
    }
    return [
        Override(name, *titles[name], base=_base(app, name))
        for name in OVERRIDE_ORDER
        if name in app.resources.override
    ]


def _base(app: App, name: str) -> str:
    needs = app.resources
    sizes = {"memory": needs.memory_bytes, "disk": needs.disk_bytes}
    if name in sizes:
        size = sizes[name]
        return "" if size is None else formats.in_page_units(format_size(size))
    if name == "time":
        return "" if needs.time_s is None else formats.in_page_units(format_duration(needs.time_s))
    return str({"cpus": needs.cpus, "gpus": needs.gpus, "nodes": needs.nodes}[name])


def read_overrides(given: Given) -> dict[str, int | str]:
    """As ``wire.submit.Overrides`` takes them."""
    texts = {name: text for name in OVERRIDE_ORDER if (text := given.option(OVER + name))}
    return {
        name: int(text) if name in COUNTS and _is_count(text) else formats.in_plain_units(text)
        for name, text in texts.items()
    }


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def read_options(given: Given) -> tuple[dict[str, Any], list[FieldError]]:
    """The rest of a submission's body, and what no value could be made of."""
    body: dict[str, Any] = {
        "name": given.option("name"),
        "resources": [id for id in given.chosen.get("resource", ()) if id],
    }
    errors: list[FieldError] = []
    if overrides := read_overrides(given):
        body["overrides"] = overrides
    if retries := given.option("retries"):
        body["retries"] = int(retries) if _is_count(retries) else retries
    if given.option("debug") == "true":
        body["debug"] = True
    if foreach := given.option("foreach"):
        try:
            body["foreach"] = _items(foreach)
        except (ValueError, RecursionError) as error:
            errors.append(FieldError("foreach", f"is not JSON: {error}", "a list of input sets, as [{...}, {...}]"))
        body["onFailure"] = given.option("on_failure") or "continue"
    notify = _notify(given)
    if notify is not None:
        body["notify"] = notify
    return body, errors


def _items(text: str) -> Any:
    items = json.loads(text)
    if not isinstance(items, list):
        raise ValueError("it is no list")
    return items


def is_unfolded(given: Given, faults: Mapping[str, str]) -> bool:
    """Whether what most people leave alone has to be seen: something in it was changed, or is wrong."""
    changed = {"retries", "foreach", "notify_to", "debug", *(OVER + name for name in OVERRIDE_ORDER)}
    return any(given.option(part) for part in changed) or bool(faults.keys() - {"name", "resource"})


def _notify(given: Given) -> list[dict[str, str]] | None:
    """None: as the account says."""
    wish, address = given.option("notify"), given.option("notify_to")
    if wish == NOBODY:
        return []
    if wish != ADDRESS or not address:
        return None
    return [{"webhook" if "://" in address else "email": address}]


def places_of(errors: Sequence[FieldError]) -> dict[str, str]:
    """Errors of what is no input, by the name of the form's part."""
    said: dict[str, str] = {}
    for error in errors:
        root = error.field.partition("[")[0]
        part = {"resources": "resource", "notify": "notify_to"}.get(root, root)
        if part.startswith("overrides."):
            part = OVER + part.removeprefix("overrides.")
        said.setdefault(part, in_words(error))
    return said
