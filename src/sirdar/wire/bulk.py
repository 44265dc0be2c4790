"""Bodies of requests that act on many jobs at once: ``POST /api/jobs/cancel`` and ``/api/jobs/delete``."""

from typing import Annotated

from pydantic import Field

from sirdar.wire.submit import Body

MOST_IDS = 5000
Word = Annotated[str, Field(max_length=500)]


class JobFilterBody(Body):
    """Which jobs, as the parameters of ``GET /api/jobs`` say it."""

    state: Word | list[Word] | None = None
    app: Word | None = None
    text: Word | None = None
    owner: Word | None = None
    name: Word | None = None
    since: Word | None = None
    until: Word | None = None
    parent: Word | None = None

    @property
    def states(self) -> list[str]:
        return [self.state] if isinstance(self.state, str) else self.state or []


class JobChoice(Body):
    """Jobs by their ids, or all that fit a filter, which must say something."""

    ids: list[Annotated[str, Field(min_length=1, max_length=40)]] | None = Field(None, max_length=MOST_IDS)
    filter: JobFilterBody | None = None
