"""The table of what survives what, in docs/explanation/faults.md, says what the fault matrix holds the product to."""

import re
from pathlib import Path

from tests.faults.matrix import AGENT, DATABASE, LINE, PHASES, SERVER, Fault

PAGE = Path(__file__).parents[3] / "docs/explanation/faults.md"
PART = re.compile(r"<!-- checked: fault-matrix -->\n(.*?)<!-- end -->", re.DOTALL)


def row(fault: Fault) -> str:
    tried = fault.again or fault.may
    named = [phase.name.replace("_", " ") for phase in PHASES if phase.name in tried]
    may = "may be: " if fault.may else ""
    return f"| {fault.does} | {fault.then} | {may}{', '.join(named)} |"


def test_the_table_of_faults_is_the_matrix() -> None:
    head = ["| what strikes | then | tried again where it stood in |", "|---|---|---|"]
    wanted = "\n".join([*head, *(row(fault) for fault in (*AGENT, *LINE, *SERVER, *DATABASE))]) + "\n"
    found = PART.search(PAGE.read_text())
    assert found is not None and found[1] == wanted, f"the table should be:\n{wanted}"


def test_a_fault_is_named_once_and_speaks_of_phases_that_there_are() -> None:
    faults = (*AGENT, *LINE, *SERVER, *DATABASE)
    assert len({fault.name for fault in faults}) == len(faults)
    phases = {phase.name for phase in PHASES}
    assert all({*fault.again, *fault.may} <= phases for fault in faults)
