"""Reads where an application's code comes from, and says what is wrong with it."""

import re
import shlex
from collections.abc import Iterator

from sirdar.domain.app import App, Code, CodeKind, InputType
from sirdar.domain.command import places
from sirdar.domain.names import ENV_NAME, path_fault, ref_fault
from sirdar.domain.problems import FieldError
from sirdar.wire.description_fields import Fields

_KEYS = {
    CodeKind.GIT: ("git", "ref", "path", "token", "at"),
    CodeKind.GITLAB: ("gitlab", "url", "ref", "path", "artifact", "job", "token", "at"),
    CodeKind.PATH: ("path", "version_command"),
}
_URL = re.compile(r"(https?|ssh|git)://[^\s/?#]+(/[^\s]*)?")
_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:-][^\s]*")
_PROJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


def read_code(parent: Fields) -> Code:
    """``code:`` with ``git``, ``gitlab`` or ``path``; without it the published folder."""
    node = parent.get("code")
    if node is None:
        return Code()
    given = node.value if isinstance(node.value, dict) else {}
    kind = CodeKind.GIT if "git" in given else CodeKind.GITLAB if "gitlab" in given else CodeKind.PATH
    fields = Fields(parent.report, node, "code", _KEYS[kind])
    at = fields.choice("at", ["publish", "submission"])
    return Code(
        kind=kind,
        url=fields.text("git" if kind is CodeKind.GIT else "url", 1000),
        project=fields.text("gitlab", 500),
        ref=fields.text("ref", 200),
        path=fields.text("path", 1000),
        artifact=fields.text("artifact", 1000),
        job=fields.text("job"),
        token_secret=fields.text("token"),
        at_submission=at == "submission",
        version_command=_words(fields),
    )


def _words(fields: Fields) -> tuple[str, ...]:
    node = fields.get("version_command")
    if node is None or isinstance(node.value, list):
        return fields.texts("version_command")
    try:
        return tuple(shlex.split(fields.text("version_command", 1000) or ""))
    except ValueError as error:
        fields.report.add("code.version_command", f"cannot be split into words: {str(error).lower()}")
        return ()


def code_faults(app: App) -> Iterator[FieldError]:
    """What is wrong with an application's code."""
    code = app.code
    if code.kind is CodeKind.FOLDER:
        return
    if code.kind is CodeKind.PATH:
        if code.path is None or not code.path.startswith("/") or ".." in code.path.split("/"):
            yield FieldError(
                "code.path", "is not an absolute path on the resource", "path: /opt/model, or git: or gitlab:"
            )
        return
    yield from _address_faults(code)
    yield from _ref_faults(app)
    if code.path is not None and (fault := path_fault(code.path)):
        yield FieldError("code.path", f"{code.path} {fault}", "a folder within the repository")
    if (code.artifact is None) != (code.job is None):
        missing = "job" if code.job is None else "artifact"
        yield FieldError(
            f"code.{missing}", "is missing: an artifact is named by its path and its job", "artifact and job"
        )
    if code.artifact is not None and (fault := path_fault(code.artifact)):
        yield FieldError("code.artifact", f"{code.artifact} {fault}", "the artifact's path")
    if code.token_secret is not None and not ENV_NAME.fullmatch(code.token_secret):
        expected = "the name of a secret, as in GITLAB_TOKEN; the token itself never stands here"
        yield FieldError("code.token", "is not the name of a secret", expected)


def _address_faults(code: Code) -> Iterator[FieldError]:
    url = code.url or ""
    if code.kind is CodeKind.GIT and not (_URL.fullmatch(url) or _SCP.fullmatch(url)):
        yield FieldError(
            "code.git", f"{url[:80]} is not a repository's address", "https://..., ssh://... or user@host:path"
        )
    if code.kind is CodeKind.GITLAB:
        if not (_URL.fullmatch(url) and url.startswith("http")):
            yield FieldError("code.url", "is not the address of a GitLab server", "url: https://gitlab.example.org")
        if not _PROJECT.fullmatch(code.project or ""):
            yield FieldError("code.gitlab", "is not a project", "gitlab: group/project, or its number")
    if re.match(r"\w+://[^/]*:[^/]*@", url):
        yield FieldError("code", "the address holds a password", "token: the name of a secret")


def _ref_faults(app: App) -> Iterator[FieldError]:
    ref = app.code.ref
    if ref is None:
        return
    names = places(ref)
    literal = re.sub(r"\$\{[^}]*\}", "x", ref)
    if fault := ref_fault(literal):
        yield FieldError("code.ref", f"{ref} {fault}", "a commit, branch or tag")
    if names and not app.code.at_submission:
        yield FieldError("code.ref", "takes its value from an input", "at: submission")
    for name in names:
        spec = app.input(name)
        if spec is not None and spec.type not in {InputType.STRING, InputType.ENUM}:
            yield FieldError("code.ref", f"{name} is of type {spec.type}", "an input of type string or enum")
        elif spec is not None and not spec.required and not spec.has_default:
            yield FieldError("code.ref", f"{name} may be left out", f"a default for {name}, or required: true")
