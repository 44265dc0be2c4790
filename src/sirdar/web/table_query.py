"""What the table of a job's tasks is asked for, as it stands in the address of the page: read, and written again."""

from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query

from sirdar.domain.outcome import Reason
from sirdar.domain.problems import Problem
from sirdar.domain.task_table import Column
from sirdar.services.job_filters import read_states
from sirdar.services.task_table import TaskQuery
from sirdar.store.task_table import TaskFilter
from sirdar.web import words

Text = Annotated[str, Query(max_length=200)]
Word = Annotated[str, Query(max_length=40)]
ROWS = 40
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class TableQuery:
    """``like``: number of a failed task, for those that failed as it did. ``cols``: names of the columns that are shown, empty for
    the usual ones. ``after``: where the page begins: past that number of a task,
    or, sorted, past so many. ``x``, ``y``, ``color``, ``logx``, ``logy``, ``lines``: what the plot shows."""

    job_id: str
    state: tuple[str, ...] = ()
    reason: str = ""
    text: str = ""
    like: str = ""
    sort: str = ""
    cols: tuple[str, ...] = ()
    after: str = ""
    x: str = ""
    y: str = ""
    color: str = ""
    logx: str = ""
    logy: str = ""
    lines: str = ""
    share: str = ""

    @property
    def filtered(self) -> bool:
        return bool(self.state or self.reason or self.text or self.like)

    @property
    def filter_pairs(self) -> list[tuple[str, str]]:
        """What narrows the rows, as in addresses of the API too; with the link's secret."""
        pairs = [("state", state) for state in self.state]
        pairs += [("reason", self.reason), ("text", self.text), ("like", self.like), ("share", self.share)]
        return [(name, text) for name, text in pairs if text]

    def address(self, **changes: Any) -> str:
        """Of the same page with something else; it begins anew unless it says where."""
        other = replace(self, **{"after": "", **changes})
        names = ("reason", "text", "like", "sort", "after", "x", "y", "color", "logx", "logy", "lines", "share")
        pairs = [("state", state) for state in other.state] + [("cols", name) for name in other.cols]
        pairs += [(name, text) for name in names if (text := getattr(other, name))]
        return f"/jobs/{self.job_id}" + (f"?{urlencode(pairs)}" if pairs else "")

    def api(self, what: str, **more: str) -> str:
        """The same rows from the API."""
        return f"/api/jobs/{self.job_id}/{what}?{urlencode([*self.filter_pairs, *more.items()])}".removesuffix("?")

    def at(self, page: str = "", **more: Any) -> str:
        """A page of the job, with the link's secret if there is one."""
        given = [*more.items(), *([("share", self.share)] if self.share else [])]
        return f"/jobs/{self.job_id}{page}" + (f"?{urlencode(given)}" if given else "")

    def task_query(self) -> TaskQuery:
        """What the service is asked. Raises Problem ``invalid_field``."""
        if self.reason and self.reason not in _REASONS:
            wrong = words.gettext("%(given)s is no reason.", given=self.reason)
            raise Problem("invalid_field", wrong, field="reason", expected=", ".join(sorted(_REASONS)))
        if "\0" in self.text:
            raise Problem("invalid_field", words.gettext("A zero byte stands in no name."), field="text")
        like = _read_number(self.like, "like") if self.like else None
        wanted = TaskFilter(tuple(read_states(self.state)), None, self.reason or None, self.text or None, like)
        passed = _read_number(self.after, "after") if self.after else 0
        if self.sort:
            return TaskQuery(wanted, self.sort, offset=passed, limit=ROWS + 1)
        return TaskQuery(wanted, after=passed if self.after else -1, limit=ROWS + 1)

    def sorted_by(self, column: Column) -> str:
        """``ascending``, ``descending``, or empty."""
        if self.sort.removeprefix("-") != column.name:
            return "ascending" if not self.sort and column.name == "no" else ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def sorting(self, column: Column) -> str:
        """Address of the table sorted by that column; the other way round where it is sorted so already."""
        turned = f"-{column.name}" if self.sorted_by(column) == "ascending" else column.name
        return self.address(sort="" if turned == "no" else turned)


def _read_number(text: str, field: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Problem("invalid_field", words.gettext("The table has no such page."), field=field)
    return int(text)


async def _read(
    job_id: str,
    *,
    state: Annotated[list[str] | None, Query()] = None,
    reason: Word = "",
    text: Text = "",
    like: Word = "",
    sort: Text = "",
    cols: Annotated[list[str] | None, Query()] = None,
    after: Word = "",
    x: Text = "",
    y: Text = "",
    color: Text = "",
    logx: Word = "",
    logy: Word = "",
    lines: Word = "",
    share: Text = "",
) -> TableQuery:
    if not job_id.isalnum() or not job_id.isascii():
        raise Problem("not_found", f"There is no job {job_id[:80]}.")
    states = dict.fromkeys(word for given in state or () for word in given.split(",") if word)
    names = dict.fromkeys(name for given in cols or () for name in given.split(",") if name)
    choices = {"x": x, "y": y, "color": color, "logx": logx, "logy": logy, "lines": lines}
    return TableQuery(
        job_id, tuple(states), reason, text.strip(), like, sort, tuple(names), after, share=share, **choices
    )


TableQueryDep = Annotated[TableQuery, Depends(_read)]
