"""The same call in other languages: curl, Python, the command line, a notebook's cell. Pure: no request, no words of a page.

What is shown can be pasted and run as it is, once the files that it names are there and one is signed in.
"""

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App, FileRef, InputSpec, InputType

LONGEST_LINE = 88
REMOTE = ("http://", "https://", "/api/files/")
HIDDEN = "..."  # in place of a secret
NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Example:
    """``way`` is a name for addresses: ``curl``, ``python``, ``cli``, ``notebook``."""

    way: str
    title: str
    code: str


@dataclass(frozen=True, slots=True)
class Local:
    """A file on the reader's machine, which the call uploads."""

    path: str


def examples(
    app: App,
    reference: str,
    url: str,
    given: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Example]:
    """How to run ``reference`` (``owner/alias``, perhaps with ``@N``) of the server at ``url``.

    ``given``: present values by input's name. A file is an address (``/api/files/...``, ``https://...``), which stands as it is;
    a name or a ``$file`` stands for a file of that name beside the reader. Required inputs that are not given get a value that
    fits or shows what to put there; without ``given`` defaults are shown too. ``options``: the rest of a submission's body, as
    ``wire.submit.SubmitRequest`` takes it.
    """
    values = {name: value for name, value in values_of(app, given).items() if name not in _of_tasks(options or {})}
    more = {name: value for name, value in (options or {}).items() if value or (name == "notify" and value == [])}
    return [
        Example("curl", "curl", curl(reference, url, values, more)),
        Example("python", "Python", python(reference, url, values, more)),
        Example("cli", "CLI", command_line(reference, values, more)),
        Example("notebook", "Notebook", notebook(reference, url, values, more)),
    ]


def _of_tasks(options: Mapping[str, Any]) -> frozenset[str]:
    """Inputs that each task has of its own, by the sweep or by every input set."""
    swept = frozenset((options.get("sweep") or {}).get("parameters", ()))
    sets = [frozenset(one) for one in options.get("foreach") or ()]
    return swept | (frozenset.intersection(*sets) if sets else frozenset())


def values_of(app: App, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the call is given, in the order of the description, with ``Local`` in place of files that are to be uploaded."""
    present = {name: value for name, value in (given or {}).items() if value is not None}
    values = {}
    for spec in app.inputs:
        shown = spec.required or (given is None and spec.has_default)
        if spec.name in present:
            values[spec.name] = HIDDEN if spec.type is InputType.SECRET else _value(spec, present[spec.name])
        elif shown and not (spec.has_default and given is not None):
            values[spec.name] = _value(spec, example_value(spec))
    return values


def example_value(spec: InputSpec) -> Any:
    """A value that fits, or shows what to put there."""
    if spec.has_default:
        return spec.default
    if spec.type is InputType.FILES:
        return [f"{spec.name}_{number}{_suffix(spec)}" for number in (1, 2)]
    if spec.type in FILE_INPUTS:
        return f"{spec.name}{_suffix(spec) or ('.zip' if spec.type is InputType.DIRECTORY else '')}"
    if spec.values:
        return spec.values[0]
    plain: dict[InputType, Any] = {
        InputType.NUMBER: spec.minimum if spec.minimum is not None else 1.0,
        InputType.INTEGER: int(spec.minimum) if spec.minimum is not None else 1,
        InputType.BOOLEAN: True,
        InputType.JSON: {},
        InputType.LIST: [],
    }
    return plain.get(spec.type, HIDDEN)


def _suffix(spec: InputSpec) -> str:
    return spec.suffixes[0] if spec.suffixes else ""


def _value(spec: InputSpec, value: Any) -> Any:
    if isinstance(value, list | tuple):
        element = spec.items if spec.items is not None else spec
        return [_value(element, item) for item in value]
    if spec.type not in FILE_INPUTS:
        return value
    name = ref.name if (ref := FileRef.from_json(value)) else str(value)
    return name if name.startswith(REMOTE) else Local(name)


# ---------------------------------------------------------------- command line


def command_line(reference: str, values: Mapping[str, Any], options: Mapping[str, Any] = NONE) -> str:
    sweep = options.get("sweep")
    words = ["sirdar sweep" if sweep else "sirdar run", shell_word(reference)]
    for name, value in values.items():
        each = value if isinstance(value, list) and any(isinstance(item, Local) for item in value) else [value]
        words += [f"-i {shell_word(f'{name}={_cli_text(one)}')}" for one in each]
    if sweep:
        words += [f"-i {shell_word(f'{name}={text}')}" for name, text in sweep["parameters"].items()]
        words += [f"--where {shell_word(text)}" for text in sweep.get("where", ())]
        words += ["--zip"] if sweep.get("mode") == "zip" else []
    words += [f"{flag} {shell_word(text)}".rstrip() if text else flag for flag, text in _flags(options)]
    words.append("--wait")
    line = " ".join(words)
    return line if len(line) <= LONGEST_LINE else " ".join(words[:2]) + "".join(f" \\\n  {word}" for word in words[2:])


def _flags(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Input sets of a job of many tasks stand in a file of their own on a command line."""
    for direction, key in options.get("criterion", {}).items():
        yield f"--{direction}", str(key)
    for name in ("stop_when", "name", "on_failure", "retries"):
        if value := options.get(name, options.get(_camel(name))):
            yield f"--{name.replace('_', '-')}", str(value)
    for resource in options.get("resources", ()):
        yield "--resource", str(resource)
    for name, value in options.get("overrides", {}).items():
        words = [f"{key}={word}" for key, word in value.items()] if isinstance(value, Mapping) else [str(value)]
        yield from ((f"--{name}", word) for word in words)
    for target in options.get("notify", ()):
        yield "--notify", str(next(iter(target.values())))
    if options.get("debug"):
        yield "--debug", ""
    if options.get("foreach"):
        yield "--foreach", "rows.jsonl"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _cli_text(value: Any) -> str:
    if isinstance(value, Local):
        return f"@{value.path}"
    if isinstance(value, str):
        return f"@{value}" if value.startswith("@") else value  # one @ names a file, two stand for one
    return _json(value)


# ---------------------------------------------------------------- Python


def python(reference: str, url: str, values: Mapping[str, Any], options: Mapping[str, Any] = NONE) -> str:
    return (
        f"{_imports(values)}\n"
        f"client = sirdar.connect({url!r})\n"
        f"job = client.app({reference!r}).{_call(values, options)}\n"
        "print(job.result())\n"
    )


def notebook(reference: str, url: str, values: Mapping[str, Any], options: Mapping[str, Any] = NONE) -> str:
    """One cell; its last line is what the notebook shows."""
    return (
        f"{_imports(values)}\n"
        f"app = sirdar.connect({url!r}).app({reference!r})\n"
        f"job = app.{_call(values, options)}\n"
        "job  # state, progress and a link; in the next cell: job.result()\n"
    )


def _imports(values: Mapping[str, Any]) -> str:
    return ("from pathlib import Path\n\n" if _locals(values) else "") + "import sirdar\n"


def _call(values: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Inputs are keyword arguments, unless their names cannot be; options are told from them by an underscore."""
    snake = {_camel(name): name for name in ("on_failure", "stop_when")}
    more = {snake.get(name, name): value for name, value in options.items()}
    if all(_is_argument(name) for name in values):
        words, ends = [f"{name}={_literal(value)}" for name, value in values.items()], ("run(", ")")
        words += [f"_{name}={value!r}" for name, value in more.items()]
    else:
        words = [f"{name!r}: {_literal(value)}" for name, value in values.items()]
        ends = ("submit({", "".join(["}", *(f", {name}={value!r}" for name, value in more.items()), ")"]))
    line = f"{ends[0]}{', '.join(words)}{ends[1]}"
    if len(line) <= LONGEST_LINE - 24 and "\n" not in line:
        return line
    return ends[0] + "".join(f"\n    {word}," for word in words) + f"\n{ends[1]}"


def _is_argument(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _literal(value: Any) -> str:
    if isinstance(value, Local):
        return f"Path({value.path!r})"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(value)


# ---------------------------------------------------------------- curl


def curl(reference: str, url: str, values: Mapping[str, Any], options: Mapping[str, Any] = NONE) -> str:
    """Uploads each file first and keeps its address in a variable of the shell."""
    call = 'curl -H "Authorization: Bearer $SIRDAR_TOKEN"'
    variables = _variables(values)
    lines = []
    for path, variable in variables.items():
        lines += [
            f"{variable}=$({call} -s -F {shell_word(f'file=@{path}')} \\",
            f"  {shell_word(f'{url}/api/files/temp')} | sed -n {_URI})",
        ]
    inputs = {name: _marked(value, variables) for name, value in values.items()}
    body = shell_word(_json({"inputs": inputs, **options}))
    for variable in variables.values():
        body = body.replace(_json(_mark(variable))[1:-1], f"'\"${variable}\"'")
    lines += [f"{call} \\", "  -H 'Content-Type: application/json' \\", f"  -d {body} \\"]
    return "\n".join([*lines, f"  {shell_word(f'{url}/api/apps/{reference}?wait=60')}"])


_URI = r"""'s/.*"uri": *"\([^"]*\)".*/\1/p'"""


def _variables(values: Mapping[str, Any]) -> dict[str, str]:
    """Path -> the shell's variable that holds the address of the uploaded file."""
    found: dict[str, str] = {}
    for name, value in values.items():
        for local in _locals({name: value}):
            base = re.sub(r"\W", "_", name, flags=re.ASCII) + "_uri"  # never PATH
            taken = found.values()
            free = next(word for word in (base, *(f"{base}_{n}" for n in range(2, 10_000))) if word not in taken)
            found.setdefault(local.path, free)
    return found


def _locals(values: Mapping[str, Any]) -> list[Local]:
    found = []
    for value in values.values():
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Local)]
    return found


def _marked(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, Local):
        return _mark(variables[value.path])
    return [_marked(item, variables) for item in value] if isinstance(value, list) else value


def _mark(variable: str) -> str:
    """Where the shell puts in a variable's value; no text of an input holds a zero byte."""
    return f"\0{variable}\0"


# ---------------------------------------------------------------- words


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shell_word(text: str) -> str:
    """Quoted for a POSIX shell where it must be."""
    if text and text.isascii() and all(letter.isalnum() or letter in "_-./=@:,+%" for letter in text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"
