"""What changed between two versions, as facts and as lines."""

import difflib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirdar.domain.app import FileEntry
from sirdar.domain.app_diff import MOST_WORK, Change, Field, FileChange, Kind, Line, changes, file_changes, lines
from sirdar.wire.description import parse_yaml, to_document

OLD = """\
sirdar: 1
alias: svf
inputs:
  data: {type: file, required: true}
  folds: {type: integer, default: 7, maximum: 20}
  beta: number
command: python fit.py ${data}
env: {OMP_NUM_THREADS: "1"}
outputs: {fit: fit.png}
resources: {cpus: 1, memory: 1 GiB}
"""


def document(text: str) -> dict[str, Any]:
    return to_document(parse_yaml(text))


def changed(*pairs: tuple[str, str]) -> list[Change]:
    text = OLD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return changes(document(OLD), document(text))


def test_the_same_description_has_no_change() -> None:
    assert changed() == []
    assert changed(("memory: 1 GiB", "memory: 1024 MiB")) == []  # said in other words


def test_inputs_come_go_and_change() -> None:
    found = changed(
        ("default: 7, maximum: 20", "default: 5"), ("  beta: number\n", "  gamma: {type: number, default: 1}\n")
    )
    assert [(one.part, one.name, one.kind) for one in found] == [
        ("input", "folds", Kind.CHANGED),
        ("input", "gamma", Kind.ADDED),
        ("input", "beta", Kind.REMOVED),
    ]
    assert found[0].fields == (Field("default", 7, 5), Field("maximum", 20, None))
    assert found[1].new["default"] == 1


def test_another_order_is_a_change_of_its_own() -> None:
    found = changed(("  beta: number\n", ""), ("inputs:\n", "inputs:\n  beta: number\n"))
    assert found == [Change("inputs", "", Kind.MOVED, ["data", "folds", "beta"], ["beta", "data", "folds"])]


def test_command_resources_variables_and_outputs() -> None:
    found = changed(
        ("python fit.py", "python3 fit.py"), ("cpus: 1", "cpus: 4"), ('"1"', '"4"'), ("fit: fit.png", "plot: fit.png")
    )
    assert {(one.part, one.name, one.kind) for one in found} == {
        ("command", "", Kind.CHANGED),
        ("resource", "cpus", Kind.ADDED),  # one cpu is what stands nowhere
        ("env", "OMP_NUM_THREADS", Kind.CHANGED),
        ("output", "fit", Kind.REMOVED),
        ("output", "plot", Kind.ADDED),
    }


def test_files_are_told_apart_by_digest_and_mode() -> None:
    a, b = "a" * 64, "b" * 64
    old = [FileEntry("fit.py", a, 10), FileEntry("gone.py", a, 10), FileEntry("run.sh", a, 5), FileEntry("same", a, 1)]
    new = [
        FileEntry("fit.py", b, 12),
        FileEntry("new.py", b, 12),
        FileEntry("run.sh", a, 5, 0o755),
        FileEntry("same", a, 1),
    ]
    assert file_changes(old, new) == [
        FileChange("fit.py", Kind.CHANGED, 10, 12),
        FileChange("gone.py", Kind.REMOVED, old_bytes=10),
        FileChange("new.py", Kind.ADDED, new_bytes=12),
        FileChange("run.sh", Kind.CHANGED, 5, 5, mode=True),
    ]


def test_lines_have_the_numbers_of_both_texts() -> None:
    old = "\n".join(f"line {n}" for n in range(1, 21))
    assert lines(old, old) == []
    found = lines(old, old.replace("line 10\n", "line ten\nand more\n"), context=1)
    assert found == [
        Line("@", ""),
        Line(" ", "line 9", 9, 9),
        Line("-", "line 10", old_no=10),
        Line("+", "line ten", new_no=10),
        Line("+", "and more", new_no=11),
        Line(" ", "line 11", 11, 12),
    ]


def test_texts_without_much_in_common_do_not_keep_the_server_busy() -> None:
    old, new = "a\n" * 40_000, "x\n" + "a\nb\n" * 40_000
    found = lines(old, new)
    assert sum(line.mark == "-" for line in found) == 40_000
    assert sum(line.mark == "+" for line in found) == 80_001


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_the_lines_make_the_new_text_of_the_old_one(old: list[str], new: list[str]) -> None:
    found = lines("\n".join(old), "\n".join(new), context=len(old) + len(new) + 1)
    if old == new:
        assert not found
    else:
        assert [line.text for line in found if line.mark in " -"] == old
        assert [line.text for line in found if line.mark in " +"] == new


class _Looks:
    """Counts the lines that difflib goes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        find = difflib.SequenceMatcher.find_longest_match

        def counted(matcher: Any, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Any:
            span = range(alo, len(matcher.a) if ahi is None else ahi)
            self.count += sum(1 + len(matcher.b2j.get(matcher.a[number], ())) for number in span)
            return find(matcher, alo, ahi, blo, bhi)

        monkeypatch.setattr(difflib.SequenceMatcher, "find_longest_match", counted)


def test_texts_of_which_every_second_line_is_equal_are_compared_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """difflib went through all the rest for each of them: 72 KB took 22 seconds."""
    looks = _Looks(monkeypatch)
    old = "".join(f"same {number}\nold {number}\n" for number in range(1_000))
    found = lines(old, old.replace("old", "new"))
    assert looks.count < 10_000
    assert [line.mark for line in found] == [" ", "-", "+"] * 1_000


def test_where_no_line_stands_alone_the_work_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _Looks(monkeypatch)
    twice = "".join(f"same {number}\nold {number}\n" for number in range(600)) * 2
    changed = twice.replace("old", "new")
    found = lines(twice, changed)
    assert looks.count <= MOST_WORK
    assert [line.text for line in found if line.mark in "+ "] == changed.splitlines()


def test_small_changes_of_a_long_file_stand_alone() -> None:
    """Also where lines are moved, and many are equal."""
    old = [f"    value[{number}] = {number}" if number % 3 else "" for number in range(2_000)]
    new = [*old[:100], "one more", *old[100:900], *old[903:1_500], "other", *old[1_501:1_990], "", "last"]
    found = lines("\n".join(old), "\n".join(new), context=0)
    assert sum(line.mark == "+" for line in found) <= 5
    assert sum(line.mark == "-" for line in found) <= 15
