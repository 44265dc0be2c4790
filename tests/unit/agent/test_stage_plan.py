"""Names of files in a task's directory: the author's stand, an uploader's give way."""

from pathlib import Path
from typing import Any

import pytest

from sirdar.agent.attempts import Attempt, Common
from sirdar.agent.stage_in import link_code, own_file, place, render_task, write_rendered
from sirdar.agent.stage_plan import Plan, StageError, plan
from sirdar.wire.agent import OfferedJob, Program
from sirdar.wire.description_document import parse_document

SHA = {"app": "a" * 64, "input": "b" * 64}


def ref(name: str) -> dict[str, Any]:
    return {"$file": {"name": name, "sha256": SHA["input"], "size": 5}}


def planned(inputs: dict[str, Any], given: dict[str, Any], files: tuple[str, ...] = (), **more: Any) -> Plan:
    return plan(Attempt("j-0-0", "j", {}, {}, "t"), common(inputs, given, files, **more))


def common(inputs: dict[str, Any], given: dict[str, Any], files: tuple[str, ...] = (), **more: Any) -> Common:
    specs = [{"name": name, **spec} for name, spec in inputs.items()]
    document = {"sirdar": 1, "alias": "a", "inputs": specs, "command": ["true"], **more}
    program = Program(description=document, files=[(path, SHA["app"], 5, 0o644) for path in files])
    return Common(OfferedJob(program="p", inputs=given), program, parse_document(document))


@pytest.mark.parametrize("name", ["sumsq.py", "./sumsq.py", "lib", "lib/mod.py", "stdout", "params.json", "conf.ini"])
def test_an_upload_never_takes_the_place_of_what_the_author_put_there(name: str) -> None:
    made = planned(
        {"data": {"type": "file"}, "mode": {"type": "string", "path": "conf.ini"}},
        {"data": ref(name), "mode": "x"},
        ("sumsq.py", "lib/mod.py"),
        params="params.json",
    )
    assert made.staged == {"data": f"data/{name.removeprefix('./')}"}
    assert len({file.path for file in made.files}) == 3


def test_a_file_in_the_place_of_the_folder_is_avoided_too() -> None:
    made = planned({"data": {"type": "file"}}, {"data": ref("run.sh/x")}, ("run.sh", "data", "data-1/run.sh/x"))
    assert made.staged == {"data": "data-2/run.sh/x"}


def test_the_author_may_let_an_input_replace_a_file() -> None:
    made = planned({"data": {"type": "file", "path": "table.csv"}}, {"data": ref("mine.csv")}, ("table.csv",))
    assert [(file.path, file.sha256) for file in made.files] == [("table.csv", SHA["app"]), ("table.csv", SHA["input"])]


def test_inputs_of_one_name_do_not_collide() -> None:
    inputs = {"one": {"type": "file"}, "two": {"type": "file"}, "more": {"type": "files"}, "all": {"type": "directory"}}
    many = [ref("a.csv"), ref("a.csv"), ref("b.csv")]
    made = planned(inputs, {"one": ref("a.csv"), "two": ref("a.csv"), "more": many, "all": ref("a.csv")})
    assert made.staged == {
        "one": "a.csv",
        "two": "two/a.csv",
        "more": ["more/0/a.csv", "more/1/a.csv", "b.csv"],
        "all": "all",
    }


def test_a_folder_of_an_input_is_kept_free_of_uploads() -> None:
    inputs = {"one": {"type": "file"}, "all": {"type": "directory"}, "into": {"type": "files", "path": "data"}}
    given = {"one": ref("all"), "all": ref("x.zip"), "into": [ref("known.csv"), ref("new.csv")]}
    made = planned(inputs, given, ("data/known.csv",))
    assert made.staged == {"one": "one/all", "all": "all", "into": ["data/0/known.csv", "data/new.csv"]}
    assert planned(inputs, {"one": ref("data")}, ("data/known.csv",)).staged == {"one": "one/data"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".", "", "a/../../b", "x\0y"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(StageError, match="cannot be the name of a file"):
        planned({"data": {"type": "file"}}, {"data": ref(name)})


def test_templates_are_the_applications_own_and_code_on_the_resource_is_not_written_to(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "conf").mkdir(parents=True)
    (code / "conf/run.tpl").write_text("n=${n}")
    (code / "conf/rest").write_text("rest")
    (code / "model.py").write_text("the model")
    upload = tmp_path / "upload"
    upload.write_text("evil!")
    target = tmp_path / "slot/dir"
    target.mkdir(parents=True)
    one = common(
        {"data": {"type": "file"}, "n": {"type": "integer"}},
        {"data": ref("model.py"), "n": 3},
        templates={"conf/run.ini": "conf/run.tpl"},
        code={"path": str(code)},
    )
    made = plan(Attempt("j-0-0", "j", {}, {}, "t"), one)
    place(made, target, lambda _: upload, link_over_bytes=1000)
    rendered = render_task(one.app, made)
    write_rendered(rendered, target.parent, lambda path: own_file(one, lambda _: None, path))
    link_code(one.app, target)
    assert (target / "model.py").read_text() == "the model"
    assert (target / "data/model.py").read_text() == "evil!"
    assert (target / "conf/run.ini").read_text() == "n=3"
    assert (target / "conf/rest").read_text() == "rest"
    assert sorted(path.name for path in (code / "conf").iterdir()) == ["rest", "run.tpl"]


def test_a_template_that_an_input_replaces_is_still_the_applications(tmp_path: Path) -> None:
    own, upload = tmp_path / "own", tmp_path / "upload"
    own.write_text("n=${n}")
    upload.write_text("evil!")
    target = tmp_path / "slot/dir"
    target.mkdir(parents=True)
    one = common(
        {"data": {"type": "file", "path": "run.tpl"}, "n": {"type": "integer"}},
        {"data": ref("x"), "n": 3},
        ("run.tpl",),
        templates={"run.ini": "run.tpl"},
    )
    made = plan(Attempt("j-0-0", "j", {}, {}, "t"), one)

    def find(sha256: str) -> Path:
        return own if sha256 == SHA["app"] else upload

    own.write_bytes(b"n=${n")  # five bytes, as planned
    place(made, target, find, link_over_bytes=1000)
    own.write_text("n=${n}")
    write_rendered(render_task(one.app, made), target.parent, lambda path: own_file(one, find, path))
    assert (target / "run.tpl").read_text() == "evil!"
    assert (target / "run.ini").read_text() == "n=3"
