"""How somebody asks a running agent to end, as ``sirdar up`` does with the agent that it started."""

import os
import signal
import sys
from enum import StrEnum


class Ending(StrEnum):
    """What becomes of the programs.

    LEAVE: they run on, and the next agent on the same home takes them up again (SIGTERM, or Ctrl-C once).
    CANCEL: they are ended and reported as cancelled where the server still answers; the porter ends too (SIGUSR1, or
    Ctrl-C twice).
    """

    LEAVE = "leave"
    CANCEL = "cancel"


def request_end(pid: int, ending: Ending) -> None:
    """Asks the agent with this process id to end; returns at once. Raises ProcessLookupError where there is none."""
    if sys.platform == "win32":
        os.kill(pid, signal.SIGTERM)
    else:
        os.kill(pid, signal.SIGUSR1 if ending is Ending.CANCEL else signal.SIGTERM)
