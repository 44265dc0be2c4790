"""Jobs: submit, wait for the end, follow events and streams."""

import codecs
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from sirdar.client.errors import ServerUnreachable, api_error
from sirdar.client.exchange import Clock, Emit, Flow, Open, OpenStream, Pause, Read, Reply
from sirdar.client.flows.basic import document
from sirdar.client.flows.uploads import UploadLimits, upload_file
from sirdar.client.flows.values import ValueUploads
from sirdar.client.requests import jobs as requests
from sirdar.client.requests.jobs import Options
from sirdar.client.retry import GATEWAY_STATUSES, RetryPolicy
from sirdar.client.sse import SseParser

INLINE_ROWS_BYTES = 1024 * 1024  # longer lists of inputs travel as a JSON-lines file
QUIET_S = 20.0  # silence after which an event stream is believed dead; servers send a comment every 15 s
HELD_S = 25.0  # how long the server is asked to hold an answer: under what proxies bear
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 2.0
PATIENCE_S = 600.0  # how long a wait bears a server that does not answer (it may be restarting)
PATIENT = RetryPolicy(retries=10**6, first_s=0.1, longest_s=5.0)


def submit(
    app: str,
    inputs: Mapping[str, Any],
    options: Options,
    *,
    key: str,
    limits: UploadLimits,
    foreach: Sequence[Mapping[str, Any]] | None = None,
    sweep: Mapping[str, Any] | None = None,
    wait_s: float | None = None,
) -> Flow[dict[str, Any]]:
    """Upload the files among the inputs and submit; the job's document.

    ``foreach`` makes one task for each member, ``sweep`` (as ``sirdar.wire.submit.Sweep``) one for each combination.
    """
    uploads = ValueUploads(limits)
    common = yield from uploads.resolve(inputs)
    rows: Any = None
    if foreach is not None:
        rows = yield from uploads.resolve(list(foreach), "foreach")
        rows = yield from _rows_as_sent(rows, limits)
    if sweep is not None:
        sweep = {**sweep, "parameters": (yield from uploads.resolve(sweep["parameters"], "sweep.parameters"))}
    request = requests.submit(app, common, options, key=key, foreach=rows, sweep=sweep, wait_s=wait_s)
    return (yield from document(request))


def _rows_as_sent(rows: list[Any], limits: UploadLimits) -> Flow[Any]:
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    if sum(map(len, lines)) <= INLINE_ROWS_BYTES:
        return rows
    with tempfile.SpooledTemporaryFile(INLINE_ROWS_BYTES * 16) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
        reply = yield from upload_file(cast("BinaryIO", file), "foreach.jsonl", limits)
        return {"uri": reply["uri"]}


def wait(job: str, timeout_s: float | None, clock: Clock = time.monotonic) -> Flow[dict[str, Any]]:
    """The job's document at its end, or as it stands when the time is over.

    The server holds the answer until the job's end; one that does not is asked again after growing pauses.
    """
    deadline = None if timeout_s is None else clock() + timeout_s
    heard_at = clock()
    pause_s = FIRST_PAUSE_S
    while True:
        asked_at = clock()
        left = HELD_S if deadline is None else max(0.0, deadline - asked_at)
        try:
            found = yield from document(requests.show(job, wait_s=min(HELD_S, left)))
            heard_at = clock()
            if requests.has_ended(found) or (deadline is not None and heard_at >= deadline):
                return found
        except ServerUnreachable:
            if clock() - heard_at > PATIENCE_S or (deadline is not None and clock() >= deadline):
                raise
        was_held = clock() - asked_at >= min(HELD_S, left) * 0.9
        pause_s = FIRST_PAUSE_S if was_held else min(LONGEST_PAUSE_S, pause_s * 1.5)
        yield Pause(pause_s if deadline is None else min(pause_s, max(0.0, deadline - clock())))


@dataclass(slots=True)
class _Connection:
    """What became of one connection to the event stream."""

    opened: bool = False
    ended: bool = False
    events: int = 0


def events(
    job: str, *, last_id: str = "0", timeout_s: float | None = None, clock: Clock = time.monotonic
) -> Flow[None]:
    """Emits the job's events after ``last_id`` until its end (or the time's); reconnects where the stream breaks."""
    deadline = None if timeout_s is None else clock() + timeout_s
    parser = SseParser(last_id=last_id)
    heard_at = clock()
    fruitless = 0
    while deadline is None or clock() < deadline:
        connection = _Connection()
        try:
            yield from _read_events(job, parser, deadline, clock, connection)
        except ServerUnreachable:
            if not connection.opened and clock() - heard_at > PATIENCE_S:
                raise
        if connection.ended:
            return
        heard_at = clock() if connection.opened else heard_at
        fruitless = 0 if connection.events else fruitless + 1
        if fruitless and (deadline is None or clock() < deadline):
            pause_s = PATIENT.pause_s(min(fruitless, 10))
            yield Pause(pause_s if deadline is None else min(pause_s, max(0.0, deadline - clock())))


def _read_events(
    job: str, parser: SseParser, deadline: float | None, clock: Clock, connection: _Connection
) -> Flow[None]:
    quiet_s = QUIET_S if deadline is None else max(0.05, min(QUIET_S, deadline - clock()))
    stream: OpenStream = yield Open(requests.event_stream(job, parser.last_id, quiet_s))
    head = stream.head
    if not 200 <= head.status < 300:
        if head.status in GATEWAY_STATUSES or head.status == 429:
            return
        raise api_error(head.status, head.headers, head.body)
    connection.opened = True
    # The longest silence is fixed when the stream is opened: near the deadline it is opened anew, with a shorter one.
    while deadline is None or deadline - clock() > quiet_s - 0.25:
        chunk: bytes = yield Read(stream)
        if not chunk:
            return
        for event in parser.feed(chunk):
            connection.events += 1
            yield Emit(event)
            if event.kind == "end":
                connection.ended = True
                return


class LogLine(str):
    """One line that a program wrote, without its end; ``stream`` is stdout or stderr."""

    stream: str

    def __new__(cls, text: str, stream: str = "stdout") -> "LogLine":
        line = super().__new__(cls, text)
        line.stream = stream
        return line


@dataclass(slots=True)
class _Tail:
    """How far one stream has been read."""

    name: str
    offset: int = 0
    complete: bool = False
    rest: str = ""
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def lines(self, piece: requests.StreamPiece) -> list[LogLine]:
        """Whole lines that a piece completes; the last one without an end when the stream is complete."""
        self.offset += len(piece.content)
        self.complete = piece.complete and self.offset >= piece.size_bytes
        *whole, self.rest = (self.rest + self.decoder.decode(piece.content, final=self.complete)).split("\n")
        if self.complete and self.rest:
            whole.append(self.rest)
        return [LogLine(line.removesuffix("\r"), self.name) for line in whole]


def stream_lines(job: str, names: Sequence[str], *, task: int | None = None, follow: bool = True) -> Flow[None]:
    """Emits ``LogLine`` from the beginning; with ``follow`` until the streams are complete, else what is there."""
    tails = [_Tail(name) for name in names]
    pause_s = 0.1
    while open_tails := [tail for tail in tails if not tail.complete]:
        heard = False
        for tail in open_tails:
            reply: Reply = yield requests.stream(job, tail.name, offset=tail.offset, task=task)
            piece = requests.read_stream_piece(reply, tail.offset)
            heard = heard or bool(piece.content)
            tail.complete = False
            for line in tail.lines(piece):
                yield Emit(line)
            if not follow and tail.offset >= piece.size_bytes:
                tail.complete = True
                if tail.rest and not piece.complete:
                    yield Emit(LogLine(tail.rest, tail.name))
        if all(tail.complete for tail in tails):
            return
        pause_s = 0.1 if heard else min(1.0, pause_s * 1.5)
        yield Pause(pause_s if follow or not heard else 0.0)
