"""What somebody asks of a list of jobs, in words, to what the store looks for: one reading for API, pages and bulk requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.domain.states import State
from sirdar.store.job_lists import JobFilter

STATES = tuple(state.value for state in State)
# Words for several states, as pages have them: what waits is being prepared, or waits for a resource.
GROUPS: dict[str, tuple[str, ...]] = {"WAITING": (State.SUBMITTED.value, State.READY.value)}


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A filter as it stands in an address or a body. ``state``: names in any case, also joined by commas."""

    state: Sequence[str] = ()
    app: str | None = None
    text: str | None = None
    owner: str | None = None
    name: str | None = None
    since: str | None = None
    until: str | None = None
    parent: str | None = None


def read_filter(caller: Caller, asked: JobQuery) -> JobFilter:
    """What to look for; ``me`` is the caller. Raises Problem ``invalid_field``."""
    words = {"app": asked.app, "text": asked.text, "owner": asked.owner, "name": asked.name, "parent": asked.parent}
    for field, text in words.items():
        if text and "\0" in text:
            raise Problem("invalid_field", "A zero byte stands in no name.", field=field, hint="Leave the %00 out.")
    app = asked.app
    return JobFilter(
        state=read_states(asked.state),
        app=f"{caller.name}/{app[3:]}" if app and app.startswith("me/") else app,
        text=asked.text,
        owner=caller.name if asked.owner == "me" else asked.owner,
        name=asked.name,
        since=read_moment("since", asked.since),
        until=read_moment("until", asked.until),
        parent=asked.parent,
    )


def read_states(names: Sequence[str]) -> list[str]:
    """States by their names, in any case, also joined by commas; ``waiting`` for two of them. Raises Problem."""
    states: list[str] = []
    for word in (part.strip().upper() for name in names for part in name.split(",")):
        if word in GROUPS:
            states += GROUPS[word]
        elif word in STATES:
            states.append(word)
        elif word:
            raise Problem("invalid_field", f"{word[:40]!r} is no state.", field="state", expected=", ".join(STATES))
    return states


def read_moment(field: str, text: str | None) -> float | None:
    """Seconds since 1970; a time without a zone is one of UTC. Raises Problem ``invalid_field``."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Problem(
            "invalid_field", f"{text[:60]!r} is no time.", field=field, expected="2026-11-22T06:40:00Z"
        ) from None
