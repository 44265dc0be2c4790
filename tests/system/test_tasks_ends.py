"""What becomes of a task: every kind of output, every way to end, what is recorded of it, on the real product."""

import io
import json
import re
import signal
import zipfile
from itertools import pairwise
from typing import Any

import pytest
from tests.system.product import Product, await_that

PYTHON = "python3"

MAKE = """
import json, os
open("one.txt", "w").write("one")
for name in ("a.log", "b.log"): open(name, "w").write(name)
os.makedirs("tree/sub"); open("tree/sub/x", "w").write("x"); open("tree/y", "w").write("y")
open("number.txt", "w").write(" 2.5e3\\n")
open("text.txt", "w").write("several\\nwords\\n")
open("flag.txt", "w").write("yes\\n")
json.dump({"deep": {"list": [1, {"x": "found"}]}, "ok": False, "n": 7}, open("values.json", "w"))
open("values.txt", "w").write("# comment\\nTOTAL = 42\\nNAME: Anna B.\\n")
print("step 1 loss=0.5"); print("step 2 loss=0.25")
"""

OUTPUTS: dict[str, dict[str, Any]] = {
    "one": {"type": "file", "from": "one.txt"},
    "logs": {"type": "files", "from": "*.log"},
    "tree": {"type": "directory", "from": "tree"},
    "number": {"type": "number", "from": "number.txt"},
    "text": {"type": "string", "from": "text.txt"},
    "flag": {"type": "boolean", "from": "flag.txt"},
    "all": {"type": "json", "from": "values.json"},
    "deep": {"type": "string", "from": "values.json", "key": "deep.list[1].x"},
    "ok": {"type": "boolean", "from": "values.json", "key": "ok"},
    "total": {"type": "integer", "from": "values.txt", "key": "TOTAL"},
    "name": {"type": "string", "from": "values.txt", "key": "NAME"},
    "loss": {"type": "number", "from": "stdout", "regex": r"loss=([\d.]+)"},
    "words": {"type": "file", "from": "stdout"},
    "none": {"type": "file", "from": "none.txt", "required": False},
    "nothing": {"type": "number", "from": "stdout", "regex": "nothing=(.*)", "required": False},
    "nowhere": {"type": "directory", "from": "nowhere", "required": False},
}


def test_every_kind_of_output(sirdar: Product) -> None:
    app = sirdar.publish("task-outputs", [PYTHON, "make.py"], files={"make.py": MAKE}, outputs=OUTPUTS)
    result = sirdar.run(app)["result"]
    get = sirdar.admin.get
    assert get(result["one"]).text == "one"
    assert [get(uri).text for uri in result["logs"]] == ["a.log", "b.log"]
    with zipfile.ZipFile(io.BytesIO(get(result["tree"]).content)) as packed:
        assert {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")} == {
            "sub/x": b"x",
            "y": b"y",
        }
    assert get(result["words"]).text.startswith("step 1")
    values = {name: value for name, value in result.items() if name not in {"one", "logs", "tree", "words"}}
    assert values == {
        "number": 2500.0,
        "text": "several\nwords",
        "flag": True,
        "all": {"deep": {"list": [1, {"x": "found"}]}, "ok": False, "n": 7},
        "deep": "found",
        "ok": False,
        "total": 42,
        "name": "Anna B.",
        "loss": 0.25,
    }


@pytest.mark.parametrize(
    ("outputs", "reason", "words"),
    [
        ({"a": {"type": "file", "from": "tabel.csv"}}, "output_missing", "tabel.csv"),
        ({"a": {"type": "files", "from": "*.none"}}, "output_missing", "*.none"),
        ({"a": {"type": "directory", "from": "none"}}, "output_missing", "none"),
        ({"a": {"type": "number", "from": "none.txt"}}, "output_missing", "none.txt"),
        ({"a": {"type": "number", "from": "text.txt"}}, "output_invalid", "output a"),
        ({"a": {"type": "number", "from": "values.txt", "key": "TOTLA"}}, "output_invalid", "did you mean TOTAL"),
        ({"a": {"type": "string", "from": "stdout", "regex": "gain=(.*)"}}, "output_invalid", "gain="),
        ({"a": {"type": "file", "from": "one.txt", "max_size": 2}}, "output_limit", "one.txt"),
    ],
)
def test_an_output_that_is_not_as_declared(sirdar: Product, outputs: Any, reason: str, words: str) -> None:
    app = sirdar.publish("task-lacks", [PYTHON, "make.py"], files={"make.py": MAKE}, outputs=outputs)
    job = sirdar.run(app, state="FAILED")
    assert (job["outcome"]["reason"], job["outcome"]["exitCode"]) == (reason, 0)
    assert words in job["info"]


@pytest.mark.parametrize(
    ("command", "more", "reason", "code", "words"),
    [
        (["sh", "-c", "exit 77"], {}, "exit_code", 77, "exit code 77"),
        (["sh", "-c", "kill -KILL $$"], {}, "signal", -signal.SIGKILL, "SIGKILL"),
        (["sleep", "60"], {"resources": {"time": 0.5}, "grace": 1}, "time_limit", -signal.SIGTERM, "0.5 s"),
        ([PYTHON, "-c", "x = b'x' * (900 << 20)"], {"resources": {"memory": "300 MiB"}}, "out_of_memory", None, "300 MiB"),
        (["sh", "-c", "head -c 3000000 /dev/zero > big"], {"resources": {"disk": "1 MB"}}, "output_limit", 0, "grew over"),
        (["no-such-program"], {}, "command_not_found", None, "no-such-program was not found"),
        (["/etc/passwd"], {}, "command_not_found", None, "may not be executed"),
    ],
)  # fmt: skip
def test_ways_to_end(sirdar: Product, command: Any, more: Any, reason: str, code: int | None, words: str) -> None:
    app = sirdar.publish("task-ends", command, **more)
    job = sirdar.run(app, state="FAILED")
    assert job["outcome"]["reason"] == reason
    assert words in job["info"]
    if code is not None:
        assert job["outcome"]["exitCode"] == code
    assert job["attempts"] == 1, "a fault of the program is not tried again"


def test_a_link_that_is_left_out_is_told(sirdar: Product) -> None:
    app = sirdar.publish(
        "link-outputs",
        "echo 1 > a.csv; ln -s /etc/passwd b.csv",
        shell=True,
        outputs={"parts": {"type": "files", "from": "*.csv"}},
    )
    job = sirdar.run(app)
    words = "b.csv was left out: it is a link that leads out of the task's directory"
    assert (job["state"], len(job["result"]["parts"]), job["outcome"]["message"]) == ("DONE", 1, words)
    assert f"is DONE: {words}" in sirdar.admin.get(f"/api/jobs/{job['id']}/log").text
    assert sirdar.admin.get(f"/api/jobs/{job['id']}/explain").json()["summary"] == words


def test_what_is_recorded_of_three_seconds(sirdar: Product) -> None:
    code = "import time\nx = bytearray(40 << 20)\nend = time.time() + 3\nwhile time.time() < end: pass\n"
    app = sirdar.publish("task-burns", [PYTHON, "-c", code])
    job = sirdar.run(app)
    stats = job["stats"]
    assert 3.0 <= job["runS"] < 20
    assert 0.5 < stats["cpuUserS"] + stats["cpuSystemS"] <= job["runS"] + 1
    assert 45 << 20 < stats["maxRssBytes"] < 200 << 20
    usage = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks/0/usage").json()
    curve = usage["points"]
    assert len(curve) >= 2 and usage["live"] is False and usage["attempt"] == 1
    assert all(before["at"] < after["at"] for before, after in pairwise(curve))
    assert all(0 <= point["cpu"] < 2 for point in curve)
    *held, last = [point["memoryBytes"] for point in curve]  # the last look may meet the interpreter as it lets go
    assert max(held) > 40 << 20 and last > 0
    assert usage["limit"] == {"cpus": 1, "memoryBytes": None}
    assert usage["peak"]["memoryBytes"] >= max(stats["maxRssBytes"], *(point["memoryBytes"] for point in curve))
    assert usage["peak"]["cpu"] == max(point["cpu"] for point in curve)
    assert usage["cpuS"] >= stats["cpuUserS"] + stats["cpuSystemS"] - 0.01
    (task,) = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks").json()
    assert task["readyAt"] <= task["startedAt"] <= task["endedAt"]
    assert task["waitS"] >= 0 and task["stageInS"] >= 0 and task["stageOutS"] >= 0
    assert task["resource"]["name"] and task["attempts"] == 1 and task["outcome"]["exitCode"] == 0
    whole = sirdar.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()
    spans = whole["timeline"]
    assert [span["kind"] for span in spans if span["kind"] in {"running", "staging_out"}] == ["running", "staging_out"]
    assert spans[0]["from"] >= job["createdAt"] and all(span["from"] <= span["to"] for span in spans)
    assert all(before["to"] == after["from"] for before, after in pairwise(spans))
    assert spans[-1]["reason"] == "ok" and whole["tries"][0]["stagedAt"] is not None


def test_the_whole_directory_where_it_is_asked_for(sirdar: Product) -> None:
    app = sirdar.publish("task-debug", [PYTHON, "make.py"], files={"make.py": MAKE + "\nraise SystemExit(2)"})
    job = sirdar.run(app, state="FAILED", debug=True)
    content = sirdar.admin.get(job["debugArchive"]).content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert {"make.py", "one.txt", "tree/sub/x"} <= set(packed.namelist())
    assert "debugArchive" not in sirdar.run(app, state="FAILED")


def test_long_streams_are_whole_and_longer_ones_have_a_visible_gap(sirdar: Product) -> None:
    code = "import sys; n = int(sys.argv[1]); sys.stdout.write('a' * n + 'z' * n); sys.stderr.write('e' * 20000)"
    app = sirdar.publish("task-talks", [PYTHON, "-c", code, "${n}"], inputs={"n": {"type": "integer"}})
    job = sirdar.run(app, {"n": 50_000})
    assert sirdar.admin.get(job["stdout"]).text == "a" * 50_000 + "z" * 50_000
    assert sirdar.admin.get(job["stderr"]).text == "e" * 20_000
    job = sirdar.run(app, {"n": 34 << 20})
    raw = b""
    while piece := sirdar.admin.get(job["stdout"], params={"offset": len(raw)}).content:
        raw += piece
    assert raw[: 32 << 20] == b"a" * (32 << 20) and raw[-(32 << 20) :] == b"z" * (32 << 20)
    gap = re.search(rb"\[\.\.\. (\d+) bytes left out here \.\.\.\]", raw)
    assert gap is not None and int(gap[1]) == 4 << 20


def test_code_on_the_resource_and_its_version(sirdar: Product) -> None:
    place = sirdar.root / "opt-model"
    place.mkdir()
    (place / "run.sh").write_text("#!/bin/sh\ncat data/defaults.txt\n")
    (place / "run.sh").chmod(0o755)
    (place / "data").mkdir()
    (place / "data/defaults.txt").write_text("default")
    code = {"path": str(place), "version_command": "sh -c 'echo model 1.4.2'"}
    app = sirdar.publish("task-code", ["./run.sh"], code=code)
    job = sirdar.run(app)
    assert (job["codeVersion"], sirdar.admin.get(job["stdout"]).text) == ("model 1.4.2", "default")
    assert sirdar.job(job["id"])["codeVersion"] == "model 1.4.2"
    many = sirdar.submit(app, foreach=[{}, {}, {}])
    assert sirdar.ended(many["id"])["codeVersion"] == "model 1.4.2"
    bad = sirdar.publish("task-code", ["./run.sh"], code={**code, "version_command": "false"})
    job = sirdar.run(bad)
    assert job["codeVersion"] == "unknown (the version command ended with exit code 1)"


def test_nothing_is_left_in_the_work_directory(sirdar: Product) -> None:
    script = (
        "mkdir -p deep/er && touch deep/er/x .hidden 'a b' && ln -s /etc/passwd link && chmod 500 deep && mkfifo pipe"
    )
    app = sirdar.publish("task-litters", script, shell=True)
    sirdar.run(app)
    sirdar.submit(app, foreach=[{}] * 20)
    work = sirdar.home / "agent/work"
    await_that(lambda: not [p for p in work.glob("*/dir/*") if "task" not in p.name], what="clearing up")
    await_that(
        lambda: not [p for p in work.glob("*/*") if p.name not in {"dir", "stdout", "stderr"}], what="clearing up"
    )
    assert json.loads((sirdar.home / "agent/agent.json").read_text())["pid"]
