"""Solvers as the agent tells them: from the list beside the commands, and from PATH; only what is there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sirdar.agent.environments.all import Environments
from sirdar.agent.prepare import Surroundings
from sirdar.agent.probe import labels
from sirdar.agent.settings import Settings
from sirdar.agent.solvers import solver_labels
from sirdar.wire.solvers import LIST_NAME, Solver, dump_solvers, load_solvers, search_path, solvers_directory

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def write(name: str, said: str = "", folder: str = "bin") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/runs\necho '{said}'\n")
        path.chmod(0o755)
        return path

    return write


def listed(folder: Path, *solvers: Solver) -> None:
    folder.mkdir(exist_ok=True)
    (folder / LIST_NAME).write_text(dump_solvers(list(solvers)))


def test_the_list_is_believed_where_the_command_is_there(tmp_path: Path, program: Program) -> None:
    here, gone, own = program("highs", folder="solvers"), tmp_path / "solvers/cbc", program("scip", "SCIP 9.1")
    listed(
        tmp_path / "solvers",
        Solver("highs", "1.15.1", str(here), "installed"),
        Solver("cbc", "2.10.8", str(gone), "installed"),
        Solver("uno", "1.0", str(own), "path"),
    )
    around = {"PATH": "/nowhere", "SIRDAR_SOLVERS": str(tmp_path / "solvers")}
    assert solver_labels(around) == {"solver-highs": "1.15.1"}
    program("highs", "another, of the machine's")
    assert solver_labels({**around, "PATH": str(tmp_path / "bin")}) == {"solver-scip": "9.1"}, (
        "programs would start that"
    )
    (tmp_path / "bin/highs").unlink()
    (tmp_path / "bin/scip").unlink()
    (tmp_path / "runs").unlink()
    assert solver_labels(around) == {"solver-highs": "1.15.1"}
    assert not (tmp_path / "runs").exists(), "nothing in the list is started"


def test_a_solver_that_can_be_kept_has_a_label_for_it(tmp_path: Path, program: Program) -> None:
    here = program("ipopt", folder="solvers")
    kept = Solver("ipopt", "3.14.17", str(here), "installed", kept=True)
    listed(tmp_path / "solvers", kept)
    around = {"PATH": "/nowhere", "SIRDAR_SOLVERS": str(tmp_path / "solvers")}
    assert solver_labels(around) == {"solver-ipopt": "3.14.17", "kept-ipopt": "3.14.17"}
    assert load_solvers(dump_solvers([kept])) == [kept]
    program("ipopt", "Ipopt 3.13.2")
    assert solver_labels({**around, "PATH": str(tmp_path / "bin")}) == {"solver-ipopt": "3.13.2"}, (
        "that one is not tried"
    )


def test_an_ampl_solver_on_path_is_asked_once_for_its_version(tmp_path: Path, program: Program) -> None:
    program("ipopt", "Ipopt 3.14.17 (x86_64-pc-linux-gnu), ASL(20190605)")
    program("couenne", "no number")
    program("highs", "HiGHS 1.9.0")  # HiGHS' own command does not read .nl
    around = {"PATH": str(tmp_path / "bin") + ":/usr/bin:/bin", "SIRDAR_SOLVERS": str(tmp_path / "none")}
    for _ in range(3):
        assert solver_labels(around) == {"solver-ipopt": "3.14.17", "solver-couenne": "unknown"}
    assert (tmp_path / "runs").read_text().count("ran") == 2
    os.utime(tmp_path / "bin/ipopt", ns=(1, 1))
    program("ipopt", "Ipopt 3.14.19")
    assert solver_labels(around)["solver-ipopt"] == "3.14.19"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"form": 9, "solvers": []}', '{"form": 1, "solvers": [{}]}', '{"form": 1}']
)
def test_a_list_that_cannot_be_read_is_no_list(tmp_path: Path, text: str) -> None:
    (tmp_path / LIST_NAME).write_text(text)
    assert solver_labels({"PATH": "", "SIRDAR_SOLVERS": str(tmp_path)}) == {}
    with pytest.raises(ValueError):
        load_solvers(text)


def test_a_list_comes_back_as_it_was() -> None:
    solvers = [
        Solver("ipopt", "3.14", "/x y/ipopt", "path", "what", "nonlinear"),
        Solver("cbc", "2", "/c", "installed"),
    ]
    assert load_solvers(dump_solvers(solvers)) == solvers


def test_the_owners_own_label_comes_first(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(tmp_path / "solvers", Solver("highs", "1.15.1", str(program("highs", folder="solvers")), "installed"))
    monkeypatch.setenv("SIRDAR_SOLVERS", str(tmp_path / "solvers"))
    monkeypatch.setenv("PATH", "/nowhere")
    settings = Settings(home=tmp_path, labels={"solver-highs": "mine", "site": "lab"})
    none = Environments([], lambda sha256: None, lambda attempt, text: None, lambda common: True)
    assert labels(settings, none) == {"solver-highs": "mine", "site": "lab"}
    assert labels(Settings(home=tmp_path), none) == {"solver-highs": "1.15.1"}


def test_the_directory_stands_behind_path_and_its_folder_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIRDAR_SOLVERS", "/opt/solvers")
    monkeypatch.setenv("PATH", "/usr/bin:/opt/solvers:/bin")
    made = Surroundings.of(Settings(home=tmp_path), api_url="http://127.0.0.1:1", port=1)
    words = made.base["PATH"].split(":")
    assert (words[0], words[-1]) == ("/opt/solvers/before", "/opt/solvers")
    assert words[1:3] == ["/usr/bin", "/bin"]
    assert search_path(search_path("/bin", Path("/s")), Path("/s")) == "/s/before:/bin:/s"


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"SIRDAR_SOLVERS": "/opt/s", "HOME": "/h"}, "/opt/s"),
        ({"XDG_DATA_HOME": "/d", "HOME": "/h"}, "/d/sirdar/solvers"),
        ({"HOME": "/h"}, "/h/.local/share/sirdar/solvers"),
    ],
)
def test_where_solvers_stand(environ: dict[str, str], place: str) -> None:
    assert solvers_directory(environ) == Path(place)
