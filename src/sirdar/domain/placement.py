"""Which resource gets which tasks: a pure function, and the reasons it had."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sirdar.domain.ids import JobId, ResourceId


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job's tasks that wait. ``needs`` are of one task; memory in bytes; ``resources``: those chosen (empty: any)."""

    job: JobId
    owner: str
    n: int
    cpus: int = 1
    memory_bytes: int = 0
    gpus: int = 0
    nodes: int = 1
    priority: int = 0
    resources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """A resource as the scheduler sees it: what it has in all, and how many slots (of one cpu) it asks to fill now."""

    id: ResourceId
    name: str
    cpus: int
    memory_bytes: int
    gpus: int = 0
    room: int = 0
    reachable: bool = True
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    job: JobId
    resource: ResourceId
    n: int


@dataclass(frozen=True, slots=True)
class Plan:
    assignments: tuple[Assignment, ...]
    reasons: dict[JobId, tuple[str, ...]] = field(default_factory=dict)  # why a job (or a part of it) was left waiting


def plan(queue: Sequence[Wanted], places: Iterable[Place], served: Mapping[str, int] | None = None) -> Plan:
    """Fill the places' room from the queue.

    Higher priority first; within one priority owners take turns, each with the oldest job first, so that a job of 100,000
    tasks does not keep another user's single task waiting. ``served``: by owner, a number that grows with each turn, of
    the latest one (none: never): where there is not room for all, those go first who have waited longest for theirs.
    """
    given = _Given({place.id: place for place in places})
    latest = served or {}
    for priority in sorted({wanted.priority for wanted in queue}, reverse=True):
        level = [wanted for wanted in queue if wanted.priority == priority]
        level.sort(key=lambda wanted: latest.get(wanted.owner, -1))  # stable: an owner's jobs stay in their order
        _fill(level, given)
    assignments = tuple(Assignment(job, resource, n) for (job, resource), n in given.tasks.items())
    return Plan(assignments, given.reasons)


def misfits(wanted: Wanted, place: Place) -> list[str]:
    """Why a task of this job could never run there, or not at present; empty where it could."""
    return list(_misfits(wanted, place, place.name))


def _misfits(wanted: Wanted, place: Place, name: str) -> Iterator[str]:
    if wanted.resources and place.id not in wanted.resources:
        yield f"the job was not sent to {name}"
    if wanted.nodes > 1:
        yield f"{name} runs tasks of one node; the task asks for {wanted.nodes}"
    if wanted.cpus > place.cpus:
        yield f"{name} has {place.cpus} cpus; the task needs {wanted.cpus}"
    if wanted.memory_bytes > place.memory_bytes:
        has, needs = place.memory_bytes / 2**30, wanted.memory_bytes / 2**30
        yield f"{name} has {has:.1f} GiB of memory; the task needs {needs:.1f} GiB"
    if wanted.gpus > place.gpus:
        yield f"{name} has {place.gpus} gpus; the task needs {wanted.gpus}"
    if not place.reachable:
        yield f"{name} is unreachable"
    if place.draining:
        yield f"{name} is draining: it takes nothing new"


Needs = tuple[int, int, int, int, frozenset[str]]


@dataclass(slots=True)
class _Given:
    """What a plan has given out so far. Jobs with the same needs fit, or do not, in the same places: that is asked once."""

    places: dict[ResourceId, Place]
    tasks: defaultdict[tuple[JobId, ResourceId], int] = field(default_factory=lambda: defaultdict(int))
    reasons: dict[JobId, tuple[str, ...]] = field(default_factory=dict)
    fitting: dict[Needs, tuple[list[ResourceId], tuple[str, ...]]] = field(default_factory=dict)

    def fits(self, wanted: Wanted) -> tuple[list[ResourceId], tuple[str, ...]]:
        """Where its tasks could run, and why any of them would have to wait."""
        needs = (wanted.cpus, wanted.memory_bytes, wanted.gpus, wanted.nodes, wanted.resources)
        found = self.fitting.get(needs)
        if found is None:
            wrong = {place.id: misfits(wanted, place) for place in self.places.values()}
            full = {place.id: [f"{place.name} has no free slot"] for place in self.places.values()}
            why = tuple(text for place, texts in wrong.items() for text in texts or full[place])
            found = [place for place, texts in wrong.items() if not texts], why or ("no resource is attached",)
            self.fitting[needs] = found
        return found


def _fill(level: list[Wanted], given: _Given) -> None:
    turns: dict[str, deque[Wanted]] = {}
    for wanted in level:
        turns.setdefault(wanted.owner, deque()).append(wanted)
    while turns:
        room = sum(max(0, place.room) for place in given.places.values())
        if room == 0:
            break
        quantum = max(1, room // len(turns))  # slots that each owner may fill in this round
        for owner in list(turns):
            first = turns[owner].popleft()
            n = min(first.n, max(1, quantum // max(1, first.cpus)))
            left = _give(replace(first, n=n), given)
            if left:
                given.reasons[first.job] = given.fits(first)[1]
            elif first.n > n:
                turns[owner].appendleft(replace(first, n=first.n - n))
            if not turns[owner]:
                del turns[owner]


def _give(wanted: Wanted, given: _Given) -> int:
    """Gives out up to ``wanted.n`` tasks; returns how many found no place."""
    left = wanted.n
    size = max(1, wanted.cpus)
    fitting = [given.places[place] for place in given.fits(wanted)[0]]
    for place in sorted(fitting, key=lambda place: -place.room):
        if left == 0 or place.room <= 0:
            break
        # A task larger than the room left still goes to a place that could hold it when it is empty.
        n = min(left, max(1, place.room // size))
        given.tasks[wanted.job, place.id] += n
        given.places[place.id] = replace(place, room=place.room - n * size)
        left -= n
    return left
