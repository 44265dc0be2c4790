"""Logs are events: JSON lines in a file of bounded size, with ids bound once. Secrets are taken out of the stream."""

import logging
import logging.handlers
import re
from pathlib import Path
from typing import Any

import structlog

MAX_BYTES = 16 * 2**20
_SECRET = re.compile(r"\b(?:[astj]\d?\.|sdr_)[A-Za-z0-9_\-.]{24,}|(?i:bearer )\S{16,}|/login/\S{16,}")


def configure_logs(path: Path, level: int = logging.INFO) -> None:
    """Send events of the server and of its libraries to one file."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=3, delay=True)
    shared: list[Any] = [
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


def _redact(_logger: Any, _name: str, event: Any) -> Any:
    return {key: _SECRET.sub("(secret)", value) if isinstance(value, str) else value for key, value in event.items()}
