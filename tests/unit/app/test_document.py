"""The canonical document: exact inverses, one digest for the same bytes; and texts that are anything at all."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sirdar.domain.app import App, FileEntry
from sirdar.domain.problems import Problem
from sirdar.wire.description import faults, parse_document, parse_yaml, to_document, version_digest

sys.path.insert(0, str(Path(__file__).parent))
from app_strategies import apps


@pytest.mark.slow
@settings(deadline=None)
@given(apps())
def test_a_document_comes_back_exactly(app: App) -> None:
    assert faults(app) == []
    document = to_document(app)
    stored = json.dumps(document, allow_nan=False)
    assert parse_document(json.loads(stored)) == app
    assert to_document(parse_document(json.loads(stored))) == document
    assert list(document) == list(to_document(parse_document(document)))


@pytest.mark.slow
@settings(deadline=None)
@given(apps())
def test_a_document_is_a_description_too(app: App) -> None:
    document = to_document(app)
    assert parse_yaml(json.dumps(document)) == app
    assert parse_yaml(json.dumps(document, ensure_ascii=False, indent=1)) == app
    assert parse_yaml(yaml.safe_dump(document, sort_keys=False)) == app


def sort_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    return [sort_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@settings(deadline=None)
@given(apps())
def test_a_store_may_sort_the_keys(app: App) -> None:
    document = to_document(app)
    assert parse_document(sort_keys(document)) == app
    assert version_digest(sort_keys(document)) == version_digest(document)


def test_the_digest_tells_versions_apart() -> None:
    document = to_document(parse_yaml("alias: a\ncommand: p"))
    one, other = FileEntry("a", "0" * 64, 1), FileEntry("b", "1" * 64, 2)
    assert version_digest(document, [one, other]) == version_digest(document, [other, one])
    seen = {
        version_digest(document),
        version_digest(document, [one]),
        version_digest(document, [FileEntry("a", "0" * 64, 1, 0o755)]),
        version_digest(document, [FileEntry("c", "0" * 64, 1)]),
        version_digest({**document, "name": "x"}, [one]),
    }
    assert len(seen) == 5
    assert all(len(digest) == 64 for digest in seen)


def parses_or_says_why(text: str | bytes) -> None:
    try:
        app = parse_yaml(text)
    except Problem as problem:
        assert problem.code == "invalid_description"
        assert problem.errors
        json.dumps(problem.to_json())
    else:
        assert faults(app) == []


@given(st.text(max_size=200) | st.binary(max_size=200))
@example("a: 2001-12-14t21:59:43.10-05:00")
@example("=: =\n<<: {a: b}")
@example("inputs: {x: {type: integer, default: 1e999}}")
@example('{"a": "\\ud83d"}')
@example("alias: 0x" + "f" * 5000)
@example("? ? ?")
@example("%YAML 9.9\n---\na: b")
@example("a: !<x> b")
def test_any_text_gives_an_application_or_a_problem(text: str | bytes) -> None:
    parses_or_says_why(text)


WORDS = (
    "sirdar alias name keywords inputs outputs command shell stdin env templates params secrets resources retries code "
    "type default minimum maximum min_length max_length pattern values suffixes max_size items required path env from key "
    "regex cpus memory time override git gitlab url ref at artifact job token version_command x y"
)
KEYS = st.sampled_from(WORDS.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "integer",
            "list",
            "enum",
            "secret",
            "json",
            "file",
            "${x}",
            "$${",
            "${",
            "a",
            "stdout",
            "(a+",
            "https://a.org/b",
        ]
    )
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=30
)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(st.dictionaries(KEYS, TREES, max_size=8))
def test_any_tree_of_known_words_gives_an_application_or_a_problem(tree: dict[str, Any]) -> None:
    parses_or_says_why(json.dumps(tree))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.dictionaries(KEYS, TREES, max_size=5), st.dictionaries(KEYS, TREES, max_size=5))
def test_so_does_any_input_and_output(one: dict[str, Any], other: dict[str, Any]) -> None:
    parses_or_says_why(json.dumps({"alias": "a", "command": "p ${x}", "inputs": {"x": one}, "outputs": {"y": other}}))


@given(st.integers(1, 3000), st.sampled_from(["[", "{", "- ", "? ", "{a: ", '{"a":[', "&a [", "  - a:\n"]))
@settings(deadline=None, max_examples=40)
def test_so_does_any_depth(depth: int, opening: str) -> None:
    parses_or_says_why(opening * depth)
