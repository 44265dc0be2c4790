"""An OpenAPI document in short: its calls, and the members of its schemas, for a reader rather than a generator. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    type: str
    required: bool
    default: Any


def calls(document: Mapping[str, Any]) -> list[Call]:
    return [
        Call(method.upper(), path, operation.get("summary", ""))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def members(document: Mapping[str, Any], schema: str) -> list[Member]:
    found = document["components"]["schemas"][schema]
    required = found.get("required", ())
    properties = found.get("properties", {})
    return [Member(name, _type(spec), name in required, spec.get("default")) for name, spec in properties.items()]


def _type(spec: Mapping[str, Any]) -> str:
    """``integer``, ``string (uri)``, ``array of number``, ``one of a, b``."""
    if "enum" in spec:
        shown = ", ".join(str(value) for value in spec["enum"][:6])
        return f"one of {shown}{', …' if len(spec['enum']) > 6 else ''}"
    kind = spec.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array" and (items := spec.get("items")):
        return f"array of {_type(items)}"
    return f"{kind} ({spec['format']})" if "format" in spec else kind
