"""Applications that may be published, for hypothesis."""

import copy
from typing import Any

from hypothesis import strategies as st

from sirdar.domain.app import (
    RESOURCE_FIELDS,
    App,
    Code,
    CodeKind,
    Example,
    InputSpec,
    InputType,
    OutputSpec,
    OutputType,
    Resources,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
TEXTS = st.text(st.characters(exclude_characters="\0\r\x85\u2028\u2029\ufeff", exclude_categories=["Cs"]), max_size=40)
SIZES = st.none() | st.integers(1, 2**40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def input_specs(draw: st.DrawFn, name: str) -> InputSpec:
    kind = draw(st.sampled_from([kind for kind in InputType if kind is not InputType.LIST] + [InputType.LIST]))
    more: dict[str, Any] = {"title": draw(LINES), "description": draw(TEXTS), "required": draw(st.booleans())}
    default: Any = None
    if kind in {InputType.STRING, InputType.TEXT}:
        more |= {"min_length": draw(st.sampled_from([None, 0])), "max_length": draw(st.none() | st.integers(40, 99))}
        default = draw(LINES)
    elif kind in {InputType.INTEGER, InputType.NUMBER}:
        more |= {
            "minimum": draw(st.none() | st.integers(-9, 0)),
            "maximum": draw(st.none() | st.just(2**60) | st.just(9.5)),
        }
        more["unit"] = draw(st.sampled_from([None, "K"]))
        default = draw(st.integers(0, 9) if kind is InputType.INTEGER else st.floats(0, 9))
    elif kind is InputType.BOOLEAN:
        default = draw(st.booleans())
    elif kind is InputType.ENUM:
        more["values"] = tuple(draw(st.lists(st.integers() | NAMES, min_size=1, max_size=3, unique_by=str)))
        default = more["values"][-1]
    elif kind in {InputType.FILE, InputType.FILES, InputType.DIRECTORY}:
        more |= {"suffixes": tuple(draw(st.lists(st.sampled_from([".csv", ".tar.gz"]), max_size=2)))}
        more |= {"max_size_bytes": draw(SIZES), "writable": draw(st.booleans())}
        more |= {"path": draw(st.sampled_from([None, f"in/{name}"]))}
    elif kind is InputType.JSON:
        default = draw(st.lists(JSON, max_size=2) | st.dictionaries(NAMES, JSON, max_size=2))
    elif kind is InputType.LIST:
        more["items"] = InputSpec(name, InputType.NUMBER, minimum=draw(st.none() | st.just(-1)))
        default = draw(st.lists(st.integers(0, 9), max_size=3))
    else:
        more["env"] = f"S_{name}".upper()
    more["advanced"] = not more["required"] and draw(st.booleans())
    if default is not None and not more["required"] and draw(st.booleans()):
        more |= {"default": default, "has_default": True}
    return InputSpec(name, kind, **more)


@st.composite
def output_specs(draw: st.DrawFn, name: str) -> OutputSpec:
    kind = draw(st.sampled_from(OutputType))
    more: dict[str, Any] = {"title": draw(LINES), "required": draw(st.booleans()), "max_size_bytes": draw(SIZES)}
    if kind in {OutputType.NUMBER, OutputType.STRING, OutputType.JSON}:
        more |= draw(st.sampled_from([{}, {"key": "a.b[0]"}, {"regex": "x=(.*)"}]))
    source = "part-*.csv" if kind is OutputType.FILES else draw(st.sampled_from(["a b.txt", "é/x", "sub/y"]))
    return OutputSpec(name, kind, source, **more)


RESOURCES = st.builds(
    Resources,
    cpus=st.integers(1, 64),
    memory_bytes=SIZES,
    time_s=st.none() | st.floats(0.001, 1e6).map(lambda seconds: round(seconds, 3)),
    gpus=st.integers(0, 8),
    nodes=st.integers(1, 9),
    disk_bytes=SIZES,
    override=st.frozensets(st.sampled_from(RESOURCE_FIELDS)),
)
CODES = st.sampled_from(
    [
        Code(),
        Code(CodeKind.PATH, path="/opt/model", version_command=("model", "--version now")),
        Code(CodeKind.GIT, url="https://example.org/a.git", ref="main", path="sub"),
        Code(CodeKind.GITLAB, "https://gitlab.example.org", "g/p", "v1", None, "x", "job", "TOKEN", True),
    ]
)


@st.composite
def examples(draw: st.DrawFn, inputs: tuple[InputSpec, ...]) -> tuple[Example, ...]:
    """Of the defaults that there are."""
    given = {spec.name: spec.default for spec in inputs if spec.has_default}
    titles = draw(st.lists(LINES.filter(str.strip), max_size=2, unique=True))
    return tuple(Example(title, draw(LINES), copy.deepcopy(given)) for title in titles)


@st.composite
def apps(draw: st.DrawFn) -> App:
    inputs = tuple(draw(input_specs(name)) for name in draw(st.lists(NAMES, max_size=4, unique=True)))
    outputs = tuple(draw(output_specs(name)) for name in draw(st.lists(NAMES, max_size=3, unique=True)))
    public = [spec.name for spec in inputs if spec.type is not InputType.SECRET]
    words = [draw(TEXTS) + f"${{{name}}}" for name in public]
    words = [
        word.replace("$${", "${") if word.count("${") == 1 else f"${{{name}}}"
        for word, name in zip(words, public, strict=True)
    ]
    return App(
        alias=draw(NAMES),
        name=draw(LINES),
        annotation=draw(LINES),
        description=draw(TEXTS),
        keywords=tuple(draw(st.lists(LINES, max_size=3))),
        inputs=inputs,
        outputs=outputs,
        examples=draw(examples(inputs)),
        command=("prog", *words),
        env={f"E_{name}".upper(): f"x${{{name}}}" for name in public[:2]},
        templates=draw(st.sampled_from([{}, {"c.ini": "c.ini.in"}])),
        params=draw(st.sampled_from([None, "params.json"])),
        stdin=draw(st.none() | st.just("some text\n")),
        secrets=draw(st.sampled_from([(), ("LICENCE",)])),
        resources=draw(RESOURCES),
        retries=draw(st.integers(0, 9)),
        grace_s=draw(st.sampled_from([0.0, 10.0, 30.5])),
        code=draw(CODES),
        retention_s=draw(st.none() | st.just(3600.0)),
    )
