"""Where a submission that is not yet made could run, and whether it would start at once: by the scheduler's own rules."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sirdar.domain.app import App, Resources
from sirdar.domain.ids import JobId, ResourceId
from sirdar.domain.people import Caller
from sirdar.domain.placement import Place, Wanted, misfits, plan, shortage, welcome
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.binding import bindings_of, certain_labels, is_bound, secrets_of, usable_by
from sirdar.services.context import Services
from sirdar.services.places import places_now
from sirdar.store import queue as queue_store
from sirdar.store.people import Conn
from sirdar.store.resources import ResourceRow

NEW = JobId("new")


@dataclass(frozen=True, slots=True)
class Choice:
    """One resource that the caller may use.

    ``allowed``: whether a submission may name it at all; ``wrong``: why a task could not run there as things are (empty: it could);
    ``short``: what it would wait for there. ``free_cpus``: None where no agent runs.
    """

    id: str
    name: str
    allowed: bool
    wrong: tuple[str, ...] = ()
    short: str | None = None
    cpus: int = 0
    free_cpus: int | None = None
    has_room: bool = False  # cpus for one task, just now

    @property
    def fits(self) -> bool:
        return self.allowed and not self.wrong


@dataclass(frozen=True, slots=True)
class Outlook:
    """``starts``: the resource on which it would start at once; None: it would wait, behind ``ahead`` jobs that wait now."""

    choices: tuple[Choice, ...]
    starts: Choice | None = None
    ahead: int = 0


async def outlook(
    services: Services, caller: Caller, loaded: LoadedVersion, needs: Resources, asked: Collection[str] = ()
) -> Outlook:
    """``asked``: ids or names of the resources that are chosen (empty: any). ``needs``: of one task."""
    return await services.store.read(lambda conn: _outlook(conn, caller, loaded, needs, asked))


def _outlook(conn: Conn, caller: Caller, loaded: LoadedVersion, needs: Resources, asked: Collection[str]) -> Outlook:
    wanted = Wanted(
        NEW,
        caller.user_id,
        1,
        cpus=needs.cpus,
        memory_bytes=needs.memory_bytes or 0,
        gpus=needs.gpus,
        nodes=needs.nodes,
        labels=frozenset(certain_labels(loaded.app).items()),
        secrets_of=secrets_of(caller, loaded) or "",
    )
    places = {place.id: place for place in places_now(conn)}
    choices = [_choice(loaded.app, row, places.get(ResourceId(row.id)), wanted) for row in usable_by(conn, caller)]
    sent_to = [choice for choice in choices if not asked or choice.id in asked or choice.name in asked]
    fitting = [choice for choice in sent_to if choice.fits]
    queue = queue_store.waiting_jobs(conn)
    started = _starts([*queue, wanted], [places[ResourceId(choice.id)] for choice in fitting], list(places.values()))
    return Outlook(tuple(choices), next((choice for choice in fitting if choice.id == started), None), len(queue))


def _choice(app: App, row: ResourceRow, place: Place | None, wanted: Wanted) -> Choice:
    if not is_bound(app, row):
        return Choice(row.id, row.name, False, (f"the application runs {bindings_of(app)} only",))
    if place is None:
        return Choice(row.id, row.name, True, ("no agent has run there yet",))
    wrong = misfits(wanted, place)
    if not welcome(wanted, place):
        wrong.append("the owner of the application, whose secrets it carries, may not use it")
    short = None if wrong else shortage(wanted, place)
    has_room = not wrong and (place.free or 0) >= min(wanted.cpus, place.width)
    return Choice(row.id, row.name, True, tuple(wrong), short, place.width, place.free, has_room)


def _starts(queue: list[Wanted], fitting: list[Place], places: list[Place]) -> str | None:
    """Which of the places the new job would get, if every free slot were given out now."""
    mine = queue[-1]
    if not fitting:
        return None
    queue[-1] = replace(mine, resources=frozenset(place.id for place in fitting))
    open_places = [
        replace(place, room=place.free or 0)
        for place in places
        if place.reachable and not place.draining and place.free
    ]
    decided = plan(queue, open_places, claims_ahead=False)
    return next((given.resource for given in decided.assignments if given.job == NEW), None)
