"""The words of the command and of ``ipopt_options``, as AMPL's drivers read them. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from sirdar.optim.ipopt_options import IpoptOption, OptionKind

ALIASES = {"maxit": "max_iter", "outlev": "print_level"}
OWN_WORDS = ("halt_on_ampl_error", "wantsol")
WRITE_SOL, PRINT_VARIABLES, PRINT_MULTIPLIERS, NO_MESSAGE = 1, 2, 4, 8
SETTING = re.compile(r"""\s*([^\s=]+)(?:\s*=\s*|\s+|$)("(?:[^"]|"")*"|'(?:[^']|'')*'|\S*)""")

FILE_WORD = re.compile(r'"([^"]*)"|#.*|([^\s"#]+)')

Value = int | float | str


class BadWords(ValueError):
    """A word is no option, or its value is none of its type. The message says which."""


@dataclass(slots=True)
class Asked:
    """What the command line asks for. ``options``: Ipopt's, in their order. ``wantsol``: bits, for a run without ``-AMPL``."""

    stub: str = ""
    ampl: bool = False
    options: dict[str, Value] = field(default_factory=dict)
    echo: list[str] = field(default_factory=list)
    wantsol: int = 0

    @property
    def writes_sol(self) -> bool:
        return self.ampl or bool(self.wantsol & WRITE_SOL)


def read_words(words: Sequence[str], environment: Mapping[str, str], known: Iterable[IpoptOption]) -> Asked:
    """The environment's options come first, those of the command line over them. Raises BadWords."""
    kinds = {option.name: option.kind for option in known}
    asked = Asked()
    given = [environment.get("ipopt_options", "")]
    for word in words:
        if not asked.stub:
            asked.stub = word.removesuffix(".nl")
        elif word == "-AMPL":
            asked.ampl = True
        else:
            given.append(word)
    for text in given:
        for name, value in split_settings(text):
            _take(asked, kinds, name, value)
    return asked


def read_options_file(text: str, known: Iterable[IpoptOption]) -> dict[str, Value]:
    """Ipopt's own options file: names and values by turns, remarks from ``#``. Raises BadWords."""
    kinds = {option.name: option.kind for option in known}
    words = [
        found[1] or found[2]
        for line in text.splitlines()
        for found in FILE_WORD.finditer(line)
        if found[1] is not None or found[2] is not None
    ]
    options: dict[str, Value] = {}
    for name, value in zip_longest(words[::2], words[1::2]):
        if name not in kinds:
            raise BadWords(f'there is no option "{name}"')
        if value is None:
            raise BadWords(f"the option {name} has no value in the options file")
        options[name] = value if kinds[name] is OptionKind.STRING else _number(name, value, kinds[name])
    return options


def split_settings(text: str) -> Iterator[tuple[str, str]]:
    """``a=1 b 2 c="x y"``: names and values."""
    for match in SETTING.finditer(text):
        value = match[2]
        if value[:1] in ('"', "'"):
            quote = value[0]
            value = value[1:-1].replace(quote * 2, quote)
        yield match[1], value


def _take(asked: Asked, kinds: Mapping[str, OptionKind], given: str, text: str) -> None:
    name = ALIASES.get(given, given)
    if given == "wantsol":
        asked.wantsol = int(_number(given, text, OptionKind.INTEGER))
    elif given == "halt_on_ampl_error":
        if text not in ("yes", "no"):
            raise BadWords("the option halt_on_ampl_error must be yes or no")
    elif name in kinds:
        asked.options[name] = text if kinds[name] is OptionKind.STRING else _number(given, text, kinds[name])
    else:
        raise BadWords(f'there is no option "{given}"')
    asked.echo.append(f"{given}={text}")


def _number(name: str, text: str, kind: OptionKind) -> int | float:
    try:
        return int(text) if kind is OptionKind.INTEGER else float(text.lower().replace("d", "e"))
    except ValueError:
        expected = "an integer" if kind is OptionKind.INTEGER else "a number"
        raise BadWords(f'the option {name} does not take the value "{text}": {expected} is expected') from None
