"""What a transaction changed, for those who watch; and how servers of one database tell it one another.

A notification of PostgreSQL holds less than 8,000 bytes. What is longer is told in several; what is longer still is told as
"anything may have changed".
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 7900
MOST_MESSAGES = 4
SHORT_CHARS = 500  # a variable's value up to here travels with the news of it


@dataclass(frozen=True, slots=True)
class Change:
    """A shared variable that was set; ``text`` None: it was not told, and stands in the ledger.

    ``resources``: those whose agents must hear of it: all that run the job, but the setter's.
    """

    job_id: str
    name: str
    text: str | None
    version: int
    resources: frozenset[str]


@dataclass(slots=True)
class Hints:
    """What a transaction changed, for those who watch. Hints may be lost: loops correct by polling."""

    jobs: set[str] = field(default_factory=set)  # something of the job changed: watchers look again
    ended: set[str] = field(default_factory=set)  # the job ended: waiters, dependants, notices
    resources: set[str] = field(default_factory=set)  # a wish for an agent was written
    changed: set[str] = field(default_factory=set)  # resources whose row or tokens changed: other servers forget
    owners: set[str] = field(default_factory=set)  # ids of users who have a new job
    rights: set[str] = field(default_factory=set)  # user:ID, token:ID, app:ID, users: other servers forget them
    queue: bool = False  # there may be something to place
    placed: bool = False  # all of that was given out in the same transaction
    pending: bool = False  # there is a SUBMITTED job to advance
    notices: bool = False  # there is a notice to send
    everything: bool = False  # anything may have changed
    variables: list[Change] = field(default_factory=list)  # shared variables that were set
    after: list[Callable[[], object]] = field(default_factory=list)  # called on the event loop once it is committed
    undo: list[Callable[[], object]] = field(default_factory=list)  # called in the writer's thread if it is rolled back

    def add(self, other: "Hints") -> None:
        self.jobs |= other.jobs
        self.ended |= other.ended
        self.resources |= other.resources
        self.changed |= other.changed
        self.owners |= other.owners
        self.rights |= other.rights
        self.queue |= other.queue
        self.pending |= other.pending
        self.notices |= other.notices
        self.variables += other.variables
        self.after += other.after
        self.undo += other.undo

    def rolled_back(self) -> None:
        """What was noted on the way did not happen."""
        for call in self.undo:
            call()
        self.undo.clear()

    def __bool__(self) -> bool:
        return bool(
            self.jobs
            or self.ended
            or self.resources
            or self.changed
            or self.owners
            or self.rights
            or self.queue
            or self.pending
            or self.notices
            or self.everything
            or self.variables
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What one notification says. ``here``: the sender has begun to listen, and wants to be told from now on.

    ``key``: the print of its secret key, in what servers say to one another at the start.
    """

    sender: str
    hints: Hints
    here: bool = False
    to: str = ""  # the one server that it is meant for; empty: all
    key: str = ""


def encode(hints: Hints, sender: str) -> list[str]:
    """The notifications that tell others of committed changes; none where they need not know."""
    if hints.everything:
        return [encode_all(sender)]
    head: dict[str, Any] = {"s": sender}
    if hints.queue and not hints.placed:
        head["q"] = 1
    if hints.pending:
        head["p"] = 1
    if hints.notices:
        head["n"] = 1
    parts = list(_parts(hints))
    if not parts and len(head) == 1:
        return []
    messages: list[dict[str, Any]] = [head]
    used = len(json.dumps(head))
    for letter, value in parts:
        size = len(json.dumps(value)) + 8
        if used + size > MOST_BYTES:
            messages.append({"s": sender})
            used = len(sender) + 8
        messages[-1].setdefault(letter, []).append(value)
        used += size
    if len(messages) > MOST_MESSAGES:
        return [encode_all(sender)]
    return [json.dumps(message, separators=(",", ":")) for message in messages]


def encode_all(sender: str, *, to: str = "", key: str = "") -> str:
    """Anything may have changed."""
    return json.dumps({"s": sender, "all": 1} | ({"to": to, "k": key} if to else {}))


def encode_here(sender: str, key: str = "") -> str:
    """The sender listens from now on."""
    return json.dumps({"s": sender, "here": 1, "k": key})


def _parts(hints: Hints) -> Iterator[tuple[str, Any]]:
    for letter, names in (
        ("e", hints.ended),
        ("j", hints.jobs - hints.ended),
        ("r", hints.resources),
        ("c", hints.changed),
        ("o", hints.owners),
        ("f", hints.rights),
    ):
        for name in sorted(names):
            yield letter, name
    for change in hints.variables:
        if change.resources:
            short = change.text is not None and len(change.text) <= SHORT_CHARS
            text = change.text if short else None
            yield "v", [change.job_id, change.name, text, change.version, sorted(change.resources)]


def decode(text: str) -> Heard:
    """What a notification says. One that a newer server words otherwise says that anything may have changed."""
    try:
        told = json.loads(text)
        hints = Hints(
            jobs=set(told.get("j", ())),
            ended=set(told.get("e", ())),
            resources=set(told.get("r", ())),
            changed=set(told.get("c", ())),
            owners=set(told.get("o", ())),
            rights=set(told.get("f", ())),
            queue="q" in told,
            pending="p" in told,
            notices="n" in told,
            everything="all" in told,
            variables=[
                Change(job_id, name, value, version, frozenset(resources))
                for job_id, name, value, version, resources in told.get("v", ())
            ],
        )
        return Heard(str(told["s"]), hints, "here" in told, told.get("to", ""), told.get("k", ""))
    except (ValueError, TypeError, LookupError, AttributeError):
        return Heard("", Hints(everything=True))
