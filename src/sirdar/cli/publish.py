"""``publish``: a folder, a git repository or a GitLab project becomes a version."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli.numbers import size
from sirdar.cli.reply import Reply
from sirdar.cli.session import UsageError, current
from sirdar.client.flows.publish import publish as publish_flow
from sirdar.client.folder import FolderFile, find_description, read_folder


def publish(
    folder: Path = Path(),
    /,
    *,
    alias: Annotated[str | None, Parameter(name="--as", help="another alias than the description's")] = None,
    git: Annotated[str | None, Parameter(help="take the code from this git repository")] = None,
    gitlab: Annotated[str | None, Parameter(help="take the code from this GitLab project: its path or number")] = None,
    gitlab_url: Annotated[str | None, Parameter(help="address of the GitLab server")] = None,
    ref: Annotated[str | None, Parameter(help="commit, branch or tag")] = None,
    path: Annotated[str | None, Parameter(help="folder within the repository")] = None,
    artifact: Annotated[str | None, Parameter(help="GitLab: path of a CI job's artifact")] = None,
    job: Annotated[str | None, Parameter(help="GitLab: name of that CI job")] = None,
    code_token: Annotated[str | None, Parameter(help="name of the app's secret that holds the private token")] = None,
    note: Annotated[str | None, Parameter(help="what is new in this version")] = None,
) -> Reply:
    """Check the description, upload what the server lacks, make the version.

    Parameters
    ----------
    folder
        the program's folder with its sirdar.yaml, or that file
    """
    description = find_description(folder)
    text = description.read_text(encoding="utf-8")
    where = {"url": gitlab_url, "ref": ref, "path": path, "artifact": artifact, "job": job, "token": code_token}
    code = _code(git, gitlab, {name: value for name, value in where.items() if value is not None})
    app = _checked(text, description)
    if alias or code:
        text = _changed(text, alias, code)
        app = _checked(text, description)
    files = read_folder(description.parent) if app.code.kind == "folder" else []
    _check_files(app, files)
    return _send(text, files, note)


def _send(text: str, files: list[FolderFile], note: str | None) -> Reply:
    session = current()
    told = _tell if session.plain and session.terminal.interactive else None
    published = session.client.driver.run(publish_flow(text, files, note, told))
    document = {"id": published.id, "ref": published.ref, "version": published.version, "digest": published.digest}
    total = sum(file.size_bytes for file in files)
    words = f"published {published.ref}" if published.created else f"unchanged: these bytes are {published.ref}"
    amount = f" ({len(files)} files, {size(total)})" if files else ""
    name = published.ref.rpartition("@")[0]
    return Reply(
        {**document, "created": published.created},
        [published.ref],
        lambda: [words + amount, *published.notes],
        [f"sirdar run {name} --wait{_example_inputs(text)}"],
    )


def _checked(text: str, path: Path) -> Any:
    """The description as the domain knows it; what is wrong with it is said without asking a server."""
    from sirdar.wire.description import parse_yaml

    return parse_yaml(text, filename=str(path))


def _check_files(app: Any, files: list[FolderFile]) -> None:
    from sirdar.wire.description import check_files

    if app.code.kind == "folder":
        check_files(app, {file.path for file in files})


def _code(git: str | None, gitlab: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The section ``code`` of the description that the flags ask for; empty where there are none."""
    if git and gitlab:
        raise UsageError("--git and --gitlab exclude each other")
    if not git and not gitlab:
        if given:
            raise UsageError(
                f"{', '.join(f'--{name}' for name in given)}: of which repository?", "--git URL or --gitlab PROJECT"
            )
        return {}
    if "ref" not in given:
        raise UsageError("which commit, branch or tag?", "--ref main")
    return {"git": git, **given} if git else {"gitlab": gitlab, **given}


def _changed(text: str, alias: str | None, code: dict[str, Any]) -> str:
    """The description with another alias or code; it is rewritten, so its comments do not reach the server."""
    import yaml

    content = yaml.safe_load(text)
    changed = {**content, **({"alias": alias} if alias else {}), **({"code": code} if code else {})}
    return str(yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))


def _example_inputs(text: str) -> str:
    """`-i` words for the inputs that must be given, for the command to try next."""
    from sirdar.domain.app import FILE_INPUTS
    from sirdar.wire.description import parse_yaml

    needed = [spec for spec in parse_yaml(text).inputs if spec.required and not spec.has_default]
    return "".join(f" -i {spec.name}={'@FILE' if spec.type in FILE_INPUTS else 'VALUE'}" for spec in needed)


def _tell(sent: int, total: int) -> None:
    end = "\n" if sent >= total else "\r"
    print(f"\x1b[2Kuploading {size(sent)} of {size(total)}", end=end, file=sys.stderr, flush=True)
