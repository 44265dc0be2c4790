"""What holds of every plan, whatever waits and whoever asks; and which accepted work is asked back."""

import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.ids import AttemptKey, JobId, ResourceId
from sirdar.domain.moving import Behind, moves
from sirdar.domain.placement import Load, Place, Plan, Wanted, misfits, plan, shortage, welcome

USERS = ("anna", "boris", "clara")
JOB = JobId("j000000000000000")


@st.composite
def places(draw: st.DrawFn) -> list[Place]:
    found = []
    for no in range(draw(st.integers(1, 4))):
        cpus = draw(st.integers(1, 6))
        slots = draw(st.integers(1, cpus))
        gpus, memory = draw(st.integers(0, 3)), draw(st.integers(1, 12))
        loads = draw(
            st.lists(st.builds(Load, st.integers(1, 2), st.just(0), st.just(0), st.integers(1, 2)), max_size=2)
        )
        found.append(
            Place(
                ResourceId(f"r{no}"),
                f"r{no}",
                cpus,
                memory,
                gpus,
                room=draw(st.integers(0, 2 * slots)),
                slots=slots,
                free=max(0, slots - sum(load.cpus * load.n for load in loads)),
                loads=tuple(loads),
                draining=draw(st.booleans()) and draw(st.booleans()),
                users=draw(st.none() | st.frozensets(st.sampled_from(USERS), min_size=1)),
                labels=draw(st.dictionaries(st.sampled_from(["site"]), st.sampled_from(["a", "b"]))),
                blobs=draw(st.frozensets(st.sampled_from(["x", "y"]))),
            )
        )
    return found


@st.composite
def queues(draw: st.DrawFn, *, plain: bool = False) -> list[Wanted]:
    found = []
    for no in range(draw(st.integers(0, 8))):
        wanted = Wanted(
            JobId(f"j{no}"),
            draw(st.sampled_from(USERS)),
            draw(st.integers(1, 6)),
            inputs=draw(st.sampled_from([(), (("x", 5),), (("x", 5), ("y", 9))])),
        )
        if not plain:
            wanted = replace(
                wanted,
                cpus=draw(st.integers(1, 4)),
                memory_bytes=draw(st.integers(0, 6)),
                gpus=draw(st.integers(0, 2)),
                priority=draw(st.integers(-1, 1)),
                resources=draw(st.frozensets(st.sampled_from(["r0", "r1"]), max_size=1)),
                labels=draw(st.sampled_from([frozenset(), frozenset({("site", "a")})])),
                secrets_of=draw(st.sampled_from(["", "clara"])),
            )
        found.append(wanted)
    return found


def counts(decided: Plan) -> Counter[tuple[str, str]]:
    return Counter({(one.job, one.resource): one.n for one in decided.assignments})


def size(wanted: Wanted, place: Place) -> int:
    return min(wanted.cpus, place.width)


def most_memory(tasks: list[tuple[int, int]], width: int) -> int:
    """The most that any set of these (cpus, memory) holds which may run side by side: the exact answer."""
    best = [0] * (width + 1)
    for cpus, memory in tasks:
        for free in range(width, cpus - 1, -1):
            best[free] = max(best[free], best[free - cpus] + memory)
    return best[width]


def check_one_plan(queue: list[Wanted], found: list[Place]) -> None:
    given_out = counts(plan(queue, found))
    jobs, by_id = {wanted.job: wanted for wanted in queue}, {place.id: place for place in found}
    for (job, resource), n in given_out.items():
        wanted, place = jobs[JobId(job)], by_id[ResourceId(resource)]
        assert n > 0 and not misfits(wanted, place) and welcome(wanted, place)
    for wanted in queue:
        assert sum(n for (job, _), n in given_out.items() if job == wanted.job) <= wanted.n
    for place in found:
        mine = [(jobs[JobId(job)], n) for (job, resource), n in given_out.items() if resource == place.id]
        slots = sum(size(wanted, place) * n for wanted, n in mine)
        assert slots < max(1, place.room + max((size(wanted, place) for wanted, _ in mine), default=1))
        assert sum(wanted.gpus * n for wanted, n in mine) <= place.gpus
        tasks = [(size(wanted, place), wanted.memory_bytes) for wanted, n in mine for _ in range(n)]
        assert most_memory(tasks, place.width) <= place.memory_bytes


@given(queues(), places())
def test_nothing_is_given_out_that_is_not_there(queue: list[Wanted], found: list[Place]) -> None:
    check_one_plan(queue, found)


@given(queues(), places(), st.integers(2, 4))
def test_nor_over_several_rounds(queue: list[Wanted], found: list[Place], rounds: int) -> None:
    """What a place has been given counts in the next round, though it asks for more each time."""
    total: Counter[tuple[str, str]] = Counter()
    jobs = {wanted.job: wanted for wanted in queue}
    for _ in range(rounds):
        now = counts(plan(queue, found))
        total += now
        queue = [
            replace(wanted, n=n)
            for wanted in queue
            if (n := wanted.n - sum(more for (job, _), more in now.items() if job == wanted.job)) > 0
        ]
        found = [
            replace(
                place,
                loads=(*place.loads, *_loads(now, jobs, place)),
                free=max(0, (place.free or 0) - sum(load.cpus * load.n for load in _loads(now, jobs, place))),
            )
            for place in found
        ]
    for place in found:
        mine = [(jobs[JobId(job)], n) for (job, resource), n in total.items() if resource == place.id]
        assert sum(wanted.gpus * n for wanted, n in mine) <= place.gpus
        tasks = [(size(wanted, place), wanted.memory_bytes) for wanted, n in mine for _ in range(n)]
        assert most_memory(tasks, place.width) <= place.memory_bytes


def _loads(now: Counter[tuple[str, str]], jobs: dict[JobId, Wanted], place: Place) -> list[Load]:
    mine = [(jobs[JobId(job)], n) for (job, resource), n in now.items() if resource == place.id]
    return [Load(size(wanted, place), wanted.memory_bytes, wanted.gpus, n) for wanted, n in mine]


@given(queues(), places())
def test_no_room_is_left_to_a_task_that_fits_and_none_goes_before_a_higher_priority(
    queue: list[Wanted], found: list[Place]
) -> None:
    given_out = counts(plan(queue, found))
    jobs = {wanted.job: wanted for wanted in queue}
    for wanted in queue:
        left = wanted.n - sum(n for (job, _), n in given_out.items() if job == wanted.job)
        if not left or wanted.cpus > 1 or wanted.memory_bytes:
            continue
        for place in found:
            if misfits(wanted, place) or not welcome(wanted, place):
                continue
            mine = [(jobs[JobId(job)], n) for (job, resource), n in given_out.items() if resource == place.id]
            slots = sum(size(other, place) * n for other, n in mine)
            gpus = place.gpus - sum(other.gpus * n for other, n in mine)
            assert slots >= place.room or gpus < wanted.gpus, f"{wanted} could go to {place}"
            if not wanted.gpus:
                assert all(other.priority >= wanted.priority for other, _ in mine)


@given(st.integers(1, 5), st.integers(1, 64), st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_owners_get_the_same_within_one(owners: int, room: int, turns: list[int]) -> None:
    queue = [Wanted(JobId(f"j{no}"), f"u{no}", 1000) for no in range(owners)]
    served = {f"u{no}": turn for no, turn in enumerate(turns)}
    place = Place(ResourceId("r"), "r", 64, 1, room=room, free=room // 2)
    shares = list(counts(plan(queue, [place], served)).values())
    shares += [0] * (owners - len(shares))
    assert sum(shares) == room and max(shares) - min(shares) <= 2, "one in each of the two rounds"


@given(queues(plain=True), places())
def test_where_inputs_lie_decides_only_between_places(queue: list[Wanted], found: list[Place]) -> None:
    found = [replace(place, users=None, draining=False) for place in found]
    near, anywhere = plan(queue, found), plan([replace(wanted, inputs=()) for wanted in queue], found)

    def by_job(decided: Plan) -> Counter[str]:
        per_job: Counter[str] = Counter()
        for one in decided.assignments:
            per_job[one.job] += one.n
        return per_job

    assert by_job(near) == by_job(anywhere)


def place(name: str, **more: object) -> Place:
    return replace(Place(ResourceId(name), name, 4, 8, room=8, free=4), **more)  # type: ignore[arg-type]


def test_a_task_goes_where_most_of_its_inputs_lie_among_those_with_a_free_slot() -> None:
    wanted = Wanted(JOB, "anna", 1, inputs=(("x", 5), ("y", 9)))
    holds_x, holds_y = place("holds-x", blobs=frozenset({"x"})), place("holds-y", room=1, blobs=frozenset({"y"}))
    empty = place("empty", room=64)
    assert counts(plan([wanted], [empty, holds_x, holds_y])) == {(JOB, "holds-y"): 1}
    assert counts(plan([wanted], [empty, holds_x, replace(holds_y, free=0)])) == {(JOB, "holds-x"): 1}, "not to wait"
    assert counts(plan([wanted], [holds_y, place("server", near=True)])) == {(JOB, "server"): 1}


def test_free_slots_are_filled_before_anything_is_claimed_ahead() -> None:
    wanted = Wanted(JOB, "anna", 6)
    assert counts(plan([wanted], [place("a", room=8, free=1), place("b", room=5, free=4)])) == {
        (JOB, "a"): 2,
        (JOB, "b"): 4,
    }
    assert counts(plan([wanted], [place("a", room=8, free=1, eager=False)])) == {(JOB, "a"): 1}


def test_a_machine_short_of_memory_just_now_comes_last() -> None:
    wanted = Wanted(JOB, "anna", 1, memory_bytes=4)
    tight, roomy = place("tight", memory_free_bytes=1, room=64), place("roomy", memory_free_bytes=6)
    assert counts(plan([wanted], [tight, roomy])) == {(JOB, "roomy"): 1}
    assert counts(plan([wanted], [tight])) == {(JOB, "tight"): 1}


def test_who_is_not_welcome_is_told_no_name() -> None:
    theirs = place("theirs", users=frozenset({"boris"}))
    decided = plan([Wanted(JOB, "anna", 1)], [theirs])
    assert decided.reasons == {JOB: ("no resource is shared with the job's owner",)} and not decided.assignments
    secret = Wanted(JOB, "boris", 1, secrets_of="clara")
    assert not plan([secret], [theirs]).assignments
    assert plan([secret], [replace(theirs, users=frozenset({"boris", "clara"}))]).assignments


@pytest.mark.parametrize(
    ("needs", "loads", "words"),
    [
        ({"gpus": 2}, (Load(1, 0, 1, 2),), "2 of 3 gpu(s) of lab are held; the task needs 2"),
        ({"gpus": 1}, (Load(1, 0, 1, 2),), None),
        ({"memory_bytes": 3}, (Load(1, 3, 0, 2),), "tasks on lab hold 0.0 of its 0.0 GiB of memory"),
        ({"memory_bytes": 2}, (Load(1, 3, 0, 2),), None),
        ({"memory_bytes": 3}, (Load(4, 6, 0, 9),), None),  # nine wait in turn, and one at a time runs
    ],
)
def test_what_is_short_is_named(needs: dict[str, int], loads: tuple[Load, ...], words: str | None) -> None:
    found = shortage(Wanted(JOB, "anna", 1, **needs), place("lab", gpus=3, loads=loads))  # type: ignore[arg-type]
    assert found == words if words is None else found is not None and found.startswith(words)


def test_a_thousand_jobs_and_fifty_places_are_planned_in_time() -> None:
    queue = [
        Wanted(
            JobId(f"j{n}"), f"u{n % 40}", 3, memory_bytes=n % 7, labels=frozenset({("site", "a")}), inputs=(("x", n),)
        )
        for n in range(1000)
    ]
    found = [
        Place(
            ResourceId(f"r{n}"),
            f"r{n}",
            16,
            100,
            room=32,
            free=16,
            labels={"site": "a"},
            users=frozenset(f"u{m}" for m in range(40)),
            loads=(Load(1, 1, 0, 3),),
        )
        for n in range(50)
    ]
    times = []
    for _ in range(3):
        began = time.perf_counter()
        plan(queue, found)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5, f"{min(times) * 1000:.0f} ms"


# ---------------------------------------------------------------- moving


def behind(no: int, resource: str = "busy", **more: object) -> Behind:
    one = Behind(AttemptKey(JOB, no, 1), ResourceId(resource), Wanted(JOB, "anna", 1), accepted_at=float(no))
    return replace(one, **more)  # type: ignore[arg-type]


BUSY = place("busy", loads=(Load(1, 0, 0, 7),), free=0, room=0)  # four run, three wait
IDLE = place("idle", room=4, free=2)


def asked(held: list[Behind], *idle: Place, busy: Place = BUSY) -> list[int]:
    return [key.task for key in moves(held, {busy.id: busy}, idle)]


def test_as_many_as_can_start_elsewhere_are_asked_back_the_newest_first() -> None:
    held = [behind(no) for no in (5, 6, 7)]
    assert asked(held, IDLE) == [7, 6]
    assert asked(held, IDLE, place("other", room=8)) == [7, 6, 5], "no more than wait"
    assert asked([*held, behind(8)], place("other", room=8)) == [8, 7, 6], "those for which there are slots stay"
    assert asked(held) == [] == asked(held, replace(IDLE, free=0))


def test_nothing_is_asked_of_a_resource_that_has_a_slot_for_it() -> None:
    assert asked([behind(1)], IDLE, busy=replace(BUSY, loads=(Load(1, 0, 0, 4),))) == []


def test_one_that_was_asked_for_keeps_its_slot() -> None:
    assert asked([behind(5), behind(6, asked=True), behind(7)], IDLE) == [7]


def test_only_what_may_run_there_is_asked_for() -> None:
    anna, boris = behind(5), behind(6, wanted=Wanted(JOB, "boris", 1))
    assert asked([anna, boris], replace(IDLE, users=frozenset({"anna"}))) == [5]
    large = behind(7, wanted=Wanted(JOB, "anna", 1, cpus=3))
    assert asked([large, anna], IDLE) == [5]


def test_what_waits_for_no_files_goes_first() -> None:
    assert asked([behind(5), behind(6, fetching=True), behind(7, fetching=True)], replace(IDLE, free=1)) == [5]
