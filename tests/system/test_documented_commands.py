"""Every command that a document names exists: ``sirdar COMMAND --help`` knows it."""

import re
import subprocess
from pathlib import Path

import pytest
from own_server import BIN

ROOT = Path(__file__).parents[2]
CLI = ROOT / "docs/reference/cli.md"  # made from the commands themselves
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *({*(ROOT / "docs").rglob("*.md")} - {CLI})]
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[|&;(`] *|\$\()sirdar ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", re.M)
GROUPS = {"agent", "app", "file", "group", "job", "resource", "token", "user"}


def named() -> set[tuple[str, ...]]:
    """Commands in code of the documents; the second word counts only below a group."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        code = [block for language, block in FENCED.findall(text) if language in {"", "sh", "console"}]
        code += INLINE.findall(FENCED.sub("", text))
        for words in (words for block in code for words in COMMAND.findall(block)):
            parts = words.split()
            found.add(tuple(parts[:2] if parts[0] in GROUPS else parts[:1]))
    return found


@pytest.mark.parametrize("command", sorted(named()), ids=" ".join)
def test_the_command_exists(command: tuple[str, ...]) -> None:
    helped = subprocess.run([BIN / "sirdar", *command, "--help"], capture_output=True, text=True, check=False)
    assert helped.returncode == 0, helped.stderr
    assert f"sirdar {' '.join(command)}" in helped.stdout
