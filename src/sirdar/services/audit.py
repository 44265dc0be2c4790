"""Writes down who did what. Called in the transaction that does it, so that neither stands without the other."""

import re
from typing import Any

from sirdar.domain.people import Caller
from sirdar.store import audit
from sirdar.store.engine import Tx

SYSTEM = "system"
LONGEST_TEXT = 500
_SECRET = re.compile(r"passw|secret|token$|cipher|api_?key|authorization|cookie", re.IGNORECASE)


def record(tx: Tx, caller: Caller | str | None, action: str, object: str, **detail: Any) -> None:
    """Add a line: ``record(tx, caller, "app.share", "app:anna/svf", subject="group:lab", permission="run")``.

    ``caller``: who did it, a user's name, or None for the server itself. ``action`` reads ``NOUN.VERB``. Details whose name
    says that they are secret are replaced, long texts are cut.
    """
    if isinstance(caller, Caller):
        actor = caller.name
        if caller.attempt is not None:
            detail["task"] = caller.attempt.text
        if caller.token_id is not None:
            detail["via"] = caller.token_id
    else:
        actor = caller or SYSTEM
    audit.insert(tx, actor=actor, action=action, object=_cut(object), detail=_safe(detail))


def _safe(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        name: "(hidden)" if _SECRET.search(name) else _plain(value)
        for name, value in detail.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _safe({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, set | frozenset) else value)][:100]
    return value if isinstance(value, int | float | bool) else _cut(str(value))


def _cut(text: str) -> str:
    """Without what some database cannot store (NUL, half surrogates), and not longer than a line should be."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return clean if len(clean) <= LONGEST_TEXT else clean[: LONGEST_TEXT - 1] + "…"
