"""``services.job_files``: values to URIs and back."""

from typing import Any
from urllib.parse import unquote

import pytest

from sirdar.domain.app import FileRef
from sirdar.services.job_files import InlineFile, find_job_file, inputs_with_uris, job_prefix, result_with_uris
from sirdar.store.files import TaskOfFiles


def _ref(name: str, letter: str = "a") -> FileRef:
    return FileRef(name, letter * 64, 3)


INPUTS: dict[str, Any] = {
    "data": _ref("a b.csv").to_json(),
    "parts": [_ref("x.txt", "b").to_json(), _ref("x.txt", "c").to_json()],
    "power": 2,
    "object": {"$files": 1},
}
TASK = TaskOfFiles(
    result={
        "total": 5,
        "plot": _ref("plot.png").to_json(),
        "other": _ref("plot.png", "b").to_json(),
        "many": [_ref("1.txt", "c").to_json(), _ref("plot.png", "d").to_json()],
    },
    stdout={"size": 5, "text": "hello"},
    stderr={"size": 90000, "sha256": "e" * 64, "omitted": 1000},
    debug=_ref("debug.zip", "f").to_json(),
)


def _find(uri: str, prefix: str) -> FileRef | InlineFile | None:
    assert uri.startswith(prefix)
    return find_job_file(INPUTS, TASK, unquote(uri.removeprefix(prefix)).split("/"))


def test_every_file_of_the_inputs_has_a_uri_that_finds_it() -> None:
    prefix = job_prefix("j1")
    shown = inputs_with_uris(INPUTS, prefix)
    assert shown["data"] == "/api/files/jobs/j1/inputs/data/a%20b.csv"
    assert shown["parts"][1] == "/api/files/jobs/j1/inputs/parts/1/x.txt"
    assert (shown["power"], shown["object"]) == (2, {"$files": 1})
    assert _find(shown["data"], prefix) == _ref("a b.csv")
    assert [_find(uri, prefix) for uri in shown["parts"]] == [_ref("x.txt", "b"), _ref("x.txt", "c")]


def test_outputs_have_short_uris_unless_another_has_the_name() -> None:
    prefix = job_prefix("j1", 7)
    shown = result_with_uris(TASK.result, prefix)
    assert shown["total"] == 5
    assert shown["plot"] == "/api/files/jobs/j1/tasks/7/plot.png"
    assert shown["other"] == "/api/files/jobs/j1/tasks/7/outputs/other/plot.png"
    assert shown["many"] == [
        "/api/files/jobs/j1/tasks/7/1.txt",
        "/api/files/jobs/j1/tasks/7/outputs/many/1/plot.png",
    ]
    for uri, digest in ((shown["plot"], "a"), (shown["other"], "b"), (shown["many"][0], "c"), (shown["many"][1], "d")):
        found = _find(uri, prefix)
        assert isinstance(found, FileRef) and found.sha256 == digest * 64


def test_streams_and_the_debug_archive() -> None:
    assert find_job_file(INPUTS, TASK, ["stdout"]) == InlineFile("stdout", b"hello")
    assert find_job_file(INPUTS, TASK, ["stderr"]) == FileRef("stderr", "e" * 64, 89000)
    assert find_job_file(INPUTS, TASK, ["debug.zip"]) == _ref("debug.zip", "f")
    silent = TaskOfFiles({}, None, None, None)
    assert find_job_file(INPUTS, silent, ["stdout"]) == InlineFile("stdout", b"")


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "inputs/data/other.csv",
        "inputs/data",
        "inputs",
        "inputs/nothing/a",
        "inputs/parts/2/x.txt",
        "inputs/parts/-1/x.txt",
        "inputs/parts/x.txt",
        "inputs/data/0/a b.csv",
        "inputs/power/2",
        "outputs/total/5",
        "plot.png/",
        "../plot.png",
        "",
    ],
)
def test_other_paths_find_nothing(path: str) -> None:
    assert find_job_file(INPUTS, TASK, path.split("/")) is None
    assert find_job_file(INPUTS, None, path.split("/")) is None
