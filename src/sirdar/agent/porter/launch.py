"""How an agent starts its porter, and finds one that lives. Standard library only."""

import os
import subprocess
import sys
from pathlib import Path

import sirdar
from sirdar.agent.porter import __name__ as package

START_PATIENCE_S = 20.0


class PorterStartError(Exception):
    """The porter did not come up; the message has what it wrote to ``porter.err``."""


def command(home: Path, slots: int, idle_s: float, *, memory: str = "auto") -> list[str]:
    """``-I -S`` keeps out the user's environment and site-packages: it starts in 30 ms and needs nothing of them."""
    root = str(Path(sirdar.__file__).resolve().parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from {package}.main import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-I", "-S", "-c", code, str(home), str(slots), str(idle_s), memory]


def launch(home: Path, slots: int, idle_s: float, *, memory: str = "auto") -> "subprocess.Popen[bytes]":
    """Starts the porter in a session of its own and returns when it listens. Raises PorterStartError."""
    with (home / "porter.err").open("ab") as errors:
        process = subprocess.Popen(
            command(home, slots, idle_s, memory=memory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd=home,
            env={name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL", "TZ"}},
        )
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
    if line != b"ready\n":
        process.wait(START_PATIENCE_S)
        tail = (home / "porter.err").read_text(errors="replace")[-2000:]
        raise PorterStartError(f"the porter ended with exit code {process.returncode}: {tail}")
    return process


def held(home: Path) -> bool:
    """True while a porter lives that holds this directory."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        lock = os.open(home / "porter.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)
