"""Tells agents of shared variables that tasks elsewhere have set: at once where a call of theirs is held, else with their next.

What an agent is owed is in memory only. Where that is lost (the server was restarted, an answer was cut off), the agent asks for
all variables of what it runs. Each server of a database passes on what any of them has committed, since an agent's next call may
come to any; what an agent hears twice has the same number.
"""

from collections.abc import Iterable, Sequence, Set

from sirdar.dispatch.assign import Assigner
from sirdar.store import variables
from sirdar.store.engine import Store
from sirdar.store.hints import Change, Hints
from sirdar.store.people import Conn

News = list[tuple[str, str, str, int]]  # job, name, value, version


class VariableNews:
    """Lives on the event loop: what is committed, and what an agent was owed at its call, are seen in one order."""

    def __init__(self, store: Store, assigner: Assigner) -> None:
        self._store = store
        self._assigner = assigner
        self._owed: dict[str, set[tuple[str, str]]] = {}  # by resource: (job, name)
        self._told: set[str] | None = None  # after ``lost``: the resources that were told of everything since

    def on_commit(self, hints: Hints) -> None:
        self.take(hints.variables)
        if self._owed and hints.ended:
            self._drop_jobs(hints.ended)

    def take(self, changes: Sequence[Change]) -> None:
        """Tell of committed changes, whoever committed them."""
        for resource_id in {resource_id for change in changes for resource_id in change.resources}:
            theirs = [change for change in changes if resource_id in change.resources]
            news = [
                (change.job_id, change.name, change.text, change.version)
                for change in theirs
                if change.text is not None
            ]
            untold = {(change.job_id, change.name) for change in theirs if change.text is None}
            if not self._assigner.answer_with_news(resource_id, news):
                untold |= {(job_id, name) for job_id, name, _, _ in news}
            if untold:  # a call that was held has been answered: the next one collects them
                self._owed.setdefault(resource_id, set()).update(untold)

    def lost(self) -> None:
        """What other servers have committed was not heard for a while: every agent is owed everything."""
        self._owed.clear()
        self._told = set()

    def owes(self, resource_id: str) -> bool:
        return resource_id in self._owed or (self._told is not None and resource_id not in self._told)

    def forget(self, resource_id: str) -> None:
        """Its agent has begun another session, and asks for everything itself."""
        self._owed.pop(resource_id, None)
        if self._told is not None:
            self._told.add(resource_id)

    async def collect(self, resource_id: str) -> News:
        """What the agent is owed, as it is by now; it counts as told."""
        owed = self._owed.pop(resource_id, set())
        if self._told is None or resource_id in self._told:
            return await self._store.read(lambda conn: _read(conn, owed))
        self._told.add(resource_id)
        return await self._store.read(lambda conn: variables.of_resource(conn, resource_id))

    def _drop_jobs(self, ended: Set[str]) -> None:
        """Nobody is owed anything of jobs that have ended: the agent may call other servers only."""
        for resource_id, owed in list(self._owed.items()):
            left = {(job_id, name) for job_id, name in owed if job_id not in ended}
            if left:
                self._owed[resource_id] = left
            else:
                del self._owed[resource_id]


def _read(conn: Conn, owed: Iterable[tuple[str, str]]) -> News:
    by_job: dict[str, set[str]] = {}
    for job_id, name in owed:
        by_job.setdefault(job_id, set()).add(name)
    return [
        (job_id, name, value.text or "", value.version)
        for job_id, names in by_job.items()
        for name, value in variables.read(conn, job_id, names).items()
    ]
