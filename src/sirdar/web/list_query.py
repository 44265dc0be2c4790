"""What a list of jobs is asked for, as it stands in the address of the page: read, and written again."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query

from sirdar.domain.problems import Problem
from sirdar.services.job_filters import JobQuery
from sirdar.web import words

Text = Annotated[str, Query(max_length=200)]
# Times back from now that one may choose: the word in the address, and seconds.
WITHIN = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """``within``: one of ``WITHIN``, where no ``since`` is given. ``since`` and ``until``: a day (or time) of the reader's zone."""

    state: tuple[str, ...] = ()
    app: str = ""
    text: str = ""
    owner: str = ""
    within: str = ""
    since: str = ""
    until: str = ""

    def __bool__(self) -> bool:
        return bool(self.pairs())

    def pairs(self, *, without: str = "") -> list[tuple[str, str]]:
        """As they stand in an address, what is empty left out; ``without``: all but that one."""
        names = ("app", "text", "owner", "within", "since", "until")
        given = [("state", state) for state in self.state] + [(name, getattr(self, name)) for name in names]
        return [(name, text) for name, text in given if text and name != without]

    def address(self, **more: int | str | None) -> str:
        """Of the page that shows this."""
        added = [(name, str(value)) for name, value in more.items() if value is not None]
        query = urlencode([*self.pairs(), *added])
        return f"/jobs?{query}" if query else "/jobs"

    def job_query(self, now: float) -> JobQuery:
        """What services understand: times of no zone but UTC. Raises Problem ``invalid_field``."""
        since, until = _moment("since", self.since), _moment("until", self.until, end=True)
        if not self.since and self.within:
            if self.within not in WITHIN:
                wrong = words.gettext("%(given)s is no time to look back.", given=self.within[:40])
                raise Problem("invalid_field", wrong, field="within", expected=", ".join(WITHIN))
            since = datetime.fromtimestamp(now - WITHIN[self.within], UTC).isoformat(timespec="seconds")
        return JobQuery(self.state, self.app or None, self.text or None, self.owner or None, None, since, until)


def _moment(field: str, text: str, *, end: bool = False) -> str | None:
    """A day begins (``end``: ends) at midnight where the reader is. Raises Problem."""
    if not text:
        return None
    try:
        day = len(text) == len("2026-11-22")
        at = datetime.fromisoformat(text)
        if day:
            at = datetime.combine(date.fromisoformat(text) + timedelta(days=1 if end else 0), datetime.min.time())
        return (at if at.tzinfo else at.replace(tzinfo=words.zone())).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        wrong = words.gettext("%(given)s is no day.", given=text[:40])
        raise Problem("invalid_field", wrong, field=field, expected="2026-11-22") from error


async def _read(
    *,
    state: Annotated[list[str] | None, Query()] = None,
    app: Text = "",
    text: Text = "",
    owner: Text = "",
    within: Text = "",
    since: Text = "",
    until: Text = "",
) -> ListQuery:
    states = [word for given in state or () for word in given.split(",") if word]
    return ListQuery(tuple(dict.fromkeys(states)), app.strip(), text.strip(), owner.strip(), within, since, until)


ListQueryDep = Annotated[ListQuery, Depends(_read)]
