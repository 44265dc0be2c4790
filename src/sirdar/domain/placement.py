"""Which resource gets which tasks: a pure function, and the reasons it had.

A place is filled in two rounds: first what can start at once on slots that are free, then what it claims ahead. In each,
priorities come first, then turns between owners. Cpus claimed ahead wait in the agent, which runs no more side by side than it
has slots. Memory is counted for the worst set of tasks that may run side by side; gpus are never claimed ahead.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sirdar.domain.environment import LABELS
from sirdar.domain.ids import JobId, ResourceId
from sirdar.domain.labels import ANY_VALUE, has_label

# What a resource cannot provide, by the label that it would have.
UNPROVIDED = {
    LABELS["image"]: "runs no containers; the application asks for an image",
    LABELS["build"]: "builds no images; the application brings a Containerfile",
    LABELS["python"]: "prepares no Python packages (it has no uv); the application lists some",
    LABELS["conda"]: "prepares no conda packages (it has no micromamba); the application lists some",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job's tasks that wait. ``needs`` are of one task; memory in bytes; ``resources``: those chosen (empty: any).

    ``labels``: what a resource must say of itself. ``secrets_of``: the user whose application's secrets travel with it, who must
    be welcome there, too (empty: nobody's). ``inputs``: its large blobs, the beginning of each digest and its size in bytes.
    """

    job: JobId
    owner: str
    n: int
    cpus: int = 1
    memory_bytes: int = 0
    gpus: int = 0
    nodes: int = 1
    priority: int = 0
    resources: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    secrets_of: str = ""
    inputs: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """``n`` tasks of the same needs that a place has, from their offer to their end."""

    cpus: int
    memory_bytes: int
    gpus: int
    n: int


@dataclass(frozen=True, slots=True)
class Place:
    """A resource as the scheduler sees it: what it has in all, and how many slots (of one cpu) it asks to fill now.

    ``free``: slots that nothing holds (None: as many as it asks for). ``users``: ids of those who may use it (None: everyone).
    ``loads``: what it has been given so far. ``memory_free_bytes``: as the machine said last (None: it does not tell).
    ``blobs``: digests' beginnings of what lies there; ``near``: it shares the server's disk.
    ``eager`` False: nothing is claimed ahead for it at present. ``owner``: whose it is; ``no_strangers``: why it runs nobody else's
    programs (empty: it does). ``batch``: a batch system decides what runs side by side there: cpus and memory are what one of its
    nodes has, and a slot is a task.
    """

    id: ResourceId
    name: str
    cpus: int
    memory_bytes: int
    gpus: int = 0
    room: int = 0
    reachable: bool = True
    draining: bool = False
    slots: int = 0  # how many of its cpus may be used; 0: all
    free: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    users: frozenset[str] | None = None
    loads: tuple[Load, ...] = ()
    memory_free_bytes: int | None = None
    blobs: frozenset[str] = frozenset()
    near: bool = False
    eager: bool = True
    owner: str = ""
    no_strangers: str = ""
    batch: bool = False

    def slots_of(self, cpus: int) -> int:
        """How many of its slots a task of so many cpus takes."""
        return 1 if self.batch else cpus

    @property
    def width(self) -> int:
        """Cpus that may be at work side by side."""
        return self.slots or self.cpus


@dataclass(frozen=True, slots=True)
class Assignment:
    job: JobId
    resource: ResourceId
    n: int


@dataclass(frozen=True, slots=True)
class Plan:
    assignments: tuple[Assignment, ...]
    reasons: dict[JobId, tuple[str, ...]] = field(default_factory=dict)  # why a job (or a part of it) was left waiting


def plan(
    queue: Sequence[Wanted],
    places: Iterable[Place],
    served: Mapping[str, int] | None = None,
    *,
    claims_ahead: bool = True,
) -> Plan:
    """Fill the places' room from the queue.

    Higher priority first; within one priority owners take turns, each with the oldest job first, so that a job of 100,000
    tasks does not keep another user's single task waiting. ``served``: by owner, a number that grows with each turn, of
    the latest one (none: never): where there is not room for all, those go first who have waited longest for theirs.
    ``claims_ahead`` False: only what can start at once.
    """
    given = _Given([Room(place) for place in places])
    latest = served or {}
    levels = []
    for priority in sorted({wanted.priority for wanted in queue}, reverse=True):
        level = [wanted for wanted in queue if wanted.priority == priority]
        level.sort(key=lambda wanted: latest.get(wanted.owner, -1))  # stable: an owner's jobs stay in their order
        levels.append(level)
    for ahead in (False, True) if claims_ahead else (False,):
        for level in levels:
            _fill(level, given, ahead=ahead)
    assignments = tuple(Assignment(job, resource, n) for (job, resource), n in given.tasks.items())
    return Plan(assignments, given.reasons)


# ---------------------------------------------------------------- what fits where


def misfits(wanted: Wanted, place: Place) -> list[str]:
    """Why a task of this job could never run there, or not at present; empty where it could."""
    return [*_estranged(wanted, place), *_misfits(wanted, place, place.name)]


def _estranged(wanted: Wanted, place: Place) -> list[str]:
    """Why it is nothing for this job's owner, though it is shared; empty where it is."""
    if not place.no_strangers or wanted.owner == place.owner:
        return []
    return [f"{place.name} runs its owner's programs only, for it has no sandbox: {place.no_strangers}"]


def welcome(wanted: Wanted, place: Place) -> bool:
    """Whether the job's owner may use it, and whose secrets it carries. Where not, its name is nothing to tell."""
    users = place.users
    return users is None or (wanted.owner in users and (not wanted.secrets_of or wanted.secrets_of in users))


def shortage(wanted: Wanted, place: Place) -> str | None:
    """Why one more task does not fit beside what the place has; None where only a slot may be wanting."""
    room = Room(place)
    if room.gpus < wanted.gpus:
        held = place.gpus - room.gpus
        return f"{held} of {place.gpus} gpu(s) of {place.name} are held; the task needs {wanted.gpus}"
    if room.beside(wanted, 1) < 1:
        held_bytes = _peak(room.loads, place.width)
        return (
            f"tasks on {place.name} hold {_gib(held_bytes)} of its {_gib(place.memory_bytes)} GiB of memory;"
            f" the task needs {_gib(wanted.memory_bytes)} GiB"
        )
    return None


def _misfits(wanted: Wanted, place: Place, name: str) -> Iterator[str]:
    if wanted.resources and place.id not in wanted.resources:
        yield f"the job was not sent to {name}"
    for key, value in sorted(wanted.labels):
        if not has_label(place.labels, key, value) and key in UNPROVIDED:
            yield f"{name} {UNPROVIDED[key]}"
        elif not has_label(place.labels, key, value):
            has = f"{key}={place.labels[key]}" if key in place.labels else f"no label {key}"
            asked = "it" if value == ANY_VALUE else f"{key}={value}"
            yield f"{name} has {has}; the application asks for {asked}"
    whose = f"no node of {name} has more than" if place.batch else f"{name} has"
    if wanted.nodes > 1:
        yield f"{name} runs tasks of one node; the task asks for {wanted.nodes}"
    if wanted.cpus > place.cpus:
        yield f"{whose} {place.cpus} cpus; the task needs {wanted.cpus}"
    if wanted.memory_bytes > place.memory_bytes:
        yield f"{whose} {_gib(place.memory_bytes)} GiB of memory; the task needs {_gib(wanted.memory_bytes)} GiB"
    if wanted.gpus > place.gpus:
        yield f"{name} has {place.gpus} gpus; the task needs {wanted.gpus}"
    if not place.reachable:
        yield f"{name} is unreachable"
    if place.draining:
        yield f"{name} is draining: it takes nothing new"


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f}"


def _peak(loads: Mapping[tuple[int, int], int], width: int) -> float:
    """The most memory that tasks of these (cpus, memory) may hold side by side, in bytes: never less than the truth."""
    peak, left = 0.0, width
    for (cpus, memory), n in sorted(loads.items(), key=lambda load: -load[0][1] / load[0][0]):
        if left <= 0:
            break
        used = min(min(n, max(1, width // cpus)) * cpus, left)
        peak += memory * used / cpus
        left -= used
    return peak


Needs = tuple[int, int, int, int, frozenset[str], frozenset[tuple[str, str]]]


class Room:
    """What is left of a place while a plan is made."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ahead = max(0, place.room)
        self.now = self.ahead if place.free is None else min(self.ahead, max(0, place.free))
        if not place.eager:
            self.ahead = self.now
        self.gpus = place.gpus - sum(load.gpus * load.n for load in place.loads)
        self.loads: dict[tuple[int, int], int] = {}
        for load in place.loads:
            if load.memory_bytes:
                self._load(load.cpus, load.memory_bytes, load.n)

    def size(self, wanted: Wanted) -> int:
        """How many of its slots one task takes."""
        return max(1, min(self.place.slots_of(wanted.cpus), self.place.width))

    def holds(self, wanted: Wanted, n: int, *, ahead: bool) -> int:
        """How many of ``n`` tasks it takes. Ahead, one larger than what is left still goes where it fits an empty place."""
        left, size = self.ahead if ahead else self.now, self.size(wanted)
        n = min(n, max(1, left // size) if ahead or self.place.free is None else left // size)
        return self.beside(wanted, n) if left > 0 and n > 0 else 0

    def beside(self, wanted: Wanted, n: int) -> int:
        """How many of ``n`` tasks fit by gpus and memory beside what it has."""
        if wanted.gpus:
            n = min(n, self.gpus // wanted.gpus)
        if not wanted.memory_bytes or n <= 0 or self.place.batch or self._fits(wanted, n):
            return max(0, n)
        low, high = 0, n  # ``low`` fit, ``high`` do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(wanted, middle) else (low, middle)
        return low

    def _fits(self, wanted: Wanted, n: int) -> bool:
        key = (self.size(wanted), wanted.memory_bytes)
        loads = {**self.loads, key: self.loads.get(key, 0) + n}
        return _peak(loads, self.place.width) <= self.place.memory_bytes

    def take(self, wanted: Wanted, n: int) -> None:
        size = self.size(wanted)
        self.ahead -= n * size
        self.now = max(0, self.now - n * size)
        self.gpus -= n * wanted.gpus
        if wanted.memory_bytes:
            self._load(wanted.cpus, wanted.memory_bytes, n)

    def _load(self, cpus: int, memory_bytes: int, n: int) -> None:
        key = (max(1, min(cpus, self.place.width)), memory_bytes)
        self.loads[key] = self.loads.get(key, 0) + n

    def preference(self, wanted: Wanted) -> tuple[bool, int, int]:
        """Smaller is better: memory free just now, then the bytes of its inputs that lie there, then the most room."""
        if not wanted.memory_bytes and not wanted.inputs:
            return False, 0, -self.ahead
        place = self.place
        tight = place.memory_free_bytes is not None and place.memory_free_bytes < wanted.memory_bytes
        held = sum(size for sha, size in wanted.inputs if place.near or sha in place.blobs)
        return tight, -held, -self.ahead


@dataclass(slots=True)
class _Given:
    """What a plan has given out so far. Jobs with the same needs fit, or do not, in the same places: that is asked once."""

    rooms: list[Room]
    tasks: defaultdict[tuple[JobId, ResourceId], int] = field(default_factory=lambda: defaultdict(int))
    reasons: dict[JobId, tuple[str, ...]] = field(default_factory=dict)
    fitting: dict[Needs, tuple[list[Room], dict[ResourceId, list[str]]]] = field(default_factory=dict)
    known: dict[tuple[Needs, str, str], tuple[list[Room], tuple[str, ...]]] = field(default_factory=dict)
    rooms_of: dict[JobId, list[Room]] = field(default_factory=dict)
    left: dict[JobId, int] = field(default_factory=dict)  # tasks of jobs that were looked at and wait still

    def fits(self, wanted: Wanted) -> list[Room]:
        """Where its tasks could run."""
        found = self.rooms_of.get(wanted.job)
        if found is None:
            found = self.rooms_of[wanted.job] = self._whose(wanted)[0]
        return found

    def why(self, wanted: Wanted) -> tuple[str, ...]:
        """Why any of its tasks would have to wait."""
        return self._whose(wanted)[1]

    def _whose(self, wanted: Wanted) -> tuple[list[Room], tuple[str, ...]]:
        """Jobs of one owner with the same needs fit, or do not, in the same places, and for the same reasons."""
        key = (_needs(wanted), wanted.owner, wanted.secrets_of)
        known = self.known.get(key)
        if known is None:
            fitting, wrong = self._by_needs(wanted)
            seen = [room.place for room in self.rooms if welcome(wanted, room.place)]
            strange = {place.id: _estranged(wanted, place) for place in seen}
            texts = [
                text
                for place in seen
                for text in [*strange[place.id], *wrong[place.id]] or [f"{place.name} has no free slot"]
            ]
            nothing = "no resource is shared with the job's owner" if self.rooms else "no resource is attached"
            rooms = [room for room in fitting if strange.get(room.place.id) == []]
            known = self.known[key] = rooms, tuple(texts) or (nothing,)
        return known

    def _by_needs(self, wanted: Wanted) -> tuple[list[Room], dict[ResourceId, list[str]]]:
        needs = _needs(wanted)
        found = self.fitting.get(needs)
        if found is None:
            wrong = {room.place.id: list(_misfits(wanted, room.place, room.place.name)) for room in self.rooms}
            found = self.fitting[needs] = ([room for room in self.rooms if not wrong[room.place.id]], wrong)
        return found


def _needs(wanted: Wanted) -> Needs:
    return wanted.cpus, wanted.memory_bytes, wanted.gpus, wanted.nodes, wanted.resources, wanted.labels


def _fill(level: list[Wanted], given: _Given, *, ahead: bool) -> None:
    """One round through the jobs of one priority."""
    turns: dict[str, deque[Wanted]] = {}
    for wanted in level:
        if given.left.get(wanted.job, wanted.n):
            turns.setdefault(wanted.owner, deque()).append(wanted)
    while turns:
        slots = sum(max(0, room.ahead if ahead else room.now) for room in given.rooms)
        if slots == 0:
            break
        quantum = max(1, slots // len(turns))  # slots that each owner may fill in this round
        for owner in list(turns):
            first = turns[owner].popleft()
            waiting = given.left.get(first.job, first.n)
            n = min(waiting, max(1, quantum // max(1, first.cpus)))
            wanting = _give(first, n, given, ahead=ahead)
            given.left[first.job] = waiting - n + wanting
            if wanting:
                given.reasons[first.job] = given.why(first)
            elif waiting > n:
                turns[owner].appendleft(first)
            else:
                given.reasons.pop(first.job, None)
            if not turns[owner]:
                del turns[owner]


def _give(wanted: Wanted, n: int, given: _Given, *, ahead: bool) -> int:
    """Gives out up to ``n`` tasks; returns how many found no place."""
    rooms = given.fits(wanted)
    if len(rooms) > 1:
        rooms = [room for room in rooms if (room.ahead if ahead else room.now) > 0]
        if len(rooms) > 1:
            rooms.sort(key=lambda room: room.preference(wanted))
    for room in rooms:
        taken = room.holds(wanted, n, ahead=ahead)
        if taken:
            given.tasks[wanted.job, room.place.id] += taken
            room.take(wanted, taken)
            n -= taken
        if n == 0:
            break
    return n
