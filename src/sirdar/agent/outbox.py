"""What the agent has to tell the server. Facts leave in order and are removed only when they are acknowledged.

Accepts and finals may wait a moment for company where whoever adds them says so: while a machine has more to start, one call
for many of them costs server and agent less than a call for each.
"""

import asyncio
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

from sirdar.domain.outcome import Reason
from sirdar.wire.agent import Final, Message, Started, SyncReply, SyncRequest, Usage

CALL_BYTES = 8 << 20  # of one call: half of what a server takes, unless its settings say otherwise
LEAST_BYTES = 4 << 10
EXACT_OVER_BYTES = 64 << 10


class Outbox:
    """Accepts, refusals, starts, messages, gauges and finals that wait for the next sync."""

    def __init__(self, *, started_delay_s: float, finals_per_sync: int, usage_every_s: float = 5.0) -> None:
        self._started_delay_s = started_delay_s
        self._finals_per_sync = finals_per_sync
        self._usage_every_s = usage_every_s
        self.accepts: OrderedDict[str, None] = OrderedDict()
        self.refusals: OrderedDict[str, str] = OrderedDict()
        self.finals: OrderedDict[str, Final] = OrderedDict()
        self.given_back: OrderedDict[str, None] = OrderedDict()
        self._started: OrderedDict[str, tuple[float, Started]] = OrderedDict()
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._usage: OrderedDict[str, Usage] = OrderedDict()
        self._usage_due = self._usage_told = 0.0
        self._call_bytes = CALL_BYTES
        self._work_due = math.inf  # when accepts and finals have waited long enough
        self._wake = asyncio.Event()

    def accept(self, keys: Iterable[str], *, within_s: float = 0.0) -> None:
        """They may wait ``within_s`` seconds for company."""
        self.accepts.update(dict.fromkeys(keys))
        self._hurry(within_s)

    def refuse(self, key: str, why: str) -> None:
        self.refusals[key] = why
        self._wake.set()

    def add_finals(self, finals: Iterable[Final], *, within_s: float = 0.0) -> None:
        """Also drops what was to be said of these before: the final says it all. They may wait ``within_s`` seconds for company."""
        for final in finals:
            self.finals[final.key] = final
            self._started.pop(final.key, None)
            self._messages.pop(final.key, None)
            self._usage.pop(final.key, None)
        self._hurry(within_s)

    def _hurry(self, within_s: float) -> None:
        """Whoever waits looks again in any case: what was due before may have been dropped meanwhile."""
        if self.has_work():
            self._work_due = min(self._work_due, time.monotonic() + within_s)
            self._wake.set()

    def give_back(self, keys: Iterable[str]) -> None:
        """These were asked back and will never start here."""
        for key in keys:
            self.given_back[key] = None
            self._started.pop(key, None)
        self._wake.set()

    def add_started(self, started: Started) -> None:
        """Waits a moment: of a short task the final alone is sent."""
        due = (
            self._started[started.key][0] if started.key in self._started else time.monotonic() + self._started_delay_s
        )
        self._started[started.key] = (due, started)
        self._wake.set()

    def add_message(self, message: Message) -> None:
        if message.key not in self.finals:
            self._messages[message.key] = message
            self._wake.set()

    def add_usage(self, usage: Usage) -> None:
        """Told at times, of all tasks together; of a short task the final alone is sent."""
        if usage.key in self.finals:
            return
        if not self._usage:
            now, every_s = time.monotonic(), self._usage_every_s
            waited = now - self._usage_told < 2 * every_s
            self._usage_due = self._usage_told + every_s if waited else now + every_s
            self._wake.set()
        self._usage[usage.key] = usage

    def drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            for box in (self.accepts, self.refusals, self.given_back, self._started, self._messages, self.finals):
                box.pop(key, None)
            self._usage.pop(key, None)

    def has_news(self) -> bool:
        """Whether there is something to tell at once."""
        if self.refusals or self._messages or self.given_back:
            return True
        return self.has_work() and self._work_due <= time.monotonic()

    def has_work(self) -> bool:
        """Whether there are accepts or finals to tell, now or soon."""
        return bool(self.accepts or self.finals)

    def is_empty(self) -> bool:
        """Whether there is nothing to tell, now or within a moment."""
        return not (self.has_work() or self.has_news())

    async def wait(self) -> None:
        """Returns when there is something to tell."""
        while not self.has_news():
            self._wake.clear()
            dues = [due for due, _ in self._started.values()] + ([self._usage_due] if self._usage else [])
            if self.has_work():
                dues.append(self._work_due)
            wait_s = min(dues) - time.monotonic() if dues else None
            if wait_s is not None and wait_s <= 0:
                return
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                return

    def compose(self, session: str) -> SyncRequest:
        """All that is due and goes into one call; nothing is removed yet. What comes from now on waits for the next one.

        Ends go first, words and gauges with what is left.
        """
        now = time.monotonic()
        finals, left = _fitting(
            itertools.islice(self.finals.values(), self._finals_per_sync), size_of, self._call_bytes
        )
        messages, left = _fitting(self._messages.values(), _size_of_words, left, least=0 if finals else 1)
        gauges = self._usage.values() if self._usage_due <= now else ()
        usage, _ = _fitting(gauges, _size_of_words, left, least=0 if finals or messages else 1)
        said = {
            message.key for message in messages
        }  # whose program speaks, runs: the server is never told of words alone
        self._work_due = math.inf if len(finals) == len(self.finals) else now
        return SyncRequest(
            session=session,
            accepts=list(self.accepts),
            refusals=dict(self.refusals),
            started=[started for due, started in self._started.values() if due <= now or started.key in said],
            messages=messages,
            usage=usage,
            finals=finals,
            given_back=list(self.given_back),
        )

    def too_large(self, request: SyncRequest) -> None:
        """The server does not take a call of this size: less goes with the next.

        Of an end that went alone the values are left out; words and gauges that went alone are not told.
        """
        finals = sum(map(size_of, request.finals))
        said: list[Message | Usage] = [*request.messages, *request.usage]
        words = sum(map(_size_of_words, said))
        alone = len(request.finals) + len(request.messages) + len(request.usage) == 1
        if alone and request.finals and request.finals[0].key in self.finals:
            final = request.finals[0]
            self.finals[final.key] = without_values(final)
        elif alone:
            self._messages.clear()
            self._usage.clear()
        else:
            self._call_bytes = max(LEAST_BYTES, min(self._call_bytes, finals + words) // 2)

    def unsent(self) -> None:
        """What was composed last may not have been heard: it is due again."""
        self._hurry(0.0)

    def settle(self, request: SyncRequest, reply: SyncReply) -> None:
        """The server has committed what the request said."""
        for key in [*reply.acked, *reply.forget]:
            self.finals.pop(key, None)
            self.given_back.pop(key, None)
        if any(final.key in self.finals for final in request.finals):
            self._hurry(0.0)
        for key in request.accepts:
            self.accepts.pop(key, None)
        for key in request.refusals:
            self.refusals.pop(key, None)
        for started in request.started:
            if key_is(self._started.get(started.key), started):
                del self._started[started.key]
        for usage in request.usage:
            if self._usage.get(usage.key) is usage:
                del self._usage[usage.key]
        if request.usage:
            self._usage_told = time.monotonic()
            self._usage_due = self._usage_told + self._usage_every_s
        for message in request.messages:
            if self._messages.get(message.key) is message:
                del self._messages[message.key]


def size_of(final: Final) -> int:
    """Of its JSON, in bytes: no less than that; exactly, where it is not small."""
    texts = (final.stdout.text, final.stderr.text, final.text, final.message)
    rough = 1000 + 6 * sum(len(text) for text in texts if text) + sum(map(len, final.files.values()))
    rough += 4 * len(repr(final.outputs)) + 100 * len(final.stats.curve) + 100 * len(final.metrics)
    return rough if rough <= EXACT_OVER_BYTES else len(final.model_dump_json(exclude_defaults=True))


def _size_of_words(said: Message | Usage) -> int:
    return len(said.model_dump_json(exclude_defaults=True))


Part = TypeVar("Part")


def _fitting(
    parts: Iterable[Part], size: Callable[[Part], int], left: int, *, least: int = 1
) -> tuple[list[Part], int]:
    """The first ones that go into so many bytes, though no fewer than ``least``; and how much is left."""
    chosen: list[Part] = []
    for part in parts:
        took = size(part)
        if len(chosen) >= least and took > left:
            break
        chosen.append(part)
        left -= took
    return chosen, max(left, 0)


def without_values(final: Final) -> Final:
    """The end of an attempt whose outputs the server does not take. The attempt failed by that, unless it had failed before."""
    failed = (
        {}
        if final.reason != Reason.OK
        else {
            "reason": Reason.STAGE_OUT,
            "message": f"the values of its outputs ({size_of(final)} bytes) are more than the server takes in one report; "
            "let large ones be outputs of type file",
        }
    )
    stats = final.stats.model_copy(update={"curve": []})
    return final.model_copy(update={"outputs": {}, "files": {}, "metrics": {}, "stats": stats, **failed})


def key_is(waiting: tuple[float, Started] | None, sent: Started) -> bool:
    """True if what waits is what was sent, not something newer."""
    return waiting is not None and waiting[1] is sent
