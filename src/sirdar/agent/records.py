"""The journal's records, made from what the agent owns and turned back into it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sirdar.agent.attempts import Attempt, Attempts, SharedFile
from sirdar.agent.journal import Record
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.seal import Seal
from sirdar.wire.agent import Final, OfferedJob, Program

_BOOT = boot_id()


def job_record(job: str, offered: OfferedJob) -> Record:
    return {"t": "job", "id": job, "d": offered.model_dump(mode="json", exclude_defaults=True)}


def program_record(digest: str, program: Program) -> Record:
    return {"t": "program", "id": digest, "d": program.model_dump(mode="json", exclude_defaults=True)}


def offers_record(attempts: Iterable[Attempt], seal: Seal, boot: str = _BOOT) -> Record:
    """A batch of offers; what is secret in them is encrypted at once.

    With the boot in which they were taken: after another, whether their programs had started is not known.
    """
    attempts = list(attempts)
    secret = seal.close({attempt.key: [attempt.token, attempt.secrets] for attempt in attempts})
    offers = [[attempt.key, attempt.job, attempt.inputs] for attempt in attempts]
    return {"t": "offers", "boot": boot, "o": offers, "x": secret}


def run_record(attempt: Attempt) -> Record:
    """The attempt may run from now on."""
    return {
        "t": "run",
        "k": attempt.key,
        "boot": attempt.boot or _BOOT,
        "dir": str(attempt.folder),
        "shared": [[file.path, file.sha256, file.size_bytes, file.mtime_ns] for file in attempt.shared],
        "in": attempt.staged_in_bytes,
        "accepted": attempt.accepted_at,
        "staging": attempt.staging_at,
        "version": attempt.code_version,
        **({"environment": attempt.environment} if attempt.environment else {}),
        **({"gpus": list(attempt.gpus)} if attempt.gpus else {}),
        **({"kept": attempt.kept} if attempt.kept else {}),
    }


def given_back_record(keys: list[str]) -> Record:
    """These will never start here, whatever was written of them before."""
    return {"t": "given_back", "k": keys}


def said_record(attempt: Attempt) -> Record:
    said = attempt.said
    waits = [True] if said.waits else []  # only where it is so: what an older agent does not know
    return {"t": "said", "k": attempt.key, "d": [said.seq, said.at, said.text, said.progress, said.metrics, *waits]}


def final_record(final: Final) -> bytes:
    """As JSON already, since there is one for each task."""
    return b'{"t":"final","k":"%s","d":%s}' % (
        final.key.encode(),
        final.model_dump_json(exclude_defaults=True).encode(),
    )


def gone_record(keys: list[str]) -> Record:
    return {"t": "gone", "k": keys}


@dataclass(slots=True)
class Recovered:
    """What a journal says: attempts that are still owned, and finals that the server may not have."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    handles: dict[str, dict[str, Any]] = field(default_factory=dict)
    finals: dict[str, Final] = field(default_factory=dict)
    jobs: dict[str, OfferedJob] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    before_boot: set[str] = field(default_factory=set)  # attempts taken before the machine restarted


def recover(records: Iterable[Record], seal: Seal) -> Recovered:
    """Plays the records again."""
    known = Recovered()
    for record in records:
        match record["t"]:
            case "job":
                known.jobs[record["id"]] = OfferedJob.model_validate(record["d"])
            case "program":
                known.programs[record["id"]] = Program.model_validate(record["d"])
            case "offers":
                _recover_offers(known, record, seal)
            case "run":
                _recover_run(known, record)
            case "said":
                _recover_said(known, record)
            case "final":
                known.finals[record["k"]] = Final.model_validate(record["d"])
            case "given_back":
                for key in record["k"]:
                    if key in known.attempts:
                        known.attempts[key].given_back = True
                        known.before_boot.discard(key)
                        known.handles.pop(key, None)
            case "gone":
                known.before_boot.difference_update(record["k"])
                for key in record["k"]:
                    known.attempts.pop(key, None)
                    known.handles.pop(key, None)
                    known.finals.pop(key, None)
    return known


def _recover_offers(known: Recovered, record: Record, seal: Seal) -> None:
    opened = seal.open(record["x"]) or {}
    for key, job, inputs in record["o"]:
        token, secrets = opened.get(key, ("", {}))
        attempt = Attempt(key=key, job=job, inputs=inputs, secrets=secrets, token=token)
        known.attempts[key] = attempt
        if record.get("boot", _BOOT) != _BOOT:
            attempt.boot = record["boot"]
            known.before_boot.add(key)


def _recover_run(known: Recovered, record: Record) -> None:
    attempt = known.attempts.get(record["k"])
    if attempt is None:
        return
    attempt.handed_over = True
    attempt.folder = Path(record["dir"])
    attempt.shared = [SharedFile(*entry) for entry in record["shared"]]
    attempt.staged_in_bytes = record["in"]
    attempt.accepted_at = record["accepted"]
    attempt.staging_at = record["staging"]
    attempt.code_version = record.get("version", "")
    attempt.environment = record.get("environment", "")
    attempt.kept = record.get("kept", "")
    attempt.gpus = tuple(record.get("gpus", ()))
    known.handles[attempt.key] = {"boot": record["boot"]}


def _recover_said(known: Recovered, record: Record) -> None:
    attempt = known.attempts.get(record["k"])
    if attempt is not None:
        said = attempt.said
        said.seq, said.at, said.text, said.progress, said.metrics, *waits = record["d"]
        said.waits = bool(waits)


def live_records(attempts: Attempts, finals: Iterable[Final], seal: Seal) -> list[Record | bytes]:
    """All that a journal must hold now, for compaction."""
    records: list[Record | bytes] = [job_record(job, common.job) for job, common in attempts.commons.items()]
    programs = {common.job.program: common.program for common in attempts.commons.values()}
    records += [program_record(digest, program) for digest, program in programs.items()]
    owned = list(attempts.by_key.values())
    for boot in {attempt.boot for attempt in owned}:
        records.append(offers_record([attempt for attempt in owned if attempt.boot == boot], seal, boot or _BOOT))
    records += [run_record(attempt) for attempt in owned if attempt.handed_over and attempt.folder is not None]
    if given := [attempt.key for attempt in owned if attempt.given_back]:
        records.append(given_back_record(given))
    records += [said_record(attempt) for attempt in owned if attempt.said.seq]
    records += [final_record(final) for final in finals]
    return records
