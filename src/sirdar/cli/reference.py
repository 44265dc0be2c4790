"""Writes ``docs/reference/cli.md`` from the commands themselves: ``python -m sirdar.cli.reference docs/reference/cli.md``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from sirdar.cli.errors import EXIT_CODES
from sirdar.cli.help import EVERYWHERE, arguments_of
from sirdar.cli.main import parser_of
from sirdar.cli.table import SECTIONS, Command, below


def reference() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# The command line"
    yield ""
    yield "*This page is generated from the commands (`python -m sirdar.cli.reference`).*"
    yield ""
    yield "Options that every command has:"
    yield ""
    yield from _table(EVERYWHERE)
    yield ""
    yield "Exit codes:"
    yield ""
    yield from _table([(str(code), meaning) for code, meaning in EXIT_CODES.items()])
    yield ""
    yield "An error is written to standard error: `error[code]: what failed`, then `why:`, `try:` and `docs:`; with `--json`"
    yield 'as `{"error": {"code", "detail", "why", "try", "docs"}}`. `SIRDAR_TRACEBACK=1` shows Python\'s traceback.'
    for section in SECTIONS:
        yield ""
        yield f"## {section.title}"
        for name in section.members:
            for command in below((name,)):
                yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    positional, options = arguments_of(parser_of(command))
    yield ""
    yield f"### sirdar {command.text}"
    yield ""
    yield f"{command.summary}."
    yield ""
    yield "```sh"
    yield from command.examples
    yield "```"
    rows = [*positional, *options]
    if rows:
        yield ""
        yield from _table(rows)


def _table(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for name, text in rows:
        yield f"| `{name.replace('|', chr(92) + '|')}` | {text.replace('|', chr(92) + '|')} |"


def main(arguments: list[str]) -> int:
    """Write the page to a path, or to standard output."""
    text = reference()
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
