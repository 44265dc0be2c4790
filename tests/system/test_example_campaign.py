"""The campaigns of examples/campaign on a machine with solvers by ``sirdar optim install``: table, profiles, report."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import samples
from own_server import BIN, surroundings
from tests.system.product import Product

from sirdar.wire.solvers import DIRECTORY_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.needs("highspy", "pyscipopt", "pyomo", "matplotlib")]
FOLDER = samples.EXAMPLES / "campaign"


@dataclass(frozen=True)
class Lab:
    profile: dict[str, str]
    place: Path

    def campaign(self, document: dict[str, Any]) -> Path:
        """The folder of the report."""
        path = self.place / f"{len(list(self.place.iterdir()))}.json"
        path.write_text(json.dumps(document))
        words = [sys.executable, FOLDER / "campaign.py", path, "-o", path.with_suffix("")]
        ran = subprocess.run(words, env=self.profile, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return path.with_suffix("")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("lab")
    solvers = {DIRECTORY_VARIABLE: str(tmp_path_factory.mktemp("solvers"))}
    subprocess.run(
        [BIN / "sirdar", "optim", "install"], env=surroundings(root) | solvers, check=True, capture_output=True
    )
    product = Product(root, environment=solvers)
    product.start()
    try:
        profile = surroundings(root) | {"SIRDAR_URL": product.url, "SIRDAR_TOKEN": product.token()}
        yield Lab(profile, tmp_path_factory.mktemp("campaigns"))
    finally:
        product.close()


class Tables(HTMLParser):
    """The tables of a page, by id: rows of texts, the heads first. ``linked``: what the page takes from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self.linked: list[str] = []
        self._table: list[list[str]] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.linked += [known[name] or "" for name in ("src", "href") if name in known]
        if tag == "table":
            self._table = self.found.setdefault(known["id"] or "", [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self._table[-1][-1] += data


def table_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "table.csv").read_text().splitlines()))


def shares_by_hand(rows: list[dict[str, str]], cost: str, tau: float) -> dict[str, float]:
    """Dolan and More's rho, straight from its definition and the table."""
    names = sorted({row["problem"] for row in rows})
    costs = {
        (row["problem"], row["variant"]): max(float(row[cost]), 1 if cost == "iterations" else 1e-3)
        for row in rows
        if row["outcome"] == "solved"
    }
    found = {}
    for variant in {row["variant"] for row in rows}:
        within = 0
        for problem in names:
            best = min((value for (name, _), value in costs.items() if name == problem), default=None)
            mine = costs.get((problem, variant))
            within += mine is not None and best is not None and mine / best <= tau
        found[variant] = within / len(names)
    return found


def check_report(folder: Path, cost: str) -> None:
    """Its numbers are those of the table, and it takes nothing from elsewhere."""
    rows = table_of(folder)
    page = Tables((folder / "report.html").read_text())
    assert page.linked == ["profiles.png"]
    assert (folder / "profiles.png").read_bytes().startswith(b"\x89PNG")
    heads, *lines = page.found["profiles"]
    for line in lines:
        for head, share in zip(heads[1:-1], line[1:-1], strict=True):
            assert float(share) == pytest.approx(shares_by_hand(rows, cost, float(head))[line[0]], abs=6e-4)
        assert float(line[-1]) == pytest.approx(shares_by_hand(rows, cost, float("inf"))[line[0]], abs=6e-4)
    heads, *lines = page.found["outcomes"]
    for line in lines:
        for outcome, count in zip(heads[1:], line[1:], strict=True):
            assert int(count) == sum(row["outcome"] == outcome and row["variant"] == line[0] for row in rows)
    heads, *lines = page.found["runs"]
    assert [line[:3] for line in lines] == [[row["problem"], row["variant"], row["outcome"]] for row in rows]
    at = heads.index("objective")
    for line, row in zip(lines, rows, strict=True):
        assert (line[at] == "") == (row["objective"] == "")
        assert not line[at] or float(line[at]) == pytest.approx(float(row["objective"]), rel=1e-7)


def test_two_solvers_a_limit_of_time_and_a_failure(lab: Lab) -> None:
    variants = [
        {"name": "highs", "solver": "highs"},
        {"name": "scip", "solver": "scip"},
        {"name": "no time", "solver": "scip", "options": {"limits/time": 0}},
        {"name": "no such option", "solver": "highs", "options": {"no_such_option": 1}},
    ]
    folder = lab.campaign({"problems": "integer", "cost": "seconds", "variants": variants})
    rows = table_of(folder)
    assert len(rows) == 9 * len(variants)
    outcomes = {one["name"]: {row["outcome"] for row in rows if row["variant"] == one["name"]} for one in variants}
    assert outcomes == {
        "highs": {"solved"},
        "scip": {"solved"},
        "no time": {"time limit"},
        "no such option": {"failed"},
    }
    for row in rows:
        if row["outcome"] == "solved":
            assert float(row["objective"]) == pytest.approx(float(row["known"]), rel=1e-6)
        if row["outcome"] == "failed":
            assert "no_such_option" in row["message"]
    check_report(folder, "seconds")


def test_nonlinear_problems_by_iterations(lab: Lab) -> None:
    document = json.loads((FOLDER / "nonlinear.json").read_text())
    folder = lab.campaign(document)
    rows = table_of(folder)
    assert len(rows) == 19 * 3
    assert {row["outcome"] for row in rows if row["variant"] == "ipopt"} == {"solved"}
    assert all(int(row["iterations"]) >= 0 for row in rows if row["outcome"] == "solved")
    check_report(folder, "iterations")


def test_a_campaign_of_nothing_known_is_refused(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"problems": "linear", "variants": [{"name": "highs", "solver": "highs"}]}')
    ran = subprocess.run(
        [sys.executable, FOLDER / "campaign.py", path, "-o", tmp_path / "out"],
        env=lab.profile,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert ran.stderr == "there is no set of problems 'linear'; there are nonlinear, integer\n"
    assert not (tmp_path / "out").exists()
