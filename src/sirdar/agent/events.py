"""The agent's log: one event a line, as JSON in ``agent.log``, and on stderr where that is a terminal.

Every module of the agent takes its logger from here."""

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

ROTATE_OVER_BYTES = 10 << 20


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Makes imports of these fail for a while."""
    before: dict[str, Any] = {name: sys.modules.get(name, ...) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in before.items():
            if module is ...:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _structlog() -> ModuleType:
    """structlog loads rich, where it is installed, to draw tracebacks on a terminal: 160 ms and 7 MB for nothing here."""
    with _hidden("rich"):
        return importlib.import_module("structlog")


_log = _structlog()


def get_logger(name: str) -> Any:
    return _log.get_logger(name)


class _Sink:
    """Writes to the file, and to the terminal where there is one. What cannot be written is lost: a log must not break work.

    A file that has grown large is put aside, as ``agent.log.1``; the one before that goes.
    """

    def __init__(self, path: Path, terminal: TextIO | None) -> None:
        self._path = path
        self._terminal = terminal
        self._file, self._size_bytes = _begin(path)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._size_bytes += len(text)
            self._file.write(text)
            if self._size_bytes > ROTATE_OVER_BYTES:
                before = self._file
                self._file, self._size_bytes = _begin(self._path)
                before.close()
        if self._terminal is not None:
            with suppress(OSError):
                self._terminal.write(text)
        return len(text)

    def flush(self) -> None:
        for file in (self._file, self._terminal):
            if file is not None:
                with suppress(OSError):
                    file.flush()


def _begin(path: Path) -> tuple[TextIO, int]:
    """The log's file, and its size in bytes. Nothing stays in a buffer that cannot be written later either."""
    if path.exists() and path.stat().st_size > ROTATE_OVER_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return TextIOWrapper(os.fdopen(fd, "ab", buffering=0), write_through=True), os.fstat(fd).st_size


def configure(level: str, path: Path) -> None:
    """Sets up the log once for the process."""
    _log.configure(
        processors=[
            _log.contextvars.merge_contextvars,
            _log.processors.add_log_level,
            _log.processors.TimeStamper(fmt="iso", utc=True),
            _log.processors.format_exc_info,
            _log.processors.JSONRenderer(),
        ],
        wrapper_class=_log.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_log.WriteLoggerFactory(_Sink(path, sys.stderr if sys.stderr.isatty() else None)),
        cache_logger_on_first_use=True,
    )
