"""Writes the first ``sirdar.yaml`` of a program, with comments, from a command line that works."""

import json
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sirdar.domain.app import InputType, OutputType
from sirdar.domain.command import as_line
from sirdar.domain.names import INPUT_NAME, path_fault
from sirdar.domain.problems import Problem
from sirdar.wire.description import parse_yaml
from sirdar.wire.yaml_write import quoted

_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_SCRIPT = re.compile(r".*\.(py|sh|R|r|pl|jl|m|js|rb|lua|jar)$")
_OUTPUT_OPTIONS = frozenset({"o", "out", "output", "outfile", "output-file", "plot", "save", "report"})
_FILE_NAME = re.compile(r"[\w./-]*[\w-]\.[A-Za-z]\w{0,5}")
_SHELL_WORDS = re.compile(r"[|<>;&`]|\$\(")


@dataclass(slots=True)
class _Draft:
    """What is known of the program so far: words of its command, lines of its inputs and outputs."""

    words: list[str] = field(default_factory=list)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)


def skeleton(
    *,
    alias: str,
    command: str | Sequence[str],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    name: str = "",
    existing: Collection[str] = (),
) -> str:
    """The text of a ``sirdar.yaml`` that ``parse_yaml`` takes.

    ``command`` is a line that works today, such as ``python fit.py data.csv --power 2``: words that are among the
    ``existing`` files become file inputs, numbers become typed inputs, and a file behind ``--output`` an output. A line
    with pipes or redirections becomes a shell script. ``inputs`` are ``name[:type][=default]`` and ``outputs``
    ``name[:type][=file[#key]]``; they come before what is guessed. Raises Problem for one that is not of that form, and
    for an alias, a default or a path that no description takes.
    """
    line = command if isinstance(command, str) else shlex.join(command)
    draft = _Draft()
    for text in inputs:
        _add_input(draft, text)
    for text in outputs:
        _add_output(draft, text)
    is_shell = _SHELL_WORDS.search(line) is not None
    if not is_shell:
        _guess(draft, _split(line), existing)
    text = _written(alias, name, draft, line if is_shell else None)
    parse_yaml(text)
    return text


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise Problem("invalid_field", f"the command cannot be split into words: {error}", field="command") from None


# ---------------------------------------------------------------- what the caller says


def _add_input(draft: _Draft, text: str) -> None:
    match = re.fullmatch(r"([^:=]+)(?::([^=]*))?(?:=(.*))?", text, re.DOTALL)
    kind = (match[2] or _kind_of(match[3] or "")) if match else ""
    if match is None or not INPUT_NAME.fullmatch(match[1]) or kind not in list(InputType):
        raise Problem(
            "invalid_field",
            f"{text[:80]!r} does not describe an input",
            field="inputs",
            expected="name, name:type or name:type=default, as in power:integer=2",
        )
    spec = {"type": kind}
    if kind == InputType.ENUM:
        choices = [choice.strip() for choice in (match[3] or "one,two").split(",")]
        spec |= {"values": f"[{', '.join(json.dumps(choice, ensure_ascii=False) for choice in choices)}]"}
    elif kind == InputType.LIST:
        spec |= {"items": "string"}
    elif kind == InputType.SECRET:
        spec |= {"env": match[1].upper().replace("-", "_")}
    elif match[3] is not None and kind not in {InputType.FILE, InputType.FILES, InputType.DIRECTORY, InputType.JSON}:
        spec |= {"default": match[3] if kind in {"integer", "number", "boolean"} else quoted(match[3])}
    else:
        spec |= {"required": "true"}
    draft.inputs[match[1]] = spec


def _kind_of(default: str) -> str:
    if _INTEGER.fullmatch(default):
        return "integer"
    return "number" if _NUMBER.fullmatch(default) else "string"


def _add_output(draft: _Draft, text: str) -> None:
    match = re.fullmatch(r"([^:=]+)(?::([^=]*))?(?:=([^#]*)(?:#(.+))?)?", text, re.DOTALL)
    source = (match[3] or match[1]) if match else ""
    kind = (match[2] or ("number" if match[4] else "file")) if match else ""
    known = kind in list(OutputType)
    if match is None or not INPUT_NAME.fullmatch(match[1]) or not known or path_fault(source):
        raise Problem(
            "invalid_field",
            f"{text[:80]!r} does not describe an output",
            field="outputs",
            expected="name=file or name:type=file#key, as in total:number=result.json#total",
        )
    draft.outputs[match[1]] = {
        "type": kind,
        "from": quoted(source),
        **({"key": quoted(match[4])} if match[4] else {}),
    }


# ---------------------------------------------------------------- what the command line tells


def _guess(draft: _Draft, words: list[str], existing: Collection[str]) -> None:
    """Replaces data in the command's words by inputs; the program itself and its script stay as they are."""
    option = ""
    script_found = False
    for position, word in enumerate(words):
        name, _, attached = word.partition("=")
        is_option = _OPTION.fullmatch(name) is not None
        subject = attached if is_option and attached else word
        prefix = f"{name}=" if is_option and attached else ""
        label = name.lstrip("-") if is_option else option
        is_script = not script_found and _SCRIPT.match(word) is not None
        if position == 0 or is_script or "${" in word:
            script_found = script_found or is_script or word in existing
            draft.words.append(word.replace("${", "$${") if not _names_known(word, draft) else word)
        elif is_option and not attached:
            draft.words.append(word)
        else:
            draft.words.append(prefix + _taken(draft, subject, label, existing))
        option = label if is_option and not attached else ""


def _names_known(word: str, draft: _Draft) -> bool:
    """True where every ``${name}`` of the word is an input that the caller has declared."""
    return all(name in draft.inputs for name in re.findall(r"\$\{([^}]*)\}?", word))


def _taken(draft: _Draft, word: str, option: str, existing: Collection[str]) -> str:
    """The place of an input for a word that is data, else the word."""
    path = word.removeprefix("./")
    if path in existing:
        return _place(draft, option or re.sub(r"\..*", "", path.rsplit("/", 1)[-1]), _file_spec(path))
    if option.lower() in _OUTPUT_OPTIONS and _FILE_NAME.fullmatch(path) and not path_fault(path):
        name = _free(draft, "result" if len(option) == 1 else option)
        draft.outputs.setdefault(name, {"type": "file", "from": quoted(path)})
        return word
    if _INTEGER.fullmatch(word):
        return _place(draft, option or "number", {"type": "integer", "default": str(int(word))})
    if _NUMBER.fullmatch(word):
        return _place(draft, option or "number", {"type": "number", "default": repr(float(word))})
    return word


def _file_spec(path: str) -> dict[str, str]:
    suffix = re.search(r"\.[A-Za-z0-9]{1,10}$", path)
    return {"type": "file", **({"suffixes": f"[{suffix[0]}]"} if suffix else {}), "required": "true"}


def _place(draft: _Draft, wish: str, spec: dict[str, str]) -> str:
    name = _free(draft, wish)
    declared = _cleaned(wish)
    if draft.inputs.get(declared, {}).get("type") == spec["type"] and f"${{{declared}}}" not in draft.words:
        return f"${{{declared}}}"
    draft.inputs[name] = spec
    return f"${{{name}}}"


def _cleaned(wish: str) -> str:
    name = re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "value"
    return (f"_{name}" if name[0].isdigit() else name)[:60]


def _free(draft: _Draft, wish: str) -> str:
    base = _cleaned(wish)
    name, count = base, 1
    while name in draft.inputs or name in draft.outputs:
        count += 1
        name = f"{base}_{count}"
    return name


# ---------------------------------------------------------------- the text


def _written(alias: str, name: str, draft: _Draft, script: str | None) -> str:
    if script is None:
        command = [
            "# ${name} stands for an input's value. The words are split first, so a value is always one argument."
        ]
        command.append(f"command: {_command_text(draft.words)}")
    else:
        command = ['# A shell script: inputs arrive as variables, so write "$name" in quotes.', "shell: |"]
        command += ["  set -e", *[f"  {line}" for line in script.splitlines()]]
    lines = [
        "# How Sirdar runs this program. All keys: docs/reference/sirdar-yaml.md",
        "sirdar: 1",
        f"alias: {quoted(alias)}  # the address: OWNER/{alias}",
        f"name: {quoted(name or alias)}",
        'annotation: ""  # one line that says what it computes',
        "",
        *_section("inputs", draft.inputs, "  # data: {type: file, suffixes: [.csv], required: true}"),
        "",
        *command,
        "",
        *_section("outputs", draft.outputs, "  # total: {type: number, from: result.json, key: total}"),
        "",
        "# What one run gets; it is ended when it needs more memory or time.",
        "resources: {cpus: 1, memory: 1 GiB, time: 1 h}",
        "",
    ]
    return "\n".join(lines)


def _command_text(words: list[str]) -> str:
    return quoted(as_line(words))


def _section(key: str, specs: dict[str, dict[str, str]], example: str) -> list[str]:
    if not specs:
        return [f"{key}: {{}}", example.replace("  #", "#", 1)]
    lines = [f"{key}:"]
    for name, spec in specs.items():
        written = ", ".join(f"{field_name}: {value}" for field_name, value in spec.items())
        lines.append(f"  {name}: {{{written}}}")
    return lines
