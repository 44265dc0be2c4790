# ruff: noqa: E402
"""One task in a batch job: ``main([order directory, index])``. Runs the command, and writes how it ended where the agent looks.

The record of an end is on the shared disk, whole, before the job ends: it says more than Slurm's accounting does. SIGTERM ends
the program: from the agent, which has left a note (``stop-INDEX``) first, or from Slurm itself.
"""

import sys

assert sys.platform != "win32"

import os
import select
import signal
import socket
import threading
from typing import Any

from sirdar.agent.executors.slurm.node import claim
from sirdar.agent.executors.slurm.node.cut_off import SIGNALLED, Told, news_s
from sirdar.agent.executors.slurm.node.files import read_json, write_json
from sirdar.agent.porter import leftovers
from sirdar.agent.porter.table import Table
from sirdar.agent.porter.task import Task

STOP_LOOK_S = 5.0
SLURM_GRACE_S = 20.0  # Slurm kills 30 s after its own SIGTERM, where it is set up as usual
BREATH_S = 0.05  # so long is the end of a task waited for at once
PASSED = ("SLURM", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL")


class One:
    """The task, its record files, and the end."""

    def __init__(self, folder: str, index: str, order: dict[str, Any]) -> None:
        self.order = order
        self.stop_note = f"{folder}/stop-{index}"
        self.records = order["records"]
        self.key: str = order["task"]["id"]
        self.over = threading.Event()
        self.told = Told()
        self.code = 1
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)
        os.set_blocking(self.wake_read, False)
        task = order["task"]
        self.table = Table(task.get("cpus", 1), None, self.tell, lambda record: None)

    def run(self) -> int:
        """Returns the exit code for the batch job."""
        base = {**given_by_slurm(os.environ), **self.order["base"]}
        task = {**self.order["task"], "mem": self.order["task"].get("mem") if self.order.get("limit") else None}
        self.table.add([Task(task, base)])
        watched = [self.wake_read, self.told.fd]
        while not self.over.wait(BREATH_S):
            ready, _, _ = select.select(watched, [], [], STOP_LOOK_S)
            told = self.told.fd in ready or (self.wake_read in ready and b"t" in os.read(self.wake_read, 4096))
            if self.told.fd in ready:
                watched.remove(self.told.fd)  # it stays so
            self._stop(told=told)
        return self.code

    def hear(self) -> None:
        """SIGTERM."""
        os.write(self.wake_write, b"t")

    def tell(self, kind: str, fact: dict[str, Any]) -> None:
        """Called by the table with the start and the end."""
        if kind == "start":
            self._write("begun", fact)
        elif kind == "end":
            self._write("ended", {**fact, "by": self._by(fact)})
            code = fact["code"]
            self.code = 1 if code is None else code if code >= 0 else 128 - code
            self.over.set()
            os.write(self.wake_write, b"e")

    def _by(self, fact: dict[str, Any]) -> str | None:
        """Who ended it: a SIGTERM that the agent did not ask for is Slurm's, and came to the program, too."""
        wait_s = news_s(fact)
        if not wait_s or not self.told.within(wait_s):
            return fact["by"]  # type: ignore[no-any-return]
        if self._note() is None:
            return "slurm"
        return "stop" if fact["code"] in SIGNALLED else None

    def _write(self, what: str, fact: dict[str, Any]) -> None:
        own = {"job": job_id(), "node": node_name()}
        write_json(f"{self.records}/{self.key}.{what}", {**fact, **own}, durable=what == "ended")

    def _stop(self, *, told: bool) -> None:
        note = self._note()
        if note is not None:
            self.table.stop(self.key, note.get("grace"), by="stop")
        elif told:
            self.table.stop(self.key, min(SLURM_GRACE_S, self.order["task"].get("grace", SLURM_GRACE_S)), by="slurm")

    def _note(self) -> dict[str, Any] | None:
        """The agent's, where it has asked for the end."""
        try:
            return read_json(self.stop_note)  # type: ignore[no-any-return]
        except ValueError:
            return {}


def main(argv: list[str]) -> int:
    """Exit code 0, and no record, where the task was taken back or another job has it."""
    folder, index = argv
    order = read_json(f"{folder}/task-{index}.json")
    if order is None or not claim.take(f"{folder}/claim-{index}", f"job {job_id()}"):
        return 0
    leftovers.adopt_orphans()
    one = One(folder, index, order)
    signal.signal(signal.SIGTERM, lambda *_: one.hear())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return one.run()


def job_id() -> str:
    """As ``squeue`` names it: ``12``, or ``12_3`` of an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    own = os.environ.get("SLURM_JOB_ID", "")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}" if array else own


def node_name() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def given_by_slurm(environment: Any) -> dict[str, str]:
    """What Slurm says to a job's programs."""
    return {name: value for name, value in environment.items() if name.startswith(PASSED)}
