"""Pages of applications: the list, and one with its inputs, versions and the ways to run it."""

import json
from collections.abc import Iterator, Mapping
from keyword import iskeyword
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
ONE_LINE = 80  # a longer command line is broken
TEMP = "/api/files/temp/..."


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


def examples(app: App, reference: str, url: str, values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """How to run it, by name of the way: command line, Python, curl.

    ``values``: what is given, by name of the input (files by their names); None: what every submission has to give, and the
    defaults.
    """
    given = dict(values or {})
    if values is None:
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
        if name in files:
            words += [f"-i {_shell(f'{name}=@{file}')}" for file in _listed(value)]
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text = f"@{text}" if text.startswith("@") else text  # which would name a file
        words.append(f"-i {_shell(f'{name}={text}')}")
    words.append("--wait")
    one_line = " ".join(words)
    return one_line if len(one_line) <= ONE_LINE else " \\\n  ".join(words)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _python(reference: str, url: str, given: dict[str, Any], files: set[str]) -> str:
    shown = {name: _path(value) if name in files else repr(value) for name, value in given.items()}
    words = [f"{name}={text}" for name, text in shown.items() if _is_word(name)]
    if odd := [f"{name!r}: {text}" for name, text in shown.items() if not _is_word(name)]:
        words.append(f"**{{{', '.join(odd)}}}")
    imports = "from pathlib import Path\n\n" if files & given.keys() else ""
    return (
        f"{imports}import sirdar\n\nc = sirdar.connect({url!r})\n"
        f"job = c.app({reference!r}).run({', '.join(words)})\nprint(job.result())\n"
    )


def _is_word(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name) and not name.startswith("_")


def _path(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_path(item) for item in value)}]"
    return f"Path({value!r})"


def _curl(reference: str, url: str, given: dict[str, Any], files: set[str]) -> str:
    curl = 'curl -H "Authorization: Bearer $SIRDAR_TOKEN"'
    lines: list[str] = []
    inputs: dict[str, Any] = {}
    for name, value in given.items():
        inputs[name] = value
        if name in files:
            lines += [line for file in _listed(value) for line in _upload(curl, url, name, file)]
            inputs[name] = [TEMP] * len(value) if isinstance(value, list) else TEMP
    body = _shell(json.dumps({"inputs": inputs}, ensure_ascii=False))
    lines += [f"{curl} \\", "  -H 'Content-Type: application/json' \\", f"  -d {body} \\"]
    return "\n".join([*lines, f"  '{url}/api/apps/{reference}?wait=60'"])


def _upload(curl: str, url: str, name: str, file: Any) -> Iterator[str]:
    yield f"# the reply's uri is the value of {name}"
    yield f"{curl} \\"
    yield f"  -F {_shell(f'file=@{file}')} \\"
    yield f"  {url}/api/files/temp"


def _shell(word: str) -> str:
    """Quoted for a POSIX shell where it must be."""
    if word and all(letter.isalnum() or letter in "_-./=@:,+%" for letter in word) and word.isascii():
        return word
    return "'" + word.replace("'", "'\\''") + "'"
