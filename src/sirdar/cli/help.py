"""Help pages: purpose, examples first, options with their defaults and variables, exit codes.

Drawn here rather than by the parser's own formatter, which needs rich: the first page must come at once.
"""

from typing import TYPE_CHECKING, Any

from sirdar.cli.errors import EXIT_CODES
from sirdar.cli.table import BY_WORDS, NOUNS, SECTIONS, Command, below

if TYPE_CHECKING:
    from cyclopts import App

EVERYWHERE = (
    ("--json", "the answer as JSON: the API's own documents where it has one"),
    ("-q, --quiet", "ids only"),
    ("--server URL", "another server than the one signed in to  [env: SIRDAR_URL]"),
    ("--no-color", "no colours  [env: NO_COLOR]"),
    ("-h, --help", "this page"),
)
TOP_EXAMPLES = (
    "sirdar up",
    "sirdar publish sums",
    "sirdar run me/sums -i data=@a.csv --wait",
)
DOCS = "docs/reference/cli.md"


def top_help() -> str:
    """The first page."""
    lines = ["Turns a program into a web service and runs it anywhere.", "", *_examples(TOP_EXAMPLES)]
    for section in SECTIONS:
        rows = [(name, NOUNS.get(name) or BY_WORDS[(name,)].summary) for name in section.members]
        lines += ["", f"{section.title}:", *_rows(rows, 12)]
    lines += ["", "Everywhere:", *_rows(EVERYWHERE, 16), "", "`sirdar COMMAND --help` tells more."]
    return "\n".join(lines)


def noun_help(words: tuple[str, ...]) -> str:
    """The page of a noun: its verbs."""
    commands = below(words)
    title = NOUNS[words[0]] if len(words) == 1 else f"sirdar {' '.join(words)}"
    examples = tuple(command.examples[0] for command in commands if command.examples)[:3]
    rows = [(" ".join(command.words[len(words) :]), command.summary) for command in commands]
    lines = [f"{title}.", "", *_examples(examples), "", "Commands:", *_rows(rows, 14)]
    return "\n".join([*lines, "", f"`sirdar {' '.join(words)} COMMAND --help` tells more."])


def command_help(command: Command, parser: "App") -> str:
    """The page of a command."""
    positional, options = arguments_of(parser)
    usage = " ".join([f"sirdar {command.text}", *(name for name, _ in positional), *(["[OPTIONS]"] if options else [])])
    lines = [f"{command.summary}.", "", *_examples(command.examples), "", f"Usage: {usage}"]
    if positional:
        lines += ["", "Arguments:", *_rows(positional, 24)]
    if options:
        lines += ["", "Options:", *_rows(options, 24)]
    lines += ["", "Everywhere:", *_rows(EVERYWHERE, 24)]
    codes = ", ".join(f"{code} {meaning.partition(';')[0].partition(',')[0]}" for code, meaning in EXIT_CODES.items())
    return "\n".join([*lines, "", f"Exit codes: {codes}.", f"Docs: {DOCS}"])


def arguments_of(parser: "App") -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names and explanations of positional arguments and of options."""
    positional: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    for argument in parser.assemble_argument_collection(parse_docstring=True):
        if not argument.show:
            continue
        if argument.field_info.is_positional:
            positional.append((_positional_name(argument), _explained(argument, bracket=False)))
        else:
            options.append((_option_name(argument), _explained(argument)))
    return positional, options


def _positional_name(argument: Any) -> str:
    name = argument.field_info.name.rstrip("_").upper()
    if argument.field_info.kind is argument.field_info.VAR_POSITIONAL:
        return f"{name.removesuffix('S')}..."
    return name if argument.required else f"[{name}]"


def _option_name(argument: Any) -> str:
    off = argument.negatives
    names = sorted((name for name in argument.names if name not in off), key=len)
    if argument.hint in (bool, bool | None):
        return "/".join([", ".join(names), *off])
    shown = argument.parameter.help_metavar if hasattr(argument.parameter, "help_metavar") else None
    return f"{', '.join(names)} {shown or names[-1].lstrip('-').upper()}"


def _explained(argument: Any, bracket: bool = True) -> str:
    text = (argument.parameter.help or "").strip()
    default = argument.field_info.default
    plain = default not in (None, False, argument.field_info.empty, ()) and default != []
    notes = []
    if argument.required and bracket:
        notes.append("required")
    if plain:
        notes.append(f"default: {default}")
    notes += [f"env: {name}" for name in argument.parameter.env_var or ()]
    return " ".join([text, *(f" [{note}]" for note in notes)]).strip()


def _examples(examples: tuple[str, ...]) -> list[str]:
    return ["Examples:", *(f"  {example}" for example in examples)] if examples else []


def _rows(rows: Any, column: int) -> list[str]:
    lines = []
    for name, text in rows:
        gap = " " * max(2, column - len(name))
        lines.append(f"  {name}{gap}{text}".rstrip())
    return lines
