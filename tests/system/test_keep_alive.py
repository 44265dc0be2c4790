"""Programs that serve many tasks from one process: over the real product, with processes that are killed, hang and lie."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.product import Product, await_that, problem

PYTHON = sys.executable  # has sirdar.worker

SQUARE = """
import os, sys
from sirdar.worker import serve

def main(argv):
    print("pid", os.getpid())
    number = int(argv[0])
    open("square.txt", "w").write(str(number * number))
    print("said", number, file=sys.stderr)
    return 0 if number != 13 else 7

serve(main)
"""
NUMBER = {"n": {"type": "integer", "required": True}}


def publish(sirdar: Product, alias: str, program: str, **more: Any) -> str:
    given = {"inputs": NUMBER, "keep_alive": True, **more}
    return sirdar.publish(alias, [PYTHON, "program.py", "${n}"], files={"program.py": program}, **given)


def tasks_of(sirdar: Product, job: str) -> list[dict[str, Any]]:
    reply = sirdar.admin.get(f"/api/jobs/{job}/tasks?limit=1000")
    assert reply.status_code == 200, reply.text
    return list(reply.json())


def pids(sirdar: Product, tasks: list[dict[str, Any]]) -> list[int]:
    return [int(sirdar.admin.get(task["stdout"]).text.split()[1]) for task in tasks]


def test_tasks_share_a_process_and_are_tasks_as_ever(sirdar: Product) -> None:
    app = publish(sirdar, "kept-square", SQUARE, outputs={"square": {"type": "integer", "from": "square.txt"}})
    job = sirdar.run(app, foreach=[{"n": number} for number in range(20)], on_failure="ignore")
    tasks = tasks_of(sirdar, job["id"])
    assert [task["state"] for task in tasks] == ["FAILED" if no == 13 else "DONE" for no in range(20)]
    assert tasks[13]["outcome"]["exitCode"] == 7 and tasks[13]["outcome"]["reason"] == "exit_code"
    assert [task["result"]["square"] for task in tasks if task["no"] != 13] == [n * n for n in range(20) if n != 13]
    assert 1 <= len(set(pids(sirdar, tasks))) <= sirdar.slots
    assert [sirdar.admin.get(task["stderr"]).text for task in tasks] == [f"said {n}\n" for n in range(20)]


TALK = """
import os, sys, time
from sirdar.worker import serve

def main(argv):
    print("pid", os.getpid(), flush=True)
    what, *rest = argv[0].split(":")
    if what == "wait":
        while not os.path.exists(rest[0]): time.sleep(0.02)
    elif what == "spawn":
        import helper  # of the application's own files, not loaded before
        print(helper.leave(), flush=True)
    elif what == "env":
        print(os.environ.get("KEY"), os.environ.get("CONSTANT"), flush=True)
    elif what == "token":
        print(os.environ["SIRDAR_TASK_ID"], flush=True)
    return 0

serve(main)
"""
HELPER = """
import subprocess
def leave():
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid
"""
WORD = {"word": {"type": "string", "required": True}}


def talk(sirdar: Product, alias: str, **more: Any) -> str:
    files = {"program.py": TALK, "helper.py": HELPER}
    given = {"inputs": WORD, "keep_alive": {"idle": "60 s"}, **more}
    return sirdar.publish(alias, [PYTHON, "program.py", "${word}"], files=files, **given)


def said(sirdar: Product, job: dict[str, Any]) -> list[str]:
    return str(sirdar.admin.get(job["stdout"]).text).split()


def seen_pid(sirdar: Product, job: dict[str, Any]) -> int:
    """The process that does the job's task, from its live log."""
    words = await_that(lambda: found if len(found := said(sirdar, job)) > 1 else None, what="its first line")
    return int(words[1])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cancel_ends_the_process_and_the_next_task_gets_another(sirdar: Product, tmp_path: Path) -> None:
    app = talk(sirdar, "kept-cancel")
    job = sirdar.submit(app, {"word": f"wait:{tmp_path}/never"})
    pid = seen_pid(sirdar, job)
    assert sirdar.admin.post(f"/api/jobs/{job['id']}/cancel").status_code in {200, 202, 204}
    ended = sirdar.ended(job["id"])
    assert (ended["state"], ended["outcome"]["reason"]) == ("CANCELLED", "cancelled")
    assert not lives(pid)
    assert seen_pid(sirdar, sirdar.run(app, {"word": "hello"})) != pid


def test_time_limit_and_a_death_in_the_task_are_told_as_they_are(sirdar: Product, tmp_path: Path) -> None:
    app = talk(sirdar, "kept-limit", resources={"time": "1 s"})
    job = sirdar.run(app, {"word": f"wait:{tmp_path}/never"}, state="FAILED")
    assert job["outcome"]["reason"] == "time_limit"
    free = talk(sirdar, "kept-death")
    job = sirdar.submit(free, {"word": f"wait:{tmp_path}/never"})
    os.kill(seen_pid(sirdar, job), signal.SIGKILL)
    ended = sirdar.ended(job["id"])
    assert (ended["state"], ended["outcome"]["reason"], ended["outcome"]["exitCode"]) == ("FAILED", "signal", -9)
    assert sirdar.run(free, {"word": "hello"})["state"] == "DONE"


def test_a_program_that_does_not_serve_says_so(sirdar: Product) -> None:
    app = sirdar.publish("kept-plain", ["/bin/true", "${word}"], inputs=WORD, keep_alive=True)
    job = sirdar.run(app, {"word": "x"}, state="FAILED")
    assert job["outcome"]["reason"] == "worker_protocol"
    assert "keep_alive" in job["outcome"]["message"] and "before it had answered" in job["outcome"]["message"]
    assert sirdar.run(app, {"word": "x"}, overrides={"keepAlive": False})["state"] == "DONE"


def test_a_submission_may_wish_it_or_not(sirdar: Product) -> None:
    asked = talk(sirdar, "kept-asked", keep_alive={"when": "asked"})
    jobs = [sirdar.run(asked, {"word": "x"}) for _ in range(2)]
    assert len({seen_pid(sirdar, job) for job in jobs}) == 2
    jobs = [sirdar.run(asked, {"word": "x"}, overrides={"keepAlive": True}) for _ in range(2)]
    assert len({seen_pid(sirdar, job) for job in jobs}) == 1
    plain = sirdar.publish("kept-never", ["/bin/true"])
    reply = sirdar.admin.post(f"/api/apps/{plain}", json={"inputs": {}, "overrides": {"keepAlive": True}})
    problem(reply, 422, "invalid_field", "overrides.keepAlive")


def test_what_a_task_left_is_ended_and_a_module_is_found_late(sirdar: Product) -> None:
    app = talk(sirdar, "kept-leave")
    first = sirdar.run(app, {"word": "hello"})
    second = sirdar.run(app, {"word": "spawn"})
    assert seen_pid(sirdar, first) == seen_pid(sirdar, second)
    assert not lives(int(said(sirdar, second)[2]))


def test_two_owners_two_versions_and_two_secrets_never_share_a_process(sirdar: Product) -> None:
    app = talk(sirdar, "kept-owners", env={"CONSTANT": "c"}, secrets=["KEY"], app_secrets={"KEY": "first"})
    job = sirdar.run(app, {"word": "env"})
    assert said(sirdar, job)[2:] == ["*****", "c"]  # the secret is there, and is not told
    mine = seen_pid(sirdar, sirdar.run(app, {"word": "hello"}))
    assert seen_pid(sirdar, sirdar.run(app, {"word": "hello"})) == mine
    bob = sirdar.user("kept-bob")
    shared = sirdar.admin.put("/api/apps/admin/kept-owners/share/user:kept-bob", json={"permission": "run"})
    assert shared.status_code < 300, shared.text
    job = sirdar.run("admin/kept-owners", {"word": "hello"}, who=bob)
    assert int(bob.get(job["stdout"]).text.split()[1]) != mine
    again = talk(sirdar, "kept-owners", env={"CONSTANT": "d"}, secrets=["KEY"], app_secrets={"KEY": "first"})
    newer = seen_pid(sirdar, sirdar.run(again, {"word": "hello"}))
    talk(sirdar, "kept-owners", env={"CONSTANT": "d"}, secrets=["KEY"], app_secrets={"KEY": "other"})
    assert len({mine, newer, seen_pid(sirdar, sirdar.run(again, {"word": "hello"}))}) == 3


def test_tasks_outlive_an_agent_and_idle_programs_do_not_outlive_the_product(
    own_sirdar: Callable[..., Product], tmp_path: Path
) -> None:
    own = own_sirdar(agent_porter_idle_s=1)
    app = talk(own, "kept-agent")
    idle = seen_pid(own, own.run(app, {"word": "hello"}))
    opened = tmp_path / "opened"
    job = own.submit(app, {"word": f"wait:{opened}"})
    assert seen_pid(own, job) == idle
    status = json.loads((own.home / "agent/agent.json").read_text())
    os.kill(status["pid"], signal.SIGKILL)
    await_that(lambda: agent_of(own) not in {0, status["pid"]}, within_s=30, what="another agent")
    opened.touch()
    assert own.ended(job["id"])["state"] == "DONE" and lives(idle)
    own.close_clients()
    own.stop()
    assert not lives(idle)
    assert list((own.home / "agent/workers").iterdir()) == []
    own.start()


def agent_of(sirdar: Product) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return int(json.loads((sirdar.home / "agent/agent.json").read_text())["pid"])
    return 0


def test_after_the_porters_death_its_task_is_tried_again_and_its_programs_are_gone(
    own_sirdar: Callable[..., Product], tmp_path: Path
) -> None:
    own = own_sirdar(agent_porter_idle_s=1)
    app = talk(own, "kept-porter")
    opened = tmp_path / "opened"
    job = own.submit(app, {"word": f"wait:{opened}"})
    before = seen_pid(own, job)
    os.kill(int((own.home / "agent/porter.lock").read_text()), signal.SIGKILL)
    await_that(lambda: not lives(before), what="the end of the process")
    opened.touch()
    ended = own.ended(job["id"])
    assert ended["state"] == "DONE" and seen_pid(own, job) != before


def test_a_drained_machine_keeps_no_idle_program(own_sirdar: Callable[..., Product]) -> None:
    own = own_sirdar()
    idle = seen_pid(own, own.run(talk(own, "kept-drain"), {"word": "hello"}))
    resource = own.admin.get("/api/resources").json()[0]["id"]
    assert own.admin.patch(f"/api/resources/{resource}", json={"mode": "drain"}).status_code < 300
    await_that(lambda: not lives(idle), what="the end of the idle program")
    assert own.admin.patch(f"/api/resources/{resource}", json={"mode": "active"}).status_code < 300
    first, second = (seen_pid(own, own.run("me/kept-drain", {"word": "hello"})) for _ in range(2))
    assert first == second
