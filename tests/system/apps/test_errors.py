"""Every error is a problem, and tells no more than it should."""

from typing import Any

import pytest


def test_every_error_is_a_problem(site: Any, anna: Any) -> None:
    anna.refused(404, "not_found", "GET", "/nowhere")
    anna.refused(405, "method_not_allowed", "PATCH", "/api/apps")
    json_type = {"content-type": "application/json"}
    anna.refused(400, "invalid_request", "POST", "/api/apps/publish", content=b"{", headers=json_type)
    anna.refused(400, "invalid_request", "POST", "/api/apps/publish", content=b"[" * 200_000, headers=json_type)
    anna.refused(400, "invalid_request", "POST", "/api/apps/publish", content=b"\xff", headers=json_type)
    anna.refused(400, "invalid_request", "POST", "/api/apps/publish", content=b"")
    anna.refused(400, "invalid_request", "POST", "/api/apps/publish", json=[])
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json={"description": 7})
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json={"description": "x", "more": 1})
    half = b'"\\ud800"'  # of a pair: no encoding can write it
    for content, status, code in (
        (b'{"description": %s}', 422, "invalid_description"),
        (b'{"description": "x", "note": %s}', 422, "invalid_description"),
        (b'{"description": "x", %s: 1}', 400, "invalid_request"),
        (b'{"description": "alias: x\\ncommand: ls", "note": %s}', 422, "invalid_field"),
        (b'{"description": "alias: x\\ncommand: ls", "secrets": {%s: "x"}}', 422, "invalid_field"),
        (b'{"description": "alias: x\\ncommand: ls", "secrets": {"KEY": %s}}', 422, "invalid_field"),
    ):
        anna.problem(anna.post("/api/apps/publish", content=content % half, headers=json_type), status, code)
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json=anna.body(note="\0"))
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json=anna.body(note="x" * 2000))
    reply = anna.get("/api/apps")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert anna.get("/nowhere").headers["x-content-type-options"] == "nosniff"


def test_what_nobody_foresaw(site: Any, anna: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A number for the user; the traceback stands in the log beside it, and nowhere else."""

    def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("sirdar.api.app_views.description", broken)
    anna.publish()
    found = anna.refused(500, "internal", "GET", "/api/apps/anna/sumsq")
    number = found["detail"].split()[-1].rstrip(".")
    assert "swordfish" not in str(found)
    noted = [record for record in caplog.records if number in record.getMessage()]
    assert len(noted) == 1
    assert "swordfish" in str(noted[0].exc_info)
