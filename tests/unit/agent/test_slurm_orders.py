"""What the agent and the nodes write for each other on the disk that they share."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sirdar.agent.executors.slurm.node import claim
from sirdar.agent.executors.slurm.node.files import read_json, write_json
from sirdar.agent.executors.slurm.orders import AGENT, Order, Orders, batch_script
from sirdar.agent.executors.slurm.pilot_folders import PilotFolders


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    made = Orders(tmp_path, sys.executable)
    made.make()
    return made


@pytest.fixture
def folders(tmp_path: Path) -> PilotFolders:
    made = PilotFolders(tmp_path, sys.executable)
    made.make()
    return made


def write(orders: Orders, *keys: str) -> Order:
    return orders.write({key: {"task": {"id": key}, "base": {}} for key in keys}, ["--nodes=1"], limit=False)


# ---------------------------------------------------------------- claims


def test_of_the_agent_and_a_node_exactly_one_has_a_task(orders: Orders) -> None:
    for number in range(40):
        order = write(orders, f"k{number}")
        path = f"{order.folder}/claim-0"
        won: list[str] = []
        start = threading.Barrier(4)

        def agent(order: Order = order, won: list[str] = won, start: threading.Barrier = start) -> None:
            start.wait()
            if orders.claim(order, 0):
                won.append(AGENT)

        def node(who: str, path: str = path, won: list[str] = won, start: threading.Barrier = start) -> None:
            start.wait()
            if claim.take(path, who):
                won.append(who)

        several = [threading.Thread(target=agent) for _ in range(2)]  # its loops ask for it side by side
        several += [threading.Thread(target=node, args=(who,)) for who in ("job 17", "job 18")]
        for one in several:
            one.start()
        for one in several:
            one.join()
        assert won in ([AGENT, AGENT], ["job 17"], ["job 18"]) and claim.owner(path) == won[0]
        assert sorted(os.listdir(order.folder)) == ["claim-0", "order.json", "task-0.json"], "no draft is left"


def test_a_claim_outlives_the_answer_that_was_lost(orders: Orders) -> None:
    order = write(orders, "a")
    path = f"{order.folder}/claim-0"
    assert claim.take(path, "job 17") and not orders.claim(order, 0)
    assert orders.is_claimed(order, 0) and orders.dropped_by(order, 0) is None
    assert orders.claimed_job(order) == "17"


def test_where_the_folder_is_gone_nobody_gets_it(orders: Orders) -> None:
    order = write(orders, "a")
    orders.forget(order, 0)
    assert not order.folder.exists()
    assert not claim.take(f"{order.folder}/claim-0", "job 17") and not orders.claim(order, 0)


def test_the_member_of_an_array_claims_for_its_job(orders: Orders) -> None:
    order = write(orders, "a", "b")
    assert orders.claimed_job(order) == ""
    assert orders.claim(order, 0) and orders.claimed_job(order) == "", "the agent's own says nothing of a job"
    assert claim.take(f"{order.folder}/claim-1", "job 17_1") and orders.claimed_job(order) == "17"
    assert [orders.dropped_by(order, index) for index in (0, 1)] == ["withdraw", None]
    orders.note_stop(order, 0, 3.0)
    assert orders.dropped_by(order, 0) == "stop" and read_json(f"{order.folder}/stop-0") == {"grace": 3.0}


# ---------------------------------------------------------------- orders


def test_orders_are_found_again(orders: Orders) -> None:
    first, second = write(orders, "a"), write(orders, "b", "c")
    assert (first.job_of(0), second.job_of(1)) == ("", "")
    second.job = "18"
    orders.note_job(second)
    found = orders.load()
    assert [(one.name, one.keys, one.job, one.unsure) for one in found] == [
        ("a", ["a"], "", True), ("b", ["b", "c"], "18", False),
    ]  # fmt: skip
    assert found[1].job_of(1) == "18_1"
    command = found[1].command(orders.script)
    assert command[:2] == ["--nodes=1", f"--chdir={second.folder}"] and "--array=0-1" in command
    assert command[-2:] == [str(orders.script), str(second.folder)]


@pytest.mark.parametrize("text", ["", "{", "17", "null", '{"job":"17"}'])
def test_an_order_whose_number_cannot_be_read_is_asked_for(orders: Orders, text: str) -> None:
    (write(orders, "a").folder / "job").write_text(text)
    assert [(one.job, one.unsure) for one in orders.load()] == [("", True)]


def test_an_order_that_was_not_written_whole_was_not_submitted(orders: Orders) -> None:
    half, broken = write(orders, "a"), write(orders, "b")
    (half.folder / "order.json").unlink()
    (broken.folder / "order.json").write_text("{")
    assert orders.load() == [] and not half.folder.exists()
    assert broken.folder.exists(), "a node may run it"


def test_only_its_owner_may_read_what_a_task_is_given(orders: Orders) -> None:
    order = write(orders, "a")
    for path in (orders.root, orders.records, order.folder):
        assert path.stat().st_mode & 0o077 == 0
    assert (order.folder / "task-0.json").stat().st_mode & 0o077 == 0


def test_an_order_lives_until_the_last_of_it_is_written_down(orders: Orders) -> None:
    order = write(orders, "a", "b")
    (orders.records / "a.ended").write_text("{}")
    orders.forget(order, 0)
    assert not orders.is_open(order, 0) and orders.is_open(order, 1) and not (orders.records / "a.ended").exists()
    orders.forget(order, 1)
    orders.forget(order, 1)
    assert not order.folder.exists()


RECORD: dict[str, Any] = {"id": "a", "at": 1.0, "ended": 2.0, "code": 0, "by": None}


def test_a_record_is_whole_or_none(orders: Orders) -> None:
    write_json(f"{orders.records}/a.ended", RECORD)
    assert orders.record("a.ended") == RECORD and orders.record("b.ended") is None
    for missing in RECORD:
        write_json(f"{orders.records}/a.ended", {name: one for name, one in RECORD.items() if name != missing})
        assert orders.record("a.ended") is None
    for text in ("", "{", "[]", "null"):
        (orders.records / "a.begun").write_text(text)
        assert orders.record("a.begun") is None
    assert orders.record("a.other") is None


def test_the_last_line_of_what_the_job_wrote(orders: Orders) -> None:
    order = write(orders, "a")
    assert orders.output(order, 0) == ""
    (order.folder / "output-0").write_bytes(b"first\nslurmstepd: error: no \xff memory\n \n")
    assert orders.output(order, 0) == "slurmstepd: error: no � memory"


def test_the_script_takes_any_path() -> None:
    script = batch_script("/opt/py'thon 3/bin/python", "one", '"$1"')
    assert "python='/opt/py'\\''thon 3/bin/python'\n" in script and script.startswith("#!/bin/sh\n")


# ---------------------------------------------------------------- pilots


def test_pilots_are_found_again(folders: PilotFolders) -> None:
    for name in ("1-a", "2-b", "3-c"):
        folders.add(name, slots=4, idle_s=9.0, memory="auto")
    folders.note_job("1-a", "17")
    (folders.root / "2-b" / "job").write_text("{")
    (folders.root / "3-c" / "pilot.json").write_text("")
    (folders.root / "4-d").mkdir()
    found = folders.load()
    assert {name: (given["slots"], job) for name, (given, job) in found.items()} == {"1-a": (4, "17"), "2-b": (4, "")}
    assert not (folders.root / "4-d").exists(), "it was never submitted"
    assert (folders.root / "3-c").exists(), "it may run"


def test_a_pilot_is_a_nodes_or_nobodys(folders: PilotFolders) -> None:
    folders.add("1-a", slots=4, idle_s=9.0, memory="auto")
    folders.add("2-b", slots=4, idle_s=9.0, memory="auto")
    assert folders.claim("1-a") and folders.claim("1-a")
    assert not claim.take(f"{folders.root}/1-a/claim", "job 17")
    assert claim.take(f"{folders.root}/2-b/claim", "job 18") and not folders.claim("2-b")


def test_batches_in_the_order_of_their_numbers(folders: PilotFolders) -> None:
    folders.add("1-a", slots=4, idle_s=9.0, memory="auto")
    for number in (10, 2, 1):
        folders.write_batch("1-a", number, {"op": "start", "bases": [], "tasks": [number]})
    (folders.root / "1-a" / "in" / "2.json").write_text("{")
    assert list(folders.batches("1-a")) == ["1.json", "10.json"]


@pytest.mark.parametrize("text", [None, "", "{", "null"])
def test_an_agent_whose_address_cannot_be_read_writes_another(folders: PilotFolders, text: str | None) -> None:
    if text is not None:
        folders.where.write_text(text)
    assert folders.last_port() == 0 and len(folders.token()) == 64
    folders.say_where("127.0.0.1", 4711, "word")
    assert (folders.last_port(), folders.token()) == (4711, "word")
    assert folders.where.stat().st_mode & 0o077 == 0


def test_what_a_pilot_left(folders: PilotFolders) -> None:
    folders.add("1-a", slots=4, idle_s=9.0, memory="auto")
    assert not folders.is_over("1-a") and folders.begun("1-a") is None and folders.last_words("1-a") == ""
    (folders.root / "1-a" / "begun").write_text("{")
    (folders.root / "1-a" / "output").write_text("one\nno room\n\n")
    assert folders.begun("1-a") is None and folders.last_words("1-a") == "no room"
    folders.note_over("1-a")
    assert folders.is_over("1-a")
    folders.remove("1-a")
    assert folders.load() == {}
