"""Which command is taken for a solver, and what is written where: with commands of the test's own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sirdar.optim import install as installing
from sirdar.optim.install import Made, Report, Unavailable, install
from sirdar.optim.solvers import SolverMissing, find_solver, try_all
from sirdar.optim.trial import attempt
from sirdar.wire.solvers import LIST_NAME, load_solvers

RIGHT = "test, really\n\nOptions\n3\n1\n1\n0\n2\n0\n2\n2\n3.0\n1.0\nobjno 0 0\n"
Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Writes a command; one that ``solves`` behaves as an AMPL solver does, if only for the small problem."""

    def write(name: str, *, solves: bool = True, folder: str = "bin", answer: str = RIGHT) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        act = f"cat > $1.sol <<'END'\n{answer}END\n" if solves else "echo 'usage: plain words'\n"
        path.write_text(f'#!/bin/sh\n[ "$1" = -v ] && echo "{name.title()} 7.8.9" && exit\n{act}')
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment; nothing can be made in it but what a test puts among the makers."""

    def none(path: Path, own: str | None) -> Made:
        raise Unavailable("there is no library here")

    monkeypatch.setattr(installing, "MAKERS", dict.fromkeys(installing.MAKERS, none))
    return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "SIRDAR_SOLVERS": str(tmp_path / "solvers"), "HOME": str(tmp_path)}


def put(name: str, monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    def make(path: Path, own: str | None) -> Made:
        return Made(installing.write_script(path, f'exec {source} "$@"'), "a test's")

    monkeypatch.setitem(installing.MAKERS, name, make)


def names(report: Report) -> dict[str, tuple[str, str]]:
    return {one.name: (one.how, one.path) for one in report.solvers}


def test_what_stands_on_path_and_speaks_ampl_is_taken(
    program: Program, around: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = program("ipopt")
    put("ipopt", monkeypatch, program("other", folder="lib"))
    report = install(around)
    assert names(report)["ipopt"] == ("path", str(own))
    assert find_solver("ipopt", around) == own
    (solver,) = [one for one in report.solvers if one.name == "ipopt"]
    assert solver.version == "7.8.9"
    assert load_solvers((report.directory / LIST_NAME).read_text()) == report.solvers


def test_a_setting_comes_before_path(program: Program, around: dict[str, str]) -> None:
    program("ipopt")
    named = program("my-ipopt", folder="special")
    around["SIRDAR_IPOPT"] = str(named)
    report = install(around)
    path = report.directory / "before/ipopt"
    assert names(report)["ipopt"] == ("setting", str(path))
    assert not attempt(path).why
    assert find_solver("ipopt", around) == named
    del around["SIRDAR_IPOPT"]
    install(around)
    assert not path.exists(), "the setting is gone, and with it what stood for it"
    around["SIRDAR_IPOPT"] = "/nowhere/ipopt"
    assert [one.why for one in install(around).missing if one.name == "ipopt"] == [
        "SIRDAR_IPOPT names /nowhere/ipopt, which is not there"
    ]
    with pytest.raises(SolverMissing, match="SIRDAR_IPOPT names /nowhere/ipopt"):
        find_solver("ipopt", around)


def test_a_command_that_does_not_speak_ampl_is_shadowed_for_calls_that_do(
    program: Program, around: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("highs", solves=False)
    put("highs", monkeypatch, program("door", folder="lib"))
    report = install(around)
    path = report.directory / "before/highs"
    assert names(report)["highs"] == ("installed", str(path))
    assert find_solver("highs", around) == path
    assert (
        subprocess.run([path, "model.lp"], check=False, capture_output=True, text=True).stdout == "usage: plain words\n"
    )
    (Path(around["HOME"]) / "bin/highs").unlink()
    report = install(around)
    assert names(report)["highs"] == ("installed", str(report.directory / "highs"))
    assert not path.exists()


def test_what_was_made_counts_once_it_has_solved_something(
    program: Program, around: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("scip", monkeypatch, program("bad", folder="lib", answer=RIGHT.replace("3.0\n1.0", "3.0\n1.5")))
    report = install(around)
    (missing,) = [one for one in report.missing if one.name == "scip"]
    assert "its solution is wrong: [3.0, 1.5], not [3.0, 1.0]" in missing.why
    assert not (report.directory / "scip").exists()
    assert find_missing("scip", around)


def find_missing(name: str, environ: dict[str, str]) -> str:
    with pytest.raises(SolverMissing) as caught:
        find_solver(name, environ)
    return str(caught.value)


def test_what_is_missing_says_how_to_get_it(around: dict[str, str]) -> None:
    around["PATH"] = "/nowhere"
    report = install(around)
    assert not report.solvers
    assert {one.name: bool(one.why and one.get) for one in report.missing} == dict.fromkeys(installing.MAKERS, True)
    assert "pip install highspy" in find_missing("highs", around)
    assert [one.solver for one in try_all(around)] == [None] * 4


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("exit 0", "it wrote no .sol file"),
        ("echo oh no; exit 4", "it ended with exit code 4: oh no"),
        ("echo words > $1.sol", "is no solution file"),
        ("sleep 30", "it did not end within 0.2 s"),
    ],
)
def test_how_a_trial_fails(tmp_path: Path, body: str, why: str) -> None:
    path = tmp_path / "solver"
    path.write_text(f"#!/bin/sh\n{'exec ' if body.startswith('sleep') else ''}{body}\n")
    path.chmod(0o755)
    assert why in attempt(path, patience_s=0.2 if "sleep" in body else 30).why
    assert "cannot be started" in attempt(tmp_path / "absent").why
    assert os.access(path, os.X_OK)


def test_ipopt_falls_back_to_casadi_and_says_why(
    tmp_path: Path, around: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> object:
        raise RuntimeError("the compiler said:\nno cc here")

    monkeypatch.undo()
    monkeypatch.setattr(installing.importlib, "import_module", broken)
    monkeypatch.setattr(installing, "_package", lambda name: tmp_path)
    monkeypatch.setattr(installing.metadata, "version", lambda name: "3.7")
    made = installing._make_ipopt(tmp_path / "ipopt", None)
    assert "sirdar.optim.casadi_driver" in made.path.read_text()
    assert "no cc here" in made.note and "CasADi" in made.note
    monkeypatch.setattr(installing, "_package", lambda name: None)
    with pytest.raises(Unavailable, match="the Python package casadi, which carries Ipopt"):
        installing._make_ipopt(tmp_path / "ipopt", None)
