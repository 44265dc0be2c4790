"""The OpenAPI document, and the server held against it: whatever is sent, no server error, and replies as documented.

Nothing leaves loopback: the server may reach no address at all (``!public``).
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.system.product import Product

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
EXAMPLES = 25
LONGEST_WAIT_S = 0.5


@pytest.fixture(scope="module")
def fuzzed(module_sirdar: Callable[..., Product]) -> Product:
    """A server of this module's own, with an application, a job, a user and a group to act on."""
    product = module_sirdar(fetch_allow="!public", quota_jobs=500)
    product.publish(
        "echo", "echo ${text}", inputs={"text": "string"}, outputs={"said": {"type": "string", "from": "stdout"}}
    )
    product.user("mallory", canPublish=True)
    product.admin.post("/api/groups", json={"name": "lab"})
    return product


@pytest.fixture(scope="module")
def session(fuzzed: Product) -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        opened.headers["authorization"] = f"Bearer {fuzzed.token()}"
        yield opened


@pytest.fixture(scope="module")
def known(fuzzed: Product) -> dict[str, str]:
    """Things that are there, by the names of path parameters."""
    job = fuzzed.run("me/echo", {"text": "x"})
    upload = fuzzed.admin.post("/api/files/uploads", json={"filename": "x.csv", "length": 10**6}).json()["id"]
    file_id, _, name = fuzzed.upload("y.csv", b"1\n").removeprefix("/api/files/temp/").partition("/")
    return {
        "job_id": job["id"], "path": "stdout", "no": "0", "app": "admin/echo", "file_id": file_id, "name": name,
        "upload_id": upload, "subject": "user:mallory", "user": "mallory",
    }  # fmt: skip


@pytest.fixture(scope="module")
def api_schema(fuzzed: Product) -> Any:
    document = fuzzed.admin.get("/openapi.json").json()
    loaded = schemathesis.openapi.from_dict(document)
    loaded.config.update(base_url=fuzzed.url)
    return loaded.exclude(method="DELETE", path="/api/auth/access_token")  # it would end the token that all others use


@pytest.mark.timeout(150)
def test_whatever_is_sent(api_schema: Any, session: requests.Session, known: dict[str, str], fuzzed: Product) -> None:
    """One test over all operations: the document is known only when the server runs."""
    failures = []
    turns = itertools.count()
    for found in api_schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def send(case: Any) -> None:
            if next(turns) % 2:
                aim(case, known)
            response = case.call(session=session, timeout=30)
            case.validate_response(response, checks=CHECKS)

        try:
            send()
        except FailureGroup as group:
            failures += [f"{operation.label}: {one}" for one in group.exceptions]
    assert not failures, "\n\n".join(failures)
    assert fuzzed.admin.get("/healthz").status_code == 200
    assert "internal error" not in fuzzed.log()


def aim(case: Any, known: dict[str, str]) -> None:
    """Make it about something that is there."""
    for name in case.path_parameters or {}:
        if name in known and not case.path.startswith(("/api/users", "/api/groups")):
            case.path_parameters[name] = known[name]
    if case.query and isinstance(case.query.get("wait"), float | int):
        case.query["wait"] = min(LONGEST_WAIT_S, case.query["wait"])


# ---------------------------------------------------------------- the document itself


def operations(product: Product) -> list[tuple[str, str, dict[str, Any]]]:
    document = product.admin.get("/openapi.json").json()
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def test_every_route_is_described(sirdar: Product) -> None:
    found = operations(sirdar)
    assert len(found) > 60
    for path, method, one in found:
        where = f"{method} {path}"
        assert len(one["summary"]) > 3, where
        assert one["summary"] != one["operationId"], where
        assert one["responses"]["default"]["content"].keys() == {"application/problem+json"}, where
        good = {status: reply for status, reply in one["responses"].items() if status.startswith("2")}
        assert good, where
        for status, reply in good.items():
            contents = reply.get("content", {})
            assert contents or status == "204", (where, status)
            for kind, content in contents.items():
                assert kind == "*/*" or content["schema"], (where, status, kind)
        if method in {"post", "put", "patch"} and not path.endswith(
            ("/cancel", "/complete", "/share/link", "/login-link", "/join", "/revoke")
        ):
            assert "requestBody" in one or "/share/" in path or "/members/" in path, where


def test_the_document_is_where_tools_look_for_it(sirdar: Product) -> None:
    here, there = sirdar.admin.get("/openapi.json"), sirdar.admin.get("/api/openapi.json")
    assert here.json() == there.json()
    assert here.json()["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "code", "detail"]
    assert here.json()["components"]["securitySchemes"]


def test_an_applications_own_document_is_typed(sirdar: Product) -> None:
    sirdar.publish(
        "typed", "echo ${n}", inputs={"n": {"type": "integer", "minimum": 1, "maximum": 9, "required": True}}
    )
    document = sirdar.admin.get("/api/apps/me/typed/openapi.json").json()
    text = str(document)
    assert document["openapi"].startswith("3.")
    assert "'minimum': 1" in text
    assert "'maximum': 9" in text
    schemathesis.openapi.from_dict(document)
