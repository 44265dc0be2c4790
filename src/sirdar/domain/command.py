"""From an application and the values of one task to what is started: words, environment, files to write, standard input.

The command was split into words when the application was published; values are put into finished words, so a value
with spaces, quotes, ``;`` or ``$()`` in it stays one argument. A shell runs only where the author wrote ``shell:``, and
then values arrive as environment variables, never as text of the script.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App, InputType

# Linux refuses a single argument or variable of 128 KiB or more (MAX_ARG_STRLEN counts the closing zero byte).
MAX_ARGUMENT_BYTES = 128 * 1024 - 1

_PLAIN_WORD = re.compile(r"[\w@%+=:,./${}-]+")
_PLACE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")

Staged = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one task is started with. All paths are relative to the task's directory.

    ``files``: path -> text to write. ``templates``: path -> the application's file to fill by
    ``fill_template(text, rendered.template_values)``. At most one of ``stdin_path`` and ``stdin_text`` is given; with
    neither, standard input is empty.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    templates: Mapping[str, str]
    template_values: Mapping[str, str]
    stdin_path: str | None = None
    stdin_text: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A ``${name}`` in a text."""

    name: str


Part = str | Place


def render(app: App, values: Mapping[str, Any], staged: Staged) -> Rendered:
    """What to start for one task.

    ``values`` are checked inputs (with defaults, and with secrets in clear); ``staged`` gives the path of each file
    input that was put into the task's directory (a list of paths for ``files``). Raises ValueError where a value is too
    long to be an argument or a variable.
    """
    scope: dict[str, Any] = {**values, **{name: _operand(path) for name, path in staged.items()}}
    secrets = [spec.name for spec in app.inputs if spec.type is InputType.SECRET]
    public = {name: value for name, value in scope.items() if name not in secrets} if secrets else scope
    argv = ("sh", "-c", app.shell) if app.shell is not None else _words(app.command, public)
    stdin_path, stdin_text = _stdin(app, public)
    return Rendered(
        argv=argv,
        env=_environment(app, scope),
        files=_files(app, scope, public),
        templates=app.templates,
        template_values=_template_values(app, public) if app.templates else {},
        stdin_path=stdin_path,
        stdin_text=stdin_text,
    )


def fill_template(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with each ``${name}`` of ``values`` replaced; ``$${`` becomes ``${``.

    A ``${name}`` that ``values`` does not know stays as it is: a template is a file in some other language, which may
    use the same notation for its own variables.
    """

    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "${"
        return as_text(values[name]) if name in values else match[0]

    return _PLACE.sub(put, text)


def as_line(words: Sequence[str]) -> str:
    """The words as one line that is split into the same words; ``${name}`` needs no quotes, for values are put in after that."""
    return " ".join(word if _PLAIN_WORD.fullmatch(word) else shlex.quote(word) for word in words)


@lru_cache(maxsize=4096)
def split_places(text: str) -> tuple[Part, ...]:
    """``text`` as literal parts and places of values, with ``$${`` unescaped."""
    parts: list[Part] = []
    literal = ""
    end = 0
    for match in _PLACE.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match[1] is None:
            literal += "${"
            continue
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(Place(match[1]))
    literal += text[end:]
    return (*parts, literal) if literal else tuple(parts)


def places(text: str) -> list[str]:
    """The names that ``text`` takes values from, in order."""
    return [part.name for part in split_places(text) if isinstance(part, Place)]


def as_text(value: Any, separator: str = " ") -> str:
    """A value as a program reads it: ``true``/``false``, the shortest exact number, compact JSON for objects."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return separator.join(_element(item) for item in value)
    if isinstance(value, dict):
        return _object_text(value)
    return str(value)


def _operand(path: str | list[str]) -> str | list[str]:
    """A staged path that no program takes for an option: ``-rf`` becomes ``./-rf``."""
    if isinstance(path, str):
        return f"./{path}" if path.startswith("-") else path
    return [f"./{one}" if one.startswith("-") else one for one in path]


def _element(item: Any) -> str:
    """One element of a list as text; a list within a list is written as JSON."""
    return json.dumps(item, ensure_ascii=False) if isinstance(item, list | tuple) else as_text(item)


def _object_text(value: Mapping[str, Any]) -> str:
    """Compact JSON; a file that was not staged (in a preview) is shown by its name."""
    if len(value) == 1 and isinstance(inner := value.get("$file"), dict):
        return str(inner.get("name", ""))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---------------------------------------------------------------- words


@lru_cache(maxsize=1024)
def _compiled(command: tuple[str, ...]) -> tuple[str | Place | tuple[Part, ...], ...]:
    """Each word as a plain string, a value that is the whole word, or a mixture."""
    words: list[str | Place | tuple[Part, ...]] = []
    for word in command:
        parts = split_places(word)
        words.append(parts[0] if len(parts) == 1 else parts or "")
    return tuple(words)


def _words(command: tuple[str, ...], scope: Mapping[str, Any]) -> tuple[str, ...]:
    argv: list[str] = []
    for word in _compiled(command):
        if isinstance(word, str):
            argv.append(word)
        elif isinstance(word, Place):
            _add_whole(argv, scope.get(word.name))
        else:
            argv.append(_filled(word, scope))
    for position, argument in enumerate(argv):
        if len(argument) * 4 > MAX_ARGUMENT_BYTES:  # at most four bytes a character
            _refuse_long(f"argument {position} of the command", argument)
    return tuple(argv)


def _add_whole(argv: list[str], value: Any) -> None:
    """A list becomes an argument for each element; a value that was not given, none."""
    if isinstance(value, str):
        argv.append(value)
    elif isinstance(value, list | tuple):
        argv.extend([_element(item) for item in value])
    elif value is not None:
        argv.append(as_text(value))


def _filled(parts: Sequence[Part], scope: Mapping[str, Any], separator: str = " ") -> str:
    return "".join(
        [part if isinstance(part, str) else as_text(scope.get(part.name), separator) for part in parts],
    )


def _refuse_long(what: str, text: str) -> None:
    size = len(text.encode())
    if size > MAX_ARGUMENT_BYTES:
        raise ValueError(
            f"{what} has {size} bytes; the system takes at most {MAX_ARGUMENT_BYTES}: "
            "give the input a `path` in the application's description, so that it is written to a file"
        )


# ---------------------------------------------------------------- environment, files, standard input


def _environment(app: App, scope: Mapping[str, Any]) -> dict[str, str]:
    """Variables of ``env:``, of inputs with ``env``, and with ``shell:`` of every input under its own name.

    An input that was not given leaves its variable unset; the elements of a list are separated by line ends.
    """
    env = {name: _filled(split_places(text), scope, "\n") for name, text in app.env.items()} if app.env else {}
    shell = app.shell is not None
    for spec in app.inputs:
        name = spec.env or (spec.name if shell else None)
        if name is not None and (value := scope.get(spec.name)) is not None:
            env[name] = as_text(value, "\n")
    for name, text in env.items():
        if len(text) * 4 + len(name) >= MAX_ARGUMENT_BYTES:
            _refuse_long(f"environment variable {name}", f"{name}={text}")
    return env


def _files(app: App, scope: Mapping[str, Any], public: Mapping[str, Any]) -> dict[str, str]:
    """Values that are written to a file: inputs with ``path`` (files are put there by staging) and ``params``."""
    files: dict[str, str] = {}
    for spec in app.inputs:
        if spec.path is None or spec.type in FILE_INPUTS or (value := scope.get(spec.name)) is None:
            continue
        is_list = isinstance(value, list | tuple)
        files[spec.path] = "".join(f"{_element(item)}\n" for item in value) if is_list else as_text(value)
    if app.params is not None:
        given = {spec.name: public[spec.name] for spec in app.inputs if public.get(spec.name) is not None}
        files[app.params] = json.dumps(given, ensure_ascii=False, indent=2) + "\n"
    return files


def _stdin(app: App, public: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Path and text of standard input. A file input may be named plainly or as ``${name}``."""
    if app.stdin is None:
        return None, None
    parts = split_places(app.stdin)
    name = parts[0].name if len(parts) == 1 and isinstance(parts[0], Place) else app.stdin
    spec = app.input(name)
    if spec is not None and spec.type is InputType.FILE:
        path = public.get(name)
        return (path, None) if isinstance(path, str) else (None, None)
    return None, _filled(parts, public)


def _template_values(app: App, public: Mapping[str, Any]) -> dict[str, str]:
    """Text of every input that is no secret; one that was not given is empty, so that no ``${name}`` of it remains."""
    return {spec.name: as_text(public.get(spec.name)) for spec in app.inputs if spec.type is not InputType.SECRET}
