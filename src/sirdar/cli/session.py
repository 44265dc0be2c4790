"""One run of the command line: options that every command has, the terminal, the client."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirdar.client.client import Client


@dataclass(frozen=True, slots=True)
class Terminal:
    """What standard output can show. ``columns`` is None where it is no terminal: then nothing is cut."""

    interactive: bool = False
    colour: bool = False
    columns: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """``--json``, ``--quiet``, ``--server``, ``--no-color``."""

    json: bool = False
    quiet: bool = False
    server: str | None = None
    no_color: bool = False


class UsageError(Exception):
    """The command line is wrong. ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Refused(Exception):
    """A command cannot do what it was asked for; ``code`` is stable."""

    def __init__(
        self, code: str, message: str, *, why: Sequence[str] = (), hint: str | None = None, exit_code: int = 1
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.why = tuple(why)
        self.hint = hint
        self.exit_code = exit_code


@dataclass(slots=True)
class Session:
    """Made once by ``main``; commands reach it by ``current()``."""

    options: Options = field(default_factory=Options)
    terminal: Terminal = field(default_factory=Terminal)
    _client: "Client | None" = None

    @property
    def plain(self) -> bool:
        """True where a person reads: neither ``--json`` nor ``--quiet``."""
        return not (self.options.json or self.options.quiet)

    @property
    def client(self) -> "Client":
        """The client of the server in use; made when it is first needed."""
        if self._client is None:
            from sirdar.cli.connection import connect

            self._client = connect(self.options.server)
        return self._client

    @property
    def known_url(self) -> str | None:
        """Address of the server in use, where a client has been made."""
        return self._client.url if self._client else None

    def job_id(self, text: str) -> str:
        """An id, or what ``last`` stands for. Raises UsageError where nothing was submitted from here."""
        if text != "last":
            return text
        from sirdar.client.profile import last_job

        if found := last_job(self.client.url):
            return found
        raise UsageError(f"no job was submitted to {self.client.url} from here", "sirdar job list")

    def keep_last(self, job: str) -> None:
        from sirdar.client.profile import keep_last_job

        keep_last_job(self.client.url, job)

    def forget_last(self, job: str) -> None:
        """Make ``last`` name nothing where it named this job; ``job`` may be the beginning of its id."""
        from sirdar.client.profile import forget_last_job

        forget_last_job(self.client.url, job)

    def tell(self, *lines: str) -> None:
        """Lines for a person on standard error; silent with ``--json`` and ``--quiet``."""
        if self.plain:
            for line in lines:
                print(line, file=sys.stderr)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def read_terminal(no_color: bool, environ: Mapping[str, str] = os.environ) -> Terminal:
    """What standard output is. NO_COLOR (no-color.org) and ``TERM=dumb`` switch colours off."""
    interactive = sys.stdout.isatty()
    dumb = environ.get("TERM") == "dumb"
    colour = interactive and not no_color and not environ.get("NO_COLOR") and not dumb
    columns: int | None = None
    if interactive:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            columns = 80
    return Terminal(interactive and not dumb, colour, columns)


_current = Session()


def current() -> Session:
    """The session of this process."""
    return _current


def begin(options: Options) -> Session:
    """Start a session with these options."""
    global _current  # noqa: PLW0603  (one process, one command)
    _current = Session(options, read_terminal(options.no_color))
    return _current
