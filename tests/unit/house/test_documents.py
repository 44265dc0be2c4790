"""Documents stay true: links and paths lead somewhere, generated parts are up to date, commands exist."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sirdar.domain.outcome import REASONS
from sirdar.domain.problems import CODES
from sirdar.wire.description import parse_yaml

ROOT = Path(__file__).parents[3]
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SOURCE = re.compile(r"`((?:src|tests|scripts|bench|docs|examples|requirements|\.ci)/[^`\s]*?)(?:::(\w+))?`")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(without_code(page.read_text())) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_paths_of_the_code_exist_and_names_in_them_too(page: Path) -> None:
    for path, name in SOURCE.findall(page.read_text()):
        if any(mark in path for mark in "*<") or re.search(r"[A-Z]{3}", path):
            continue  # a pattern, or a placeholder such as bench_NAME.py
        assert (ROOT / path).exists(), f"{path} does not exist"
        if name:
            assert name in defined(ROOT / path), f"{path} has no {name}"


def defined(module: Path) -> set[str]:
    """Names of the functions and classes of a module, methods too."""
    nodes = ast.walk(ast.parse(module.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/gen-docs", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


def descriptions() -> list[str]:
    """Whole descriptions (they begin with ``sirdar: 1``) among the pages' blocks of YAML."""
    blocks = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    return [block for block in blocks if block.startswith("sirdar: 1")]


@pytest.mark.parametrize("description", descriptions())
def test_descriptions_in_the_documents_are_right(description: str) -> None:
    assert parse_yaml(description).command


@pytest.mark.parametrize(
    ("kind", "code"), [*(("errors", code) for code in sorted(CODES)), *(("reasons", name) for name in sorted(REASONS))]
)
def test_every_error_and_reason_has_a_page_that_helps(kind: str, code: str) -> None:
    text = (ROOT / "docs/reference" / kind / f"{code}.md").read_text()
    for heading in ("## Why", "## What to do"):
        body = text.split(heading, 1)[1].split("\n## ", 1)[0]
        assert len(body.split()) >= 5, f"{code}.md says nothing under {heading!r}"


def test_the_index_reaches_every_page() -> None:
    seen, waiting = set(), [ROOT / "docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [
            (page.parent / target).resolve() for target in LINK.findall(page.read_text()) if "://" not in target
        ]
    unreached = [short(page) for page in (ROOT / "docs").rglob("*.md") if page not in seen]
    assert not unreached


def test_the_readme_fits_on_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=short)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    rules = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert not set(re.findall(r"\bmake ([a-z]+)\b(?=[ `\n])", page.read_text())) - rules - {"a"}


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) == 11358
