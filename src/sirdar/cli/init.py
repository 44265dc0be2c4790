"""``init``: writes the first ``sirdar.yaml``."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sirdar.cli.reply import Reply
from sirdar.cli.session import Refused, UsageError
from sirdar.client.folder import DESCRIPTIONS
from sirdar.client.ignore import ALWAYS, ignored, parse

MOST_FILES_LOOKED_AT = 1000


def init(
    folder: Path = Path(),
    /,
    *,
    alias: Annotated[str | None, Parameter(help="last part of the address; by default the folder's name")] = None,
    name: Annotated[str | None, Parameter(help="title for people")] = None,
    command: Annotated[
        str | None,
        Parameter(
            name=["--command", "-c"], help="the command line that works today; files and numbers in it become inputs"
        ),
    ] = None,
    input: Annotated[
        list[str] | None,
        Parameter(
            name=["--input", "-i"], help="name[:type][=default]; may be repeated", consume_multiple=False, negative=""
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        Parameter(
            name=["--output", "-o"],
            help="name[:type][=file[#key]]; may be repeated",
            consume_multiple=False,
            negative="",
        ),
    ] = None,
    force: Annotated[bool, Parameter(help="replace a description that is there", negative="")] = False,
) -> Reply:
    """Write sirdar.yaml, with comments. What is not given is asked for, on a terminal.

    Parameters
    ----------
    folder
        the program's folder
    """
    from sirdar.wire.skeleton import skeleton

    existing = next((folder / one for one in DESCRIPTIONS if (folder / one).exists()), None)
    if existing is not None and not force:
        raise Refused(
            "already_exists", f"{existing} is there already", hint=f"edit it, or `sirdar init {folder} --force`"
        )
    chosen = alias or _asked("Alias (last part of the address)", alias_of(folder))
    line = command or _asked("Command that runs the program here", "")
    if not line:
        raise UsageError("which command runs the program?", "sirdar init --command 'python fit.py data.csv --power 2'")
    title = name if name is not None else _asked("Title for people", "")
    text = skeleton(
        alias=chosen, command=line, inputs=input or (), outputs=output or (), name=title, existing=_files(folder)
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = existing or folder / DESCRIPTIONS[0]
    path.write_text(text, encoding="utf-8")
    return Reply(
        {"path": str(path), "alias": chosen}, [str(path)], lambda: [f"wrote {path}"], [f"sirdar publish {folder}"]
    )


def alias_of(folder: Path) -> str:
    """The folder's name as an alias: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "app"


def _asked(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        return default
    shown = f" [{default}]" if default else ""
    return input(f"{question}{shown}: ").strip() or default


def _files(folder: Path) -> set[str]:
    """Names of the files that are there: words of the command that are among them become file inputs."""
    patterns = parse(ALWAYS)
    found: set[str] = set()
    for parent, folders, names in os.walk(folder):
        prefix = Path(parent).relative_to(folder).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        folders[:] = [one for one in folders if not ignored(prefix + one, True, patterns)]
        found.update(prefix + one for one in names)
        if len(found) > MOST_FILES_LOOKED_AT:
            break
    return found
