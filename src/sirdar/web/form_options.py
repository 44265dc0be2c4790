"""What a form says beside the inputs: name, resources, what the application lets change, what is tried again, who is told. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sirdar.domain.app import RESOURCE_FIELDS, App
from sirdar.domain.problems import FieldError
from sirdar.domain.units import format_duration, format_size
from sirdar.web import form_sweep, formats, words
from sirdar.web.form_fields import Given, in_words

OVER = "over."
NOBODY, ACCOUNT, ADDRESS = "nobody", "account", "address"
MOST_OF_SETS = 10  # things that are wrong with them, told at once
COUNTS = frozenset({"cpus", "gpus", "nodes"})
OVERRIDE_ORDER = ("cpus", "memory", "time", "gpus", "nodes", "disk", "slurm")
# The parts as they stand on the page, from above.
PARTS = (
    "resource",
    "name",
    form_sweep.WHERE,
    "sweep",
    "foreach",
    "criterion",
    "stop_when",
    "on_failure",
    *(OVER + name for name in OVERRIDE_ORDER),
    "retries",
    "notify_to",
)
MANY = frozenset(
    {form_sweep.WHERE, "sweep", "foreach", "criterion", "stop_when", "on_failure"}
)  # of a job of many tasks


@dataclass(frozen=True, slots=True)
class Override:
    """One need of the application that a submission may change. ``base``: what holds where nothing is given."""

    name: str
    title: str
    unit: str
    base: str


def overrides_of(app: App, given: Given) -> list[Override]:
    """Those that the application lets change, in the order in which they are shown. Of Slurm only where it is spoken of."""
    units = {"cpus": words.gettext("cpus"), "gpus": words.gettext("gpus"), "nodes": words.gettext("nodes")}
    return [
        Override(name, title_of(OVER + name), units.get(name, ""), base=_base(app, name))
        for name in OVERRIDE_ORDER
        if name in app.resources.override and (name != "slurm" or _speaks_of_slurm(app) or given.option(OVER + name))
    ]


def _speaks_of_slurm(app: App) -> bool:
    """One that only lets everything change does not, and few of its jobs run there."""
    return bool(app.resources.slurm) or not app.resources.override.issuperset(RESOURCE_FIELDS)


def title_of(part: str) -> str:
    """What stands above a part of the form."""
    titles = {
        "over.cpus": words.gettext("Processors"),
        "over.memory": words.gettext("Memory"),
        "over.time": words.gettext("Time limit"),
        "over.gpus": words.gettext("Graphics processors"),
        "over.nodes": words.gettext("Nodes"),
        "over.disk": words.gettext("Disk"),
        "over.slurm": words.gettext("Options of Slurm"),
        "resource": words.gettext("Resource"),
        "name": words.gettext("Name of the job"),
        "retries": words.gettext("Retries"),
        "notify_to": words.gettext("When it ends"),
        "where": words.gettext("Conditions"),
        "sweep": words.gettext("Combinations"),
        "foreach": words.gettext("Many tasks"),
        "criterion": words.gettext("Criterion"),
        "stop_when": words.gettext("Stop when"),
        "on_failure": words.gettext("When one of many fails"),
    }
    if part.startswith(form_sweep.SWEEP):
        return words.gettext("Values of %(name)s", name=part.removeprefix(form_sweep.SWEEP))
    return titles.get(part, part)


def _base(app: App, name: str) -> str:
    needs = app.resources
    sizes = {"memory": needs.memory_bytes, "disk": needs.disk_bytes}
    if name in sizes:
        size = sizes[name]
        return "" if size is None else formats.in_page_units(format_size(size))
    if name == "time":
        return "" if needs.time_s is None else formats.in_page_units(format_duration(needs.time_s))
    if name == "slurm":
        return slurm_text(needs.slurm) or words.gettext("as the machine's owner says")
    return str({"cpus": needs.cpus, "gpus": needs.gpus, "nodes": needs.nodes}[name])


def slurm_text(options: Mapping[str, str]) -> str:
    """As they are typed: ``partition=short qos=long``."""
    return " ".join(f"{name}={text}" for name, text in options.items())


def read_overrides(given: Given) -> dict[str, int | str | dict[str, str]]:
    """As ``wire.submit.Overrides`` takes them."""
    texts = {name: text for name in OVERRIDE_ORDER if (text := given.option(OVER + name))}
    return {name: _read_override(name, text) for name, text in texts.items()}


def _read_override(name: str, text: str) -> int | str | dict[str, str]:
    if name == "slurm":
        pairs = [part.partition("=") for part in text.split()]
        return {key: value for key, _, value in pairs}
    return int(text) if name in COUNTS and _is_count(text) else formats.in_plain_units(text)


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
    if given.swept is not None:
        body["sweep"] = given.swept.body
    if (given.sets is not None or given.swept is not None) and (wish := given.option("on_failure")):
        body["onFailure"] = wish
    if key := given.option("criterion"):
        body["criterion"] = {"maximize" if given.option("direction") == "maximize" else "minimize": key}
    if condition := given.option("stop_when"):
        body["stopWhen"] = condition
    notify = _notify(given)
    if notify is not None:
        body["notify"] = notify
    return body, errors


def is_unfolded(given: Given, faults: Mapping[str, str]) -> bool:
    """Whether what most people leave alone has to be seen: something in it was changed, or is wrong."""
    changed = {"retries", "notify_to", "debug", *(OVER + name for name in OVERRIDE_ORDER)}
    elsewhere = {part for part in faults if part in MANY or part.startswith(form_sweep.SWEEP)} | {"name", "resource"}
    return any(given.option(part) for part in changed) or bool(faults.keys() - elsewhere)


def is_many(given: Given, faults: Mapping[str, str]) -> bool:
    """Whether what makes a job of many tasks has to be seen."""
    asked = any(given.option(part) for part in ("foreach", "criterion", "stop_when"))
    many = given.sets is not None or given.sets_file is not None or given.swept is not None
    return many or asked or any(part in MANY or part.startswith(form_sweep.SWEEP) for part in faults)


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
        part = _part_of(error.field)
        if part.startswith(form_sweep.SWEEP) or part == form_sweep.WHERE:
            said.setdefault(part, in_words(replace(error, field=part)))
        elif part != "foreach":
            said.setdefault(part, in_words(error))
        elif (text := in_words(error)) not in sets and len(sets) < MOST_OF_SETS:
            sets.append(text)
    return in_order(said | ({"foreach": "\n".join(sets)} if sets else {}))


def _part_of(place: str) -> str:
    if swept := form_sweep.part_of(place):
        return swept
    root = place.partition("[")[0]
    if root.startswith("overrides."):
        return OVER + root.removeprefix("overrides.").partition(".")[0]
    if root.startswith("criterion."):
        return "criterion"
    parts = {"resources": "resource", "notify": "notify_to", "stopWhen": "stop_when", "onFailure": "on_failure"}
    return parts.get(root, root)


def in_order(said: Mapping[str, str]) -> dict[str, str]:
    """As the parts stand on the page."""
    swept = [part for part in said if part.startswith(form_sweep.SWEEP)]
    return {part: said[part] for part in (*PARTS[:2], *swept, *PARTS[2:], *said) if part in said}
