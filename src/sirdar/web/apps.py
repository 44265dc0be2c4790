"""Pages of applications: the list, and one with its inputs, versions and the ways to run it."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from sirdar.api.paging import LONGEST_CURSOR
from sirdar.domain.app import FILE_INPUTS, App, InputSpec, InputType
from sirdar.services import apps
from sirdar.services.apps import Cursor, Filter
from sirdar.web.pages import Page, PageRoute, open_page, show

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
VERSIONS = 20


@router.get("/apps")
async def list_page(
    page: PageDep,
    text: Annotated[str, Query(max_length=200)] = "",
    owner: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[str, Query(max_length=LONGEST_CURSOR)] = "",
) -> Response:
    caller = page.user
    which = Filter(owner=owner or None, text=text)
    found = await apps.list_apps(page.services, caller, which, limit=ROWS + 1, after=_cursor(after))
    last = found[ROWS - 1] if len(found) > ROWS else None
    following = f"{last.updated_at!r}_{last.id}" if last else ""
    return show(page, "apps.html", apps=found[:ROWS], text=text, owner=owner, following=following, first=not after)


def _cursor(after: str) -> Cursor | None:
    at, _, app_id = after.partition("_")
    try:
        return Cursor(float(at), app_id) if after and app_id.isalnum() else None
    except ValueError:
        return None


@router.get("/apps/{reference:path}")
async def app_page(reference: str, page: PageDep) -> Response:
    caller = page.user
    view = await apps.describe(page.services, caller, reference)
    record, versions = await apps.list_versions(page.services, caller, reference.partition("@")[0], limit=VERSIONS)
    app = view.loaded.app
    return show(
        page,
        "app.html",
        view=view,
        app=app,
        record=record,
        versions=versions,
        examples=examples(app, record.reference, page.services.settings.url),
        is_file={spec.name: spec.type in FILE_INPUTS for spec in app.inputs},
    )


# ---------------------------------------------------------------- the same call, to copy


def examples(app: App, reference: str, url: str) -> dict[str, str]:
    """How to run it, by name of the way: command line, Python, curl."""
    given = {spec.name: example_value(spec) for spec in app.inputs if spec.required or spec.has_default}
    files = {spec.name for spec in app.inputs if spec.type in FILE_INPUTS}
    return {
        "CLI": _cli(reference, given, files),
        "Python": _python(reference, url, given, files),
        "curl": _curl(reference, url, given, files),
    }


def example_value(spec: InputSpec) -> Any:
    """A value that fits, or shows what to put there."""
    if spec.has_default:
        return spec.default
    if spec.type in FILE_INPUTS:
        return f"{spec.name}{spec.suffixes[0] if spec.suffixes else ''}"
    if spec.values:
        return spec.values[0]
    plain: dict[InputType, Any] = {
        InputType.NUMBER: spec.minimum if spec.minimum is not None else 1.0,
        InputType.INTEGER: int(spec.minimum) if spec.minimum is not None else 1,
        InputType.BOOLEAN: True,
        InputType.JSON: {},
        InputType.LIST: [],
    }
    return plain.get(spec.type, "...")


def _cli(reference: str, given: dict[str, Any], files: set[str]) -> str:
    words = [f"sirdar run {reference}"]
    for name, value in given.items():
        text = f"@{value}" if name in files else value if isinstance(value, str) else json.dumps(value)
        words.append(f"-i {_shell(f'{name}={text}')}")
    return " ".join([*words, "--wait"])


def _python(reference: str, url: str, given: dict[str, Any], files: set[str]) -> str:
    words = [f"{name}=Path({value!r})" if name in files else f"{name}={value!r}" for name, value in given.items()]
    imports = "from pathlib import Path\n\n" if files & given.keys() else ""
    return (
        f"{imports}import sirdar\n\nc = sirdar.connect({url!r})\n"
        f"job = c.app({reference!r}).run({', '.join(words)})\nprint(job.result())\n"
    )


def _curl(reference: str, url: str, given: dict[str, Any], files: set[str]) -> str:
    curl = 'curl -H "Authorization: Bearer $SIRDAR_TOKEN"'
    lines = []
    for name in (name for name in given if name in files):
        lines += [
            f"# the reply's uri is the value of {name}",
            f"{curl} \\",
            f"  -F {_shell(f'file=@{given[name]}')} \\",
        ]
        lines += [f"  {url}/api/files/temp"]
    inputs = {name: "/api/files/temp/..." if name in files else value for name, value in given.items()}
    body = _shell(json.dumps({"inputs": inputs}, ensure_ascii=False))
    lines += [f"{curl} \\", "  -H 'Content-Type: application/json' \\", f"  -d {body} \\"]
    return "\n".join([*lines, f"  '{url}/api/apps/{reference}?wait=60'"])


def _shell(word: str) -> str:
    """Quoted for a POSIX shell where it must be."""
    if word and all(letter.isalnum() or letter in "_-./=@:,+%" for letter in word) and word.isascii():
        return word
    return "'" + word.replace("'", "'\\''") + "'"
