"""The bounded directory of environments, and one making for all who wait: no tool is run here."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from sirdar.agent.environments.base import EnvironmentFailed, Ready
from sirdar.agent.environments.builds import Builds
from sirdar.agent.environments.store import EnvironmentStore, disk_bytes

KIB = 1024
ONE, TWO, THREE = ("sha256:" + letter * 64 for letter in "abc")


def make(store: EnvironmentStore, key: str, size_bytes: int = 0) -> Ready:
    draft = store.begin(key)
    (draft.folder / "bin").mkdir(parents=True)
    (draft.folder / "bin" / "python").write_bytes(b"x" * size_bytes)
    ready = Ready(key, {"VIRTUAL_ENV": str(draft.folder)}, [f"{draft.folder}/bin"], [str(draft.folder)])
    return store.publish(draft, ready, [draft.folder / "bin", draft.folder / "bin" / "python"], {"kind": "test"})


def open_store(root: Path, most_bytes: int = 1 << 30, boot: str = "this") -> EnvironmentStore:
    return EnvironmentStore(root, most_bytes, boot=boot, in_use_s=0.0)


def folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()} - {"cache"}


def test_what_was_made_is_found_now_and_by_the_next_agent(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ready = make(store, ONE)
    assert store.find(ONE) == ready and store.find(TWO) is None
    again = open_store(tmp_path).find(ONE)
    assert again == ready
    assert json.loads((tmp_path / ("a" * 20 + ".json")).read_text())["about"] == {"kind": "test"}


def test_what_was_not_finished_is_not_found_and_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    draft = store.begin(ONE)
    (draft.folder / "bin").mkdir(parents=True)
    assert store.find(ONE) is None
    store.collect()
    assert draft.folder.is_dir() and draft.build.is_dir(), "it is being made"
    later = open_store(tmp_path)
    assert later.find(ONE) is None
    later.collect()
    assert folders(tmp_path) == set()


def test_a_tool_that_outlives_its_agent_is_ended_by_the_next(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    draft = store.begin(ONE)
    tool = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        store.note_builder(draft, tool.pid)
        other = store.begin(TWO)
        (other.build / "builder").write_text(f"{stranger.pid} 1 this")  # a process id that was given to another since
        open_store(tmp_path)
        assert tool.wait(10) == -9
        assert stranger.poll() is None
    finally:
        for process in (tool, stranger):
            process.kill()
            process.wait()


def test_what_is_changed_or_removed_by_hand_is_noticed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    folder = Path(make(store, ONE).env["VIRTUAL_ENV"])
    (folder / "bin" / "pip").touch()
    assert store.find(ONE) is None and store.find(ONE) is None
    folder = Path(make(store, ONE).env["VIRTUAL_ENV"])
    (folder / "bin" / "python").unlink()
    assert store.find(ONE) is None
    make(store, ONE)
    assert store.find(ONE) is not None
    store.collect()
    assert len(folders(tmp_path)) == 1, "what it replaced is gone"
    for path in tmp_path.glob("*.json"):
        path.write_text("{}")
    assert open_store(tmp_path).find(ONE) is None


def test_what_tasks_use_stays_also_when_it_was_replaced(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = Path(make(store, ONE).env["VIRTUAL_ENV"])
    store.hold(ONE)
    (before / "bin" / "new").touch()
    assert store.find(ONE) is None
    make(store, ONE)
    store.collect()
    assert before.is_dir()
    store.release(ONE)
    store.collect()
    assert not before.exists() and store.find(ONE) is not None


def test_the_least_recently_used_goes_and_what_is_held_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path, most_bytes=350 * KIB)
    for key in (ONE, TWO, THREE):
        make(store, key, 100 * KIB)
    store.find(ONE)
    store.collect()
    assert all(map(store.find, (ONE, TWO, THREE))), "there is room for them"
    store.find(ONE)
    store.hold(TWO)
    fourth = "sha256:" + "d" * 64
    make(store, fourth, 100 * KIB)
    store.collect()
    assert store.find(THREE) is None, "used before the others, and by nobody"
    assert store.find(TWO) is not None, "held"
    assert store.size_bytes <= 350 * KIB
    assert len(folders(tmp_path)) == len([key for key in (ONE, TWO, THREE, fourth) if store.find(key)])


def test_what_is_held_may_go_once_it_is_released(tmp_path: Path) -> None:
    store = open_store(tmp_path, most_bytes=100 * KIB)
    make(store, ONE, 200 * KIB)
    store.hold(ONE)
    store.hold(ONE)
    store.collect()
    store.release(ONE)
    store.collect()
    assert store.find(ONE) is not None
    store.release(ONE)
    store.collect()
    assert store.find(ONE) is None and folders(tmp_path) == set()


def test_what_was_just_asked_for_is_about_to_be_used(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path, 10 * KIB, boot="this", in_use_s=600.0)
    make(store, ONE, 100 * KIB)
    store.collect()
    assert store.find(ONE) is not None


def test_the_last_use_is_known_to_the_next_agent(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for key in (ONE, TWO):
        make(store, key, 100 * KIB)
    marks = {key: tmp_path / (key[7:27] + ".json") for key in (ONE, TWO)}
    now = time.time()
    os.utime(marks[ONE], (now - 5000, now - 5000))
    os.utime(marks[TWO], (now - 9000, now - 9000))
    later = open_store(tmp_path, most_bytes=150 * KIB)
    later.collect()
    assert later.find(TWO) is None and later.find(ONE) is not None
    assert marks[ONE].stat().st_mtime > now - 60, "asking is using"


def test_caches_go_first_and_links_into_them_count_once(tmp_path: Path) -> None:
    store = open_store(tmp_path, most_bytes=250 * KIB)
    package = store.cache / "package"
    package.write_bytes(b"p" * 100 * KIB)
    draft = store.begin(ONE)
    (draft.folder / "bin").mkdir(parents=True)
    os.link(package, draft.folder / "bin" / "package")
    store.publish(draft, Ready(ONE), [draft.folder / "bin"], {})
    store.collect()
    assert 100 * KIB <= store.size_bytes < 200 * KIB and package.exists()
    (store.cache / "other").write_bytes(b"o" * 200 * KIB)
    draft = store.begin(TWO)  # while a tool may read there, it stays
    store.collect()
    assert package.exists() and store.find(ONE) is not None
    store.discard(draft)
    make(store, THREE)
    store.collect()
    assert not package.exists() and store.cache.is_dir()
    assert store.find(ONE) is not None and store.find(THREE) is not None
    assert disk_bytes(tmp_path) < 200 * KIB


def test_what_a_power_cut_may_have_spoilt_is_made_again(tmp_path: Path) -> None:
    store = open_store(tmp_path, boot="monday")
    make(store, ONE)
    assert open_store(tmp_path, boot="monday").find(ONE) is not None
    assert open_store(tmp_path, boot="tuesday").find(ONE) is None
    store = open_store(tmp_path, boot="monday")
    make(store, TWO)
    store.collect()  # by now the disk has it
    assert open_store(tmp_path, boot="tuesday").find(TWO) is not None


def test_an_environment_that_was_moved_with_its_home_is_made_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a")
    make(store, ONE)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert open_store(tmp_path / "b").find(ONE) is None


def test_of_two_that_were_made_at_once_the_first_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    late = store.begin(ONE)
    (late.folder / "bin").mkdir(parents=True)
    first = make(store, ONE)
    assert store.publish(late, Ready(ONE), [late.folder / "bin"], {}) == first
    assert not late.folder.exists() and store.find(ONE) == first


# ---------------------------------------------------------------- one making for all


def test_all_who_wait_share_one_making_and_hear_of_it() -> None:
    async def story() -> None:
        builds, made, go, heard = Builds[Ready](60.0), 0, asyncio.Event(), []

        async def build(say: object) -> Ready:
            nonlocal made
            made += 1
            say("one")  # type: ignore[operator]
            say("two")  # type: ignore[operator]
            await go.wait()
            return Ready(ONE)

        async def slow(text: str) -> None:
            heard.append(text)

        waiters = [asyncio.create_task(builds.share(ONE, build, slow if no % 2 else heard.append)) for no in range(6)]
        async with asyncio.timeout(10):
            while heard.count("two") < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            waiters[0].cancel()
            go.set()
            assert await asyncio.gather(*waiters[1:]) == [Ready(ONE)] * 5
        assert made == 1 and heard.count("one") <= 6

    asyncio.run(story())


def test_what_nobody_waits_for_any_more_is_ended_and_begun_anew_for_the_next() -> None:
    async def story() -> None:
        builds, began, ended = Builds[Ready](60.0), 0, 0

        async def build(say: object) -> Ready:
            nonlocal began, ended
            began += 1
            try:
                if began == 1:
                    await asyncio.Event().wait()
            finally:
                ended += 1
            return Ready(ONE)

        def hear(text: str) -> None:
            pass

        waiters = [asyncio.create_task(builds.share(ONE, build, hear)) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await asyncio.wait(waiters[:1])
        assert (began, ended) == (1, 0), "the other still waits"
        waiters[1].cancel()
        await asyncio.wait(waiters[1:])
        async with asyncio.timeout(10):
            assert await builds.share(ONE, build, hear) == Ready(ONE)
        assert (began, ended) == (2, 2)

    asyncio.run(story())


def test_a_failure_is_told_to_all_and_remembered_shortly() -> None:
    async def story() -> None:
        made = 0

        async def build(say: object) -> Ready:
            nonlocal made
            made += 1
            await asyncio.sleep(0)
            raise EnvironmentFailed("no such package", log="the log", transient=made > 1)

        async def ask(builds: Builds) -> EnvironmentFailed:
            with pytest.raises(EnvironmentFailed) as caught:
                await builds.share(ONE, build, lambda text: None)
            return caught.value

        builds = Builds(600.0)
        faults = await asyncio.gather(*(ask(builds) for _ in range(3)))
        faults.append(await ask(builds))
        assert made == 1
        assert {(str(fault), fault.log, fault.transient) for fault in faults} == {("no such package", "the log", False)}
        assert len({id(fault) for fault in faults}) == 4, "each has its own traceback"
        builds = Builds(0.0)  # not for ever
        await ask(builds)
        assert (await ask(builds)).transient
        assert made == 3

    asyncio.run(story())


def test_a_fault_of_the_system_is_nobodys_memory() -> None:
    async def story() -> None:
        builds, made = Builds(600.0), 0

        async def build(say: object) -> Ready:
            nonlocal made
            made += 1
            if made == 1:
                raise OSError(28, "No space left on device")
            return Ready(ONE)

        with pytest.raises(OSError, match="No space left"):
            await builds.share(ONE, build, lambda text: None)
        assert await builds.share(ONE, build, lambda text: None) == Ready(ONE)

    asyncio.run(story())
