"""No token that a server gives out stands in its log, wherever in an event it was."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sirdar.domain.ids import AttemptKey
from sirdar.server.logs import configure_logs
from sirdar.services import attach, signin
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings

KEYS = Keys(b"k" * 32)
SECRETS = {
    "a user's": signin.new_token(),
    "an agent's": attach.agent_token(KEYS, "0123456789abcdef", 1_800_000_000.0, "some key"),
    "a resource's": attach.RESOURCE_PREFIX + "x1_-" * 10,
    "a join's": attach.JOIN_PREFIX + "x1_-" * 10,
    "an attempt's": KEYS.attempt_token(AttemptKey.parse("0123456789abcdef-1-1")),
}


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    configure_logs(Settings(home=tmp_path))
    yield tmp_path / "server.log"
    for handler in root.handlers:
        handler.close()
    root.handlers[:], logging.raiseExceptions = before, raises
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("whose", SECRETS)
def test_a_token_is_taken_out(whose: str, log_file: Path) -> None:
    token = SECRETS[whose]
    log = structlog.get_logger()
    log.warning("met", error=f"what came was {token}, which is too much", parts=[{"token": token}])
    logging.getLogger("library").warning("got %s", token)
    text = log_file.read_text()
    assert text.count("(secret)") == 3
    for part in (token, token[-20:]):
        assert part not in text
    assert json.loads(text.splitlines()[0])["error"] == "what came was (secret), which is too much"
