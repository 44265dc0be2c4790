"""What a form says beside the inputs: name, resources, what the application lets change, what is tried again, who is told. Pure."""

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
MOST_OF_SETS = 10  # things that are wrong with them, told at once
COUNTS = frozenset({"cpus", "gpus", "nodes"})
OVERRIDE_ORDER = ("cpus", "memory", "time", "gpus", "nodes", "disk")
# The parts as they stand on the page, from above.
PARTS = ("resource", "name", *(OVER + name for name in OVERRIDE_ORDER), "retries", "notify_to", "foreach", "on_failure")


@dataclass(frozen=True, slots=True)
class Override:
    """One need of the application that a submission may change. ``base``: what holds where nothing is given."""

    name: str
    title: str
    unit: str
    base: str


def overrides_of(app: App) -> list[Override]:
    """Those that the application lets change, in the order in which they are shown."""
    units = {"cpus": words.gettext("cpus"), "gpus": words.gettext("gpus"), "nodes": words.gettext("nodes")}
    return [
        Override(name, title_of(OVER + name), units.get(name, ""), base=_base(app, name))
        for name in OVERRIDE_ORDER
        if name in app.resources.override
    ]


def title_of(part: str) -> str:
    """What stands above a part of the form."""
    titles = {
        "over.cpus": words.gettext("Processors"),
        "over.memory": words.gettext("Memory"),
        "over.time": words.gettext("Time limit"),
        "over.gpus": words.gettext("Graphics processors"),
        "over.nodes": words.gettext("Nodes"),
        "over.disk": words.gettext("Disk"),
        "resource": words.gettext("Resource"),
        "name": words.gettext("Name of the job"),
        "retries": words.gettext("Retries"),
        "notify_to": words.gettext("When it ends"),
        "foreach": words.gettext("Many tasks"),
        "on_failure": words.gettext("When one of many fails"),
    }
    return titles.get(part, part)


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
    if given.sets is not None:
        body["foreach"] = given.sets.items
        body["onFailure"] = given.option("on_failure") or "continue"
    notify = _notify(given)
    if notify is not None:
        body["notify"] = notify
    return body, errors


def is_unfolded(given: Given, faults: Mapping[str, str]) -> bool:
    """Whether what most people leave alone has to be seen: something in it was changed, or is wrong."""
    changed = {"retries", "foreach", "notify_to", "debug", *(OVER + name for name in OVERRIDE_ORDER)}
    many = given.sets is not None or given.sets_file is not None
    return many or any(given.option(part) for part in changed) or bool(faults.keys() - {"name", "resource"})


def _notify(given: Given) -> list[dict[str, str]] | None:
    """None: as the account says."""
    wish, address = given.option("notify"), given.option("notify_to")
    if wish == NOBODY:
        return []
    if wish != ADDRESS or not address:
        return None
    return [{"webhook" if "://" in address else "email": address}]


def places_of(errors: Sequence[FieldError]) -> dict[str, str]:
    """Errors of what is no input, by the name of the form's part; of the input sets the first ten, a line for each."""
    said: dict[str, str] = {}
    sets: list[str] = []
    for error in errors:
        root = error.field.partition("[")[0]
        part = {"resources": "resource", "notify": "notify_to"}.get(root, root)
        if part.startswith("overrides."):
            part = OVER + part.removeprefix("overrides.")
        if part != "foreach":
            said.setdefault(part, in_words(error))
        elif (text := in_words(error)) not in sets and len(sets) < MOST_OF_SETS:
            sets.append(text)
    return in_order(said | ({"foreach": "\n".join(sets)} if sets else {}))


def in_order(said: Mapping[str, str]) -> dict[str, str]:
    """As the parts stand on the page."""
    return {part: said[part] for part in [*PARTS, *(said.keys() - set(PARTS))] if part in said}
