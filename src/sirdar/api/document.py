"""The OpenAPI document of the whole API: what the routers declare, and what holds for every route said once."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sirdar.api import shapes
from sirdar.api.errors import MEDIA_TYPE

OPEN = frozenset({"/healthz", "/api/health", "/api/ready"})  # addresses that ask for no token
SIGN_IN = ("/api/auth/access_token", "post")
_PROBLEM = {
    "description": "A problem; its code says which",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "access_token"},
}
_REF = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` whole."""
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _add_problem(schemas)
        document["components"]["securitySchemes"] = _SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _add_problem(schemas: dict[str, Any]) -> None:
    schema = shapes.Problem.model_json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    schemas["Problem"] = schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Every route may answer a problem, and all but a few ask for a token."""
    _summarise(operation)
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = _PROBLEM
    if path not in OPEN and (path, method) != SIGN_IN:
        operation["security"] = [{"token": []}, {"cookie": []}]


def _summarise(operation: dict[str, Any]) -> None:
    """A summary that nobody wrote, which is the function's name, gives way to the first line of what the route says."""
    made = operation["summary"].lower().replace(" ", "_")
    if operation["operationId"].startswith(f"{made}_api_") and "description" in operation:
        first, _, rest = operation.pop("description").partition("\n")
        operation["summary"] = first.rstrip(".")
        if rest.strip():
            operation["description"] = rest.strip()
