"""``app ...``."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli import draw
from sirdar.cli.numbers import duration, memory, moment, size
from sirdar.cli.reply import Reply
from sirdar.cli.session import Session, UsageError, current
from sirdar.client.flows.publish import import_archive
from sirdar.client.requests import apps as requests

AppRef = Annotated[str, Parameter(help="owner/alias, owner/alias@3 or an id; me/ is you")]


def list_apps(
    *,
    owner: Annotated[str | None, Parameter(help="applications of this user; me is you")] = None,
    text: Annotated[str | None, Parameter(help="words of the name, annotation or keywords")] = None,
    limit: Annotated[int, Parameter(help="how many; 0 for all")] = 40,
) -> Reply:
    """Applications that you may see."""
    session = current()
    request = requests.listing(owner, text, min(limit, 1000) or 1000)
    return _table(list(session.client.iterate(request, limit or None)), session)


def search(part: str, /) -> Reply:
    """Find applications.

    Parameters
    ----------
    part
        a part of the name
    """
    session = current()
    return _table(list(session.client.iterate(requests.search(part))), session)


def show(
    app: AppRef,
    /,
    *,
    source: Annotated[bool, Parameter(help="the description as sirdar.yaml", negative="")] = False,
) -> Reply:
    """Inputs, outputs and command."""
    session = current()
    if source:
        text = session.client.send(requests.source(app)).body.decode()
        return Reply({"source": text}, [], text.splitlines)
    document = session.client.call(requests.describe(app))
    ref = _ref(document)
    needed = [name for name, spec in document["inputs"].items() if spec.get("required") and "default" not in spec]
    words = "".join(f" -i {name}={'@FILE' if _has_files(document['inputs'][name]) else 'VALUE'}" for name in needed)
    following = [f"sirdar run {document['owner']}/{document['alias']}{words} --wait"]
    return Reply(document, [ref], lambda: _page(document, session), following)


def versions(app: AppRef, /) -> Reply:
    """Versions, the newest first."""
    session = current()
    found = list(session.client.iterate(requests.versions(app)))
    headers = ("version>", "published", "by", "code", "note")
    rows = [
        (one["version"], moment(one.get("createdAt")), one.get("createdBy"), one.get("codeVersion"), one.get("note"))
        for one in found
    ]
    return Reply(found, [str(one["version"]) for one in found], lambda: draw.table(headers, rows, session.terminal))


def share(
    app: AppRef,
    /,
    *subject: Annotated[str, Parameter(help="a user, group:NAME or everyone; without any: who may use it")],
    permission: Annotated[Literal["run", "view"], Parameter(help="run it, or see it alone")] = "run",
    revoke: Annotated[bool, Parameter(help="take it back", negative="")] = False,
) -> Reply:
    """Let others use an application."""
    client = current().client
    names = [one if ":" in one or one == "everyone" else f"user:{one}" for one in subject]
    for one in names:
        client.send(requests.unshare(app, one) if revoke else requests.share(app, one, permission))
    found = client.call(requests.shares(app)) or {}
    lines = [f"{one}  {may}" for one, may in found.items()] or ["shared with nobody"]
    return Reply(found, list(found), lambda: lines)


def export(
    app: AppRef,
    /,
    *,
    to: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="the zip to write; - is standard output", allow_leading_hyphen=True),
    ] = None,
) -> Reply | None:
    """Download an application as a zip that Sirdar and Everest can import."""
    content = current().client.send(requests.export(app)).body
    if to is not None and str(to) == "-":
        sys.stdout.buffer.write(content)
        return None
    path = to or Path(f"{app.rpartition('/')[2].replace('@', '-')}.zip")
    path.write_bytes(content)
    return Reply(
        {"path": str(path), "size": len(content)}, [str(path)], lambda: [f"wrote {path} ({size(len(content))})"]
    )


def import_app(archive: Path, /) -> Reply:
    """Publish an exported application.

    Parameters
    ----------
    archive
        a zip that Sirdar or Everest exported
    """
    published = current().client.driver.run(import_archive(archive))
    words = f"published {published.ref}" if published.created else f"unchanged: these bytes are {published.ref}"
    document = {"id": published.id, "ref": published.ref, "version": published.version, "created": published.created}
    notes = list(published.notes)
    return Reply(
        {**document, "notes": notes},
        [published.ref],
        lambda: [words, *(f"note: {note}" for note in notes)],
        [f"sirdar app show {published.ref.partition('@')[0]}"],
    )


def archive(
    app: AppRef, /, *, undo: Annotated[bool, Parameter(help="take it out again", negative="")] = False
) -> Reply:
    """Put an application away: it takes no new jobs and stands in no list."""
    document = current().client.call(requests.archive(app, not undo))
    words = f"{app} is back" if undo else f"archived {app}"
    return Reply(document, [_ref(document)], lambda: [words], [] if undo else [f"sirdar app archive {app} --undo"])


def secret_set(
    app: AppRef,
    name: Annotated[str, Parameter(help="as the description names it")],
    /,
    *,
    file: Annotated[Path | None, Parameter(help="read the value from this file")] = None,
) -> Reply:
    """Keep a secret. Its value comes from standard input or a file: a command line is seen by others."""
    current().client.send(requests.set_secret(app, name, _secret_value(name, file)))
    return Reply({"app": app, "secret": name}, [name], lambda: [f"kept {name} for {app}"])


def secret_unset(app: AppRef, name: Annotated[str, Parameter(help="of the secret")], /) -> Reply:
    """Forget a secret."""
    current().client.send(requests.unset_secret(app, name))
    return Reply({"app": app, "secret": name}, [name], lambda: [f"forgot {name} of {app}"])


def openapi(app: AppRef, /) -> Reply:
    """The application's OpenAPI document, as JSON."""
    import json

    document = current().client.call(requests.openapi(app))
    return Reply(document, [], lambda: json.dumps(document, indent=2, ensure_ascii=False).splitlines())


def _secret_value(name: str, file: Path | None) -> str:
    if file is not None:
        value = file.read_text(encoding="utf-8")
    elif sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"Value of {name}: ")
    else:
        value = sys.stdin.read()
    value = value.removesuffix("\n")
    if not value:
        raise UsageError(f"the value of {name} is empty", f"sirdar app secret unset APP {name}")
    return value


def _table(found: list[dict[str, Any]], session: Session) -> Reply:
    headers = ("app", "version>", "name", "annotation", "updated")
    rows = [
        (
            f"{one['owner']}/{one['alias']}",
            one.get("version"),
            one.get("name"),
            one.get("annotation"),
            moment(one.get("updatedAt")),
        )
        for one in found
    ]
    empty = ["no applications; publish one: `sirdar init`, `sirdar publish`"]
    ids = [f"{one['owner']}/{one['alias']}" for one in found]
    return Reply(found, ids, lambda: draw.table(headers, rows, session.terminal) if found else empty)


def _page(document: Mapping[str, Any], session: Session) -> Iterator[str]:
    terminal = session.terminal
    yield f"{document.get('name') or document['alias']}  {_ref(document)}"
    if document.get("annotation"):
        yield str(document["annotation"])
    yield from draw.pairs(
        {
            "command": (document.get("config") or {}).get("command"),
            "resources": _resources(document.get("resources") or {}),
            "environment": ", ".join(f"{key} {value}" for key, value in (document.get("environment") or {}).items())
            or None,
            "code": document.get("codeVersion"),
            "published": moment(document.get("publishedAt") or document.get("createdAt")),
            "versions": document.get("versions"),
            "you may": ", ".join(document.get("permissions") or ()),
            "archived": "yes" if document.get("archived") else None,
        },
        terminal,
    )
    for title, specs in (("Inputs", document.get("inputs")), ("Outputs", document.get("outputs"))):
        if specs:
            rows = [(name, _type(spec), _notes(spec), spec.get("title")) for name, spec in specs.items()]
            yield ""
            yield from draw.table((title.lower(), "type", "", "title"), rows, terminal)
    if document.get("description"):
        yield ""
        yield from _markdown(str(document["description"]), session)


def _markdown(text: str, session: Session) -> list[str]:
    """The description as it reads best here: drawn on a terminal, as it was written elsewhere."""
    if not session.terminal.colour:
        return text.splitlines()
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(session.terminal.columns or 80, 100), force_terminal=True)
    with console.capture() as captured:
        console.print(Markdown(text))
    return captured.get().splitlines()


def _ref(document: Mapping[str, Any]) -> str:
    return f"{document['owner']}/{document['alias']}@{document['version']}"


def _has_files(spec: Mapping[str, Any]) -> bool:
    return bool((spec.get("items") or spec).get("format") == "uri")


def _type(spec: Mapping[str, Any]) -> str:
    if spec.get("type") == "array":
        return f"list of {_type(spec.get('items') or {})}s"
    return "file" if _has_files(spec) else "one of" if spec.get("enum") else str(spec.get("type", ""))


def _notes(spec: Mapping[str, Any]) -> str:
    words = ["required"] if spec.get("required") and "default" not in spec else []
    if spec.get("enum"):
        words.append(" | ".join(map(str, spec["enum"])))
    if "default" in spec:
        words.append(f"= {spec['default']}")
    low, high = spec.get("minimum"), spec.get("maximum")
    if low is not None or high is not None:
        words.append(f"{'' if low is None else low} .. {'' if high is None else high}".strip())
    return ", ".join(words)


def _resources(needs: Mapping[str, Any]) -> str:
    words = [f"{needs.get('cpus', 1)} cpus"]
    words += [f"{needs['gpus']} gpus"] if needs.get("gpus") else []
    words += [memory(needs["memoryBytes"])] if needs.get("memoryBytes") else []
    words += [duration(needs["timeS"])] if needs.get("timeS") else []
    words += ["only on " + " or ".join(needs["only"])] if needs.get("only") else []
    words += [f"{key}={value}" for key, value in (needs.get("labels") or {}).items()]
    return ", ".join(words)
