"""Expressions over the parameters of a sweep: arithmetic, comparisons and a few functions, and nothing else.

An expression is written as in Python, with a parameter as ``$NAME``, ``${NAME}`` or its bare name; ``&&``, ``||`` and ``!`` are
understood, too. It is checked once, down to the kinds of its values, and is a plain function then: a sweep asks it many times.
"""

import ast
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Number = int | float
Value = Number | str
Kind = Literal["number", "text", "truth"]

LONGEST = 4000  # characters
MOST_NODES = 500
MOST_BITS = (
    4096  # of a whole number: it would grow without bounds otherwise, and its arithmetic be as slow as one likes
)
_SHOWN_BITS, _SHOWN_CHARS = 200, 60
_WORD = re.compile(r"\w+")
_PIECE = re.compile(
    r"""(?P<text>"[^"\\]*"|'[^'\\]*')|\$\{(?P<braced>[^{}]*)\}|\$(?P<plain>\w+)|(?P<and>&&)|(?P<or>\|\|)|(?P<not>!(?!=))"""
)


class ExpressionError(ValueError):
    """What is wrong with an expression, or why it has no value for these parameters."""


def _told(name: str, function: Callable[..., Number]) -> Callable[..., Number]:
    """The function, whose refusal names it and what it was given."""

    def call(*values: Number) -> Number:
        try:
            return function(*values)
        except OverflowError:
            why = "has no value" if math.inf in map(abs, values) else "grows too large"
        except (ValueError, ZeroDivisionError):
            why = "has no value"
        raise ExpressionError(f"{name}({', '.join(map(_short, values))}) {why}")

    return call


def _short(value: Number) -> str:
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a whole number of {value.bit_length()} bits"
    return str(value)


def _power(base: Number, exponent: Number) -> Number:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and not 0 <= exponent * int(base).bit_length() <= MOST_BITS:
        return float(base) ** exponent
    value = base**exponent
    if isinstance(value, complex):
        raise ExpressionError(f"{_short(base)} to the power of {_short(exponent)} is no real number")
    return value


def _product(one: Number, other: Number) -> Number:
    if isinstance(one, int) and isinstance(other, int) and one.bit_length() + other.bit_length() > MOST_BITS:
        raise ExpressionError(_TOO_LARGE)
    return one * other


_TOO_LARGE = f"a whole number of over {MOST_BITS} bits"

FUNCTIONS: Mapping[str, tuple[Callable[..., Number], int, int]] = {  # what it is, and how many values it takes
    "abs": (abs, 1, 1),
    "min": (min, 1, 99),
    "max": (max, 1, 99),
    "round": (_told("round", round), 1, 1),
    "floor": (_told("floor", math.floor), 1, 1),
    "ceil": (_told("ceil", math.ceil), 1, 1),
    "int": (_told("int", int), 1, 1),
    "sqrt": (_told("sqrt", math.sqrt), 1, 1),
    "exp": (_told("exp", math.exp), 1, 1),
    "log": (_told("log", math.log), 1, 2),
    "log10": (_told("log10", math.log10), 1, 1),
    "log2": (_told("log2", math.log2), 1, 1),
    "sin": (_told("sin", math.sin), 1, 1),
    "cos": (_told("cos", math.cos), 1, 1),
    "tan": (_told("tan", math.tan), 1, 1),
    "pow": (_power, 2, 2),
}
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_SIGNS = (ast.UAdd, ast.USub)


@dataclass(frozen=True, slots=True)
class Expression:
    """One that was checked: its text, its kind, and the parameters that it names."""

    text: str
    kind: Kind
    names: tuple[str, ...]
    _run: Callable[..., Value]

    def __call__(self, values: Mapping[str, Value]) -> Value:
        """Its value. Raises ExpressionError where it has none, such as a division by zero."""
        return self.of(*(values[name] for name in self.names))

    def of(self, *values: Value) -> Value:
        """The same for the values of ``names``, in their order."""
        try:
            return self._run(*values)
        except ExpressionError as error:
            raise ExpressionError(f"{self.text}: {error}") from None
        except ZeroDivisionError:
            raise ExpressionError(f"{self.text}: a division by zero") from None
        except (ArithmeticError, ValueError):
            raise ExpressionError(f"{self.text}: a number grows too large") from None


def compile_expression(text: str, kinds: Mapping[str, Kind]) -> Expression:
    """An expression over parameters of these kinds. Raises ExpressionError with what is wrong."""
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression has at most {LONGEST} characters")
    try:
        return _compiled(text, kinds)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None


def _compiled(text: str, kinds: Mapping[str, Kind]) -> Expression:
    reader = _Reader(text, kinds)
    tree = reader.parse(text)
    kind = _Checker(reader.names, kinds).kind(tree.body)
    named = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in reader.names]
    places = list(dict.fromkeys(named))
    bounded = _Bounded().visit(tree)
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(place) for place in places], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, bounded.body)))
    scope = {name: function for name, (function, _, _) in FUNCTIONS.items()}
    # Only what _Checker knows is left in it: names of parameters, functions and constants, numbers, texts, operators.
    known = {"__builtins__": {}, "_product": _product, **CONSTANTS, **scope}
    run = eval(compile(function, "<expression>", "eval"), known)  # noqa: S307
    return Expression(text.strip(), kind, tuple(reader.names[place] for place in places), run)


class _Reader:
    """Makes Python of the text: parameters become names that are surely none of Python's words."""

    def __init__(self, text: str, kinds: Mapping[str, Kind]) -> None:
        written, prefix = unicodedata.normalize("NFKC", " ".join([text, *kinds])), "_p"  # as Python reads names
        while prefix in written:
            prefix += "_"
        self._places = {name: f"{prefix}{number}" for number, name in enumerate(kinds)}
        self.names = {place: name for name, place in self._places.items()}

    def parse(self, text: str) -> ast.Expression:
        python = _PIECE.sub(self._piece, text).strip()
        try:
            tree = ast.parse(python, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ExpressionError(f"{text.strip()!r} is no expression") from None
        nodes = list(ast.walk(tree))
        if len(nodes) > MOST_NODES:
            raise ExpressionError("the expression is too long")
        called = {
            id(node.func) for node in nodes if isinstance(node, ast.Call)
        }  # a function, whatever parameters there are
        for node in nodes:
            if isinstance(node, ast.Name) and id(node) not in called:
                node.id = self._places.get(node.id, node.id)
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > MOST_BITS:
                raise ExpressionError(_TOO_LARGE)
        return tree

    def _piece(self, found: re.Match[str]) -> str:
        if found["text"]:
            return found[0]
        name = found["braced"] if found["braced"] is not None else found["plain"]
        if name is None:
            return {"and": " and ", "or": " or ", "not": " not "}[found.lastgroup or ""]
        if name.strip() not in self._places:
            raise ExpressionError(f"there is no parameter {name.strip()}")
        return f" {self._places[name.strip()]} "


class _Checker:
    """The kind of each part. Raises ExpressionError for whatever is not arithmetic, comparison or a known function."""

    def __init__(self, names: Mapping[str, str], kinds: Mapping[str, Kind]) -> None:
        self._names, self._kinds = names, kinds

    def kind(self, node: ast.expr) -> Kind:
        match node:
            case ast.Constant(value=bool()):
                return "truth"
            case ast.Constant(value=int() | float()):
                return "number"
            case ast.Constant(value=str()):
                return "text"
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                self._numbers("arithmetic", left, right)
                return "number"
            case ast.UnaryOp(op=op, operand=operand) if isinstance(op, _SIGNS):
                self._numbers("a sign", operand)
                return "number"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._truths(operand)
                return "truth"
            case ast.BoolOp(values=values):
                self._truths(*values)
                return "truth"
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                return self._call(name, args)
            case ast.Call(func=ast.Name(id=name)) if name in self._names:
                raise ExpressionError(f"{self._names[name]} is a parameter, and no function")
            case ast.Call(func=ast.Name(id=name)):
                raise ExpressionError(f"there is no function {name}; there are {', '.join(FUNCTIONS)}")
        raise ExpressionError(
            f"{self._words(node)} is not allowed: an expression holds numbers, parameters and comparisons"
        )

    def _name(self, name: str) -> Kind:
        if name in self._names:
            return self._kinds[self._names[name]]
        if name in CONSTANTS:
            return "number"
        raise ExpressionError(f"there is no parameter {name}")

    def _comparison(self, node: ast.Compare) -> Kind:
        parts = [node.left, *node.comparators]
        if not all(isinstance(op, _COMPARISONS) for op in node.ops):
            raise ExpressionError("of comparisons there are ==, !=, <, <=, > and >=")
        kinds = [self.kind(part) for part in parts]
        if len(set(kinds)) > 1 or "truth" in kinds:
            here = ", ".join(f"{self._words(part)} is a {kind}" for part, kind in zip(parts, kinds, strict=True))
            raise ExpressionError(f"a number is compared with a number, and a text with a text; here {here}")
        return "truth"

    def _call(self, name: str, args: list[ast.expr]) -> Kind:
        _, least, most = FUNCTIONS[name]
        if not least <= len(args) <= most:
            raise ExpressionError(f"{name} takes {least if least == most else f'{least} or more'} value(s)")
        self._numbers(name, *args)
        return "number"

    def _numbers(self, what: str, *nodes: ast.expr) -> None:
        for node in nodes:
            if (kind := self.kind(node)) != "number":
                raise ExpressionError(f"{what} takes numbers, and {self._words(node)} is a {kind}")

    def _truths(self, *nodes: ast.expr) -> None:
        for node in nodes:
            if self.kind(node) == "text":
                raise ExpressionError(f"and, or, not take comparisons, and {self._words(node)} is a text")

    def _words(self, node: ast.expr) -> str:
        """A part as it was written, or nearly so."""
        text = _WORD.sub(lambda found: self._names.get(found[0], found[0]), ast.unparse(node))
        return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."


class _Bounded(ast.NodeTransformer):
    """``a ** b`` becomes ``pow(a, b)`` and ``a * b`` becomes ``_product(a, b)``, which know a bound; sums cannot grow far."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node.op:
            case ast.Pow():
                return ast.Call(ast.Name("pow", ast.Load()), [node.left, node.right], [])
            case ast.Mult():
                return ast.Call(ast.Name("_product", ast.Load()), [node.left, node.right], [])
        return node
