"""What the logs of solvers say of iterations, seconds and the objective: a few lines each, by patterns."""

import re

from sirdar.optim.records import LogFacts

_ITERATIONS = (
    re.compile(r"^Number of Iterations\.*:\s*(\d+)", re.MULTILINE),  # Ipopt
    re.compile(r"^\s*Simplex +iterations\s*:?\s*(\d+)", re.MULTILINE),  # HiGHS
    re.compile(r"^\s*LP iterations\s*:?\s*(\d+)", re.MULTILINE),  # HiGHS, SCIP
    re.compile(r"^Total iterations:\s*(\d+)", re.MULTILINE),  # CBC
)
_SECONDS = (
    re.compile(r"^Total seconds in IPOPT[^=]*=\s*([\d.]+)", re.MULTILINE),
    re.compile(r"^Total CPU secs in (?:IPOPT|NLP function evaluations)[^=]*=\s*([\d.]+)", re.MULTILINE),
    re.compile(r"^HiGHS run time\s*:\s*([\d.]+)", re.MULTILINE),
    re.compile(r"^Solving Time \(sec\)\s*:\s*([\d.]+)", re.MULTILINE),  # SCIP
    re.compile(r"^Total time \(CPU seconds\):\s*([\d.]+)", re.MULTILINE),  # CBC
)
_MINIMISED = re.compile(r"^Objective\.+:\s+\S+\s+(\S+)\s*$", re.MULTILINE)  # Ipopt: scaled, unscaled


def read_log(text: str) -> LogFacts:
    """The last that the log says of each."""
    iterations = _last(_ITERATIONS, text)
    seconds = _last(_SECONDS, text)
    minimised = _last((_MINIMISED,), text)
    return LogFacts(
        None if iterations is None else int(iterations),
        None if seconds is None else float(seconds),
        _number(minimised),
    )


_REFUSALS = (  # the first that is found
    re.compile(r'(Unknown keyword ".*")'),
    re.compile(r'^(Setting: ".*" is not a valid setting for Option: \w+)', re.MULTILINE),
    re.compile(r'(Read Option: ".*"\. It is not a valid option)'),
    re.compile(r"^\s*Exception message: (.*?)\.?\s*$", re.MULTILINE),
    re.compile(r"(Ipopt does not support [^.*\n]*)"),
    re.compile(r"^(There is more than one objective.*?)\.?\s*$", re.MULTILINE),
)


def refusal(text: str) -> str:
    """Why Ipopt would not begin, as its own command says it among other words; empty where it does not."""
    for pattern in _REFUSALS:
        if found := pattern.search(text):
            return found[1]
    return ""


def _last(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    for pattern in patterns:
        found = pattern.findall(text)
        if found:
            return str(found[-1])
    return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
