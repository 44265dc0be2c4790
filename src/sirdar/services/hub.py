"""Tells coroutines of this process that something changed. Hints only: whoever waits looks at the ledger again."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from sirdar.services import calls
from sirdar.store.hints import Hints


class Bell:
    """An event that may be rung before anybody waits, and is used up by the one who waited."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """True if it rang within the time. For a call that waits here, this is time in which it was held."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        finally:
            calls.held(time.perf_counter() - began)
        self._event.clear()
        return True


class NamedBell(Bell):
    """A bell for many topics that remembers which of them rang, until somebody takes the names."""

    def __init__(self) -> None:
        super().__init__()
        self._rang: set[str] = set()

    def note(self, topic: str) -> None:
        self._rang.add(topic)
        self.ring()

    def take_names(self) -> set[str]:
        """What rang since it was asked last, each by the id in its topic."""
        rang, self._rang = self._rang, set()
        return {topic.partition(":")[2] for topic in rang}


class _Cord:
    """What rings a ``NamedBell`` for one topic."""

    __slots__ = ("_bell", "_topic")

    def __init__(self, bell: NamedBell, topic: str) -> None:
        self._bell, self._topic = bell, topic

    def ring(self) -> None:
        self._bell.note(self._topic)


class Hub:
    """Bells by topic: ``job:ID`` (anything of the job), ``end:ID`` (its end), ``new:USER`` (a user's new job), ``resource:ID``;
    and one for each loop.
    """

    def __init__(self) -> None:
        self._bells: defaultdict[str, set[Bell | _Cord]] = defaultdict(set)
        self.queue = Bell()
        self.pending = Bell()
        self.notices = Bell()
        self.starts_agent = False  # the server starts an agent of its own, which has perhaps not said hello yet
        self.leaving = False  # the server was asked to stop; it still answers
        self.closed = False
        self.on_close: list[Callable[[], None]] = []

    def close(self) -> None:
        """The server stops: whoever waits for a topic stops waiting. Loops are ended by whoever runs them."""
        self.closed = True
        for act in self.on_close:
            act()
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()

    def listen(self, topic: str) -> AbstractContextManager[Bell]:
        """A bell that rings at each change of the topic, until the block ends."""
        return self.listen_all([topic])

    @contextmanager
    def listen_all(self, topics: Iterable[str]) -> Iterator[Bell]:
        """One bell for several topics."""
        bell = Bell()
        with self._hung(dict.fromkeys(topics, bell)):
            yield bell

    @contextmanager
    def listen_each(self, topics: Iterable[str]) -> Iterator[NamedBell]:
        """One bell for several topics that says which of them rang."""
        bell = NamedBell()
        with self._hung({topic: _Cord(bell, topic) for topic in topics}):
            yield bell

    @contextmanager
    def _hung(self, cords: Mapping[str, Bell | _Cord]) -> Iterator[None]:
        for topic, cord in cords.items():
            self._bells[topic].add(cord)
        try:
            yield
        finally:
            for topic, cord in cords.items():
                self._bells[topic].discard(cord)
                if not self._bells[topic]:
                    del self._bells[topic]

    def ring(self, topic: str) -> None:
        for bell in self._bells.get(topic, ()):
            bell.ring()

    def publish(self, hints: Hints) -> None:
        """Called on the event loop after each commit, of this server or another."""
        if hints.everything:
            self._ring_all()
            return
        if self._bells:
            for job in hints.jobs:
                self.ring(f"job:{job}")
            for job in hints.ended:
                self.ring(f"job:{job}")
                self.ring(f"end:{job}")
            for owner in hints.owners:
                self.ring(f"new:{owner}")
            for resource in hints.resources:
                self.ring(f"resource:{resource}")
        if hints.queue:
            self.queue.ring()
        if hints.pending:
            self.pending.ring()
        if hints.notices:
            self.notices.ring()

    def _ring_all(self) -> None:
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()
        for bell in (self.queue, self.pending, self.notices):
            bell.ring()
