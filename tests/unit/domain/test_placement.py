"""Who gets which slots: turns between owners, priorities, what fits where, and the words for what does not."""

import time
from dataclasses import replace

import pytest

from sirdar.domain.ids import JobId, ResourceId
from sirdar.domain.placement import Load, Place, Wanted, misfits, plan

GIB = 2**30
SMALL = Place(ResourceId("small"), "small", cpus=2, memory_bytes=4 * GIB, room=2)
LARGE = Place(ResourceId("large"), "large", cpus=16, memory_bytes=64 * GIB, gpus=1, room=16)


def wanted(job: str, owner: str = "anna", n: int = 1, **needs: object) -> Wanted:
    return Wanted(JobId(job), owner, n, **needs)  # type: ignore[arg-type]


def given(queue: list[Wanted], *places: Place, **more: object) -> dict[tuple[str, str], int]:
    decided = plan(queue, places, **more)  # type: ignore[arg-type]
    return {(item.job, item.resource): item.n for item in decided.assignments}


def room(place: Place, n: int) -> Place:
    return replace(place, room=n)


def test_nothing_is_given_where_nothing_waits_or_nobody_asks() -> None:
    assert given([], SMALL) == {}
    assert given([wanted("a")]) == {}
    assert given([wanted("a")], room(SMALL, 0)) == {}


def test_the_oldest_job_of_an_owner_goes_first() -> None:
    assert given([wanted("a"), wanted("b"), wanted("c")], SMALL) == {("a", "small"): 1, ("b", "small"): 1}


def test_owners_take_turns() -> None:
    queue = [wanted("a", n=100), wanted("b", n=100), wanted("c", "boris", n=100)]
    assert given(queue, LARGE) == {("a", "large"): 8, ("c", "large"): 8}


def test_of_a_batch_system_only_the_number_of_tasks_is_counted() -> None:
    cluster = Place(ResourceId("hpc"), "hpc", cpus=4, memory_bytes=4 * GIB, room=8, slots=8, batch=True)
    assert given([wanted("a", n=10, cpus=4, memory_bytes=3 * GIB)], cluster) == {("a", "hpc"): 8}
    busy = replace(cluster, loads=(Load(cpus=4, memory_bytes=4 * GIB, gpus=0, n=3),), room=5, free=5)
    assert given([wanted("a", n=10, memory_bytes=4 * GIB)], busy) == {("a", "hpc"): 5}
    assert misfits(wanted("a", cpus=5), cluster) == ["no node of hpc has more than 4 cpus; the task needs 5"]
    said = "no node of hpc has more than 4.0 GiB of memory; the task needs 5.0 GiB"
    assert misfits(wanted("a", memory_bytes=5 * GIB), cluster) == [said]


def test_what_one_owner_does_not_need_the_others_get() -> None:
    queue = [wanted("a", n=100), wanted("c", "boris", n=2)]
    assert given(queue, LARGE) == {("a", "large"): 14, ("c", "large"): 2}


def test_a_job_of_100_000_tasks_does_not_starve_another_users_single_task() -> None:
    queue = [wanted("sweep", n=100_000), wanted("one", "boris")]
    assert given(queue, SMALL) == {("sweep", "small"): 1, ("one", "small"): 1}
    served: dict[str, int] = {}
    shares = {"anna": 0, "boris": 0}
    queue = [wanted("sweep", n=100_000), wanted("other", "boris", n=100_000)]
    for tick in range(10):  # an agent that asks for one task at a time
        ((job, _),) = given(queue, room(SMALL, 1), served=served)
        owner = next(item.owner for item in queue if item.job == job)
        served[owner] = tick
        shares[owner] += 1
    assert shares == {"anna": 5, "boris": 5}


def test_turns_are_counted_in_slots_not_in_tasks() -> None:
    queue = [wanted("a", n=10, cpus=4), wanted("c", "boris", n=10)]
    assert given(queue, room(LARGE, 8)) == {("a", "large"): 1, ("c", "large"): 4}


def test_priority_comes_before_turns() -> None:
    queue = [wanted("a", n=3), wanted("b", "boris", priority=1), wanted("c", "boris", priority=-1)]
    assert given(queue, SMALL) == {("b", "small"): 1, ("a", "small"): 1}


def test_work_goes_where_most_room_is() -> None:
    assert given([wanted("a", n=18)], SMALL, LARGE) == {("a", "large"): 16, ("a", "small"): 2}


def test_what_fits_nowhere_does_not_hold_up_the_rest() -> None:
    queue = [wanted("huge", cpus=64), wanted("gpu", gpus=1), wanted("a")]
    decided = plan(queue, [SMALL])
    assert {item.job for item in decided.assignments} == {"a"}
    assert decided.reasons["huge"] == ("small has 2 cpus; the task needs 64",)  # type: ignore[index]
    assert given(queue, SMALL, LARGE) == {("gpu", "large"): 1, ("a", "large"): 1}


def test_a_task_larger_than_the_room_left_goes_to_a_place_that_holds_it_when_empty() -> None:
    assert given([wanted("a", cpus=8)], room(LARGE, 2)) == {("a", "large"): 1}
    assert given([wanted("a", n=9, cpus=8)], room(LARGE, 9)) == {("a", "large"): 2}, "one more than fits, not all"


def test_tasks_are_packed_by_their_cpus() -> None:
    assert given([wanted("a", n=9, cpus=4)], LARGE) == {("a", "large"): 4}


def test_only_chosen_resources_are_used() -> None:
    assert given([wanted("a", resources=frozenset({"small"}))], SMALL, LARGE) == {("a", "small"): 1}


def test_one_job_is_given_to_several_places_and_counted_once_each() -> None:
    assert sum(given([wanted("a", n=10)], room(SMALL, 2), room(LARGE, 3)).values()) == 5


def test_what_is_left_of_a_job_that_fitted_in_part_says_why() -> None:
    decided = plan([wanted("a", n=5)], [SMALL])
    assert sum(item.n for item in decided.assignments) == 2


@pytest.mark.parametrize(
    ("needs", "place", "words"),
    [
        ({}, SMALL, []),
        ({"resources": frozenset({"large"})}, SMALL, ["the job was not sent to small"]),
        ({"nodes": 2}, SMALL, ["small runs tasks of one node; the task asks for 2"]),
        ({"cpus": 3}, SMALL, ["small has 2 cpus; the task needs 3"]),
        ({"memory_bytes": 8 * GIB}, SMALL, ["small has 4.0 GiB of memory; the task needs 8.0 GiB"]),
        ({"gpus": 1}, SMALL, ["small has 0 gpus; the task needs 1"]),
        ({}, replace(SMALL, reachable=False), ["small is unreachable"]),
        ({}, replace(SMALL, draining=True), ["small is draining: it takes nothing new"]),
        (
            {"cpus": 3, "gpus": 1},
            SMALL,
            ["small has 2 cpus; the task needs 3", "small has 0 gpus; the task needs 1"],
        ),
    ],
)
def test_misfits_say_what_is_missing(needs: dict[str, object], place: Place, words: list[str]) -> None:
    assert misfits(wanted("a", **needs), place) == words  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["fits", "misfits", "owners", "no room"])
def test_a_thousand_jobs_are_planned_in_a_few_ms(kind: str) -> None:
    owners = 100 if kind == "owners" else 3
    queue = [wanted(f"j{n}", f"u{n % owners}", n=2, cpus=99 if kind == "misfits" else 1) for n in range(1000)]
    places = [Place(ResourceId(f"r{n}"), f"r{n}", 16, GIB, room=0 if kind == "no room" else 64) for n in range(4)]
    times = []
    for _ in range(7):
        began = time.perf_counter()
        plan(queue, places)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1, f"{kind}: {min(times) * 1000:.1f} ms"  # 3 to 6 where nothing else runs


def test_a_place_without_a_sandbox_is_for_its_owner_alone() -> None:
    home = Place(ResourceId("a"), "desk", 2, GIB, room=2, owner="anna", no_strangers="bubblewrap is not installed")
    lab = Place(ResourceId("b"), "lab", 2, GIB, room=1, owner="boris")
    jobs = [Wanted(JobId("j1"), "anna", 1), Wanted(JobId("j2"), "carl", 2)]
    decided = plan(jobs, [home, lab])
    assert {(given.job, given.resource) for given in decided.assignments} == {("j1", "a"), ("j2", "b")}
    assert decided.reasons["j2"] == (
        "desk runs its owner's programs only, for it has no sandbox: bubblewrap is not installed",
        "lab has no free slot",
    )
    assert misfits(jobs[1], home) == [decided.reasons["j2"][0]] and not misfits(jobs[0], home)


def test_an_environment_that_a_place_cannot_provide() -> None:
    place = Place(ResourceId("a"), "desk", 2, GIB, room=2)
    wanted = Wanted(JobId("j1"), "anna", 1, labels=frozenset({("environment-image", "*")}))
    assert misfits(wanted, place) == ["desk runs no containers; the application asks for an image"]
    assert not misfits(wanted, replace(place, labels={"environment-image": "podman 4.3.1"}))
