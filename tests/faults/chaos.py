"""A varied load, random deaths, and the check of everything when it is over. The tests kill 20 times, the bench 200 times.

Every program appends a line to a file outside (the *diary*) when it starts and one when its work is done, so that what Sirdar
says can be held against what happened.
"""

import contextlib
import hashlib
import itertools
import os
import random
import signal
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.rig import Rig

# diary lines: KEY PID start|end TIME
WORK = """#!/bin/sh
# work.sh DIARY KIND SECONDS: what a researcher's program would do, and a word to the diary before and after
say() { echo "$SIRDAR_TASK_ID $$ $1 $(date +%s.%N)" >> "$DIARY"; }
DIARY=$1; KIND=$2; SECONDS_=$3
say start
case $KIND in
  plain) sleep "$SECONDS_"; echo "$SECONDS_" > answer ;;
  files) sleep "$SECONDS_"; tac given > answer ;;
  large) sleep "$SECONDS_"; head -c 3000000 /dev/zero | tr '\\0' 'x' > answer ;;
  loud) sleep "$SECONDS_"; i=0; while [ $i -lt 4000 ]; do echo "line $i of a long story that fills its stream"; i=$((i+1)); done
        echo loud > answer ;;
  stubborn) trap '' TERM; while :; do sleep 0.2; done ;;
esac
say end
"""
CHILDREN = """import json, os, sys, time, urllib.request
diary, count = sys.argv[1], int(sys.argv[2])

def say(what):
    with open(diary, "a") as file:
        file.write(f"{os.environ['SIRDAR_TASK_ID']} {os.getpid()} {what} {time.time()}\\n")

def submit(number):
    body = json.dumps({"inputs": {"diary": diary, "kind": "plain", "seconds": "0.1"}}).encode()
    headers = {"Authorization": "Bearer " + os.environ["SIRDAR_TOKEN"], "Content-Type": "application/json"}
    headers["Idempotency-Key"] = os.environ["SIRDAR_JOB_ID"] + f"-{number}"
    request = urllib.request.Request(os.environ["SIRDAR_URL"] + "/api/apps/admin/work", body, headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return json.load(reply)["id"]
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise SystemExit(f"{error.code} {error.read()}")
        except OSError:
            pass
        time.sleep(0.1)

say("start")
ids = [submit(number) for number in range(count)]
with open("answer", "w") as file:
    file.write(" ".join(ids))
say("end")
"""
GIVEN = "".join(f"{number}\n" for number in range(20_000)).encode()
EXPECTED = {
    "files": hashlib.sha256(b"".join(reversed(GIVEN.splitlines(keepends=True)))).hexdigest(),
    "large": hashlib.sha256(b"x" * 3_000_000).hexdigest(),
    "loud": hashlib.sha256(b"loud\n").hexdigest(),
}
LOUD_BYTES = sum(len(f"line {number} of a long story that fills its stream\n") for number in range(4000))
VICTIMS = ("server", "agent", "porter", "all", "program")
WEIGHTS = (30, 30, 15, 15, 10)
FALSE_STARTS = 0.3  # how often the server's next start is killed too
GRACE_S = 1.0  # a program that was done for so long when its porter died has its end on the disk


@dataclass
class Sent:
    """A job that was submitted."""

    id: str
    kind: str
    seconds: str
    tasks: int = 1
    cancelled: bool = False


@dataclass
class Chaos:
    """One run. ``seed`` repeats the choices; the moments depend on the machine."""

    product: Rig
    diary: Path
    seed: int
    sent: list[Sent] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    killed_programs: set[str] = field(default_factory=set)

    def run(self, kills: int, *, end_within_s: float = 120.0) -> dict[str, float]:
        """Kills so often, waits for the end of everything, checks it; figures of the run."""
        self.random = random.Random(self.seed)
        began = time.monotonic()
        self._prepare()
        for _ in range(kills):
            for _ in range(self.random.choice((1, 2, 3))):
                self._submit()
            self._cancel_stubborn(1)
            time.sleep(self.random.random() ** 2 * 1.5)  # the moments are what is random here
            self._kill(self.random.choices(VICTIMS, WEIGHTS)[0])
            if self.product.process is None:
                time.sleep(self.random.choice((0, 0, 0.2, 0.7)))
                if self.random.random() < FALSE_STARTS:
                    self.killed["start"] += 1
                    self.product.false_start(self.random.random() * 1.5)
                self.product.again()
        killing_s = time.monotonic() - began
        self._cancel_stubborn(0)
        self._collect_children()
        for job in self.sent:
            self.product.await_end(job.id, end_within_s)
        self.check()
        return {"jobs": len(self.sent), "tasks": sum(job.tasks for job in self.sent), "killing_s": killing_s,
                "took_s": time.monotonic() - began, **self.killed}  # fmt: skip

    # ------------------------------------------------------------ load

    def _prepare(self) -> None:
        texts = {name: {"type": "string"} for name in ("diary", "kind", "seconds")}
        given = {"given": {"type": "file", "required": False, "path": "given"}}
        answer = {"answer": {"type": "file", "from": "answer"}}
        more = {"outputs": answer, "retries": 50}
        command = ["sh", "work.sh", "${diary}", "${kind}", "${seconds}"]
        self.product.publish("work", command, files={"work.sh": WORK}, inputs={**texts, **given}, **more)
        numbers = {"diary": {"type": "string"}, "count": {"type": "integer"}}
        command = ["python3", "children.py", "${diary}", "${count}"]
        self.product.publish("children", command, files={"children.py": CHILDREN}, inputs=numbers, **more)
        self.given = self.product.upload("given", GIVEN)

    def _submit(self) -> None:
        kind = self.random.choices(
            ("plain", "many", "files", "large", "loud", "children", "stubborn"), (40, 12, 14, 10, 10, 8, 6)
        )[0]
        seconds = self.random.choice(("0", "0", "0.1", "0.3", "1", "3"))
        tasks = self.random.randint(2, 12) if kind == "many" else 1
        number = len(self.sent)
        inputs: dict[str, Any] = {"diary": str(self.diary), "kind": "plain" if kind == "many" else kind}
        body: dict[str, Any] = {"inputs": inputs | {"seconds": seconds}}
        if kind == "many":
            body["foreach"] = [{}] * tasks
        elif kind == "files":
            inputs = body["inputs"]
            inputs["given"] = self.given
        elif kind == "children":
            body["inputs"] = {"diary": str(self.diary), "count": 2}
        app = "children" if kind == "children" else "work"
        headers = {"idempotency-key": f"{self.seed}-{number}"}
        reply = self.product.patient("POST", f"/api/apps/me/{app}", json=body, headers=headers)
        assert reply.status_code == 201, reply.text
        self.sent.append(Sent(reply.json()["id"], kind, seconds, tasks))

    def _cancel_stubborn(self, leave: int) -> None:
        """Those that would run for ever are cancelled while they run; the newest is left for the next round."""
        waiting = [job for job in self.sent if job.kind == "stubborn" and not job.cancelled]
        for job in waiting[: len(waiting) - leave]:
            reply = self.product.patient("POST", f"/api/jobs/{job.id}/cancel")
            ended = reply.status_code == 409  # by the random signal that hit its program
            assert reply.status_code < 300 or (ended and self.killed_programs), reply.text
            job.cancelled = True

    def _kill(self, victim: str) -> None:
        if victim == "program":
            key, pid = self._running_program() or ("", 0)
            if not pid:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed_programs.add(key)
        elif not self.product.kill(victim):
            return
        self.killed[victim] += 1

    def _running_program(self) -> tuple[str, int] | None:
        starts, ends = self.read_diary()
        live = [(key, lines[-1][0]) for key, lines in starts.items() if key not in ends]
        live = [(key, pid) for key, pid in live if _is_task(pid, key)]
        return self.random.choice(live) if live else None

    def _collect_children(self) -> None:
        for job in [job for job in self.sent if job.kind == "children"]:
            self.product.await_end(job.id, 120)
            for (child,) in self.product.rows("SELECT id FROM jobs WHERE parent_job = ?", job.id):
                self.sent.append(Sent(child, "plain", "0.1"))

    # ------------------------------------------------------------ what must hold

    def read_diary(self) -> tuple[dict[str, list[tuple[int, float]]], dict[str, float]]:
        """Starts of each attempt (process id, time), and when its program was done."""
        starts: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        ends: dict[str, float] = {}
        for line in self.diary.read_text().splitlines() if self.diary.exists() else ():
            key, pid, what, at = line.split()
            if what == "start":
                starts[key].append((int(pid), float(at)))
            else:
                ends[key] = float(at)
        return starts, ends

    def check(self) -> None:
        """Everything that is promised. Called when all jobs have ended."""
        product = self.product
        for job in self.sent:
            product.check_story(job.id)
        product.check_quiet(20)
        starts, ends = self.read_diary()
        self._check_starts(starts, ends)
        for job in self.sent:
            self._check_job(job)

    def _check_starts(self, starts: dict[str, list[tuple[int, float]]], ends: dict[str, float]) -> None:
        twice = {key: lines for key, lines in starts.items() if len(lines) > 1}
        assert not twice, f"an attempt was started twice: {twice}"
        by_task: defaultdict[str, list[str]] = defaultdict(list)
        for key in sorted(starts, key=lambda key: starts[key][0][1]):
            by_task[key.rpartition("-")[0]].append(key)
        for keys in by_task.values():
            for earlier, later in itertools.pairwise(keys):
                began, again = starts[earlier][0][1], starts[later][0][1]
                died = [at for at in self.product.porter_deaths if began - GRACE_S < at < again]
                assert died, f"{later} was started although {earlier} ran and its porter lived\n{self._tell(later)}"
                if earlier in ends:
                    assert min(died) < ends[earlier] + GRACE_S, (
                        f"the result of {earlier} was lost\n{self._tell(earlier)}"
                    )

    def _check_job(self, job: Sent) -> None:
        shown = self.product.job(job.id)
        killed = [key for key in self.killed_programs if key.startswith(job.id)]
        if job.cancelled:
            assert shown["state"] in ("CANCELLED", "FAILED" if killed else "CANCELLED"), (job, shown)
            return
        if killed and shown["state"] == "FAILED":  # by our signal, or one of its tasks was
            reasons = [reason for _, _, _, reason in self.product.attempts(job.id)]
            assert "signal" in reasons or "exit_code" in reasons, (shown, reasons)
            return
        assert shown["state"] == "DONE", f"{shown}\n{self.product.picture(job.id)}"
        results = shown["result"] if job.tasks > 1 else [shown["result"]]
        assert len(results) == job.tasks, shown
        for result in results:
            content = self.product.admin.get(result["answer"]).content
            expected = EXPECTED.get(job.kind)
            if expected:
                assert hashlib.sha256(content).hexdigest() == expected, (job, content[:100])
            elif job.kind in ("plain", "many"):
                assert content.decode() == f"{job.seconds}\n", (job, content)
        if job.kind == "loud":
            log = self.product.admin.get(f"/api/jobs/{job.id}/stdout").text
            assert log.count("of a long story") == 4000, (job, len(log), LOUD_BYTES)

    def _tell(self, key: str) -> str:
        picture = self.product.picture(key.partition("-")[0])
        return f"seed {self.seed}; porters died at {self.product.porter_deaths}\n{picture}"


def _is_task(pid: int, key: str) -> bool:
    try:
        return f"SIRDAR_TASK_ID={key}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
