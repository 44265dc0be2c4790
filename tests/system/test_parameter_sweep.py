"""Everest's parameter sweep through the real product: a plan and an archive in, an archive of results and a table out."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.product import Product, problem

APP = "sirdar/parameter-sweep"
PLAN = """# the well-known test function
parameter x from -1 to 1 step 0.5
parameter name "first one" second   # two words in one value

constraint $x != 0.5 && $x < 2
input_files bin/run.sh data-${x}.txt \\
    @options.txt
command sh bin/run.sh ${x} '${name}' ${HOME:-none}
output_files @values.txt out/${x}.log stdout
criterion min $error
"""
RUN = """echo "x=$1 name=$2 data=$(cat data-$1.txt)"
cat options.txt
mkdir -p out && echo "$1" > out/$1.log
[ "$1" = 1.0 ] && [ "$2" = second ] && exit 4
cp options.txt values.txt
echo "# a comment" >> values.txt
"""


def zipped(**more: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("bin/run.sh", RUN)
        archive.writestr("options.txt", "error = ${x}\nlabel: ${name}\n")
        for x in ("-1.0", "-0.5", "0.0", "1.0"):
            archive.writestr(f"data-{x}.txt", f"data of {x}")
        for path, text in more.items():
            archive.writestr(path, text)
    return raw.getvalue()


def submit(sirdar: Product, plan: str, files: bytes | None = None, wait: int = 60) -> httpx.Response:
    inputs: dict[str, Any] = {"plan": sirdar.upload("a.plan", plan.encode())}
    if files is not None:
        inputs["files"] = sirdar.upload("a.zip", files)
    body = {"name": "sweep", "inputs": inputs}
    return sirdar.admin.post(f"/api/apps/{APP}?wait={wait}", json=body, timeout=90)


@pytest.fixture(scope="module")
def done(sirdar: Product) -> dict[str, Any]:
    reply = submit(sirdar, PLAN, zipped())
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def unzipped(sirdar: Product, uri: str) -> dict[str, str]:
    reply = sirdar.admin.get(uri)
    assert reply.status_code == 200
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info).decode() for info in archive.infolist()}


def test_what_is_made_while_downloaded_is_no_input_and_the_error_says_so(sirdar: Product, done: dict[str, Any]) -> None:
    for name in ("results", "table"):
        given = {"plan": done["result"][name]}
        found = problem(
            sirdar.admin.post(f"/api/apps/{APP}", json={"inputs": given}), 422, "invalid_input", "inputs.plan"
        )
        assert (
            "is made when it is downloaded; download it and upload it, or name the files of single tasks"
            in found["detail"]
        )
        assert "has no file" not in found["detail"]


def test_each_task_has_a_folder_with_its_parameters_and_files(sirdar: Product, done: dict[str, Any]) -> None:
    assert done["state"] == "DONE", done["info"]
    assert (done["tasks"]["total"], done["tasks"]["done"], done["tasks"]["failed"]) == (8, 7, 1)
    found = unzipped(sirdar, done["result"]["results"])
    assert found["0/parameters.txt"] == "x = -1.0\nname = first one\n"
    assert found["1/out/-1.0.log"] == "-1.0\n"
    assert "x=-1.0 name=second data=data of -1.0\nerror = -1.0\nlabel: second\n" in found["1/stdout"]
    assert found["3/values.txt"].startswith("error = -0.5\n")
    assert found["7/parameters.txt"] == "x = 1.0\nname = second\n", "a failed task has its folder"
    assert "name=second" in found["7/stdout"]
    assert "7/values.txt" not in found


def test_the_best_task_is_marked_and_comes_first(sirdar: Product, done: dict[str, Any]) -> None:
    assert done["best"]["task"] == 0
    assert (done["best"]["value"], done["best"]["inputs"]["x"]) == (-1.0, -1.0)
    shown = sirdar.admin.get(f"/api/jobs/{done['id']}").json()
    assert not [name for name in (*shown["best"]["inputs"], *shown["varying"]) if name.startswith("input_files_")]
    greatest = submit(sirdar, PLAN.replace("criterion min", "criterion max"), zipped()).json()
    assert (greatest["best"]["task"], greatest["best"]["value"]) == (6, 1.0)
    folders = list(dict.fromkeys(name.partition("/")[0] for name in unzipped(sirdar, greatest["result"]["results"])))
    assert folders == ["6", "4", "5", "2", "3", "0", "1", "7"]


def test_a_plot_shows_what_the_plan_seeks(sirdar: Product, done: dict[str, Any]) -> None:
    plot = sirdar.admin.get(f"/api/jobs/{done['id']}/plot").json()
    assert plot["sense"] == "min"
    assert "-1" in json.dumps(plot["best"])


def test_the_table_holds_parameters_values_states_and_times(sirdar: Product, done: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(sirdar.admin.get(done["result"]["table"]).text)))
    assert [row["inputs.x"] for row in rows] == ["-1.0", "-1.0", "-0.5", "-0.5", "0.0", "0.0", "1.0", "1.0"]
    assert [row["outputs.error"] for row in rows[:3]] == ["-1.0", "-1.0", "-0.5"]
    assert rows[1]["outputs.label"] == "second"
    assert (rows[6]["state"], rows[7]["state"], rows[7]["outputs.error"]) == ("DONE", "FAILED", "")
    assert float(rows[0]["runS"]) >= 0
    sorted_rows = sirdar.admin.get(f"/api/jobs/{done['id']}/tasks?sort=-outputs.error&limit=2").json()
    assert [row["no"] for row in sorted_rows] == [6, 4]


def test_it_looks_like_a_job_of_the_application(sirdar: Product, done: dict[str, Any]) -> None:
    made = submit(sirdar, PLAN, zipped(), wait=0).json()
    assert (done["appVersion"], made["appVersion"]) == (1, 1)
    assert set(done["inputs"]) == {"plan", "files"}
    assert sirdar.admin.get(done["inputs"]["plan"]).text == PLAN
    listed = sirdar.admin.get(f"/api/jobs?app={APP}").json()
    assert done["id"] in [job["id"] for job in listed]
    versions = sirdar.admin.get(f"/api/apps/{APP}/versions").json()
    assert [version["version"] for version in versions] == [1]
    assert sirdar.admin.get(f"/jobs/{done['id']}", headers={"accept": "text/html"}).status_code in (200, 303)


def test_plans_that_differ_in_values_share_a_version(sirdar: Product, done: dict[str, Any]) -> None:
    hidden = "SELECT count(*) FROM versions WHERE number < 0"
    before = sirdar.rows(hidden)
    reply = submit(sirdar, PLAN.replace("-1 to 1", "-1 to 0"), zipped(**{"bin/other": "x"}))
    assert reply.json()["tasks"]["total"] == 6
    assert sirdar.rows(hidden) == before


def test_failed_tasks_are_run_again_alone(sirdar: Product, done: dict[str, Any]) -> None:
    reply = sirdar.admin.post(f"/api/jobs/{done['id']}/resubmit", json={"only": "failed"})
    assert reply.status_code in (200, 201), reply.text
    again = sirdar.ended(reply.json()["id"])
    assert (again["tasks"]["total"], again["tasks"]["failed"]) == (1, 1)
    assert unzipped(sirdar, again["result"]["results"])["0/parameters.txt"] == "x = 1.0\nname = second\n"
    reply = sirdar.admin.post(f"/api/jobs/{done['id']}/resubmit", json={})
    whole = sirdar.ended(reply.json()["id"])
    assert (whole["tasks"]["total"], whole["tasks"]["done"]) == (8, 7)
    plan = sirdar.upload("b.plan", PLAN.replace("-1 to 1", "0 to 0").encode())
    reply = sirdar.admin.post(f"/api/jobs/{done['id']}/resubmit", json={"inputs": {"plan": plan}})
    other = sirdar.ended(reply.json()["id"])
    assert (other["tasks"]["total"], other["tasks"]["done"]) == (2, 2)
    assert (other["againOf"], other["criterion"]) == (done["id"], {"minimize": "error"})
    key = {"idempotency-key": "again and again"}
    both = [
        sirdar.admin.post(f"/api/jobs/{done['id']}/resubmit", json={"inputs": {"plan": plan}}, headers=key).json()["id"]
        for _ in range(2)
    ]
    assert both[0] == both[1]
    body = {"inputs": {"plan": plan}, "only": "failed"}
    problem(sirdar.admin.post(f"/api/jobs/{done['id']}/resubmit", json=body), 422, "invalid_field", "only")


@pytest.mark.parametrize("value", ["{outside}", "../../../../{name}", "bin/../../../{name}", "/etc/hostname"])
def test_a_value_leads_to_no_file_outside_the_archive(sirdar: Product, tmp_path: Path, value: str) -> None:
    outside = tmp_path / "victim.txt"
    outside.write_text("mine")
    wanted = value.format(outside=outside, name=outside.relative_to("/"))
    plan = f"parameter x {wanted} b\ninput_files ${{x}}\ncommand cat *\noutput_files stdout"
    found = problem(submit(sirdar, plan, zipped(b="x")), 422, "invalid_input", "plan:2")
    assert "slash" in found["detail"] or "leads out" in found["detail"] or "absolute" in found["detail"]
    assert outside.read_text() == "mine"


def test_one_value_and_other_inputs(sirdar: Product) -> None:
    plan = sirdar.upload("a.plan", b"parameter x 1\ncommand echo ${x}\noutput_files stdout")
    job = sirdar.run(APP, {"plan": plan})
    other = sirdar.upload("a.plan", b"parameter x 2 3\ncommand echo ${x}\noutput_files stdout")
    reply = sirdar.admin.post(f"/api/jobs/{job['id']}/resubmit", json={"inputs": {"plan": other}})
    assert reply.status_code in (200, 201), reply.text
    assert sirdar.ended(reply.json()["id"])["tasks"]["total"] == 2


def test_numbers_keep_their_zeros_and_programs_their_bits(sirdar: Product) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo("show")
        info.create_system, info.external_attr = 3, 0o100755 << 16
        archive.writestr(info, "#!/bin/sh\necho case $1 ${n}\n")
    plan = "parameter n 001 010\nconstraint $n > 5\ninput_files @show\ncommand ./show ${n}\noutput_files stdout"
    job = submit(sirdar, plan, raw.getvalue()).json()
    assert job["tasks"]["total"] == 1
    assert unzipped(sirdar, job["result"]["results"]) == {
        "0/parameters.txt": "n = 010\n",
        "0/stdout": "case 010 010\n",
    }


WRONG = [
    ("a line that is none", "parameters x 1 2\ncommand true", "plan:1", "did you mean parameter"),
    ("a constraint of nothing", "parameter x 1 2\nconstraint $y < 1\ncommand true", "plan:2", "no parameter y"),
    ("no command", "parameter x 1 2", "plan", "no command"),
    ("nothing is left", "parameter x 1 2\nconstraint $x > 5\ncommand true", "inputs.plan", "none of the 2"),
    ("a name that is taken", "parameter files 1 2\ncommand true", "plan", "cannot be called files"),
    (
        "a member that is not there",
        "parameter x 1 2\ninput_files data-${x}.txt\ncommand true",
        "plan:2",
        "a.zip has no file data-1.txt, data-2.txt; did you mean data-1.0.txt?",
    ),
    ("a path that climbs", "parameter x 1 2\ninput_files ../x\ncommand true", "plan:2", "no path below"),
    ("a zero byte", "parameter x 1 2\ncommand true\0", "plan:2", "zero byte"),
    ("a folder by a parameter", "parameter x 1 2\ninput_files ${x}/a\ncommand true", "plan:2", "not of its folder"),
]


@pytest.mark.parametrize(("plan", "field", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_plan_is_refused_at_its_line(sirdar: Product, plan: str, field: str, says: str) -> None:
    before = sirdar.counts()["jobs"]
    found = problem(submit(sirdar, plan, zipped()), 422, "invalid_input", field)
    assert says in json.dumps(found)
    assert sirdar.counts()["jobs"] == before


def test_all_files_that_are_not_in_the_archive_are_told_by_line(sirdar: Product) -> None:
    plan = (
        "parameter x -0.5 7.5 8.5\ninput_files bin/run.sh bin/rum.sh\n# a comment\ninput_files data-${x}.txt \\\n  more.txt\n"
        "command true\ninput_files data-${x}.txt more.txt"
    )
    found = problem(submit(sirdar, plan, zipped()), 422, "invalid_input", "plan:2")
    assert [
        (error["field"], error["detail"].partition(";")[0].partition(". It holds")[0]) for error in found["errors"]
    ] == [
        ("plan:2", "a.zip has no file bin/rum.sh"),
        ("plan:4", "a.zip has no file data-7.5.txt, data-8.5.txt, more.txt"),
    ]
    wrong = plan.replace("command true", "command true\nconstraint $y > 1")
    found = problem(submit(sirdar, wrong, zipped()), 422, "invalid_input", "plan:2")
    assert [error["field"] for error in found["errors"]] == ["plan:2", "plan:4", "plan:7"]
    assert "no parameter y" in found["errors"][2]["detail"]
    assert "more.txt" in found["errors"][1]["detail"]


def test_files_that_are_needed_and_not_given(sirdar: Product) -> None:
    plan = "parameter x 1 2\ninput_files run.sh\ncommand sh run.sh"
    assert "run.sh" in problem(submit(sirdar, plan), 422, "invalid_input", "inputs.files")["detail"]
    found = problem(submit(sirdar, plan, b"no zip"), 422, "invalid_archive")
    assert "a.zip" in found["detail"]


def test_values_of_any_application_may_name_themselves(sirdar: Product) -> None:
    app = sirdar.publish(
        "self-named",
        "printf 'alpha = %s\\nnote: fine\\n' $n > $n.txt",
        shell=True,
        inputs={"n": {"type": "integer", "required": True}},
        outputs={"found": {"type": "values", "from": "${n}.txt"}, "kept": {"type": "file", "from": "${n}.txt"}},
    )
    job = sirdar.run(app, foreach=[{"n": 3}, {"n": 4}])
    assert [task["alpha"] for task in job["result"]] == [3, 4]
    assert job["result"][1]["kept"].endswith("/4.txt")
    names = [column["name"] for column in sirdar.admin.get(f"/api/jobs/{job['id']}/table").json()["columns"]]
    assert {"outputs.alpha", "outputs.note"} <= set(names)
