# ruff: noqa: E402, PTH100, PTH108
"""Entry of the porter: ``main([home, slots, idle seconds])``. Prints ``ready`` on stdout when the socket listens."""

import sys

assert sys.platform != "win32"

import os
import resource
import signal
import threading

from sirdar.agent.porter import facts_log, leftovers
from sirdar.agent.porter.cgroups import Groups
from sirdar.agent.porter.facts_log import FactsLog
from sirdar.agent.porter.server import Server, Writer
from sirdar.agent.porter.table import Table, lost_end

LOCK_NAME = "porter.lock"
SOCKET_NAME = "porter.sock"
STACK_BYTES = 256 << 10


def main(argv: list[str]) -> int:
    """Runs the porter of a home directory. Exit code 3: another one holds it."""
    import fcntl

    home, slots, idle_s = argv[0], int(argv[1]), float(argv[2])
    os.chdir(home)  # so that the socket's path is short
    lock = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 3
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    threading.stack_size(STACK_BYTES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    leftovers.adopt_orphans()
    groups = Groups.find(format(abs(hash_of(home)), "x")) if argv[3:] != ["rlimit"] else None
    try:
        _serve(slots, idle_s, groups)
    finally:
        if groups is not None:
            groups.close()
    return 0


def hash_of(home: str) -> int:
    """A number that stands for the directory, the same in every process."""
    number = 5381
    for byte in os.fsencode(os.path.abspath(home)):
        number = (number * 33 + byte) & 0xFFFFFFFF
    return number


def _serve(slots: int, idle_s: float, groups: Groups | None) -> None:
    past = facts_log.Past(facts_log.NAME)
    ends = [past.ends.get(task_id) or lost_end(task_id, past.starts.get(task_id)) for task_id in past.got]
    writer = Writer(FactsLog(facts_log.NAME, [{"r": "end", **end} for end in ends]))
    table = Table(slots, groups, writer.tell, writer.note)
    table.take_over(ends)
    memory = f"cgroup{groups.version}" if groups is not None else "rlimit"
    server = Server(SOCKET_NAME, table, writer, idle_s, memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.write(server.wake_write, b"t"))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.run()
    try:
        os.unlink(SOCKET_NAME)
    except FileNotFoundError:
        pass
