"""``sirdar.yaml`` that is right, and every way in which it is wrong."""

import json
import textwrap

import pytest

from sirdar.domain.app import App, Code, CodeKind, Example, InputSpec, InputType, OutputSpec, OutputType, Resources
from sirdar.domain.problems import FieldError, Problem
from sirdar.wire.description import check_files, parse_yaml, to_document
from sirdar.wire.description_checks import file_doubts
from sirdar.wire.description_text import author_yaml
from sirdar.wire.openapi import app_openapi

WHOLE = """
sirdar: 1
alias: sumsq
name: Sum of powers
annotation: Adds up a column of numbers, each raised to a power
description: |
  Some *Markdown*.
keywords: [sum, powers]
inputs:
  data:  {type: file, title: Numbers, suffixes: [.csv, txt], max_size: 2 GB, required: true, writable: true}
  power: {type: integer, default: 2, minimum: 1, maximum: 9}
  exact: boolean
  mode:  {values: [fast, slow, 3], default: fast}
  label: {type: string, default: 1.10, pattern: "[0-9.]+", max_length: 20, env: LABEL}
  weights: {type: list, items: {type: number, minimum: 0}, max_length: 10, default: [1, 2.5]}
  tables: {type: list, items: {type: file, suffixes: .csv}}
  model: {type: directory, path: model}
  options: {type: json, default: {a: [1, null]}, path: options.json}
  key: {type: secret, env: API_KEY}
command: python sumsq.py ${data} --power ${power} "${label} x" '$${HOME}' ${weights} ${exact} ${mode} ${tables}
stdin: ${data}
env: {OMP_NUM_THREADS: 4, MODE: "${mode}"}
templates: {config.ini: config.ini.in}
params: params.json
secrets: [LICENCE]
outputs:
  total: {type: number, from: result.json, key: total}
  best:  {type: string, from: stdout, regex: "best: (.*)", required: false}
  plot: plot.png
  parts: part-*.csv
  all: results/
  log: {type: file, from: stderr, max_size: 1 MiB}
resources: {cpus: 2, memory: 512 MiB, time: 1 h 30 min, gpus: 1, nodes: 1, disk: 1 GB, override: [cpus, memory]}
retries: 0
grace: 30 s
retention: 30 d
"""


def test_a_whole_description() -> None:
    app = parse_yaml(WHOLE)
    assert app.input("data") == InputSpec(
        "data",
        InputType.FILE,
        "Numbers",
        required=True,
        suffixes=(".csv", ".txt"),
        max_size_bytes=2 * 10**9,
        writable=True,
    )
    assert app.input("exact") == InputSpec("exact", InputType.BOOLEAN)
    assert app.input("label") == InputSpec(
        "label", InputType.STRING, default="1.10", has_default=True, pattern="[0-9.]+", max_length=20, env="LABEL"
    )
    assert app.input("tables") == InputSpec("tables", InputType.FILES, suffixes=(".csv",))
    assert app.command[:3] == ("python", "sumsq.py", "${data}")
    assert app.command[5:7] == ("${label} x", "$${HOME}")
    assert app.env == {"OMP_NUM_THREADS": "4", "MODE": "${mode}"}
    assert app.output("best") == OutputSpec("best", OutputType.STRING, "stdout", required=False, regex="best: (.*)")
    assert [app.outputs[at].type for at in (2, 3, 4)] == [OutputType.FILE, OutputType.FILES, OutputType.DIRECTORY]
    assert app.resources == Resources(2, 512 * 1024**2, 5400.0, 1, 1, 10**9, frozenset({"cpus", "memory"}))
    assert (app.retries, app.grace_s, app.retention_s) == (0, 30.0, 30 * 86400.0)


def test_the_least() -> None:
    assert parse_yaml("alias: a\ncommand: [prog, 3, 1.10, yes]") == App("a", command=("prog", "3", "1.10", "yes"))


def test_json_is_taken_also_where_yaml_would_not_read_it() -> None:
    text = '{\n\t"alias": "a",\n\t"command": "p",\n\t"name": "\\ud83d\\ude00"\n}'
    assert parse_yaml(text).name == "\U0001f600"
    with pytest.raises(Problem, match="alias is given twice"):
        parse_yaml('{"alias": "a",\t"alias": "b", "command": "p", "name": "\\ud83d\\ude00"}')
    assert parse_yaml(text.encode()).alias == "a"
    assert parse_yaml(b"\xef\xbb\xbfalias: a\ncommand: p").alias == "a"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "{path: /opt/model, version_command: model --version}",
            Code(CodeKind.PATH, path="/opt/model", version_command=("model", "--version")),
        ),
        (
            "{git: https://example.org/a.git, ref: v1, path: sub, at: publish}",
            Code(CodeKind.GIT, url="https://example.org/a.git", ref="v1", path="sub"),
        ),
        ("{git: git@example.org:a/b.git}", Code(CodeKind.GIT, url="git@example.org:a/b.git")),
        (
            '{gitlab: group/a, url: https://gitlab.example.org, ref: "${version}", artifact: bin/x, job: build, token: TOKEN,'
            " at: submission}",
            Code(
                CodeKind.GITLAB,
                "https://gitlab.example.org",
                "group/a",
                "${version}",
                None,
                "bin/x",
                "build",
                "TOKEN",
                True,
            ),
        ),
    ],
)
def test_where_the_code_comes_from(text: str, code: Code) -> None:
    assert (
        parse_yaml(f"alias: a\ncommand: p\ninputs: {{version: {{type: string, default: main}}}}\ncode: {text}").code
        == code
    )


def test_a_ref_from_an_input_is_resolved_at_submission() -> None:
    text = (
        "alias: a\ncommand: p\ninputs: {v: {type: string, required: true}}\ncode: {git: 'https://a.org/b', ref: '${v}'}"
    )
    assert "takes its value from an input" in errors_of(text)[0].detail
    assert errors_of(text)[0].expected == "at: submission"


def errors_of(text: str) -> list[FieldError]:
    with pytest.raises(Problem) as caught:
        parse_yaml(text)
    assert caught.value.code == "invalid_description"
    assert caught.value.errors
    return list(caught.value.errors)


# one wrong line in a description that is right otherwise: the line, its field, what is said of it
WRONG = [
    ("alias: Sum SQ", "alias", "'Sum SQ' cannot be an alias"),
    ("alias: search", "alias", "search is reserved"),
    ("alias: [a]", "alias", "a list of 1 is not a text"),
    ("sirdar: 2", "sirdar", "2 is not a format that is known here"),
    ("nmae: x", "nmae", "there is no such key; did you mean name?"),
    ("cmd: x", "cmd", "did you mean command?"),
    ("name: [x]", "name", "is not a text (a text that begins with { or [ needs quotes)"),
    ("keywords: {a: 1}", "keywords", "a mapping of 1 is not a list"),
    ("inputs: [a]", "inputs[0]", "has no name"),
    ("inputs: 3", "inputs", "3 is not a mapping"),
    ("inputs: {x: {type: int}}", "inputs.x.type", "int is none of the choices; did you mean integer?"),
    ("inputs: {x: {type: strin}}", "inputs.x.type", "did you mean string?"),
    ("inputs: {x: }", "inputs.x", "null is not a mapping"),
    ("inputs: {x: {title: y}}", "inputs.x", "has no type"),
    ("inputs: {a b: string}", "inputs.a b", "'a b' cannot be a name"),
    ("inputs: {1x: string}", "inputs.1x", "cannot be a name"),
    ("inputs: {x: {type: integer, default: '2'}}", "inputs.x.default", '"2" is not an integer (it is in quotes)'),
    ("inputs: {x: {type: integer, default: 12, maximum: 9}}", "inputs.x.default", "12 is more than 9"),
    ("inputs: {x: {type: boolean, default: yes}}", "inputs.x.default", "(yes, no, on and off are text here)"),
    ("inputs: {x: {type: string, required: on}}", "inputs.x.required", "on is not true or false (yes, no"),
    ("inputs: {x: {type: string, required: true, default: a}}", "inputs.x.required", "is never missing"),
    ("inputs: {x: {type: integer, minimum: 3, maximum: 1}}", "inputs.x.minimum", "3 is more than maximum, 1"),
    ("inputs: {x: {type: integer, minimum: .nan}}", "inputs.x.minimum", ".nan is not a number"),
    ("inputs: {x: {type: string, min_length: 3, max_length: 1}}", "inputs.x.min_length", "more than max_length"),
    ("inputs: {x: {type: string, max_length: 100000}}", "inputs.x.max_length", "at most 32768 characters"),
    ("inputs: {x: {type: string, minimum: 3}}", "inputs.x.minimum", "an input of type string takes no minimum"),
    ("inputs: {x: {type: integer, pattern: a}}", "inputs.x.pattern", "takes no pattern"),
    ("inputs: {x: {type: string, pattern: '(a'}}", "inputs.x.pattern", "is not a regular expression"),
    ("inputs: {x: {type: enum}}", "inputs.x.values", "an enum needs its choices"),
    ("inputs: {x: {type: enum, values: []}}", "inputs.x.values", "an enum needs its choices"),
    ("inputs: {x: {values: [a, a]}}", "inputs.x.values[1]", "a is given twice"),
    ("inputs: {x: {values: [true]}}", "inputs.x.values[0]", "a word like true needs quotes"),
    ("inputs: {x: {values: [1.10]}}", "inputs.x.values[0]", "1.10 is the number 1.1; put it in quotes"),
    ("inputs: {x: {values: [a, b], default: c}}", "inputs.x.default", '"c" is not one of the choices'),
    ("inputs: {x: list}", "inputs.x.items", "a list needs the type of its elements"),
    ("inputs: {x: {items: directory}}", "inputs.x.items", "a list of directory is not taken"),
    ("inputs: {x: {items: {type: string, env: A}}}", "inputs.x.items.env", "an element of a list has no env"),
    ("inputs: {x: {items: integer, default: [1, a]}}", "inputs.x.default[1]", '"a" is not an integer'),
    ("inputs: {x: {type: file, max_size: big}}", "inputs.x.max_size", "'big' is not a size such as 512 MiB"),
    ("inputs: {x: {type: file, suffixes: ['a b']}}", "inputs.x.suffixes[0]", ".a b is no suffix"),
    ("inputs: {x: {type: file, default: a.csv}}", "inputs.x.default", "only an http(s) address"),
    ("inputs: {x: {type: file, path: ../x}}", "inputs.x.path", "leads out of the task's directory"),
    ("inputs: {x: {type: file, path: /x}}", "inputs.x.path", "is not relative"),
    ("inputs: {x: {type: string, env: LD_PRELOAD}}", "inputs.x.env", "the variable LD_PRELOAD is reserved"),
    ("inputs: {x: {type: string, env: a-b}}", "inputs.x.env", "'a-b' cannot be a variable"),
    ("inputs: {x: secret}", "inputs.x", "a secret reaches the program nowhere"),
    ("inputs: {x: {type: secret, env: A, default: b}}", "inputs.x.default", "a secret has no default"),
    (
        "inputs: {x: {type: string, path: a}, y: {type: string, path: a}}",
        "inputs.y.path",
        "a is written by inputs.x.path too",
    ),
    (
        "inputs: {x: {type: string, env: A}, y: {type: string, env: A}}",
        "inputs.y.env",
        "the variable A is set by inputs.x.env too",
    ),
    ("inputs: [{name: x, type: string}, {name: x, type: string}]", "inputs.x", "is given twice"),
    ("env: {PATH: 'x:${y}'}", "env.PATH", "the variable PATH is reserved"),
    ("env: {SIRDAR_TOKEN: x}", "env.SIRDAR_TOKEN", "is reserved"),
    ("env: [a]", "env", "a list of 1 is not a mapping"),
    ("env: {A: '${nope}'}", "env.A", "${nope} names no input"),
    ("stdin: '${nope}'", "stdin", "${nope} names no input"),
    ("templates: {a: ../b}", "templates.a", "'../b' leads out"),
    ("templates: {/a: b}", "templates./a", "is not relative"),
    ("params: a/../../b", "params", "leads out"),
    ("secrets: [LD_PRELOAD]", "secrets[0]", "is reserved"),
    ("shell: echo", "shell", "stands beside command"),
    ("outputs: {x: {type: number}}", "outputs.x", "does not say where it comes from"),
    ("outputs: {x: {from: a}}", "outputs.x", "has no type"),
    ("outputs: {x: {type: float, from: a}}", "outputs.x.type", "did you mean number?"),
    ("outputs: {x: {type: number, from: '*.txt'}}", "outputs.x.from", "read from one file, not from a pattern"),
    ("outputs: {x: /etc/passwd}", "outputs.x.from", "is not relative"),
    ("outputs: {x: {type: file, from: a, key: b}}", "outputs.x.key", "an output of type file has no key"),
    ("outputs: {x: {type: number, from: a, key: b, regex: c}}", "outputs.x.regex", "stands beside key"),
    ("outputs: {x: {type: number, from: a, regex: '('}}", "outputs.x.regex", "is not a regular expression"),
    ("outputs: {x: {type: directory, from: stdout}}", "outputs.x.from", "stdout is one file"),
    ("resources: {cpus: 0}", "resources.cpus", "0 is not an integer from 1 to 4096"),
    ("resources: {cores: 2}", "resources.cores", "did you mean cpus?"),
    ("resources: {memory: lots}", "resources.memory", "is not a size"),
    ("resources: {time: 0}", "resources.time", "the duration is zero"),
    ("resources: {override: [cpu]}", "resources.override[0]", "cpu is none of the resources"),
    ("retries: -1", "retries", "-1 is not an integer from 0 to 100"),
    ("grace: soon", "grace", "is not a duration such as"),
    ("code: {git: 'ext::sh -c x'}", "code.git", "is not a repository's address"),
    ("code: {git: 'file:///etc'}", "code.git", "is not a repository's address"),
    ("code: {git: 'https://u:p@example.org/a'}", "code", "the address holds a password"),
    ("code: {git: 'https://a.org/b', ref: --upload-pack=x}", "code.ref", "git does not allow"),
    ("code: {git: 'https://a.org/b', ref: '${y}', at: submission}", "code.ref", "y may be left out"),
    ("code: {git: 'https://a.org/b', ref: '${nope}', at: submission}", "code.ref", "${nope} names no input"),
    ("code: {git: 'https://a.org/b', at: later}", "code.at", "later is none of the choices"),
    ("code: {gitlab: g/p, url: 'https://a.org', artifact: x}", "code.job", "is missing: an artifact is named by"),
    ("code: {gitlab: g/p}", "code.url", "is not the address of a GitLab server"),
    ("code: {gitlab: g/p, url: 'https://a.org', token: glpat-123}", "code.token", "is not the name of a secret"),
    ("code: {path: opt/model}", "code.path", "is not an absolute path"),
]


@pytest.mark.parametrize(("line", "field", "says"), WRONG)
def test_one_wrong_line_is_named(line: str, field: str, says: str) -> None:
    key = line.partition(":")[0]
    base = {"alias": "alias: a", "command": "command: p", "inputs": "inputs: {y: string}"}
    lines = [text for name, text in base.items() if name != key]
    errors = errors_of("\n".join([*lines, line]))
    assert [error.field for error in errors] == [field]
    assert errors[0].detail.startswith(f"line {len(lines) + 1}: ")
    assert says in errors[0].detail


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("command: python x.py ${dta}", "${dta} names no input; did you mean ${data}?"),
        ("command: p ${data.size}", "${data.size} is not understood"),
        ("command: p ${data", "${data is not understood"),
        ("command: p $data", "$data stays as it is, for no shell reads it: write ${data}"),
        ("command: p --x=$free", "write --x=${free}"),
        ("command: p ${key}", "holds the secret key"),
        ("command: ${free} x", "begins with free, which may be left out"),
        ('command: "p \'x"', "cannot be split into words: no closing quotation"),
        ("command: ''", "is missing"),
        ("command: ['', x]", "begins with an empty word"),
        ("command: [p, {a: b}]", "is not a text"),
    ],
)
def test_commands(command: str, says: str) -> None:
    inputs = "inputs: {data: file, key: {type: secret, env: K}, free: string}"
    errors = errors_of(f"alias: a\n{inputs}\n{command}")
    assert says in errors[0].detail
    assert errors[0].detail.startswith("line 3: ")


def test_a_dollar_that_names_no_input_is_the_program_s_own() -> None:
    app = parse_yaml("alias: a\ninputs: {x: string}\ncommand: awk '{print $x}' $y $1")
    assert app.command == ("awk", "{print $x}", "$y", "$1")


def test_shell_scripts() -> None:
    app = parse_yaml('alias: a\ninputs: {x: string}\nshell: |\n  set -e\n  echo "$x" ${y-2}\n')
    assert app.shell == 'set -e\necho "$x" ${y-2}\n'
    assert "cannot hold a dash" in errors_of("alias: a\ninputs: {a-b: string}\nshell: echo")[0].detail
    assert "PATH is reserved" in errors_of("alias: a\ninputs: {PATH: string}\nshell: echo")[0].detail


def test_every_error_at_once_in_the_order_of_lines() -> None:
    text = """\
        sirdar: 1
        alias: Bad
        inputs:
          data:  {typ: file, requird: yes}
          power: {type: int, minimum: 9}
          power: {type: integer, minimum: 9, maximum: 1}
        command: python ${data} ${powr}
        resources: {cpus: none}
    """
    errors = errors_of(textwrap.dedent(text))
    assert [(error.field, error.detail.split(":")[0]) for error in errors] == [
        ("alias", "line 2"),
        ("inputs.data.typ", "line 4"),
        ("inputs.data.requird", "line 4"),
        ("inputs.data", "line 4"),
        ("inputs.power.minimum", "line 6"),
        ("inputs.power", "line 6"),
        ("command", "line 7"),
        ("resources.cpus", "line 8"),
    ]
    assert all(error.expected for error in errors)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the text is empty"),
        ("just text", "is not a mapping"),
        ("[1, 2]", "is not a mapping"),
        ("alias: a\n---\nalias: b", "line 2: there is a second document"),
        ("a: &x [1]\nb: *x", "line 2: the alias *x is not taken here"),
        ("a: !!python/object:os.system x", "the tag tag:yaml.org,2002:python/object:os.system is not taken"),
        ("? [a]\n: b", "a key must be one word"),
        ("alias: a\n  b: c", "line 2: this is not YAML"),
        ("command: [python, ${x}]", "inside [ ] and { } a word with ${...} needs quotes"),
        ('alias: "a\\0"', "zero byte"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("[" * 100_000, "nested deeper than 32 levels"),
        ('{"a":' * 20_000, "nested deeper than 32 levels"),
        ("- a\n" * 30_000, "more than 20000 values"),
        ("# " + "x" * 300_000, "at most 262144 are read"),
        ("a: \ud800", "half a character"),
        (b"a: \xff", "byte 3 is not UTF-8 text"),
        ("\x07", "not YAML"),
    ],
)
def test_texts_that_are_no_description(text: str | bytes, says: str) -> None:
    assert any(says in error.detail for error in errors_of(text))  # type: ignore[arg-type]


def test_what_is_no_yaml_is_said_of_the_file() -> None:
    [error] = errors_of("alias: a\n  b: c")
    assert (error.field, error.expected) == ("sirdar.yaml", "well-formed YAML")
    assert {error.field for error in errors_of("just text")} == {"sirdar.yaml"}
    with pytest.raises(Problem, match=r"^tool.yaml has one error: line 2: this is not YAML"):
        parse_yaml("alias: a\n  b: c", filename="tool.yaml")


def test_the_problem_reads_well() -> None:
    with pytest.raises(Problem) as caught:
        parse_yaml("alias: a\ncommand: p ${x}", filename="tool.yaml")
    body = caught.value.to_json()
    assert body["detail"] == "tool.yaml has one error in command: line 2: ${x} names no input"
    assert body["errors"] == [
        {"field": "command", "detail": "line 2: ${x} names no input", "expected": "an input of this name"}
    ]
    json.dumps(body)


EXAMPLES = """\
alias: fit
inputs:
  data: {type: file, required: true}
  folds: {type: integer, minimum: 2, maximum: 9}
  version: string
  key: {type: secret, env: KEY}
command: fit ${data} ${folds} ${version}
examples:
"""


def test_examples_are_read_as_their_inputs_take_them() -> None:
    text = "  - {title: Small, inputs: {folds: 2, version: 1.10, data: 'https://example.org/a.csv'}}\n"
    text += "  - title: None\n    annotation: All defaults\n    inputs: {}\n"
    app = parse_yaml(EXAMPLES + text)
    assert app.examples == (
        Example("Small", "", {"folds": 2, "version": "1.10", "data": "https://example.org/a.csv"}),
        Example("None", "All defaults", {}),
    )
    assert "  - title: Small\n    inputs: {folds: 2" in author_yaml(to_document(app))


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("{title: A, inputs: {folds: 99}}", "examples[0].inputs.folds", "line 9: 99 is more than 9"),
        ("{title: A, inputs: {fold: 2}}", "examples[0].inputs.fold", "no such input; did you mean folds?"),
        ("{title: A, inputs: {folds: two}}", "examples[0].inputs.folds", '"two" is not an integer'),
        ("{title: A, inputs: {key: x}}", "examples[0].inputs.key", "is a secret, which no example can show"),
        ("{title: A, inputs: {data: data.csv}}", "examples[0].inputs.data", '"data.csv" is not a file\'s uri'),
        ("{title: A, inputs: {data: /api/files/temp/1/a}}", "examples[0].inputs.data", "is a file that goes away"),
        ("{inputs: {}}", "examples[0]", "has no title"),
        ("{title: A}", "examples[0]", "has no inputs"),
        ("{title: A, inputs: 3}", "examples[0].inputs", "3 is not a mapping"),
        ("{title: A, input: {}, inputs: {}}", "examples[0].input", "did you mean inputs?"),
        ("A", "examples[0]", "A is not a mapping"),
        ("{title: A, inputs: {}}\n  - {title: A, inputs: {}}", "examples[1].title", "the title of two examples"),
    ],
)
def test_what_is_wrong_with_an_example_names_its_place(text: str, field: str, says: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_yaml(f"{EXAMPLES}  - {text}\n")
    error = caught.value.errors[0]
    assert error.field == field
    assert says in error.detail


def test_examples_are_in_the_openapi_of_the_application() -> None:
    app = parse_yaml(EXAMPLES + "  - {title: Small, annotation: Quick, inputs: {folds: 2}}\n")
    content = app_openapi(app, "me", "fit", 1, "https://x.org")["paths"]["/api/apps/me/fit"]["post"]["requestBody"][
        "content"
    ]
    assert content["application/json"]["examples"] == {
        "example1": {"summary": "Small", "description": "Quick", "value": {"inputs": {"folds": 2}}}
    }


def test_a_program_that_an_input_could_bring_is_only_doubted() -> None:
    app = parse_yaml("alias: a\ninputs: {parts: files}\ncommand: python solve.py ${parts}")
    check_files(app, {"solver.py"})
    assert [doubt.detail for doubt in file_doubts(app, {"solver.py"})] == [
        "the application has no file solve.py; did you mean solver.py?; its files: solver.py"
    ]
    assert not file_doubts(app, {"solve.py"})
    assert not file_doubts(parse_yaml("alias: a\ninputs: {x: file}\ncommand: sort"), set())
    assert not file_doubts(parse_yaml("alias: a\ncommand: python solve.py"), set()), "that is certain"


def test_files_that_the_description_names() -> None:
    app = parse_yaml("alias: a\ncommand: python fit.py\ntemplates: {c.ini: c.ini.in}")
    check_files(app, {"fit.py", "c.ini.in"})
    with pytest.raises(Problem) as caught:
        check_files(app, {"fits.py", "c.in"})
    assert [error.detail for error in caught.value.errors] == [
        "the application has no file c.ini.in; did you mean c.in?",
        "the application has no file fit.py; did you mean fits.py?; its files: c.in, fits.py",
    ]
    for command in ("python -m fit", "python ${x}.py", "/opt/x", "x.py", "bash -c x"):
        check_files(parse_yaml(f"alias: a\ninputs: {{x: {{type: string, default: a}}}}\ncommand: {command}"), set())
    for inputs in (
        "{x: file}",
        "{x: files}",
        "{x: {type: directory, path: src}}",
        "{x: {type: file, suffixes: [.PY]}}",
    ):
        check_files(parse_yaml(f"alias: a\ninputs: {inputs}\ncommand: python src/up.py"), set())
    check_files(parse_yaml("alias: a\ncommand: ./x\ncode: {path: /opt}"), set())
    for inputs, command in (
        ("{x: file}", "python -u solve.py ${x}"),
        ("{x: {type: file, suffixes: [.csv]}}", "python3.12 solve.py"),
        ("{x: {type: file, path: data.csv}}", "bash solve.py"),
    ):
        with pytest.raises(Problem, match=r"no file solve.py; its files: a.txt, .*, … \(9 in all\)"):
            names = {f"{letter}.txt" for letter in "abcdefghi"}
            check_files(parse_yaml(f"alias: a\ninputs: {inputs}\ncommand: {command}"), names)
    with pytest.raises(Problem, match="no file tool"):
        check_files(parse_yaml("alias: a\ncommand: ./tool"), {"other"})
