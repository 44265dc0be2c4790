"""Logs are events: JSON lines in a file of bounded size, with ids bound once. Secrets are taken out of the stream."""

import logging
import logging.handlers
import re
from pathlib import Path
from typing import Any

import structlog

from sirdar.services import calls
from sirdar.services.settings import Settings

MAX_BYTES = 16 * 2**20
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Tokens of agents, resources, joins and attempts (``a1.`` to ``t1.``), and of users.
_SECRET = re.compile(r"\b(?:[ajrt]1\.|sirdar_)[A-Za-z0-9_\-.:]{24,}|(?i:bearer )\S{16,}|/login/\S{16,}")


def configure_logs(settings: Settings) -> None:
    """Send events of the server and of its libraries to one file, or to standard error. Raises ValueError for a wrong level."""
    level = LEVELS.get(settings.log_level.lower())
    if level is None:
        raise ValueError(f"SIRDAR_LOG_LEVEL={settings.log_level!r} is none of {', '.join(LEVELS)}")
    handler = _handler(settings)
    shared: list[Any] = [
        _add_call,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.raiseExceptions = False  # a full disk must not fill the terminal with the log's own troubles
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _handler(settings: Settings) -> logging.Handler:
    if settings.log_file == "-":
        return logging.StreamHandler()
    path = Path(settings.log_file) if settings.log_file else settings.home / "server.log"
    return logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=3, delay=True)


def _add_call(_logger: Any, _name: str, event: Any) -> Any:
    """What is logged while a call is answered names the call, and whose it is."""
    call = calls.current()
    if call is not None:
        known = {"request": call.request_id, "user": call.user, "resource": call.resource}
        for name, value in known.items():
            if value is not None:
                event.setdefault(name, value)
    return event


def _redact(_logger: Any, _name: str, event: Any) -> Any:
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub("(secret)", value)
    if isinstance(value, dict):
        return {key: _redacted(one) for key, one in value.items()}
    return [_redacted(one) for one in value] if isinstance(value, list | tuple) else value
