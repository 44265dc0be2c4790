"""Regular expressions of descriptions, tried on values that strangers send.

Python's ``re`` goes back and tries again, and for some patterns, such as ``([a-z]+)*``, the time doubles with each
character of a value that does not match. So a value is tried only up to a length, and a pattern that could take long is
run as an automaton, whose time grows with the length alone. What neither way can bound is refused at publication.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

MAX_PATTERN = 500  # characters of a pattern
MAX_PATTERN_VALUE = 1000  # characters of a value that a pattern is tried on
MAX_STEPS = 1000  # instructions of an automaton

# The standard library's own parser of patterns: not a public module, so a test holds what is used of it.
_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_ONE_CHARACTER = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})


class Unbounded(Exception):
    """The pattern holds what an automaton cannot do: a back reference, a look-around, a word boundary."""


def matches(pattern: str, text: str) -> bool:
    """True where the whole of ``text`` matches. Raises re.error for a pattern that is none."""
    return _matcher(pattern)(text)


def pattern_fault(pattern: str, *, searched: bool = False) -> str | None:
    """Why ``pattern`` cannot be taken, or None where it can.

    ``searched``: it is tried on what the author's own program wrote, so only its form counts.
    """
    if len(pattern) > MAX_PATTERN:
        return f"the pattern has {len(pattern)} characters"
    try:
        re.compile(pattern)
        if not searched:
            _matcher(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning, DeprecationWarning) as error:
        return f"{pattern[:80]} is not a regular expression: {error}"
    except Unbounded as error:
        return f"{pattern[:80]} could take very long on some values, and {error} keeps it from being tried safely"
    return None


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    tree = _parser.parse(pattern)
    if not _may_take_long(tree):
        return lambda text: compiled.fullmatch(text) is not None
    program = _Program(tree)
    return program.accepts


def _may_take_long(tree: Any) -> bool:
    """True for a choice within a repeat, and for more choices in a row than a value's length allows to try out.

    A choice is how often to repeat, or which alternative to take; ``re`` tries all combinations of them.
    """
    choices = list(_choices(tree))
    long = sum(most > 1 for most in choices)
    return long > 2 or len(choices) - long > 4 or any(any(True for _ in _choices(body)) for body in _repeated(tree))


def _choices(tree: Any) -> Iterator[int]:
    """For each choice in ``tree`` how often it may repeat; 1 for alternatives and for what may be left out."""
    for name, argument in _items(tree):
        if name in _REPEATS and argument[0] != argument[1]:
            yield int(argument[1])
        elif name == "BRANCH":
            yield 1
        for child in _children(name, argument):
            yield from _choices(child)


def _repeated(tree: Any) -> Iterator[Any]:
    """What stands within a repeat, at any depth."""
    for name, argument in _items(tree):
        if name in _REPEATS and argument[1] > 1:
            yield argument[2]
        for child in _children(name, argument):
            yield from _repeated(child)


def _items(tree: Any) -> list[tuple[str, Any]]:
    return [(str(code), argument) for code, argument in tree]


def _children(name: str, argument: Any) -> list[Any]:
    if name in _REPEATS:
        return [argument[2]]
    if name == "BRANCH":
        return list(argument[1])
    if name == "SUBPATTERN":
        return [argument[3]]
    if name == "ATOMIC_GROUP":
        return [argument]
    return [argument[1]] if name in {"ASSERT", "ASSERT_NOT"} else []


class _Program:
    """A pattern as a list of steps, all of whose states are followed at once, character by character.

    A step is a test of one character that leads to the next step, a fork to several, or a place (begin, end of the text).
    """

    def __init__(self, tree: Any) -> None:
        self.tests: list[Callable[[str], bool] | None] = []
        self.forks: list[tuple[int, ...]] = []
        self.places: list[str] = []
        self.state = tree.state
        self.classes: dict[str, Callable[[str], bool]] = {}
        self._sequence(tree)
        self.end = self._add()

    def accepts(self, text: str) -> bool:
        states = self._follow({0}, 0, len(text))
        for position, character in enumerate(text):
            passed = {step + 1 for step in states if (test := self.tests[step]) is not None and test(character)}
            if not passed:
                return False
            states = self._follow(passed, position + 1, len(text))
        return self.end in states

    def _follow(self, states: set[int], position: int, length: int) -> set[int]:
        """All steps that are reached without a character."""
        reached: set[int] = set()
        waiting = list(states)
        while waiting:
            step = waiting.pop()
            if step in reached:
                continue
            reached.add(step)
            place = self.places[step]
            if not place or (position == 0 if place == "begin" else position == length):
                waiting.extend(self.forks[step])
        return reached

    def _add(self, test: Callable[[str], bool] | None = None, forks: tuple[int, ...] = (), place: str = "") -> int:
        if len(self.tests) >= MAX_STEPS:
            raise Unbounded("its size")
        self.tests.append(test)
        self.forks.append(forks)
        self.places.append(place)
        return len(self.tests) - 1

    def _sequence(self, tree: Any) -> None:
        for item in tree:
            name, argument = str(item[0]), item[1]
            if name in _ONE_CHARACTER:
                self._add(self._class(item))
            elif name == "BRANCH":
                self._branch(argument[1])
            elif name == "SUBPATTERN" and not argument[1] and not argument[2]:
                self._sequence(argument[3])
            elif name in _REPEATS and name != "POSSESSIVE_REPEAT":
                self._repeat(*argument)
            elif name == "AT" and str(argument) in {"AT_BEGINNING", "AT_BEGINNING_STRING", "AT_END", "AT_END_STRING"}:
                self._at(str(argument))
            else:
                raise Unbounded(f"its {name.lower().replace('_', ' ')}")

    def _class(self, item: Any) -> Callable[[str], bool]:
        """A test of one character with the meaning that ``re`` gives it (flags, Unicode classes)."""
        key = repr(item)
        if key not in self.classes:
            compiled = _compiler.compile(_parser.SubPattern(self.state, [item]))
            self.classes[key] = lru_cache(maxsize=1024)(lambda character: compiled.fullmatch(character) is not None)
        return self.classes[key]

    def _branch(self, alternatives: list[Any]) -> None:
        fork = self._add()
        starts, ends = [], []
        for alternative in alternatives:
            starts.append(len(self.tests))
            self._sequence(alternative)
            ends.append(self._add())
        self.forks[fork] = tuple(starts)
        for end in ends:
            self.forks[end] = (len(self.tests),)

    def _repeat(self, least: int, most: Any, body: Any) -> None:
        for _ in range(least):
            self._sequence(body)
        if most == _parser.MAXREPEAT:
            fork = self._add()
            self._sequence(body)
            self._add(forks=(fork,))
            self.forks[fork] = (fork + 1, len(self.tests))
            return
        forks = []
        for _ in range(most - least):
            forks.append(self._add())
            self._sequence(body)
        for fork in forks:
            self.forks[fork] = (fork + 1, len(self.tests))

    def _at(self, name: str) -> None:
        """``$`` before a last line end is left out: values of one line have none."""
        if self.state.flags & re.MULTILINE:
            raise Unbounded("its flag for several lines")
        step = self._add(place="begin" if "BEGINNING" in name else "end")
        self.forks[step] = (step + 1,)
