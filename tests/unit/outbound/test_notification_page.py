"""The how-to page about notifications says what the code does."""

import json
import re
import time
from pathlib import Path
from typing import Any

from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import State
from sirdar.services.notify.letters import JobEnd, payload
from sirdar.services.notify.schedule import DELAYS_S
from sirdar.services.notify.webhook import sign

PAGE = (Path(__file__).parents[3] / "docs/how-to/notifications.md").read_text()


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in found if containing in text)


def test_the_pages_program_accepts_a_true_signature_only() -> None:
    scope: dict[str, Any] = {}
    exec(block("python", "hmac"), scope)
    header = sign("s", b"{}", at=time.time())
    assert scope["is_from_sirdar"]("s", header, b"{}")
    assert not scope["is_from_sirdar"]("s", header, b"{ }")
    assert not scope["is_from_sirdar"]("s", sign("s", b"{}", at=time.time() - 400), b"{}")


def test_the_pages_example_has_the_fields_that_are_sent() -> None:
    sent = payload(JobEnd("a", "b/c", 1, State.FAILED, "u", 0.0, 1.0, Outcome(Reason.EXIT_CODE, "m", 2)))
    assert list(json.loads(block("json", "job.ended"))) == list(sent)


def test_the_pages_schedule_is_the_codes() -> None:
    assert DELAYS_S == (10, 60, 5 * 60, 30 * 60, 2 * 3600, 6 * 3600, 24 * 3600)
    assert "10 seconds, 1, 5 and 30 minutes, 2, 6 and 24 hours" in PAGE
