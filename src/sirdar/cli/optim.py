"""``optim ...``: solvers of this machine. Thin doors to `sirdar.optim`, which is imported only here."""

from dataclasses import asdict
from typing import Any

from sirdar.cli import draw
from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, current
from sirdar.optim import install as installing
from sirdar.optim import solvers as registry


def install() -> Reply:
    """Make commands for the solvers that this machine can have: ipopt, highs, scip, cbc. May be repeated.

    They stand in the directory SIRDAR_SOLVERS (~/.local/share/sirdar/solvers), which the agent adds to the PATH of programs.
    """
    try:
        report = installing.install()
    except OSError as error:
        raise Refused(
            "optim", f"{error}", hint="choose another directory: SIRDAR_SOLVERS=DIR sirdar optim install"
        ) from None
    document = {
        "directory": str(report.directory),
        "solvers": [asdict(one) for one in report.solvers],
        "missing": [asdict(one) for one in report.missing],
        "notes": report.notes,
    }
    return Reply(
        document,
        [one.name for one in report.solvers],
        lambda: _installed_lines(report),
        ["sirdar optim solvers"],
        0 if report.solvers else 1,
    )


def _installed_lines(report: installing.Report) -> list[str]:
    rows = [(one.name, one.version, one.how, one.path) for one in report.solvers]
    lines = draw.table(("solver", "version", "from", "command"), rows, current().terminal) if rows else []
    lines += report.notes
    return [*lines, *(f"no {one.name}: {one.why}. To get it: {one.get}" for one in report.missing)]


def solvers() -> Reply:
    """Solvers of this machine, their versions, and the time in which each solves a small problem now. Exit code 1 if one fails."""
    found = registry.try_all()
    document = [_document(one) for one in found]
    failed = [one for one in found if one.solver is not None and one.why]
    there = [one for one in found if one.solver is not None]
    following = [] if there else ["sirdar optim install"]
    exit_code = 1 if failed or not there else 0
    return Reply(document, [one.name for one in there if not one.why], lambda: _lines(found), following, exit_code)


def _document(one: registry.Standing) -> dict[str, Any]:
    solver = asdict(one.solver) if one.solver is not None else {"name": one.name}
    state = "missing" if one.solver is None else "failed" if one.why else "works"
    return {**solver, "state": state, "seconds": one.seconds, "why": one.why}


def _lines(found: list[registry.Standing]) -> list[str]:
    rows = []
    for one in found:
        document = _document(one)
        took = f"{one.seconds * 1000:.0f} ms" if one.seconds is not None else ""
        rows.append(
            (one.name, document["state"], document.get("version"), took, document.get("how"), document.get("path"))
        )
    lines = draw.table(("solver", "state", "version", "took>", "from", "command"), rows, current().terminal)
    for one in found:
        if one.solver is None:
            lines.append(f"no {one.name}: {one.why}")
        elif one.why:
            lines.append(f"{one.name} failed: {one.why}")
    return lines
