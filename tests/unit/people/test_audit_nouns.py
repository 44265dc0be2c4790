"""What the audit log's page offers to look for is what the code writes down."""

import re
from pathlib import Path

from sirdar.services.audit_log import NOUNS

SRC = Path(__file__).parents[3] / "src" / "sirdar" / "services"
_ACTION = re.compile(r'"([a-z]+)\.[a-z_]+"')


def test_all_kinds_are_offered() -> None:
    found = set()
    for module in SRC.rglob("*.py"):
        text = module.read_text()
        for call in re.finditer(r"audit\.record\(([^\n]*\n?[^\n]*)", text):
            found |= set(_ACTION.findall(call[1]))
        found |= set(re.findall(r'action = "([a-z]+)\.', text))
    assert found == set(NOUNS)
