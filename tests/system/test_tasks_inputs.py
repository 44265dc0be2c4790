"""What a task finds: every kind of input, and every way of a value to the program, on the real product."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tests.system.product import Product

PYTHON = "python3"

EVERYTHING: dict[str, dict[str, Any]] = {
    "word": {"type": "string"},
    "lines": {"type": "text"},
    "real": {"type": "number"},
    "count": {"type": "integer"},
    "flag": {"type": "boolean"},
    "mode": {"type": "enum", "values": ["fast", "slow"]},
    "data": {"type": "file"},
    "parts": {"type": "files"},
    "tree": {"type": "directory"},
    "options": {"type": "json"},
    "words": {"type": "list", "items": {"type": "string"}},
    "maybe": {"type": "string", "required": False},
    "key": {"type": "secret", "env": "THE_KEY"},
}

SHOW = """
import hashlib, json, os, sys
found = {"argv": sys.argv[1:], "stdin": sys.stdin.read(), "env": dict(os.environ)}
found["files"] = {}
for root, _, names in os.walk("."):
    for name in names:
        path = os.path.join(root, name)
        found["files"][os.path.relpath(path, ".")] = hashlib.sha256(open(path, "rb").read()).hexdigest()
for path in ("params.json", "filled.ini", "note.txt", "list.txt"):
    if os.path.exists(path):
        found[path] = open(path).read()
key = found["env"].pop("THE_KEY", None)
found["key"] = hashlib.sha256(key.encode()).hexdigest() if key else None
json.dump(found, open("found.json", "w"))
"""

WILD = "a b; $(touch evil) `id` \"quoted\" 'x' ${word} \\ üñí *"


def archive(kind: str) -> bytes:
    into = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(into, "w") as packed:
            packed.writestr("a.txt", "A")
            packed.writestr("sub/b.txt", "B")
    else:
        with tarfile.open(fileobj=into, mode="w:gz") as tar:
            for name, content in (("a.txt", b"A"), ("sub/b.txt", b"B")):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def sha(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def values(sirdar: Product) -> dict[str, Any]:
    return {
        "word": WILD,
        "lines": "one\ntwo\n",
        "real": 1.5e-7,
        "count": -3,
        "flag": True,
        "mode": "slow",
        "data": sirdar.upload("my data.csv", b"1,2\n"),
        "parts": [sirdar.upload("p.txt", b"p0"), sirdar.upload("p.txt", b"p1"), sirdar.upload("q.txt", b"q")],
        "tree": sirdar.upload("tree.zip", archive("zip")),
        "options": {"deep": [1, {"x": None}]},
        "words": ["x y", "-z"],
        "key": "s3cr3t-of-the-test",
    }


def found(sirdar: Product, app: str, inputs: dict[str, Any]) -> dict[str, Any]:
    job = sirdar.run(app, inputs)
    return dict(job["result"]["found"])


def test_words_environment_files_templates_parameters_and_standard_input(sirdar: Product) -> None:
    specs = {name: dict(spec) for name, spec in EVERYTHING.items()}
    specs["real"]["env"] = "REAL"
    specs["lines"]["path"] = "note.txt"
    specs["words"]["path"] = "list.txt"
    app = sirdar.publish(
        "task-inputs",
        [
            PYTHON,
            "show.py",
            "${word}",
            "--n=${count}",
            "${flag}",
            "${mode}",
            "${data}",
            "${parts}",
            "${tree}",
            "${maybe}",
            "${words}",
            "${options}",
            "$${word}",
        ],
        files={"show.py": SHOW, "conf.tpl": "word=${word}\nreal=${real}\nother=${HOME}\n"},
        inputs=specs,
        env={"GREETING": "count is ${count}"},
        templates={"filled.ini": "conf.tpl"},
        params="params.json",
        stdin="word: ${word}",
        outputs={"found": {"type": "json", "from": "found.json"}},
    )
    seen = found(sirdar, app, values(sirdar))
    parts = ["p.txt", "parts/1/p.txt", "q.txt"]
    assert seen["argv"] == [
        WILD, "--n=-3", "true", "slow", "my data.csv", *parts, "tree", "x y", "-z", '{"deep":[1,{"x":null}]}', "${word}",
    ]  # fmt: skip
    assert seen["stdin"] == f"word: {WILD}"
    assert seen["env"]["GREETING"] == "count is -3"
    assert seen["env"]["REAL"] == "1.5e-07"
    assert seen["note.txt"] == "one\ntwo\n"
    assert seen["list.txt"] == "x y\n-z\n"
    assert seen["filled.ini"] == f"word={WILD}\nreal=1.5e-07\nother=${{HOME}}\n"
    given = json.loads(seen["params.json"])
    assert given["word"] == WILD and given["count"] == -3 and given["flag"] is True and given["real"] == 1.5e-7
    assert given["data"] == "my data.csv" and given["parts"] == parts and given["options"] == {"deep": [1, {"x": None}]}
    assert "maybe" not in given and "key" not in given
    assert seen["key"] == sha("s3cr3t-of-the-test")
    files = seen["files"]
    assert files["my data.csv"] == sha("1,2\n")
    assert [files[path] for path in parts] == [sha("p0"), sha("p1"), sha("q")]
    assert (files["tree/a.txt"], files["tree/sub/b.txt"]) == (sha("A"), sha("B"))
    assert "evil" not in files


def test_a_shell_gets_values_as_variables(sirdar: Product) -> None:
    app = sirdar.publish(
        "task-shell",
        'printf "%s|%s|%s|%s" "$word" "$count" "${maybe-unset}" "$data"; cat "$data" | wc -c >&2',
        shell=True,
        inputs={name: EVERYTHING[name] for name in ("word", "count", "data", "maybe")},
    )
    job = sirdar.run(app, {name: values(sirdar)[name] for name in ("word", "count", "data")})
    assert sirdar.admin.get(job["stdout"]).text == f"{WILD}|-3|unset|my data.csv"
    assert sirdar.admin.get(job["stderr"]).text.strip() == "4"


def test_standard_input_from_a_file_and_files_at_a_path(sirdar: Product) -> None:
    app = sirdar.publish(
        "task-stdin",
        [PYTHON, "show.py"],
        files={"show.py": SHOW, "in/known.txt": "known"},
        inputs={
            "data": {"type": "file"},
            "here": {"type": "file", "path": "in/table.csv"},
            "tree": {"type": "directory", "path": "deep/tree"},
            "parts": {"type": "files", "path": "in"},
        },
        stdin="data",
        outputs={"found": {"type": "json", "from": "found.json"}},
    )
    given = {
        "data": sirdar.upload("show.py", b"import os; os._exit(9)"),  # would replace the program
        "here": sirdar.upload("x.csv", b"x"),
        "tree": sirdar.upload("tree.tgz", archive("tgz")),
        "parts": [sirdar.upload("known.txt", b"other"), sirdar.upload("table.csv", b"other")],
    }
    seen = found(sirdar, app, given)
    assert seen["stdin"] == "import os; os._exit(9)"
    assert seen["files"]["show.py"] == sha(SHOW)
    assert seen["files"]["in/known.txt"] == sha("known")
    assert seen["files"]["in/table.csv"] == sha("x")
    assert seen["files"]["deep/tree/sub/b.txt"] == sha("B")
    assert sorted(path for path, digest in seen["files"].items() if digest == sha("other")) == [
        "in/0/known.txt",
        "in/1/table.csv",
    ]


def test_two_hundred_files_and_a_large_one_that_is_shared(sirdar: Product) -> None:
    many = [sirdar.upload(f"f{number:03}.txt", f"{number}".encode()) for number in range(200)]
    large = sirdar.upload("large.bin", b"\0" * (5 << 20))
    code = "import sys; print(sum(int(open(p).read()) for p in sys.argv[2:]), len(open(sys.argv[1], 'rb').read()))"
    app = sirdar.publish(
        "task-many",
        [PYTHON, "-c", code, "${large}", "${many}"],
        inputs={"large": {"type": "file"}, "many": {"type": "files"}},
    )
    job = sirdar.run(app, {"large": large, "many": many})
    assert sirdar.admin.get(job["stdout"]).text == f"{sum(range(200))} {5 << 20}\n"
    assert job["stats"]["stagedInBytes"] == (5 << 20) + sum(len(str(number)) for number in range(200))


def test_a_program_that_changes_a_shared_input_is_found_out(sirdar: Product) -> None:
    code = "import os, sys; os.chmod(sys.argv[1], 0o644); f = open(sys.argv[1], 'r+b'); f.write(b'changed')"
    shared = sirdar.publish("task-spoils", [PYTHON, "-c", code, "${data}"], inputs={"data": {"type": "file"}})
    private = sirdar.publish(
        "task-writes",
        [PYTHON, "-c", code, "${data}"],
        inputs={"data": {"type": "file", "writable": True}},
        outputs={"data": {"type": "file", "from": "large.bin"}},
    )
    content = b"7" * (5 << 20)
    uri = sirdar.upload("large.bin", content)
    job = sirdar.run(private, {"data": uri})
    assert sirdar.admin.get(job["result"]["data"]).content == b"changed" + content[7:]
    assert sirdar.admin.get(job["inputs"]["data"]).content == content, "the input itself is whole"
    job = sirdar.run(shared, {"data": uri}, state=None)
    if job["state"] == "DONE":  # a file system that shares blocks until one side writes
        assert sirdar.admin.get(job["inputs"]["data"]).content == content
        return
    assert job["outcome"]["reason"] == "input_changed", job["outcome"]
    assert "large.bin" in job["info"] and "writable: true" in job["info"]
    assert sirdar.admin.get(job["inputs"]["data"]).status_code in {404, 410}, "spoiled bytes are given to nobody"
    again = sirdar.run(private, {"data": sirdar.upload("large.bin", content)})
    assert again["state"] == "DONE"
    assert sirdar.admin.get(job["inputs"]["data"]).content == content, "an upload of the same bytes makes it whole"


def test_the_environment_is_clean(sirdar: Product) -> None:
    app = sirdar.publish("task-env", "env; pwd; ls -A; echo $$; cat /proc/$PPID/environ | tr '\\0' '\\n'", shell=True)
    job = sirdar.run(app)
    text = sirdar.admin.get(job["stdout"]).text
    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert {
        "SIRDAR_URL",
        "SIRDAR_TOKEN",
        "SIRDAR_JOB_ID",
        "SIRDAR_TASK_ID",
        "SIRDAR_MESSAGE_FILE",
        "SIRDAR_CPUS",
    } <= names
    assert {"EVEREST_AGENT_ADDRESS", "EVEREST_AGENT_PORT", "EVEREST_AGENT_TASK_ID", "EVEREST_TASK_TOKEN"} <= names
    allowed = {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
        "PYTHONUNBUFFERED", "PWD", "OLDPWD", "SHLVL", "_", "SSL_CERT_FILE", "SSL_CERT_DIR",
    }  # fmt: skip
    strange = {name for name in names - allowed if not name.startswith(("SIRDAR_", "EVEREST_"))}
    assert not strange
    assert not names & {"SIRDAR_ADMIN_PASSWORD", "SIRDAR_JOIN", "SIRDAR_CONFIG_DIR", "SIRDAR_HEARTBEAT_S"}
    assert "summit-8848" not in text


def test_no_secret_of_the_server_is_in_the_agents_environment(sirdar: Product) -> None:
    """A program of the same account could read it there."""
    agent = json.loads((sirdar.home / "agent/agent.json").read_text())
    for pid in (agent["pid"], agent["porter_pid"]):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"SIRDAR_ADMIN_PASSWORD" not in environment and b"PATH=" in environment
