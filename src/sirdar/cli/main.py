"""``sirdar``: finds the command, gives it its arguments, shows what it answers."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sirdar.cli import errors
from sirdar.cli.session import Options, Session, UsageError, begin
from sirdar.cli.table import BY_WORDS, NOUNS, Command, below

if TYPE_CHECKING:
    from cyclopts import App

FLAGS = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "--no-color": "no_color"}
HELP_FLAGS = frozenset({"-h", "--help"})


def main() -> None:
    """Entry point of the ``sirdar`` program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    session = begin(Options())
    try:
        options, words = split_options(arguments)
        session = begin(options)
        return _dispatch(words, session)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return errors.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if errors.wants_traceback():
            raise
        report = errors.report_of(error, session)
        errors.tell(report, session)
        return report.exit_code
    finally:
        session.close()


def split_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The options that every command has, wherever they stand before ``--``, and the other words."""
    flags: dict[str, bool] = {}
    server: str | None = None
    words: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            words += [word, *left]
            break
        if word in FLAGS:
            flags[FLAGS[word]] = True
        elif word == "--server":
            if not left:
                raise UsageError("--server needs the address of a server", "--server https://sirdar.example.org")
            server = left.pop(0)
        elif word.startswith("--server="):
            server = word.partition("=")[2]
        else:
            words.append(word)
    return Options(flags.get("json", False), flags.get("quiet", False), server, flags.get("no_color", False)), words


def _dispatch(words: list[str], session: Session) -> int:
    path = tuple(words[:3])
    if words in (["--version"], ["-V"]):
        words = ["version"]
        path = ("version",)
    while path and path not in BY_WORDS:
        path = path[:-1]
    rest = words[len(path) :]
    before_dashes = rest[: rest.index("--")] if "--" in rest else rest
    if not path:
        return _no_command(words, session)
    command = BY_WORDS[path]
    if HELP_FLAGS.intersection(before_dashes):
        from sirdar.cli.help import command_help

        print(command_help(command, parser_of(command)))
        return 0
    return _execute(command, rest, session)


def _no_command(words: list[str], session: Session) -> int:
    """Help for everything or for a noun; an error for words that are no command."""
    from sirdar.cli.help import noun_help, top_help

    names = [word for word in words if word not in HELP_FLAGS]
    asked = len(names) < len(words)
    if not names:
        print(top_help())
        return 0
    noun = tuple(names)
    while noun and not below(noun):
        noun = noun[:-1]
    if noun == tuple(names) and (noun[0] in NOUNS):
        print(noun_help(noun))
        return 0 if asked else errors.USAGE
    raise UsageError(f"there is no command `sirdar {' '.join(names)}`", _nearest(names, noun))


def _nearest(names: list[str], noun: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    if noun:
        known = [command.words[len(noun)] for command in below(noun)]
        near = get_close_matches(names[len(noun)], known, 1)
        return f"sirdar {' '.join([*noun, *near])}" if near else f"sirdar {' '.join(noun)} --help"
    near = get_close_matches(names[0], {command.words[0] for command in BY_WORDS.values()}, 1)
    return f"sirdar {near[0]}" if near else "sirdar --help"


def _execute(command: Command, arguments: list[str], session: Session) -> int:
    from cyclopts import CycloptsError

    from sirdar.cli.reply import Reply, show

    parser = parser_of(command)
    try:
        function, bound, _ = parser.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        error.verbose = False
        message = " ".join(str(error).split())
        raise UsageError(message, f"sirdar {command.text} --help") from None
    answer = function(*bound.args, **bound.kwargs)
    if isinstance(answer, Reply):
        show(answer, session)
        return answer.exit_code
    return answer if isinstance(answer, int) else 0


def parser_of(command: Command) -> "App":
    """Cyclopts' parser of one command; only its module is imported."""
    from cyclopts import App

    parser = App(name=f"sirdar {command.text}", help_flags=[], version_flags=[])
    parser.default(function_of(command))
    return parser


def function_of(command: Command) -> Callable[..., Any]:
    module, _, name = command.target.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"sirdar.cli.{module}"), name)
    return function


if __name__ == "__main__":
    main()
