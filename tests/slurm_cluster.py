"""A real Slurm on loopback: munged, slurmctld and a slurmd for each of several nodes, in a directory of its own.

Its nodes are all this machine; each claims four cpus. Partitions: ``main`` (two nodes), ``other`` (one node, for an hour at most),
``low`` (the nodes of ``main``, from which a job of ``high`` takes them), ``high``. It has no accounting: ``sacct`` says so.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CONFIG = """\
ClusterName=sirdar
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge/socket
SlurmctldPort={ports[0]}
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.%n.pid
SlurmdSpoolDir={place}/spool.%n
StateSaveLocation={place}/state
SlurmctldLogFile={place}/log/slurmctld
SlurmdLogFile={place}/log/slurmd.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1,max_rpc_cnt=0
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
CompleteWait=0
MinJobAge={min_job_age}
OverTimeLimit=0
MaxArraySize=101
DefMemPerCPU=100
NodeName=n[1-3] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[3]}] CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=5 PreemptMode=off
PartitionName=other Nodes=n3 MaxTime=60 State=UP PreemptMode=off
PartitionName=low Nodes=n3 MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=cancel
PartitionName=high Nodes=n3 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""
NODES = ("n1", "n2", "n3")
SBIN = "/usr/sbin:/sbin"


class SlurmCluster:
    """``environment``: what Slurm's commands need to reach it. ``mark``: variables of its daemons."""

    def __init__(self, place: Path, *, min_job_age_s: int = 300, mark: Mapping[str, str] | None = None) -> None:
        self.place = place
        self._mark = dict(mark or {})
        self.config = place / "slurm.conf"
        self.cleared = 0  # jobs that it still knows of, from before the last ``clear``
        self._min_job_age_s = min_job_age_s
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._path = f"{os.environ.get('PATH', '')}:{SBIN}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"SLURM_CONF": str(self.config)}

    def start(self) -> None:
        """Returns when all nodes are idle. Raises RuntimeError with the logs."""
        for name in ("munge", "log", "state", *(f"spool.{node}" for node in NODES)):
            (self.place / name).mkdir(mode=0o711)
        (self.place / "munge" / "key").write_bytes(os.urandom(128))
        (self.place / "munge" / "key").chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        words = {"host": host, "user": getpass.getuser(), "place": self.place, "ports": _ports(1 + len(NODES))}
        self.config.write_text(CONFIG.format(min_job_age=self._min_job_age_s, **words))
        munge = self.place / "munge"
        options = [
            f"--{name}={munge}/{name.partition('-')[0]}" for name in ("key-file", "socket", "pid-file", "log-file")
        ]
        self._spawn("munged", "munged", "--foreground", "--force", *options, f"--seed-file={munge}/seed")
        _await((munge / "socket").exists, 20, self.log)
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        _await(self._all_idle, 60, self.log)

    def stop(self) -> None:
        """Jobs first, then the daemons; what they left of files goes with the directory."""
        with contextlib.suppress(subprocess.SubprocessError, RuntimeError):
            self.clear()
        for name in ("slurmd.n1", "slurmd.n2", "slurmd.n3", "slurmctld", "munged"):
            self._end(name)
        self._end_steps()
        shutil.rmtree(self.place, ignore_errors=True)

    def clear(self) -> None:
        """Ends all jobs."""
        if self.run("squeue", "-h"):
            self.run("scancel", "-u", getpass.getuser())
        _await(lambda: not self.run("squeue", "-h"), 30, self.log)
        self.cleared = len(self.jobs())

    # ------------------------------------------------------------ parts

    def start_controller(self) -> None:
        self._spawn("slurmctld", "slurmctld", "-D")
        _await(self._answers, 30, self.log)

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def start_node(self, node: str) -> None:
        self._spawn(f"slurmd.{node}", "slurmd", "-D", "-N", node)

    def stop_node(self, node: str) -> None:
        self._end(f"slurmd.{node}")

    def fail_node(self, node: str) -> None:
        """For Slurm it is dead from now on, and so are its jobs."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def restore_node(self, node: str) -> None:
        """Returns when it takes jobs; its daemon may have called in before."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("scontrol", "update", f"nodename={node}", "state=resume")
        _await(lambda: "down" not in self.run("sinfo", "-h", "-n", node, "-o", "%t"), 30, self.log)

    def run(self, *words: str, timeout_s: float = 30.0) -> str:
        """What one of Slurm's commands says. Raises CalledProcessError."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=timeout_s, check=True
        )
        return done.stdout

    def sbatch(self, script: str, *words: str) -> str:
        """Submits a job by hand; its id."""
        return self.run("sbatch", "--parsable", "--output=/dev/null", *words, f"--wrap={script}").strip()

    def state(self, job: str) -> str:
        """Slurm's word for a job; empty where it knows none."""
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()
        return ""

    def jobs(self, state: str = "all") -> list[tuple[str, str, str]]:
        """Id, name and state of each job that it knows."""
        lines = self.run("squeue", "-h", "-r", "-t", state, "-o", "%i|%j|%T").splitlines()
        return [(words[0], words[1], words[2]) for line in lines if (words := line.split("|"))]

    def log(self) -> str:
        found = [
            f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in (self.place / "log").iterdir()
        ]
        return "\n".join(found)

    # ------------------------------------------------------------ helpers

    def _spawn(self, name: str, *words: str) -> None:
        with (self.place / "log" / f"{name}.said").open("ab") as said:
            self._processes[name] = subprocess.Popen(
                [shutil.which(words[0], path=self._path) or words[0], *words[1:]],
                env={**os.environ, **self.environment, **self._mark, "PATH": self._path},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.place,
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _end_steps(self) -> None:
        """The daemon of each job is a process of its own, which a node's daemon leaves behind."""
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                ours = f"SLURM_CONF={self.config}".encode() in (path / "environ").read_bytes().split(b"\0")
                if ours and int(path.name) != os.getpid():
                    os.kill(int(path.name), signal.SIGKILL)

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("sinfo", "-h", timeout_s=5)
            return True
        return False

    def _all_idle(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            states = self.run("sinfo", "-h", "-N", "-o", "%t").split()
            return bool(states) and set(states) == {"idle"}
        return False


def _ports(count: int) -> list[int]:
    """Free ones of loopback: the first anywhere, the others in a row."""
    for begin in range(21000 + os.getpid() % 7000, 32000, count + 1):
        taken = []
        try:
            for port in range(begin, begin + count):
                listener = socket.socket()
                taken.append(listener)
                listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for listener in taken:
                listener.close()
        return list(range(begin, begin + count))
    raise RuntimeError("no free ports in a row")


def _await(holds: Callable[[], object], within_s: float, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Slurm did not come up, or down:\n{log()}")
        time.sleep(0.05)
