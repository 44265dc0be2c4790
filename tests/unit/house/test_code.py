"""Rules of the code that no linter knows: purity, start-up, size of modules, nothing from elsewhere at run time."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SRC = ROOT / "src" / "sirdar"
# Migrations are written by a tool, and never again.
MODULES = sorted(path for path in SRC.rglob("*.py") if "versions" not in path.parts)
LONGEST_MODULE = 500
# What would give the domain a clock, chance, I/O or threads.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "sys", "threading"}
IMPURE |= {"time", "uuid"}
HEAVY = ("fastapi", "sqlalchemy", "numpy", "uvicorn", "aiohttp", "alembic", "jinja2", "sirdar.server", "sirdar.agent")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(module: Path) -> Iterator[str]:
    """Whole names of all that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("module", sorted((SRC / "domain").glob("*.py")), ids=short)
def test_the_domain_has_no_clock_and_no_io(module: Path) -> None:
    tops = {name.split(".")[0] for name in imports(module)}
    assert tops <= {*sys.stdlib_module_names, "sirdar"}
    assert not tops & IMPURE


@pytest.mark.parametrize("module", sorted((SRC / "agent" / "porter").glob("*.py")), ids=short)
def test_the_porter_is_standard_library_only(module: Path) -> None:
    strange = [
        name
        for name in imports(module)
        if name.split(".")[0] not in sys.stdlib_module_names
        and name != "sirdar"
        and not name.startswith("sirdar.agent.porter")
    ]
    assert not strange


@pytest.mark.parametrize("module", MODULES, ids=short)
def test_no_module_is_a_convenient_place(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= LONGEST_MODULE
    assert not re.search(r"(utils?|helpers?|manager|common|misc)$", module.stem)


@pytest.mark.parametrize("start", ["import sirdar", "import sirdar.cli.main"])
def test_a_client_starts_without_the_server(start: str) -> None:
    code = f"import sys; {start}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# A page, a style or a script that would make a browser, or us, fetch something from elsewhere.
ELSEWHERE = re.compile(
    r"""(<script[^>]*\ssrc=|<link[^>]*\shref=|<img[^>]*\ssrc=|@import\s+|url\(|\bfrom\s+|\bimport\()["']?\s*(https?:)?//""",
    re.IGNORECASE,
)
NETWORKS = re.compile(
    r"unpkg\.com|jsdelivr|cdnjs|googleapis\.com|gstatic\.com|esm\.sh|skypack|huggingface\.co", re.IGNORECASE
)


def test_nothing_is_fetched_from_elsewhere_at_run_time() -> None:
    found = []
    for path in SRC.rglob("*"):
        if path.suffix not in {".py", ".html", ".j2", ".js", ".css", ".svg"}:
            continue
        text = path.read_text()
        found += [f"{short(path)}: {match[0]}" for match in (*ELSEWHERE.finditer(text), *NETWORKS.finditer(text))]
    assert not found


WITH_ROUTES = [path for path in MODULES if path.parent.name in {"api", "web"}]


@pytest.mark.parametrize("module", WITH_ROUTES, ids=short)
def test_what_routes_depend_on_is_no_plain_function(module: Path) -> None:
    """FastAPI would run it, and a plain route, in a thread: a change of threads for every request, for nothing."""
    tree = ast.parse(module.read_text())
    named = {
        call.args[0].id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Depends"
        if isinstance(call.args[0], ast.Name)
    }
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        routes = [ast.unparse(mark) for mark in function.decorator_list if ast.unparse(mark).startswith("router.")]
        assert function.name not in named and not routes, f"{function.name} is to be async"
