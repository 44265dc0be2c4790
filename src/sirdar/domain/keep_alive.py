"""Programs that serve many tasks, one after the other, from one process: what the author says of that, and which words start it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_IDLE_S = 30.0
DEFAULT_MOST = 500
LONGEST_IDLE_S = 86400.0

_INTERPRETER = re.compile(r"(python[23]?(\.\d+)?|bash|sh|dash|Rscript|perl|julia|node|ruby|octave|lua)")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How the process of such a program is kept.

    ``idle_s``: how long it stays without a task; ``most``: tasks after which it is started anew; ``program``: how many leading
    words of the command start it (None: see ``program_words``); ``asked``: only for submissions that say so.
    """

    idle_s: float = DEFAULT_IDLE_S
    most: int = DEFAULT_MOST
    program: int | None = None
    asked: bool = False

    def is_wanted(self, wish: bool | None) -> bool:
        """Whether a task is handed to a kept process; ``wish``: what its submission says of it."""
        return not self.asked if wish is None else wish


def program_words(command: Sequence[str]) -> int:
    """How many leading words are the program: one, or an interpreter with its options and its script (or ``-m MODULE``)."""
    if not command or not _INTERPRETER.fullmatch(command[0].rpartition("/")[2]):
        return min(1, len(command))
    for place, word in enumerate(command[1:], 1):
        if word == "-m":
            return min(place + 2, len(command))
        if not word.startswith("-"):
            return place + 1
    return len(command)
