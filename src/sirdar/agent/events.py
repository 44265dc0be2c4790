"""The agent's log: one event a line, as JSON on stderr. Every module of the agent takes its logger from here."""

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


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


def configure(level: str = "info") -> None:
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
        logger_factory=_log.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
