"""Errors as a person reads them, and the exit codes.

0 done; 1 failed; 2 wrong usage or input; 3 the job was cancelled; 4 no server, or not signed in; 130 interrupted.
"""

import json
import os
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirdar.cli.session import Refused, Session, UsageError

FAILED, USAGE, CANCELLED, NO_SERVER, INTERRUPTED = 1, 2, 3, 4, 130
EXIT_CODES = {
    0: "done; `run --wait` and `job watch`: the job is DONE",
    FAILED: "failed, or the job FAILED",
    USAGE: "wrong usage, or the server refused an input",
    CANCELLED: "the job was CANCELLED",
    NO_SERVER: "no server answers, or you are not signed in",
    INTERRUPTED: "interrupted; a job that was waited for goes on",
}


# The server advises in the words of its REST API; who types commands is better served by a command.
_COMMANDS = (
    (r"GET /api/apps/(\S+)/versions\b.*", r"sirdar app versions \1"),
    (r"GET /api/apps\b.*", "sirdar app list"),
    (r"GET /api/jobs/(\w+)\b.*", r"sirdar job show \1"),
    (r"GET /api/jobs\b.*", "sirdar job list"),
    (r"GET /api/tokens\b.*", "sirdar token list"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """An error: a stable code, what failed, why, what to try, where to read on."""

    code: str
    what: str
    why: tuple[str, ...] = ()
    hint: str | None = None
    docs: str | None = None
    exit_code: int = FAILED

    def lines(self) -> list[str]:
        first, *rest = self.what.splitlines() or [""]
        lines = [f"error[{self.code}]: {first}", *(f"  {line}" for line in rest)]
        lines += [f"  why: {reason}" for reason in self.why]
        lines += [f"  try: {self.hint}"] if self.hint else []
        return lines + ([f"  docs: {self.docs}"] if self.docs else [])

    def to_json(self) -> dict[str, Any]:
        body = {"code": self.code, "detail": self.what, "why": list(self.why), "try": self.hint, "docs": self.docs}
        return {"error": {name: value for name, value in body.items() if value}}


def report_of(error: Exception, session: Session) -> Report:
    """What to say of an exception. What nobody foresaw is written, with its traceback, to a file that is named."""
    if isinstance(error, UsageError):
        return Report("usage", error.message, hint=error.hint, exit_code=USAGE)
    if isinstance(error, Refused):
        return Report(error.code, error.message, error.why, error.hint, exit_code=error.exit_code)
    if found := _of_client(error, session):
        return found
    if found := _of_description(error):
        return found
    if isinstance(error, OSError) and error.filename is not None:
        return Report("file", f"{error.filename}: {error.strerror}")
    if isinstance(error, FileNotFoundError | TypeError) and error.__traceback__ is not None and _from_values(error):
        return Report("input", str(error), exit_code=USAGE)
    return Report("internal", f"{type(error).__name__}: {error}", hint=f"report it with {_write_traceback(error)}")


def tell(report: Report, session: Session) -> None:
    """Write the report to standard error."""
    if session.options.json:
        print(json.dumps(report.to_json(), ensure_ascii=False), file=sys.stderr)
    else:
        print("\n".join(report.lines()), file=sys.stderr)


def _of_client(error: Exception, session: Session) -> Report | None:
    if "sirdar.client.errors" not in sys.modules:
        return None
    from sirdar.client import errors

    if isinstance(error, errors.ApiError):
        return _of_api(error, session)
    if isinstance(error, errors.NotConfigured | errors.ServerUnreachable):
        return Report(error.code, error.message, hint=error.hint, exit_code=NO_SERVER)
    if isinstance(error, errors.JobError):
        code = CANCELLED if isinstance(error, errors.JobCancelled) else FAILED
        return Report(error.outcome.reason, error.message, hint=error.hint, exit_code=code)
    if isinstance(error, errors.SirdarError):
        code = USAGE if isinstance(error, errors.FolderError) else FAILED
        return Report(error.code, error.message, hint=error.hint, exit_code=code)
    return None


def _of_api(error: Any, session: Session) -> Report:
    from sirdar.client import errors

    why = [f"{one.get('field')}: {one.get('detail')}{_expected(one.get('expected'))}" for one in error.errors]
    what = f"{error.field}: {error.detail}" if error.field and error.field not in error.detail else error.detail
    if len(why) <= 1 and (expected := error.expected or (error.errors and error.errors[0].get("expected"))):
        first = f"{error.errors[0].get('field')}: {error.errors[0].get('detail')}" if error.errors else what
        why = [f"expected {expected}"] if first == what else why
    hint, code = _as_command(error.hint), FAILED
    if isinstance(error, errors.Unauthenticated):
        code = NO_SERVER
        hint = hint if error.code == "wrong_credentials" else f"sirdar login {session.known_url or 'URL'}"
    elif isinstance(error, errors.InvalidRequest):
        code = USAGE
    where = error.problem.get("type") or ""
    docs = f"{session.known_url or ''}{where}" if str(where).startswith("/") else None
    return Report(error.code, what, tuple(why), hint, docs, code)


def _as_command(hint: str | None) -> str | None:
    """The command for a hint that names a request of the API; any other hint as it is."""
    for pattern, command in _COMMANDS:
        if hint and re.fullmatch(pattern, hint):
            return re.sub(pattern, command, hint)
    return hint


def _of_description(error: Exception) -> Report | None:
    if "sirdar.domain.problems" not in sys.modules:
        return None
    from sirdar.domain.problems import Problem

    if not isinstance(error, Problem):
        return None
    why = tuple(f"{one.field}: {one.detail}{_expected(one.expected)}" for one in error.errors)
    wrong = error.status in {400, 422}
    return Report(error.code, error.detail, why, error.hint, exit_code=USAGE if wrong else FAILED)


def _expected(value: object) -> str:
    return f" (expected {value})" if value is not None else ""


def _from_values(error: Exception) -> bool:
    """True for the errors with which the client refuses a value of an input."""
    return any(frame.filename.endswith("values.py") for frame in traceback.extract_tb(error.__traceback__)[-2:])


def _write_traceback(error: Exception) -> Path | str:
    from sirdar.client.profile import config_dir

    path = config_dir() / "last-error.txt"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return "SIRDAR_TRACEBACK=1, which shows the traceback"
    return path


def wants_traceback() -> bool:
    return bool(os.environ.get("SIRDAR_TRACEBACK"))
