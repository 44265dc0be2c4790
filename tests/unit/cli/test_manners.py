"""Start-up, help, errors, exit codes: what every command has in common."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sirdar.cli import serve
from sirdar.cli.errors import report_of
from sirdar.cli.main import function_of, split_options
from sirdar.cli.session import Options, Session
from sirdar.cli.table import BY_WORDS, COMMANDS, NOUNS, SECTIONS, below
from sirdar.client.errors import NotFound

HEAVY = ("fastapi", "sqlalchemy", "numpy", "httpx", "pydantic", "yaml", "rich", "cyclopts", "asyncio")


@pytest.mark.parametrize("arguments", [["--help"], ["job", "--help"], ["--version", "--help"], []])
def test_the_first_page_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['sirdar', *sys.argv[1:]]\n"
        "from sirdar.cli.main import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    if arguments[:1] == ["--version"]:
        arguments = ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("HEAVY []\n")


def test_no_command_line_imports_the_server_s_libraries(signed_in: Path) -> None:
    code = (
        "import sys\nfrom sirdar.cli.main import run\n"
        "assert run(['job', 'list']) == 0\n"
        "print('HEAVY', [name for name in ('fastapi', 'sqlalchemy', 'numpy', 'rich', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith("HEAVY []\n"), done.stdout + done.stderr


def test_help_comes_at_once() -> None:
    """The median of several, less what Python itself takes: the machine may be busy."""

    def seconds(*arguments: str) -> float:
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            times.append(time.perf_counter() - begun)
        return sorted(times)[1]

    bare = seconds("-c", "pass")
    assert seconds("-m", "sirdar.cli.main", "--help") - bare < 1.0  # the bench has the true limit


def test_every_command_exists_and_its_help_shows_examples_first(process: Callable[..., Any]) -> None:
    from sirdar.cli.help import command_help
    from sirdar.cli.main import parser_of

    for command in COMMANDS:
        assert callable(function_of(command))
        text = command_help(command, parser_of(command))
        lines = text.splitlines()
        assert lines[0] == f"{command.summary}." and lines[2] == "Examples:", command.text
        assert lines[3].strip().startswith("sirdar ") or "| sirdar" in lines[3], command.text
        assert text.index("Examples:") < text.index("Usage:") < text.index("Exit codes:") < text.index("Docs:")
        for example in command.examples:
            assert f"sirdar {command.text}" in example


def test_every_command_stands_on_the_first_page() -> None:
    shown = [name for section in SECTIONS for name in section.members]
    assert sorted(shown) == sorted({command.words[0] for command in COMMANDS})
    assert all(below((noun,)) for noun in NOUNS)


def test_a_flag_takes_no_value() -> None:
    from sirdar.cli.help import arguments_of
    from sirdar.cli.main import parser_of

    shown = dict(arguments_of(parser_of(BY_WORDS["user", "set"]))[1])
    assert "--publish/--no-publish" in shown and "--email EMAIL" in shown and "--password" in shown


def test_documented_options_exist() -> None:
    """Options in examples and hints are options of the commands."""
    from sirdar.cli.help import arguments_of
    from sirdar.cli.main import parser_of

    for command in COMMANDS:
        known = {word for name, _ in arguments_of(parser_of(command))[1] for word in re.split(r"[,/ ]+", name)}
        for example in command.examples:
            used = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", example.partition("'")[0].partition("sirdar ")[2]))
            assert used <= known | {"--json"}, (command.text, used - known)


def test_the_reference_is_the_one_that_the_commands_give() -> None:
    from sirdar.cli.reference import reference

    page = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(), "run `python -m sirdar.cli.reference docs/reference/cli.md`"


@pytest.mark.parametrize(
    ("hint", "command"),
    [
        ("GET /api/apps lists what you may see.", "sirdar app list"),
        ("GET /api/apps/anna/sumsq/versions lists them.", "sirdar app versions anna/sumsq"),
        ("GET /api/jobs lists your jobs.", "sirdar job list"),
        ("GET /api/jobs/4k2m names its files.", "sirdar job show 4k2m"),
        ("Name it with --home.", "Name it with --home."),
    ],
)
def test_a_hint_of_the_api_becomes_a_command(hint: str, command: str) -> None:
    problem = {"status": 404, "code": "not_found", "detail": "There is none.", "try": hint}
    report = report_of(NotFound(404, problem), Session())
    assert report.hint == command


def test_options_that_stand_anywhere() -> None:
    assert split_options(["--json", "job", "-q", "list", "--server", "u"]) == (
        Options(True, True, "u"),
        ["job", "list"],
    )
    assert split_options(["status", "--", "--json"]) == (Options(), ["status", "--", "--json"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jbo", "list"], "sirdar job"),
        (["job", "lsit"], "sirdar job list"),
        (["job", "list", "--stat", "done"], "--state"),
        (["job", "list", "--state", "nonsense"], "submitted"),
        (["job", "list", "--limit", "many"], "limit"),
        (["job", "list", "--since", "yesterday"], "2026-11-20"),
        (["run"], "app"),
        (["job", "cancel"], "which job?"),
        (["--server"], "--server needs"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(
    sirdar: Callable[..., Any], signed_in: Path, arguments: list[str], words: str
) -> None:
    ran = sirdar(*arguments)
    assert ran.code == 2, ran
    assert ran.err.startswith("error[usage]: ") and words.lower() in ran.err.lower()
    assert "Traceback" not in ran.err and ran.out == ""


def test_no_server_is_4(sirdar: Callable[..., Any]) -> None:
    ran = sirdar("job", "list")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "error[not_configured]: no server is known\n  try: run `sirdar up` here, or `sirdar login URL`\n"


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_4(process: Callable[..., Any]) -> None:
    ran = process("job", "list", SIRDAR_URL="http://127.0.0.1:9", SIRDAR_TOKEN="t")
    assert ran.code == 4
    assert ran.err.startswith("error[unreachable]: no server answers at http://127.0.0.1:9")


def test_a_wrong_token_is_4_and_errors_have_their_page(
    sirdar: Callable[..., Any], fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIRDAR_URL", fake.url)
    monkeypatch.setenv("SIRDAR_TOKEN", "wrong")
    ran = sirdar("job", "list")
    assert ran.code == 4
    assert f"  try: sirdar login {fake.url}\n  docs: {fake.url}/docs/errors/unauthenticated\n" in ran.err


def test_errors_as_json(sirdar: Callable[..., Any], signed_in: Path) -> None:
    ran = sirdar("job", "show", "none", "--json")
    assert ran.code == 1
    error = json.loads(ran.err)["error"]
    assert (error["code"], error["detail"]) == ("not_found", "There is no job 'none'.")


def test_what_nobody_foresaw_goes_to_a_file(
    sirdar: Callable[..., Any], signed_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("sirdar.cli.resources.list_resources", broken)
    ran = sirdar("resource", "list")
    assert ran.code == 1 and "Traceback" not in ran.err
    path = Path(os.environ["SIRDAR_CONFIG_DIR"]) / "last-error.txt"
    assert str(path) in ran.err and "ZeroDivisionError" in path.read_text()
    monkeypatch.setenv("SIRDAR_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        sirdar("resource", "list")


def test_a_pipe_that_closes_is_no_error(fake: Any, signed_in: Path) -> None:
    for _ in range(300):
        fake.jobs[f"job{_:013d}"] = {"id": f"job{_:013d}", "state": "DONE", "app": "a/b", "name": "x" * 300}
    command = f"{sys.executable} -m sirdar.cli.main job list --limit 300 | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_colours_in_a_pipe(process: Callable[..., Any], fake: Any, signed_in: Path) -> None:
    fake.jobs["job0000000000000"] = {"id": "job0000000000000", "state": "DONE", "app": "a/b", "appVersion": 1}
    ran = process("job", "list")
    assert "✓ Done" in ran.out and "\x1b" not in ran.out + ran.err


def test_doctor_on_a_machine_without_a_server(
    sirdar: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before an agent joins from there: what jobs could run in is told all the same."""
    known = serve.import_module

    def without_server(name: str) -> Any:
        if name.startswith("sirdar.server"):
            raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy")
        return known(name)

    monkeypatch.setattr(serve, "import_module", without_server)
    monkeypatch.setenv("SIRDAR_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("SIRDAR_AGENT_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    told = sirdar("doctor", "--home", str(tmp_path / "none"), "--json")
    assert told.out, told.err  # what else it says is of the profile
    names = {row["name"] for row in json.loads(told.out)}
    assert {"sandbox", "containers", "environments"} <= names
    (tmp_path / "home").mkdir()
    refused = sirdar("doctor", "--home", str(tmp_path / "home"))
    assert refused.code == 1 and "sqlalchemy" in refused.err, "there is a server's home, which nobody can look at"
