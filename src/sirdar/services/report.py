"""What agents report: accepts, refusals, phases, words, finals. One fenced transaction for a whole call."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from sirdar.domain.ids import AttemptKey
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import AttemptState
from sirdar.domain.usage import Row, joined
from sirdar.services.batch import Batch
from sirdar.services.report_files import NONE
from sirdar.services.settings import Settings
from sirdar.store import blobs as blob_store
from sirdar.store import preparing, task_usage
from sirdar.store import resources as resource_store
from sirdar.store.engine import Tx
from sirdar.store.tasks import Times
from sirdar.wire.agent import Final, Stream, SyncRequest

REASONS = frozenset(reason.value for reason in Reason)
MOST_VERSION_CHARS = 300


@dataclass(slots=True)
class Report:
    """What the agent is told of its report."""

    accepted: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    acked: list[str] = field(default_factory=list)


def new_batch(tx: Tx, settings: Settings) -> Batch:
    return Batch(tx, retry_base_s=settings.retry_base_s, retry_max_s=settings.retry_max_s)


def apply_report(
    tx: Tx, settings: Settings, resource_id: str, request: SyncRequest, brought: Mapping[str, int] = NONE
) -> Report:
    """Apply everything that one call carries. Duplicates, late and superseded facts are acknowledged and change nothing.

    ``brought``: sizes by digest of the files in it, which lie in the blob store.
    """
    report = _apply_facts(tx, settings, resource_id, request, brought)
    if request.usage:  # gauges: no job is locked for them
        pieces = ((key, told.rows) for told in request.usage if (key := _parse(told.key)) is not None)
        task_usage.tell(tx, resource_id, pieces)
    return report


def _apply_facts(
    tx: Tx, settings: Settings, resource_id: str, request: SyncRequest, brought: Mapping[str, int]
) -> Report:
    report = Report()
    keys = {text: key for text in _named(request) if (key := _parse(text)) is not None}
    if not keys:
        report.acked = [*(final.key for final in request.finals), *request.given_back]
        report.forget = [*request.accepts]
        return report
    batch = new_batch(tx, settings)
    batch.load(keys.values())
    mine = {
        text: key
        for text, key in keys.items()
        if (loaded := batch.loaded(key)) is not None and loaded.attempt.resource_id == resource_id
    }
    _accept(batch, request, mine, report)
    for text, why in request.refusals.items():
        if text in mine:
            _refuse(batch, mine[text], why)
    for fact in request.started:
        if fact.key in mine:
            staged = Times(staging_at=fact.staging_at, staged_at=_staged_at(fact.staging_at, fact.staged_in_s))
            batch.progress(mine[fact.key], AttemptState(fact.state), fact.at, staged)
    _give_back(batch, request, mine, report)
    for message in request.messages:
        if message.key in mine:
            batch.say(mine[message.key], message)
    _end_all(batch, request, mine, brought, report)
    if batch.recovered:  # so that the next round does not give it up again before it sends its heartbeat
        resource_store.extend_lease(tx, resource_id, lease_s=settings.lease_s)
    batch.flush()
    report.forget += [key.text for key in batch.superseded if key in mine.values()]
    return report


def _named(request: SyncRequest) -> Iterable[str]:
    yield from request.accepts
    yield from request.refusals
    yield from request.given_back
    for started in request.started:
        yield started.key
    for message in request.messages:
        yield message.key
    for final in request.finals:
        yield final.key


def _parse(text: str) -> AttemptKey | None:
    try:
        return AttemptKey.parse(text)
    except ValueError:
        return None


def _accept(batch: Batch, request: SyncRequest, mine: dict[str, AttemptKey], report: Report) -> None:
    for text in request.accepts:
        if text in mine and batch.accept(mine[text]):
            report.accepted.append(text)
        else:
            report.forget.append(text)


def _refuse(batch: Batch, key: AttemptKey, why: str) -> None:
    """A refusal by the resource's owner ends the task: asking again would change nothing."""
    if batch.accept(key):
        batch.end(key, Outcome(Reason.REFUSED, why), {"ended_at": batch.tx.now, "reported_at": batch.tx.now})


def _give_back(batch: Batch, request: SyncRequest, mine: dict[str, AttemptKey], report: Report) -> None:
    for text in request.given_back:
        if text in mine:
            batch.give_back(mine[text])
        report.acked.append(text)


def _end_all(
    batch: Batch, request: SyncRequest, mine: dict[str, AttemptKey], brought: Mapping[str, int], report: Report
) -> None:
    versions: dict[str, str] = {}
    environments: dict[str, str] = {}
    named = {final.key: set(_blobs(final)) for final in request.finals if final.key in mine}
    here = _here(batch.tx, set().union(*named.values()), brought) if any(named.values()) else set()
    curves: dict[AttemptKey, list[Row]] = {}
    for final in request.finals:
        if final.key in mine and _end(batch, mine[final.key], final, named[final.key] - here):
            if final.code_version:
                versions.setdefault(mine[final.key].job, final.code_version[:MOST_VERSION_CHARS])
            if final.environment:
                environments.setdefault(mine[final.key].job, final.environment[:MOST_VERSION_CHARS])
            if final.stats.curve:
                curves[mine[final.key]] = final.stats.curve
        report.acked.append(final.key)
    if curves:
        _keep_curves(batch.tx, curves)
    blob_store.name(batch.tx, ((f"job:{mine[key].job}", sha) for key, shas in named.items() for sha in shas & here))
    for job_id, version in versions.items():
        preparing.note_code_version(batch.tx, job_id, version)
    for job_id, identity in environments.items():
        preparing.note_environment(batch.tx, job_id, identity)


def _here(tx: Tx, named: set[str], brought: Mapping[str, int]) -> set[str]:
    """Those of the blobs that are on the server, young by now."""
    fresh = {sha256: brought[sha256] for sha256 in named & brought.keys()}
    if fresh:
        blob_store.register_all(tx, fresh)
    others = named - fresh.keys()
    return (blob_store.touch(tx, others) if others else set()) | fresh.keys()


def _end(batch: Batch, key: AttemptKey, final: Final, missing: set[str]) -> bool:
    """False where the final came too late to count. DONE means that the files are here: where one is not, it is not DONE."""
    reason = Reason(final.reason) if final.reason in REASONS else Reason.START  # a newer agent may know more reasons
    outcome = Outcome(reason, final.message, final.exit_code)
    cpu_s = final.stats.cpu_user_s + final.stats.cpu_system_s
    if missing:
        words = f"{len(missing)} of its files did not reach the server, or were damaged there; the program had ended: "
        outcome = Outcome(Reason.STAGE_OUT, words + final.message, final.exit_code)
        final = final.model_copy(update={"outputs": {}, "debug": None, "stdout": Stream(), "stderr": Stream()})
    return batch.end(key, outcome, _columns(final), cpu_s=cpu_s)


def _keep_curves(tx: Tx, curves: dict[AttemptKey, list[Row]]) -> None:
    """What was told before an agent's restart is in no final of the agent's: it goes before what the final says."""
    told = task_usage.take(tx, curves)
    task_usage.keep(tx, {key: joined([*told.get(key, ()), curve]) for key, curve in curves.items()})


def _columns(final: Final) -> dict[str, Any]:
    return {
        "accepted_at": final.accepted_at,
        "staging_at": final.staging_at,
        "staged_at": _staged_at(final.staging_at, final.stats.staged_in_s),
        "started_at": final.started_at,
        "ended_at": final.ended_at,
        "reported_at": final.reported_at,
        "result_json": _json(final.outputs) if final.outputs else None,
        "stats_json": to_json(final.stats, exclude={"curve"}).decode(),
        "stdout_json": _stream(final.stdout),
        "stderr_json": _stream(final.stderr),
        "debug_json": _json(final.debug) if final.debug else None,
        "status_message": final.text,
        "progress": final.progress,
        "metrics_json": _json(final.metrics) if final.metrics else None,
    }


def _staged_at(staging_at: float | None, staged_in_s: float | None) -> float | None:
    return staging_at + staged_in_s if staging_at is not None and staged_in_s is not None else None


def _stream(stream: Stream) -> str | None:
    return to_json(stream, exclude_none=True).decode() if stream.size else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _blobs(final: Final) -> Iterable[str]:
    """Digests of all blobs that the final names."""
    for stream in (final.stdout, final.stderr):
        if stream.sha256:
            yield stream.sha256
    stack: list[Any] = [final.outputs, final.debug]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(file := value.get("$file"), dict):
                yield str(file["sha256"])
            else:
                stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
