"""Which accepted tasks that wait behind others should be asked back, since another resource has a free slot for them: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sirdar.domain.ids import AttemptKey, ResourceId
from sirdar.domain.placement import Place, Room, Wanted, misfits, welcome


@dataclass(frozen=True, slots=True)
class Behind:
    """An attempt that was accepted and has not started. ``asked``: it was asked back a moment ago."""

    key: AttemptKey
    resource: ResourceId
    wanted: Wanted
    accepted_at: float
    fetching: bool = False  # its files may be on their way
    asked: bool = False


def moves(held: Sequence[Behind], sources: Mapping[ResourceId, Place], idle: Iterable[Place]) -> list[AttemptKey]:
    """Those to ask back: no more than their resources have beyond their slots, and than start at once elsewhere.

    ``idle``: places that ask for work and found none in the queue, with what is ``free``. What came last goes first: it would
    wait longest. What was asked back already keeps its slot, so that one slot draws one task.
    """
    rooms = [Room(place) for place in idle]
    surplus = {
        place.id: sum(max(1, min(load.cpus, place.width)) * load.n for load in place.loads) - place.width
        for place in sources.values()
    }
    found = []
    for one in sorted(held, key=lambda one: (not one.asked, one.fetching, -one.wanted.priority, -one.accepted_at)):
        if surplus.get(one.resource, 0) <= 0:
            continue
        room = _best(one, rooms)
        if room is None:
            continue
        room.take(one.wanted, 1)
        surplus[one.resource] -= max(1, min(one.wanted.cpus, sources[one.resource].width))
        if not one.asked:
            found.append(one.key)
    return found


def _best(one: Behind, rooms: Iterable[Room]) -> Room | None:
    fitting = [
        room
        for room in rooms
        if room.place.id != one.resource
        and room.holds(one.wanted, 1, ahead=False)
        and welcome(one.wanted, room.place)
        and not misfits(one.wanted, room.place)
    ]
    return min(fitting, key=lambda room: room.preference(one.wanted), default=None)
