"""A sandbox of Linux namespaces by bubblewrap: a stranger's program sees the system read-only, its own directory, and nothing else.

It has no capabilities, processes, temporary files and, where the owner says so, network of others. What the system lets only some
of its users read (``/etc/shadow``) is hidden, for the agent may be one of them.
"""

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirdar.agent.executors.base import Wrap
from sirdar.agent.wraps.seccomp import filter_for

COMMAND = "bwrap"
TRY_PATIENCE_S = 10.0
STATUS_FD, FILTER_FD = 8, 9
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
ETC = "/etc"
CPUS = "/sys/devices/system"  # how many there are, and how they lie: libraries for parallel programs ask
MOST_HIDDEN = 2000
TMP_BYTES = 1 << 30  # of /tmp and of /dev/shm, which lie in memory


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What all sandboxes of this agent have in common. ``why_not``: why none can be made here; empty where they can."""

    home: Path = Path()  # the agent's
    words: Sequence[str] = ()
    opens: Sequence[tuple[int, str]] = ()
    why_not: str = ""

    def wrap(
        self, folder: Path, *, read: Collection[str], network: bool, devices: Iterable[str] = (), start_in: str = ""
    ) -> Wrap:
        """Of one task. ``read``: further paths that it may read; ``start_in``: another directory than
        the task's own. Makes the task's message file. Raises OSError."""
        messages = folder / "messages"
        messages.touch(mode=0o600)
        home = str(self.home)
        within = {path for path in read if Path(path).is_relative_to(self.home)}
        words = [*self.words]
        for path in sorted(set(read) - within):
            words += ["--ro-bind-try", path, path]
        words += ["--tmpfs", home]  # also where it lies in one of these
        for path in sorted(within):
            words += ["--ro-bind-try", path, path]
        for path in devices:
            words += ["--dev-bind-try", path, path]
        if not network:
            words.append("--unshare-net")
        own = str(folder / "dir")
        words += ["--bind", own, own, "--bind", str(messages), str(messages)]
        words += ["--remount-ro", home, "--remount-ro", "/", "--chdir", start_in or own, "--"]
        return Wrap("bubblewrap", words, inside=False, opens=dict(self.opens))


def sandbox(home: Path) -> Sandbox:
    """What can be done on this machine. Tries it; writes the filter of system calls into the agent's home."""
    if sys.platform != "linux":
        return Sandbox(why_not="it needs Linux")
    command = shutil.which(COMMAND)
    if command is None:
        return Sandbox(why_not="bubblewrap is not installed (Debian, Fedora: the package bubblewrap)")
    opens = _filter_file(home)
    words = _common_words(command, filtered=bool(opens))
    why_not = _try(words, opens)
    return Sandbox(why_not=why_not) if why_not else Sandbox(home, words, opens)


def _filter_file(home: Path) -> Sequence[tuple[int, str]]:
    program = filter_for(platform.machine())
    if program is None:
        return ()
    path = home / "seccomp.bpf"
    if not path.exists() or path.read_bytes() != program:
        draft = path.with_suffix(".new")
        draft.write_bytes(program)
        draft.replace(path)
    return ((FILTER_FD, str(path)),)


def _common_words(command: str, *, filtered: bool) -> list[str]:
    words = [command, "--json-status-fd", str(STATUS_FD), "--die-with-parent"]
    words += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--cap-drop", "ALL", "--hostname", "sandbox"]
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114
            words += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif os.path.isdir(path):  # noqa: PTH112
            words += ["--ro-bind", path, path]
    words += ["--ro-bind", ETC, ETC, "--ro-bind-try", CPUS, CPUS]
    for path in _private(ETC):
        words += ["--tmpfs", path] if os.path.isdir(path) else ["--ro-bind", os.devnull, path]  # noqa: PTH112
    words += ["--proc", "/proc", "--remount-ro", "/proc"]  # to root, /proc/sys would be writable
    words += ["--dev", "/dev"]
    for path in ("/tmp", "/var/tmp", "/run", "/dev/shm"):  # noqa: S108
        words += ["--size", str(TMP_BYTES), "--tmpfs", path]
    words += _resolver()
    words += ["--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp"]  # noqa: S108
    return words + (["--seccomp", str(FILTER_FD)] if filtered else [])


def _private(top: str) -> list[str]:
    """What not everybody may read below a directory: a file each, or the highest directory."""
    found: list[str] = []
    for root, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(root, name)  # noqa: PTH118
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
            if not stat.S_ISLNK(mode) and mode & wanted != wanted:
                found.append(path)
        folders[:] = [name for name in folders if os.path.join(root, name) not in found]  # noqa: PTH118
        if len(found) > MOST_HIDDEN:
            raise OSError(f"too much in {top} is private")
    return found


def _resolver() -> list[str]:
    """Where ``/etc/resolv.conf`` is a link to somewhere in ``/run``, its target is shown."""
    real = os.path.realpath("/etc/resolv.conf")
    return ["--ro-bind-try", real, real] if real.startswith("/run/") else []


def _try(words: Sequence[str], opens: Sequence[tuple[int, str]]) -> str:
    """Makes a sandbox for ``true``; returns what is in the way, empty where nothing is."""
    plain = _without_descriptors(words)
    try:
        with_filter = {number: os.open(path, os.O_RDONLY) for number, path in opens}
    except OSError as error:
        return str(error)
    try:
        for number in with_filter.values():
            plain += ["--seccomp", str(number)]
        done = subprocess.run(
            [*plain, "--", "true"],
            capture_output=True,
            text=True,
            timeout=TRY_PATIENCE_S,
            check=False,
            pass_fds=list(with_filter.values()),
        )
    except subprocess.TimeoutExpired:
        return f"bubblewrap gave no answer in {TRY_PATIENCE_S:g} s"
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap could not be tried: {error}"
    finally:
        for number in with_filter.values():
            os.close(number)
    return "" if done.returncode == 0 else _explained(done.stderr.strip())


def _without_descriptors(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    passed = False
    for word in words:
        if passed:
            passed = False
        elif word in {"--json-status-fd", "--seccomp"}:
            passed = True
        else:
            kept.append(word)
    return kept


def _explained(said: str) -> str:
    last = said.splitlines()[-1] if said else "no word why"
    if "namespace" in last or "uid map" in last or "Permission" in last or "not permitted" in last:
        hint = "the system does not let this user make namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor's userns rule)"
        return f"{last}; {hint}"
    return last
