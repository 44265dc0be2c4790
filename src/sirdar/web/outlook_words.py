"""Where a submission would run, in the page's words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sirdar.services.outlook import Choice, Outlook
from sirdar.web import service_words, words


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence with the shape of a job's state that says the same. ``id``: of the resource, where it is about one."""

    shape: str
    text: str
    id: str = ""
    name: str = ""
    allowed: bool = True


def rows(seen: Outlook) -> list[Said]:
    """Each resource that one may use, and why it is possible or not; those that are come first."""
    ordered = sorted(seen.choices, key=lambda choice: (not choice.fits, not choice.allowed))
    return [_row(choice) for choice in ordered]


def _row(choice: Choice) -> Said:
    if choice.wrong:
        text = "; ".join(service_words.say(text) for text in choice.wrong)
        return Said("failed", text[:1].upper() + text[1:] + ".", choice.id, choice.name, choice.allowed)
    shape = "done" if choice.has_room and choice.short is None else "waiting"
    short = service_words.say(choice.short)
    text = _free(choice) if not short else f"{short[:1].upper()}{short[1:]}."
    return Said(shape, text, choice.id, choice.name)


def _free(choice: Choice) -> str:
    return words.ngettext(
        "%(free)s of %(num)s cpu free", "%(free)s of %(num)s cpus free", choice.cpus, free=choice.free_cpus or 0
    )


def bar(seen: Outlook, asked: Collection[str]) -> Said:
    """Beside the button: where it will run, and why; or why it will wait."""
    if seen.starts is not None:
        text = words.gettext("Starts at once on %(name)s: %(free)s.", name=seen.starts.name, free=_free(seen.starts))
        return Said("done", text)
    if not seen.choices:
        return Said("failed", words.gettext("It will wait: there is no resource that you may use."))
    sent_to = [choice for choice in seen.choices if not asked or choice.id in asked or choice.name in asked]
    fitting = [choice for choice in sent_to if choice.fits]
    if fitting:
        names = ", ".join(choice.name for choice in fitting[:3])
        if seen.ahead:
            text = words.ngettext(
                "It will wait for room on %(names)s, behind %(num)s job.",
                "It will wait for room on %(names)s, behind %(num)s jobs.",
                seen.ahead,
                names=names,
            )
            return Said("waiting", text)
        return Said("waiting", words.gettext("It will wait for room on %(names)s.", names=names))
    why = "; ".join(service_words.say(text) for choice in sent_to[:3] for text in choice.wrong[:1])
    return Said("failed", words.gettext("It can run nowhere now: %(why)s.", why=why))


def wrong(names: Sequence[str]) -> Said:
    """In the place of the bar: what has to be looked at before anything starts."""
    if not names:
        return Said("failed", words.gettext("Nothing was submitted."))
    return Said("failed", words.gettext("Needs a look: %(names)s.", names=", ".join(names)))
