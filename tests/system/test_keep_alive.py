"""Programs that serve many tasks from one process: over the real product, with processes that are killed, hang and lie."""

import sys
from typing import Any

from tests.system.product import Product

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
