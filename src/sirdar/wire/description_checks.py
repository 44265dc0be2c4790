"""What is wrong with an application as a whole: names, references between its parts, limits that contradict each other.

``faults`` needs no text and no lines, so it also judges applications that came from elsewhere.
"""

import re
from collections.abc import Collection, Iterable, Iterator

from sirdar.domain.app import FILE_INPUTS, RESERVED_ALIASES, App, CodeKind, InputSpec, InputType
from sirdar.domain.command import places
from sirdar.domain.keep_alive import program_words
from sirdar.domain.names import (
    ALIAS,
    ENV_NAME,
    INPUT_NAME,
    closest,
    is_platform_env,
    is_reserved_env,
    path_fault,
)
from sirdar.domain.problems import FieldError
from sirdar.wire.description_code import code_faults
from sirdar.wire.description_environment import environment_faults, environment_file_faults
from sirdar.wire.description_examples import example_faults
from sirdar.wire.description_specs_checks import input_faults, output_faults

ALIAS_EXPECTED = "1 to 64 lower-case letters, digits, dots, dashes and underscores, the first a letter or digit"
NAME_EXPECTED = "up to 64 letters, digits, underscores and dashes, the first a letter or underscore"
PLACE_EXPECTED = "${name} of an input; $${ stands for ${ itself"

_SEVERAL = frozenset({InputType.LIST, InputType.FILES})
_ANY_PLACE = re.compile(r"\$\$\{|\$\{([^}]{0,80})(\}?)")
_BARE_PLACE = re.compile(r"(?:--?[\w-]+=)?\$([\w-]+)")
MOST_NAMED = 8
_INTERPRETER = re.compile(r"python[23]?(\.\d+)?|bash|sh|Rscript|perl|julia|node|ruby|octave|lua")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_PLAIN_OPTIONS = frozenset({"-u", "-B", "-O", "-OO", "-I", "--vanilla"})  # that take no word after them


def faults(app: App) -> list[FieldError]:
    """Everything that is wrong with ``app``; empty where it may be published."""
    return [
        *_alias_faults(app.alias),
        *_name_faults("inputs", [spec.name for spec in app.inputs]),
        *_name_faults("outputs", [spec.name for spec in app.outputs]),
        *(fault for spec in app.inputs for fault in input_faults(spec, f"inputs.{spec.name}")),
        *(fault for spec in app.outputs for fault in output_faults(spec, f"outputs.{spec.name}")),
        *_command_faults(app),
        *_place_faults(app),
        *_keep_alive_faults(app),
        *_secret_faults(app),
        *_env_faults(app),
        *_path_faults(app),
        *code_faults(app),
        *environment_faults(app),
        *example_faults(app),
    ]


def file_faults(app: App, paths: Collection[str]) -> list[FieldError]:
    """Files that the description names and that are not among the application's own ``paths``."""
    if app.code.kind is not CodeKind.FOLDER:
        return []
    found = [
        FieldError(
            f"templates.{target}", f"the application has no file {source}{_near(source, paths)}", "a published file"
        )
        for target, source in app.templates.items()
        if source not in paths
    ]
    found += environment_file_faults(app, paths)
    return found if _may_be_an_input(app) else found + _program_faults(app, paths)


def file_doubts(app: App, paths: Collection[str]) -> list[FieldError]:
    """What looks as if a file was forgotten, though a run could bring it as an input; ``file_faults`` are certain."""
    certain = app.code.kind is not CodeKind.FOLDER or not _may_be_an_input(app)
    return [] if certain else _program_faults(app, paths)


def _program_faults(app: App, paths: Collection[str]) -> list[FieldError]:
    program = _program(app)
    if program is None or program in paths:
        return []
    detail = f"the application has no file {program}{_near(program, paths)}{_there(paths)}"
    return [FieldError("command", detail, "a published file")]


def _may_be_an_input(app: App) -> bool:
    """Whether a file input could bring the program: one that the command does not take as a word of its own."""
    program = _program(app) or ""
    used = {name for word in (*app.command, *app.env.values(), app.stdin or "") for name in places(word)}
    used |= {app.stdin} if app.stdin else set()
    return any(
        spec.type in FILE_INPUTS
        and (spec.type is not InputType.FILE or (spec.path is None and spec.name not in used))
        and (
            not spec.suffixes
            or spec.type is InputType.DIRECTORY
            or program.lower().endswith(tuple(suffix.lower() for suffix in spec.suffixes))
        )
        for spec in app.inputs
    )


def _program(app: App) -> str | None:
    """The file that the command starts, where it is plain to see: ``./tool``, or ``python -u fit.py``."""
    written = {spec.path for spec in app.inputs} | set(app.templates) | {app.params}
    first = app.command[0] if app.command else ""
    candidate = first
    if _INTERPRETER.fullmatch(first):
        candidate = next((word for word in app.command[1:] if word not in _PLAIN_OPTIONS), "")
        if not re.search(r"\.[A-Za-z]{1,3}$", candidate):
            return None
    elif not first.startswith("./"):
        return None
    candidate = candidate.removeprefix("./")
    certain = candidate not in written and not candidate.startswith(("/", "-", "~"))
    return candidate if certain and "${" not in candidate and ".." not in candidate else None


def _there(paths: Collection[str]) -> str:
    """Which files there are, where there are few."""
    if not paths:
        return "; it has no files"
    more = f", … ({len(paths)} in all)" if len(paths) > MOST_NAMED else ""
    return f"; its files: {', '.join(sorted(paths)[:MOST_NAMED])}{more}"


def option_doubts(app: App) -> list[FieldError]:
    """Options of the command that would be left without their value: an input that is not given is no word at all."""
    found = []
    for option, word in zip(app.command[1:], app.command[2:], strict=False):
        name = word[2:-1]
        spec = app.input(name) if word == f"${{{name}}}" else None
        if (
            spec is None
            or spec.required
            or spec.has_default
            or option in _PLAIN_OPTIONS
            or not _OPTION.fullmatch(option)
        ):
            continue
        way = (
            f"or write {option}={word}, whose value is then empty"
            if option.startswith("--")
            else "or write a shell script"
        )
        detail = f"{option} would get no value where {name} is not given: make it required, give it a default, {way}"
        found.append(FieldError("command", detail))
    return found


def _near(path: str, paths: Collection[str]) -> str:
    near = closest(path, paths)
    return f"; did you mean {near}?" if near is not None else ""


# ---------------------------------------------------------------- names


def _alias_faults(alias: str) -> Iterator[FieldError]:
    if not ALIAS.fullmatch(alias):
        yield FieldError("alias", f"{alias[:80]!r} cannot be an alias", ALIAS_EXPECTED)
    elif alias in RESERVED_ALIASES:
        yield FieldError("alias", f"{alias} is reserved", "another alias")


def _name_faults(field: str, names: list[str]) -> Iterator[FieldError]:
    for position, name in enumerate(names):
        if not INPUT_NAME.fullmatch(name):
            yield FieldError(f"{field}.{name[:80]}", f"{name[:80]!r} cannot be a name", NAME_EXPECTED)
        elif name in names[:position]:
            yield FieldError(f"{field}.{name}", "is given twice", "each name once")


# ---------------------------------------------------------------- command


def _command_faults(app: App) -> Iterator[FieldError]:
    if app.shell is not None:
        if app.command:
            yield FieldError("shell", "stands beside command", "either command or shell")
        if not app.shell.strip():
            yield FieldError("shell", "is empty", "a script")
        for spec in app.inputs:
            if "-" in spec.name and spec.env is None:
                yield FieldError(
                    f"inputs.{spec.name}",
                    "a shell variable cannot hold a dash",
                    "letters, digits and underscores, or a variable's name in env",
                )
        return
    if not app.command:
        yield FieldError("command", "is missing", "command: python program.py ${input}, or shell: a script")
        return
    if not app.command[0]:
        yield FieldError("command", "begins with an empty word", "the name of a program")
    for name in places(app.command[0]):
        first = app.input(name)
        if first is not None and not first.required and not first.has_default:
            yield FieldError(
                "command", f"begins with {name}, which may be left out", f"a default, or required, for {name}"
            )


def _texts(app: App) -> Iterator[tuple[str, str]]:
    """Every text that takes values, with its field; not the shell's script, whose ``${x}`` are its own."""
    yield from (("command", word) for word in app.command)
    yield from ((f"env.{name}", text) for name, text in app.env.items())
    if app.stdin is not None:
        yield "stdin", app.stdin
    if app.code.ref is not None:
        yield "code.ref", app.code.ref
    yield from (("resources.labels", text) for pair in app.resources.labels.items() for text in pair)
    yield from ((f"outputs.{spec.name}.from", spec.source) for spec in app.outputs)


def _place_faults(app: App) -> Iterator[FieldError]:
    names = [spec.name for spec in app.inputs]
    for field, text in _texts(app):
        for match in _ANY_PLACE.finditer(text):
            name = match[1]
            if name is None or (name in names and match[2]):
                continue
            if not match[2] or not INPUT_NAME.fullmatch(name):
                yield FieldError(field, f"{match[0]} is not understood", PLACE_EXPECTED)
                continue
            near = closest(name, names)
            meant = f"; did you mean ${{{near}}}?" if near is not None else ""
            yield FieldError(field, f"{match[0]} names no input{meant}", _one_of(names))
    for word in app.command:
        bare = _BARE_PLACE.fullmatch(word)
        if bare is not None and bare[1] in names:
            detail = f"{word} stays as it is, for no shell reads it: write {word[: bare.start(1) - 1]}${{{bare[1]}}}"
            yield FieldError("command", detail, PLACE_EXPECTED)
    files = {spec.name for spec in app.inputs if spec.type in FILE_INPUTS}
    for spec in app.outputs:
        for name in sorted(files & set(places(spec.source))):
            yield FieldError(f"outputs.{spec.name}.from", f"{name} is a file, not a value", "an input that is a value")


def _keep_alive_faults(app: App) -> Iterator[FieldError]:
    """The words that start the process must be there for every task, and there is no standard input for each."""
    keep = app.keep_alive
    if keep is None:
        return
    if app.shell is not None:
        yield FieldError("keep_alive", "stands beside shell", "command: the program that serves the tasks")
    if app.stdin is not None:
        yield FieldError("keep_alive", "stands beside stdin", "an input that the command names, or path")
    if keep.program is not None and keep.program > len(app.command):
        yield FieldError(
            "keep_alive.program", f"the command has {len(app.command)} words", "how many start the program"
        )
    for word in app.command[1 : keep.program or program_words(app.command)]:
        for name in places(word):
            spec = app.input(name)
            if spec is not None and (spec.type in _SEVERAL or not (spec.required or spec.has_default)):
                expected = f"a default, or required, for {name}, or a smaller keep_alive.program"
                yield FieldError("command", f"starts the program with {name}, which may be no or many words", expected)


def _one_of(names: Iterable[str]) -> str:
    shown = ", ".join(list(names)[:12])
    return f"one of {shown}" if shown else "an input of this name"


# ---------------------------------------------------------------- secrets and environment


def _secret_faults(app: App) -> Iterator[FieldError]:
    secrets = {spec.name for spec in app.inputs if spec.type is InputType.SECRET}
    for field, text in _texts(app):
        if field.startswith("env."):
            continue
        for name in places(text):
            if name in secrets:
                expected = f"env or path for {name}: other users of a machine can read command lines"
                yield FieldError(field, f"holds the secret {name}", expected)
    for spec in app.inputs:
        used = spec.env is not None or spec.path is not None or app.shell is not None
        used = used or any(spec.name in places(text) for text in app.env.values())
        if spec.type is InputType.SECRET and not used:
            yield FieldError(f"inputs.{spec.name}", "a secret reaches the program nowhere", "env: NAME, or path: FILE")


def _env_faults(app: App) -> Iterator[FieldError]:
    """Names of variables: well-formed, each used once, and none that steers the system filled by a submitter."""
    users: dict[str, str] = {}
    for field, name, filled in _variables(app):
        if not ENV_NAME.fullmatch(name):
            yield FieldError(field, f"{name[:80]!r} cannot be a variable", "letters, digits and underscores")
        elif is_platform_env(name) or (filled and is_reserved_env(name)):
            yield FieldError(field, f"the variable {name} is reserved", "another name")
        elif name in users:
            yield FieldError(field, f"the variable {name} is set by {users[name]} too", "each variable once")
        users.setdefault(name, field)


def _variables(app: App) -> Iterator[tuple[str, str, bool]]:
    """Field and name of each variable, and whether somebody else than the author fills it."""
    for name, text in app.env.items():
        yield f"env.{name}", name, bool(places(text))
    for spec in app.inputs:
        if spec.env is not None:
            yield f"inputs.{spec.name}.env", spec.env, True
        elif app.shell is not None and "-" not in spec.name:
            yield f"inputs.{spec.name}", spec.name, True
    for position, name in enumerate(app.secrets):
        yield f"secrets[{position}]", name, True


# ---------------------------------------------------------------- paths


def _path_faults(app: App) -> Iterator[FieldError]:
    users: dict[str, str] = {}
    for field, path in _written(app):
        if fault := path_fault(path):
            yield FieldError(field, f"{path[:80]!r} {fault}", "a path relative to the task's directory")
        elif (normal := path.rstrip("/")) in users:
            yield FieldError(field, f"{path} is written by {users[normal]} too", "each path once")
        else:
            users[normal] = field
    for target, source in app.templates.items():
        if fault := path_fault(source):
            yield FieldError(f"templates.{target}", f"{source[:80]!r} {fault}", "a file of the application")
    if app.stdin is not None:
        yield from _stdin_faults(app, app.stdin)


def _written(app: App) -> Iterator[tuple[str, str]]:
    for spec in app.inputs:
        if spec.path is not None:
            yield f"inputs.{spec.name}.path", spec.path
    for target in app.templates:
        yield f"templates.{target}", target
    if app.params is not None:
        yield "params", app.params


def _stdin_faults(app: App, stdin: str) -> Iterator[FieldError]:
    """A list of files or a directory cannot be read as one stream."""
    names = {stdin, *places(stdin)}
    for spec in app.inputs:
        if spec.name in names and not _streams(spec, stdin):
            yield FieldError("stdin", f"{spec.name} is of type {spec.type}", "an input of type file, or a text")


def _streams(spec: InputSpec, stdin: str) -> bool:
    whole = stdin in {spec.name, f"${{{spec.name}}}"}
    return spec.type not in FILE_INPUTS or (spec.type is InputType.FILE and whole) or (stdin != spec.name and not whole)
