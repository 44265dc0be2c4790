"""Tells agents of shared variables that tasks elsewhere have set: at once where a call of theirs is held, else with their next.

What an agent is owed is in memory only. Where that is lost (the server was restarted, an answer was cut off), the agent asks for
all variables of what it runs. A second server over one database would pass its changes on here too (``take``).
"""

from collections.abc import Iterable, Sequence

from sirdar.dispatch.assign import Assigner
from sirdar.store import variables
from sirdar.store.engine import Hints, Store
from sirdar.store.people import Conn
from sirdar.store.variables import Change

News = list[tuple[str, str, str, int]]  # job, name, value, version


class VariableNews:
    """Lives on the event loop: what is committed, and what an agent was owed at its call, are seen in one order."""

    def __init__(self, store: Store, assigner: Assigner) -> None:
        self._store = store
        self._assigner = assigner
        self._owed: dict[str, set[tuple[str, str]]] = {}  # by resource: (job, name)

    def on_commit(self, hints: Hints) -> None:
        self.take(hints.variables)

    def take(self, changes: Sequence[Change]) -> None:
        """Tell of committed changes, whoever committed them."""
        for resource_id in {resource_id for change in changes for resource_id in change.resources}:
            theirs = [change for change in changes if resource_id in change.resources]
            news = [(change.job_id, change.name, change.text, change.version) for change in theirs]
            if not self._assigner.answer_with_news(resource_id, news):
                self._owed.setdefault(resource_id, set()).update((job_id, name) for job_id, name, _, _ in news)

    def owes(self, resource_id: str) -> bool:
        return resource_id in self._owed

    def forget(self, resource_id: str) -> None:
        """Its agent has begun another session, and asks for everything itself."""
        self._owed.pop(resource_id, None)

    async def collect(self, resource_id: str) -> News:
        """What the agent is owed, as it is by now; it counts as told."""
        owed = self._owed.pop(resource_id, set())
        return await self._store.read(lambda conn: _read(conn, owed))


def _read(conn: Conn, owed: Iterable[tuple[str, str]]) -> News:
    by_job: dict[str, set[str]] = {}
    for job_id, name in owed:
        by_job.setdefault(job_id, set()).add(name)
    return [
        (job_id, name, value.text or "", value.version)
        for job_id, names in by_job.items()
        for name, value in variables.read(conn, job_id, names).items()
    ]
