"""The input sets of a job of many tasks: in the body, or in a file of JSON lines."""

import json
from typing import Any

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.files import resolve_uri
from sirdar.wire.submit import ForeachUri

FILE_BYTES = 512 * 2**20


async def read_items(
    services: Services, caller: Caller, foreach: list[dict[str, Any]] | ForeachUri | None
) -> list[dict[str, Any]] | None:
    """The input sets, or None where the job is of one task. Raises Problem with the line that is wrong."""
    if isinstance(foreach, ForeachUri):
        try:
            ref = await resolve_uri(services, caller, foreach.uri)
        except Problem as problem:
            raise Problem(
                problem.code, problem.detail, field="foreach.uri", expected=problem.expected, hint=problem.hint
            ) from None
        if ref.size_bytes > FILE_BYTES:
            raise Problem("too_large", f"{ref.name} is over {FILE_BYTES} bytes.", field="foreach.uri")
        content = b"".join([piece async for piece in services.blobs.read(ref.sha256)])
        foreach = await services.blobs.in_thread(_parse, content, services.settings.foreach_items)
    if foreach is not None and len(foreach) > services.settings.foreach_items:
        raise Problem(
            "too_large",
            f"foreach holds {len(foreach)} input sets; at most {services.settings.foreach_items} are allowed.",
            field="foreach",
        )
    return foreach


def _parse(content: bytes, most: int) -> list[dict[str, Any]]:
    items = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Problem("invalid_input", f"Line {number} of the file is not JSON: {error}", field="foreach") from None
        if not isinstance(item, dict):
            raise Problem("invalid_input", f"Line {number} of the file is not an object.", field="foreach")
        items.append(item)
        if len(items) > most:
            raise Problem("too_large", f"The file holds more than {most} input sets.", field="foreach")
    return items
