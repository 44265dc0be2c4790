# ruff: noqa: E402
"""One program that the porter carries, from its command to its end."""

import sys

assert sys.platform != "win32"

from typing import Any

from sirdar.agent.porter.wrap import Wrap

# A task's place in its life. WAITING: for free cpus. STARTING: a spawner has it. RUNNING: it has a pid. ENDED: see ``end``; where
# that is None, how is still to be told.
WAITING, STARTING, RUNNING, ENDED = "waiting", "starting", "running", "ended"


class Task:
    """What to run and what has become of it. Changed only under the lock of the ``Table`` that holds it.

    ``by`` says who ended it: None (itself), ``stop`` (the agent asked), ``time`` (its time limit) or ``porter`` (which was told
    to end by a signal, as when the machine shuts down).
    ``at`` is the wall clock at the start; ``ticks`` the range, in clock ticks since boot, that holds the kernel's start
    time of the process: with the boot id it tells this process from a later one with the same pid. ``keep``: the program serves
    many tasks (see ``Keep``); ``worker`` is the process that does this one, which had used ``used_s`` of CPU time before.
    ``wrap``: what the program is started inside of.
    """

    __slots__ = (
        "argv", "at", "by", "cpus", "cwd", "end", "env", "err", "grace_s", "group", "id", "inp", "keep", "memory_bytes",
        "out", "pid", "place", "reaped", "stop_signalled", "ticks", "time_s", "used_s", "worker",
        "wrap",
    )  # fmt: skip

    def __init__(self, order: dict[str, Any], base: dict[str, str]) -> None:
        self.id: str = order["id"]
        self.argv: list[str] = order["argv"]
        self.env: dict[str, str] = {**base, **order.get("env", {})}
        self.cwd: str = order["cwd"]
        self.inp: str = order.get("in") or "/dev/null"
        self.out: str = order["out"]
        self.err: str = order["err"]
        self.cpus: int = order.get("cpus", 1)
        self.memory_bytes: int | None = order.get("mem")
        self.time_s: float | None = order.get("time")
        self.grace_s: float = order.get("grace", 10.0)
        self.keep: Keep | None = Keep(order["keep"], order, base) if order.get("keep") else None
        self.wrap: Wrap | None = Wrap(order["wrap"]) if order.get("wrap") else None
        self.worker: Any = None
        self.used_s = 0.0
        self.place = WAITING
        self.pid = 0
        self.at = 0.0
        self.ticks = (0, 0)
        self.by: str | None = None
        self.reaped = False
        self.stop_signalled = False
        self.group: Any = None
        self.end: dict[str, Any] | None = None

    def started_fact(self) -> dict[str, Any]:
        fact = {"id": self.id, "pid": self.pid, "at": self.at, "ticks": self.ticks}
        return {**fact, "used": round(self.used_s, 3)} if self.used_s else fact


class Keep:
    """How a program that serves many tasks is kept, and what it is told of this one.

    ``identity``: whatever differs in it needs a process of its own (version, owner, environment, limits); ``home``: the directory
    it starts in; ``words``: how many of the command start it; ``idle_s``, ``most``: how long, and for how many tasks, it stays.
    """

    __slots__ = ("base", "home", "identity", "idle_s", "most", "told", "words")

    def __init__(self, kept: dict[str, Any], order: dict[str, Any], base: dict[str, str]) -> None:
        self.identity: str = kept["as"]
        self.home: str = kept["home"]
        self.words: int = kept["words"]
        self.idle_s: float = kept["idle"]
        self.most: int = kept["most"]
        self.base: dict[str, str] = {**base, **kept.get("env", {})}
        self.told: dict[str, str] = order.get("env", {})
