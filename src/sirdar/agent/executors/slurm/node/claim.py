# ruff: noqa: PTH108
"""Who may run a task, or drop it: decided once, by the first to link its name, on whatever file system both sides share.

The node claims a task before it starts it, and the agent before it takes one back, so that neither a task that was submitted
twice runs twice, nor one that was taken back runs at all.
"""

import os
import threading


def take(path: str, who: str) -> bool:
    """True if it is ours from now on. False where another was first, or where the task's directory is gone.

    A link is made once even on network file systems; what it leads to says who made it, where the answer was lost.
    """
    own = f"{path}.{who}.{os.getpid()}.{threading.get_ident()}"
    try:
        with open(own, "w") as file:
            file.write(who)
    except FileNotFoundError:
        return False
    try:
        try:
            os.link(own, path)
        except FileExistsError:
            pass
        except FileNotFoundError:
            return False
        return owner(path) == who
    finally:
        try:
            os.unlink(own)
        except FileNotFoundError:
            pass


def owner(path: str) -> str | None:
    """Who has claimed it; None: nobody."""
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None
