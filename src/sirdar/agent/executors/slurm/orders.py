"""What has been ordered of Slurm, on the disk that the agent shares with the nodes: written before ``sbatch`` is called.

``orders/NAME/``: ``order.json`` (keys, options), ``task-N.json`` for each task (its command and environment: only its owner may
read it), ``claim-N`` (who may run or drop it), ``stop-N``, ``output-N`` (what the job wrote beside its program), ``job`` (the id
that Slurm gave it). ``records/``: ``KEY.begun`` and ``KEY.ended``, written on the nodes.
"""

import math
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sirdar
from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.node import claim
from sirdar.agent.executors.slurm.node.files import read_json, write_json

log = get_logger(__name__)

VERSION = 1
OUTPUT_BYTES = 2000
AGENT = "agent"
RECORDED = {"begun": {"at"}, "ended": {"id", "at", "ended", "code", "by"}}  # what must stand in them


@dataclass(slots=True)
class Order:
    """One submission: a job, or an array of as many members as it has keys. ``job``: empty until Slurm has said it.

    ``unsure``: it was, or may have been, given to Slurm, which has to be asked; ``given_at``: when this life of the agent gave it
    to Slurm, by the monotonic clock.
    """

    name: str
    folder: Path
    keys: Sequence[str]
    words: Sequence[str]
    job: str = ""
    unsure: bool = False
    given_at: float = -math.inf

    def job_of(self, index: int) -> str:
        """As ``squeue`` names the member; empty where Slurm has said nothing yet."""
        return f"{self.job}_{index}" if self.job and len(self.keys) > 1 else self.job

    def command(self, script: Path) -> list[str]:
        """What follows ``sbatch``."""
        many = len(self.keys) > 1
        own = [f"--chdir={self.folder}", f"--output={self.folder}/output-{'%a' if many else '0'}"]
        array = [f"--array=0-{len(self.keys) - 1}"] if many else []
        return [*self.words, *own, *array, str(script), str(self.folder)]


class Orders:
    """The folders of one agent's home."""

    def __init__(self, home: Path, python: str) -> None:
        self.root = home / "slurm"
        self.records = self.root / "records"
        self._orders = self.root / "orders"
        self._python = python
        self.script = self.root / "run-one.sh"

    def make(self) -> None:
        """Raises OSError."""
        for folder in (self.root, self.records, self._orders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.script.write_text(batch_script(self._python, "one", '"$1" "${SLURM_ARRAY_TASK_ID:-0}"'))

    def write(self, tasks: Mapping[str, Mapping[str, Any]], words: Sequence[str], *, limit: bool) -> Order:
        """``tasks``: what the node is to run, by key: ``task`` as the porter takes it, and its ``base`` environment."""
        keys = list(tasks)
        folder = self._orders / keys[0]
        if folder.exists():  # of a task that was never noted: nobody waits for it
            self._remove(folder)
        folder.mkdir(mode=0o700)
        for index, task in enumerate(tasks.values()):
            write_json(f"{folder}/task-{index}.json", {**task, "records": str(self.records), "limit": limit})
        write_json(f"{folder}/order.json", {"v": VERSION, "keys": keys, "words": list(words)}, durable=True)
        return Order(keys[0], folder, keys, list(words))

    def note_job(self, order: Order) -> None:
        write_json(f"{order.folder}/job", order.job)

    def load(self) -> list[Order]:
        """All that an earlier life of the agent wrote. What was not written whole was not submitted either."""
        found = []
        for folder in sorted(self._orders.iterdir()):
            try:
                given = read_json(f"{folder}/order.json")
            except ValueError as error:
                log.warning("slurm_order_unreadable", order=folder.name, error=str(error))
                continue
            if given is None:
                self._remove(folder)
            else:
                job = noted_job(folder)
                found.append(Order(folder.name, folder, given["keys"], given["words"], job, unsure=not job))
        return found

    def claimed_job(self, order: Order) -> str:
        """The id of the job that a node claims it for, without the member of an array; empty where none does."""
        for index in range(len(order.keys)):
            who, _, job = (claim.owner(f"{order.folder}/claim-{index}") or "").partition(" ")
            if who == "job" and job:
                return job.partition("_")[0]
        return ""

    def record(self, name: str) -> Mapping[str, Any] | None:
        """What a node wrote; None where it is not there, or cannot be read."""
        try:
            fact = read_json(f"{self.records}/{name}")
        except ValueError:
            fact = ""
        wanted = RECORDED.get(name.rpartition(".")[2])
        if fact is None or (isinstance(fact, dict) and wanted is not None and wanted <= set(fact)):
            return fact
        log.warning("slurm_record_unreadable", record=name)
        return None

    def drop_strange_records(self, keys: Collection[str]) -> None:
        """Those of tasks that nobody waits for."""
        for name in names_in(self.records):
            if name.rpartition(".")[0] not in keys:
                (self.records / name).unlink(missing_ok=True)

    def is_open(self, order: Order, index: int) -> bool:
        """Whether the agent has not written down yet how this one ended."""
        return (order.folder / f"task-{index}.json").exists()

    def claim(self, order: Order, index: int) -> bool:
        """True if no node will run it: it has not started, and never will."""
        path = f"{order.folder}/claim-{index}"
        return claim.take(path, AGENT) or claim.owner(path) == AGENT

    def is_claimed(self, order: Order, index: int) -> bool:
        return claim.owner(f"{order.folder}/claim-{index}") is not None

    def note_stop(self, order: Order, index: int, grace_s: float | None) -> None:
        write_json(f"{order.folder}/stop-{index}", {"grace": grace_s})

    def dropped_by(self, order: Order, index: int) -> str | None:
        """What the agent dropped it for (``stop`` or ``withdraw``); None where no node will find it dropped."""
        if claim.owner(f"{order.folder}/claim-{index}") != AGENT:
            return None
        return "stop" if self.is_stopped(order, index) else "withdraw"

    def is_stopped(self, order: Order, index: int) -> bool:
        return (order.folder / f"stop-{index}").exists()

    def output(self, order: Order, index: int) -> str:
        """The last line that the job itself wrote."""
        try:
            raw = (order.folder / f"output-{index}").read_bytes()[-OUTPUT_BYTES:]
        except OSError:
            return ""
        lines = [line.strip() for line in raw.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def forget(self, order: Order, index: int) -> None:
        """Its end stands in the agent's journal. Where its folder is gone, that is well."""
        for path in (order.folder / f"task-{index}.json", *self.records_of(order.keys[index])):
            path.unlink(missing_ok=True)
        if not any(self.is_open(order, one) for one in range(len(order.keys))):
            self._remove(order.folder)

    def records_of(self, key: str) -> tuple[Path, Path]:
        return self.records / f"{key}.begun", self.records / f"{key}.ended"

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def noted_job(folder: Path) -> str:
    """The id that Slurm gave it; empty where it was not noted, or not whole: then Slurm is asked."""
    try:
        job = read_json(f"{folder}/job")
    except ValueError:
        return ""
    return job if isinstance(job, str) else ""


def batch_script(python: str, module: str, words: str) -> str:
    """What Slurm runs on the node. ``words``: of the shell, the arguments of the module's ``main``."""
    root = str(Path(sirdar.__file__).resolve().parent.parent)
    name = f"sirdar.agent.executors.slurm.node.{module}"
    code = f"import sys; sys.path.insert(0, {root!r}); from {name} import main; sys.exit(main(sys.argv[1:]))"
    return (
        "#!/bin/sh\n"
        f"python={_quoted(python)}\n"
        'if ! [ -x "$python" ]; then echo "$python is not on $(hostname)" >&2; exit 127; fi\n'
        f'exec "$python" -I -S -c {_quoted(code)} {words}\n'
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def names_in(folder: Path) -> list[str]:
    """Names in a directory; it is opened anew, so that a network file system looks at the server's."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]
