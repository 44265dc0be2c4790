"""What pages show of files that strangers wrote: bounded, and never more than text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.web import previews
from sirdar.web.previews import Kind, Node


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("fit.PNG", b"", Kind.PICTURE), ("fit.svg", b"<svg/>", Kind.DRAWING), ("a.csv", b"x,y", Kind.TABLE),
        ("a.json", b"{}", Kind.JSON), ("README.md", b"# x", Kind.MARKDOWN), ("b.tar.gz", b"\x1f\x8b", Kind.ARCHIVE),
        ("log", b"hello", Kind.TEXT), ("a.py", b"import os", Kind.TEXT), ("m.npy", b"\x93NUMPY\0", Kind.NOTHING),
        ("a.csv", b"PK\x03\x04", Kind.NOTHING), ("x.pdf", b"%PDF-1.7", Kind.NOTHING), ("u.txt", b"\xff\xfea\0", Kind.TEXT),
    ],
)  # fmt: skip
def test_kinds(name: str, head: bytes, kind: Kind) -> None:
    assert previews.kind_of(name, head) is kind


def test_a_table_has_a_header_and_columns_of_numbers() -> None:
    lines = ["well,depth,note", *(f"W{number},{number * 1.5},note {number}" for number in range(80))]
    table = previews.table_of("\n".join(lines).encode(), "wells.csv")
    assert table is not None
    assert table.header == ("well", "depth", "note")
    assert table.numeric == (False, True, False)
    assert len(table.rows) == previews.ROWS and table.cut_rows and not table.cut_columns


def test_tables_of_other_habits() -> None:
    semicolons = previews.table_of("a;b\n1,5;2\n".encode("utf-16"), "x.csv")
    assert semicolons is not None and semicolons.header == ("a", "b") and semicolons.rows == (("1,5", "2"),)
    numbers = previews.table_of(b"1\t2\n3\t4\n", "x.tsv")
    assert numbers is not None and not numbers.header and numbers.numeric == (True, True)
    uneven = previews.table_of(b"a,b,c\n1\n1,2,3,4\n", "x.csv")
    assert uneven is not None and [len(row) for row in (uneven.header, *uneven.rows)] == [4, 4, 4]
    assert previews.table_of(b"", "x.csv") is None


def test_hostile_tables_are_bounded() -> None:
    assert previews.table_of(b'"' + b"x" * 200_000, "x.csv") is None  # a field longer than any table has
    wide = previews.table_of(b",".join([b"1"] * 5000), "x.csv")
    assert wide is not None and len(wide.rows[0]) == previews.COLUMNS and wide.cut_columns
    assert previews.table_of(b"," * 200_000, "x.csv") is None
    long = previews.table_of(b"a,b\n" + b"y" * 9000 + b",1\n", "x.csv")
    assert long is not None and len(long.rows[0][0]) == previews.CELL_CHARS
    part = previews.table_of(b"a,b\n1,2\n3,", "x.csv", more=True)
    assert part is not None and part.rows == (("1", "2"),) and part.cut_rows


def test_json_is_a_bounded_tree() -> None:
    tree = previews.tree_of(json.dumps({"cv": 0.18612345, "name": "<b>", "on": True, "list": [1, [2]]}).encode())
    assert tree is not None
    assert [(node.key, node.kind, node.text) for node in tree.members[:3]] == [
        ("cv", "number", "0.18612345"), ("name", "string", '"<b>"'), ("on", "word", "true"),
    ]  # fmt: skip
    wide = previews.tree_of(json.dumps(list(range(100_000))).encode())
    assert wide is not None and wide.cut and len(wide.members) < previews.NODES and wide.size == 100_000
    assert previews.tree_of(b"[" * 200_000) is None
    deep = previews.tree_of(b"[" * 200 + b"]" * 200)
    assert deep is not None and depth(deep) == previews.DEPTH + 1
    assert previews.tree_of(b"9" * 10_000) is None
    assert previews.tree_of(b"{") is None


def depth(node: Node) -> int:
    return 1 + max((depth(member) for member in node.members), default=0)


def test_text_shows_no_hidden_letters() -> None:
    shown = previews.text_of("a\u202egnp.exe\x1b[31m\r\nb\tc".encode())
    assert shown.text == "a\ufffdgnp.exe\ufffd[31m\nb\tc" and not shown.cut
    long = previews.text_of(b"x" * 100_000)
    assert len(long.text) == previews.LINE_CHARS and long.cut
    many = previews.text_of(b"\n" * 10_000)
    assert many.text.count("\n") < previews.LINES and many.cut
    assert previews.text_of(b"\xff\xfe\xff").text  # UTF-16 that breaks off


@given(st.binary(max_size=3000), st.sampled_from(["a.csv", "a.tsv", "a.json", "a.txt", "a.md", "a"]))
def test_anything_is_shown_or_refused(content: bytes, name: str) -> None:
    previews.kind_of(name, content)
    previews.table_of(content, name)
    previews.tree_of(content)
    previews.text_of(content)


@pytest.mark.parametrize("digits", [100, 100_000])
def test_a_table_whose_header_is_one_long_cell_is_read_at_once(digits: int) -> None:
    """A pattern over the whole cell took minutes, and all of the server stood still."""
    table = previews.table_of(f"{'1' * digits}x,b\n1,2\n".encode(), "long.csv")
    assert table is not None and table.rows == (("1", "2"),)


def test_halves_of_letters_are_not_shown() -> None:
    tree = previews.tree_of(b'{"a": "x\\ud800y"}')
    assert tree is not None
    tree.members[0].text.encode()
    previews.plain("name-\udcff.txt").encode()
