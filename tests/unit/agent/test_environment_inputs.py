"""What an environment may be made of: versions of Python, lists of requirements, locks."""

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.interpreters import Candidate, fits, in_order, parse_list
from sirdar.agent.environments.locks import check_pylock, check_uv_lock, python_of, read_lock
from sirdar.agent.environments.requirements import included, logical_lines
from sirdar.agent.environments.uv import failure, sentence

# ---------------------------------------------------------------- versions

SIGNS = (">=3.11", ">3.11", "<3.12", "<=3.11", "==3.11.*", "!=3.11.*", "~=3.11", "~=3.11.4", "==3.11.7", "===3.11.7",
         "!=3.11.7", ">=3.10,<3.13", ">=3.10, !=3.12.*, <4", ">=3", "<4,>=3.11.5", "==3.*", "~=3.10.1")  # fmt: skip
VERSIONS = ((3, 8, 0), (3, 10, 13), (3, 11, 0), (3, 11, 4), (3, 11, 7), (3, 12, 1), (3, 13, 0), (4, 0, 1))


@pytest.mark.parametrize("text", SIGNS)
def test_a_set_of_versions_means_what_it_means_elsewhere(text: str) -> None:
    theirs = SpecifierSet(text)
    for version in VERSIONS:
        assert fits(version, text) is theirs.contains(".".join(map(str, version))), (version, text)


def test_a_bare_version_means_its_releases() -> None:
    assert fits((3, 12, 1), "3.12") and fits((3, 12, 1), "3.12.1") and fits((3, 12, 1), " ")
    assert not fits((3, 12, 1), "3.11") and not fits((3, 12, 1), "3.1")


def test_what_is_no_version_is_said() -> None:
    with pytest.raises(EnvironmentFailed, match="'newest' says no versions of Python"):
        fits((3, 12, 1), "newest")


def test_the_python_of_the_path_comes_first_then_the_newest_usual_one() -> None:
    one, two, three = Candidate("/a", (3, 11, 2)), Candidate("/b", (3, 13, 0)), Candidate("/c", (3, 12, 0))
    odd = Candidate("/d", (3, 14, 0), usual=False)
    assert in_order([odd, one, two, three, one], "/a") == [one, two, three, odd]
    assert in_order([odd, one, two, three], None) == [two, three, one, odd]


def test_uvs_list_of_interpreters_is_read() -> None:
    parts = '"version_parts": {"major": 3, "minor": 14, "patch": 0}'
    row = '{"version": "%s", ' + parts + ', "path": "/p%s", "implementation": "%s", "variant": "default"}'
    text = f"[{row % ('3.14.0', 1, 'cpython')}, {row % ('3.14.0rc1', 2, 'cpython')}, {row % ('3.14.0', 3, 'pypy')}]"
    assert parse_list(text) == [
        Candidate("/p1", (3, 14, 0)),
        Candidate("/p2", (3, 14, 0), usual=False),
        Candidate("/p3", (3, 14, 0), usual=False),
    ]
    assert parse_list("no JSON") == [] and parse_list('[{"path": null}]') == []


# ---------------------------------------------------------------- requirements


def files_of(folder: Path, **texts: str) -> dict[str, Path]:
    """By names as ``a__b`` for ``a/b.txt``."""
    found = {}
    for name, text in texts.items():
        path = name.replace("__", "/") + ".txt"
        found[path] = folder / name
        found[path].write_text(text)
    return found


def test_included_files_belong_to_it(tmp_path: Path) -> None:
    files = files_of(
        tmp_path,
        main="one==1  # a comment\n-r more/base.txt\n--constraint=limits.txt\n-cmore/../last.txt\n",
        more__base="two \\\n  >= 2\n--requirement  ../limits.txt\n-r base.txt\n",
        limits="three<4",
        last="",
        stranger="",
    )
    assert included("main.txt", files) == ["main.txt", "more/base.txt", "limits.txt", "last.txt"]


GOOD = (
    "numpy", "numpy==2.0", "numpy >= 2 ; python_version > '3.8'", "a[b,c]~=1.0 --hash=sha256:00", "a @ https://x.org/a.whl",
    "git+https://x.org/a.git@v1", "a@git+https://x.org/a.git", "--index-url https://x.org/simple", "--pre", "--require-hashes",
    "-i https://x.org/simple", "-f https://x.org/all", "https://x.org/a-1-py3-none-any.whl", "b; sys_platform == 'linux'",
    "--no-binary :all:", "c===1.0",
)  # fmt: skip
BAD = {
    "-r /etc/passwd": "lies outside",
    "-r ../secret.txt": "lies outside",
    "-r../../x": "lies outside",
    "-c https://x.org/limits.txt": "only the application's own files",
    "-r nothing.txt": "no file of the application",
    "--requirement='nothing.txt'": "no file of the application",
    "-e .": "editable",
    "--editable ./own": "editable",
    "-e./own": "editable",
    "./own": "names a file",
    "own/": "names a file",
    "/root/own": "names a file",
    "own-1-py3-none-any.whl": "names a file",
    "wheels/own-1-py3-none-any.whl": "names a file",
    "own @ file:///root/own": "names a file",
    "own @ ./own": "names a file",
    "own[x]@/root/own": "names a file",
    "file:///root/own": "names a file",
    "-f /root": "in a directory",
    "--find-links=wheels": "in a directory",
    "-f./x": "in a directory",
    "--index-url file:///root": "a file of the machine",
    "--index-url https://${TOKEN}@x.org": "names a variable",
    "a @ https://x.org/${UV_INDEX_PASSWORD}": "names a variable",
}


@pytest.mark.parametrize("line", GOOD)
def test_what_indexes_and_addresses_have_may_be_asked_for(tmp_path: Path, line: str) -> None:
    assert included("main.txt", files_of(tmp_path, main=line)) == ["main.txt"]


@pytest.mark.parametrize("line", BAD)
def test_files_of_the_machine_may_not(tmp_path: Path, line: str) -> None:
    for text in (line, f"numpy\n  {line}   # why not\n", line.replace(" ", " \\\n ", 1)):
        with pytest.raises(EnvironmentFailed, match=BAD[line]):
            included("main.txt", files_of(tmp_path, main=text))


def test_an_include_that_is_refused_further_down_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"more/base\.txt includes /etc/shadow"):
        included("main.txt", files_of(tmp_path, main="-r more/base.txt", more__base="-r /etc/shadow"))


def test_lines_are_as_the_tools_read_them() -> None:
    assert list(logical_lines("a # b\n#c\n\n d \\\n  e\nhttps://x/#egg=y\n")) == ["a", "d    e", "https://x/#egg=y"]


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "main").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EnvironmentFailed, match=r"main\.txt is not text"):
        included("main.txt", {"main.txt": tmp_path / "main"})


# ---------------------------------------------------------------- locks


def test_a_lock_says_its_pythons_and_names_no_files() -> None:
    lock = read_lock("uv.lock", 'requires-python = ">=3.11"\n[[package]]\nname = "own"\nsource = { virtual = "." }\n')
    assert python_of(lock) == ">=3.11"
    check_uv_lock("uv.lock", lock)


@pytest.mark.parametrize("source", ['{ editable = "../x" }', '{ directory = "x" }', '{ path = "/root/x.whl" }'])
def test_a_uv_lock_with_a_path_is_refused(source: str) -> None:
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock takes x from"):
        check_uv_lock("uv.lock", read_lock("uv.lock", f'[[package]]\nname = "x"\nsource = {source}\n'))


@pytest.mark.parametrize(
    "place",
    ['directory = { path = "../x" }', 'archive = { path = "x.zip" }', 'wheels = [{ path = "x.whl" }]', 'vcs = { path = "/x" }',
     'wheels = [{ url = "file:///root/x.whl" }]', 'sdist = { url = "file:///x" }'],
)  # fmt: skip
def test_a_pylock_with_a_path_is_refused(place: str) -> None:
    with pytest.raises(EnvironmentFailed, match=r"pylock\.toml takes x from"):
        check_pylock("pylock.toml", read_lock("pylock.toml", f'[[packages]]\nname = "x"\n{place}\n'))


def test_a_lock_that_cannot_be_read_is_said() -> None:
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock is not TOML: "):
        read_lock("uv.lock", "this is none")


# ---------------------------------------------------------------- uv's words


def test_a_failure_says_why_in_one_line() -> None:
    log = "$ uv pip install\nUsing Python\nerror: No solution found\n  cause: Because x was not found,\n         we stop\n"
    assert sentence(log) == "No solution found; Because x was not found,; we stop"
    assert sentence("one\n\ntwo\n\n") == "two" and sentence("") == ""


@pytest.mark.parametrize(
    ("line", "transient"),
    [
        ("error: Failed to fetch: `https://x.org/simple/a/`\n  cause: dns error", True),
        ("  cause: tcp connect error\n  cause: Connection refused (os error 111)", True),
        ("error: HTTP status server error (503 Service Unavailable) for url (https://x.org)", True),
        ("error: operation timed out", True),
        ("  cause: failed to write: No space left on device (os error 28)", True),
        ("error: HTTP status client error (404 Not Found) for url (https://x.org)", False),
        ("error: Because x was not found in the package registry", False),
    ],
)
def test_only_an_index_that_cannot_be_reached_may_go_better_later(line: str, transient: bool) -> None:
    assert failure("it failed", line).transient is transient


def test_a_full_disk_is_named() -> None:
    log = "error: Failed to download numpy\n  cause: No space left on device (os error 28)"
    assert str(failure("it failed", log)) == "it failed: the disk of the resource is full"


def test_who_may_not_build_is_told_so() -> None:
    text = "error: Building source distributions is disabled"
    assert "for other people than this machine's owner" in str(failure("it failed", text, may_build=False))
    assert "other people" not in str(failure("it failed", text))
