"""What an agent is sent with the attempts it is offered: inputs, secrets, programs, tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sirdar.domain.ids import AttemptKey
from sirdar.services.keys import Keys
from sirdar.store import jobs as job_store
from sirdar.store import programs as program_store
from sirdar.store.people import Conn


@dataclass(slots=True)
class Offers:
    """The parts of a SyncReply that carry work, as plain JSON values."""

    offers: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)


_PROGRAMS_MAX = 256
_programs: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}  # by version id: immutable


def build_offers(conn: Conn, keys: Keys, leased: Sequence[AttemptKey]) -> Offers:
    """Everything that the agent needs for these attempts."""
    built = Offers()
    by_job: dict[str, list[AttemptKey]] = {}
    for key in leased:
        by_job.setdefault(key.job, []).append(key)
    for row in program_store.offered_jobs(conn, list(by_job)):
        program, secret_names = _program(conn, row.version_id)
        built.programs[row.digest] = program
        inputs, secrets = _unsealed(keys, row.inputs)
        if secret_names:
            sealed = program_store.sealed_secrets(conn, row.app_id, secret_names)
            secrets |= {name: keys.unseal(text) for name, text in sealed.items()}
        built.jobs[row.job_id] = {
            "program": row.digest,
            "inputs": inputs,
            "resources": row.overrides,
            "owner": row.owner,
            "groups": row.groups or "",
            "app": row.alias,
            "app_owner": row.app_owner,
            "debug": row.debug,
            "code_version": row.code_version,
            "files": row.code_files,
        }
        mine = by_job[row.job_id]
        items = job_store.load_items(conn, row.job_id, [key.task for key in mine]) if row.many else {}
        for key in mine:
            own, own_secrets = _unsealed(keys, items.get(key.task, {}))
            offer = {"key": key.text, "inputs": own, "token": keys.attempt_token(key)}
            if secrets or own_secrets:
                offer["secrets"] = {**secrets, **own_secrets}
            built.offers.append(offer)
    return built


def _unsealed(keys: Keys, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Inputs without the secret ones, and those in clear."""
    sealed = {
        name: value["$secret"] for name, value in inputs.items() if isinstance(value, dict) and "$secret" in value
    }
    if not sealed:
        return inputs, {}
    plain = {name: value for name, value in inputs.items() if name not in sealed}
    return plain, {name: keys.unseal(text) for name, text in sealed.items()}


def _program(conn: Conn, version_id: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    known = _programs.get(version_id)
    if known is None:
        program = program_store.program(conn, version_id)
        if len(_programs) >= _PROGRAMS_MAX:
            _programs.clear()
        known = _programs[version_id] = (program, tuple(program["description"].get("secrets", ())))
    return known
