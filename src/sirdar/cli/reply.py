"""What a command answers, and how it is shown: for people, as JSON, or as bare ids."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sirdar.cli.session import Session

Lines = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """``document`` for ``--json``, ``ids`` for ``--quiet``, ``lines`` for people; ``following`` are commands to go on with."""

    document: Any = None
    ids: Sequence[str] = ()
    lines: Lines = field(default=lambda: ())
    following: Sequence[str] = ()
    exit_code: int = 0


def show(reply: Reply, session: Session) -> None:
    """Print a reply. Hints go to standard error, so that what is piped on is the answer alone."""
    if session.options.json:
        print_json(reply.document)
    elif session.options.quiet:
        for one in reply.ids:
            print(one)
    else:
        for line in reply.lines():
            print(line)
        for command in reply.following:
            print(f"next: {command}", file=sys.stderr)
    sys.stdout.flush()


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
