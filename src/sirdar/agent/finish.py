"""From a program's end to the attempt's final: the verdict, its outputs, its streams, its statistics."""

import asyncio
import errno
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.blobs import Blobs
from sirdar.agent.executors.base import ProgramEnd
from sirdar.agent.link import Refused
from sirdar.agent.live_streams import Seen
from sirdar.agent.messages import read_messages
from sirdar.agent.outcomes import Verdict, judge
from sirdar.agent.prepare import limits_of
from sirdar.agent.redact import secrets_of
from sirdar.agent.settings import Settings
from sirdar.agent.stage_in import changed
from sirdar.agent.stage_out import (
    Cap,
    Collected,
    collect,
    directory_bytes,
    outputs_of,
    read_small,
    read_stream,
    store_archive,
    store_stream,
    tail_of,
    upload,
    with_values,
)
from sirdar.domain.outcome import Reason
from sirdar.wire.agent import Final, Stats, Stream


@dataclass(slots=True)
class Finishing:
    """An attempt whose program has ended. ``final`` is composed at once where nothing has to be brought to the server."""

    attempt: Attempt
    common: Common
    end: ProgramEnd
    verdict: Verdict
    found: Collected
    stdout: Stream | None = None
    stderr: Stream | None = None
    outputs: dict[str, Any] | None = None
    staged_out_bytes: int = 0
    debug: dict[str, Any] | None = None

    @property
    def needs_transfer(self) -> bool:
        return self.found.needs_upload or self.stdout is None or self.stderr is None or self.common.job.debug


def is_slow_to_examine(common: Common) -> bool:
    """Whether ``examine`` goes through the whole directory: to measure it, or for a pattern that reaches into all folders."""
    if any(spec.regex is not None for spec in common.app.outputs):
        return False  # a search that takes for ever can be broken off in the main thread only
    limited = limits_of(common, address_space_only=False).disk_bytes is not None
    return limited or any("**" in spec.source for spec in common.app.outputs)


def examine(
    attempt: Attempt,
    common: Common,
    end: ProgramEnd,
    settings: Settings,
    *,
    address_space_only: bool,
    small_bytes: int = 0,
) -> Finishing:
    """Reads what lies in the task's directory. Synchronous and, without files to bring away, quick.

    ``small_bytes``: so much of files travels in the final.
    """
    limits = limits_of(common, address_space_only=address_space_only)
    folder = attempt.folder
    wish = attempt.wish == "cancel"
    if folder is None:
        verdict = judge(end, limits, cancelled=wish, disk_exceeded=False, stderr_tail="")
        return Finishing(attempt, common, end, verdict, Collected(), Stream(), Stream())
    base = str(folder)
    read_messages(attempt, base + "/messages")
    secrets = secrets_of([attempt.token, *attempt.secrets.values()])
    stdout = read_stream(base + "/stdout", settings.inline_stream_bytes, secrets)
    stderr = read_stream(base + "/stderr", settings.inline_stream_bytes, secrets)
    tail = (
        "" if end.exit_code == 0 else (stderr.text or "" if stderr is not None else tail_of(folder / "stderr", secrets))
    )
    exceeded = attempt.disk_exceeded or (limits.disk_bytes is not None and directory_bytes(folder) > limits.disk_bytes)
    verdict = judge(end, limits, cancelled=wish, disk_exceeded=exceeded, stderr_tail=tail)
    ran = end.exit_code is not None
    shared = {file.path for file in attempt.shared}
    app = with_values(common.app, {**common.job.inputs, **attempt.inputs})
    found = collect(app, folder, shared, end.started_at) if ran and app.outputs else Collected()
    if found.files and small_bytes:
        read_small(found, small_bytes)
    return Finishing(attempt, common, end, _weigh(verdict, found), found, stdout, stderr)


def _weigh(verdict: Verdict, found: Collected) -> Verdict:
    """A fault of an output counts only where the program itself ended well."""
    if verdict.reason is Reason.OK and found.faults:
        messages = "; ".join(fault.message for fault in found.faults)
        reasons = (fault.reason for fault in found.faults if fault.reason is not Reason.OK)
        return Verdict(next(reasons, Reason.OK), messages, verdict.exit_code)
    return verdict


async def transfer(finishing: Finishing, settings: Settings, blobs: Blobs) -> None:
    """Brings outputs, long streams and the debug archive to the server; what fails changes the verdict."""
    folder = finishing.attempt.folder
    assert folder is not None
    try:
        linked = finishing.attempt.shared
        shared = await asyncio.to_thread(changed, linked, folder / "dir") if linked else []
        for file in shared:
            await blobs.quarantine(file.sha256)
        if shared:
            names = ", ".join(file.path for file in shared)
            finishing.verdict = Verdict(
                Reason.INPUT_CHANGED,
                f"the program changed {names}, which it shares with other tasks; mark the input `writable: true`",
                finishing.end.exit_code,
            )
        if finishing.common.job.debug:
            archive = await store_archive(folder / "dir", "debug.zip", folder, blobs)
            finishing.debug = archive.to_json()
        # Streams first: an output may be one of them, and files may be moved away.
        attempt = finishing.attempt
        secrets = secrets_of([attempt.token, *attempt.secrets.values()])
        cap = Cap(settings.log_head_bytes, settings.log_tail_bytes, secrets)
        if finishing.stdout is None:
            finishing.stdout = await store_stream(folder / "stdout", cap, blobs)
        if finishing.stderr is None:
            finishing.stderr = await store_stream(folder / "stderr", cap, blobs)
        finishing.outputs, finishing.staged_out_bytes = await upload(
            finishing.found, finishing.common.app, folder, blobs
        )
    except (OSError, Refused, ValueError) as error:
        if finishing.verdict.reason is Reason.OK:
            finishing.verdict = replace(finishing.verdict, reason=Reason.STAGE_OUT, message=_say(error))


def _say(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the outputs could not be stored: the disk is full"
    if isinstance(error, Refused) and error.status == 507:
        return "the outputs could not be stored: the server's disk is full"
    if isinstance(error, Refused) and error.status == 413:
        return f"the outputs could not be stored: the server takes no file of that size ({error.detail})"
    return f"the outputs could not be brought to the server: {error}"


def compose(finishing: Finishing) -> Final:
    """The final. Called when all that it names is on the server, or goes with it."""
    attempt, end, found = finishing.attempt, finishing.end, finishing.found
    if finishing.outputs is None and not found.needs_upload:
        finishing.outputs, finishing.staged_out_bytes = outputs_of(found, finishing.common.app)
    return Final(
        key=attempt.key,
        reason=finishing.verdict.reason,
        message=finishing.verdict.message,
        exit_code=finishing.verdict.exit_code,
        accepted_at=attempt.accepted_at,
        staging_at=attempt.staging_at,
        started_at=attempt.started_at or end.started_at,
        ended_at=end.ended_at or time.time(),
        reported_at=time.time(),
        outputs=found.values if finishing.outputs is None else finishing.outputs,
        files=_in_text(found.contents) if finishing.outputs is not None else {},
        debug=finishing.debug,
        stdout=_timed(finishing.stdout, attempt.seen.get("stdout"), end),
        stderr=_timed(finishing.stderr, attempt.seen.get("stderr"), end),
        stats=Stats(
            cpu_user_s=end.cpu_user_s,
            cpu_system_s=end.cpu_system_s,
            max_rss_bytes=end.max_rss_bytes,
            staged_in_bytes=attempt.staged_in_bytes,
            staged_in_s=attempt.staged_in_s,
            staged_out_bytes=finishing.staged_out_bytes,
            curve=attempt.curve.rows if attempt.curve is not None else [],
        ),
        code_version=attempt.code_version or None,
        environment=attempt.environment or None,
        text=attempt.said.text,
        progress=attempt.said.progress,
        metrics=attempt.said.metrics,
    )


def _in_text(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {digest: b64encode(content).decode() for digest, content in contents.items()}


def _timed(stream: Stream | None, seen: Seen | None, end: ProgramEnd) -> Stream:
    """With when its bytes were first seen, of a program that was looked at while it ran."""
    if stream is None or seen is None or not stream.size:
        return stream or Stream()
    if end.ended_at is not None:
        seen.look(stream.size, max(end.ended_at, seen.looked_at))
    return stream.model_copy(update={"seen": seen.marks}) if seen.marks else stream


MOST_LOG_BYTES = 16 << 10


def stream_of(text: str) -> Stream:
    """What a tool wrote in place of a program that never ran; of a long text the end."""
    raw = text.encode()[-MOST_LOG_BYTES:]
    return Stream(size=len(raw), text=raw.decode(errors="replace"))


def without_program(attempt: Attempt, reason: Reason, message: str) -> Final:
    """The final of an attempt that never came to a program."""
    now = time.time()
    return Final(
        key=attempt.key,
        reason=reason,
        message=message,
        accepted_at=attempt.accepted_at,
        staging_at=attempt.staging_at,
        ended_at=now,
        reported_at=now,
        stats=Stats(staged_in_bytes=attempt.staged_in_bytes),
    )
