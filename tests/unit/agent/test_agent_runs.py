"""A real agent, a real porter, real programs, and a fake server over HTTP: what ends how."""

import base64
import io
import json
import os
import signal
import sys
import zipfile
from pathlib import Path

import pytest
from aiohttp import web
from fake_server import FakeServer, wait_for
from harness import marked_processes

from sirdar.wire.agent import SmallReply

PYTHON = sys.executable


def py(code: str) -> list[str]:
    return [PYTHON, "-c", code]


def test_a_task_ends_well(running: FakeServer) -> None:
    (key,) = running.add_job({"command": ["sh", "-c", "echo hello; echo oops >&2"]})
    final = running.final(key)
    assert (final.reason, final.exit_code) == ("ok", 0)
    assert (final.stdout.text, final.stderr.text) == ("hello\n", "oops\n")
    assert final.accepted_at <= final.started_at <= final.ended_at <= final.reported_at
    assert final.stats.max_rss_bytes > 0
    assert running.hellos[0].capabilities.slots == 2


def test_five_hundred_tasks_each_end_once(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    keys = server.add_job({"command": ["sh", "-c", "echo $SIRDAR_TASK_ID"]}, tasks=500)
    wait_for(lambda: len(server.finals) == 500, 30)
    assert {server.finals[key].stdout.text for key in keys} == {f"{key}\n" for key in keys}
    assert set(server.final_count.values()) == {1}
    wait_for(lambda: server.beats and not server.beats[-1].owned)
    assert len(list((agent.home / "work").glob("slot-*"))) < 300


@pytest.mark.parametrize(
    ("document", "reason", "code", "words"),
    [
        ({"command": ["sh", "-c", "exit 3"]}, "exit_code", 3, "exit code 3"),
        ({"command": ["sh", "-c", "kill -SEGV $$"]}, "signal", -signal.SIGSEGV, "SIGSEGV"),
        ({"command": ["no-such-program"]}, "command_not_found", None, "no-such-program was not found"),
        ({"command": ["/etc/passwd"]}, "command_not_found", None, "/etc/passwd may not be executed"),
        (
            {"command": ["sleep", "60"], "resources": {"time": 0.3}, "grace": 1},
            "time_limit",
            -signal.SIGTERM,
            "longer than 0.3 s",
        ),
        (
            {"command": py("x = bytearray(300 << 20)"), "resources": {"memory": 100 << 20}},
            "out_of_memory",
            None,
            "more memory than 100 MiB",
        ),
        (
            {"command": ["sh", "-c", "head -c 5000000 /dev/zero > big"], "resources": {"disk": 1000000}},
            "output_limit",
            0,
            "976.6 KiB",
        ),
    ],
)
def test_bad_ends_are_told_apart(running: FakeServer, document, reason, code, words) -> None:
    (key,) = running.add_job(document)
    final = running.final(key)
    assert final.reason == reason, final
    assert words in final.message
    if code is not None:
        assert final.exit_code == code


def test_memory_limit_by_rlimit_alone(server: FakeServer, make_agent) -> None:
    make_agent(server, memory_limit_by="rlimit").start()
    (key,) = server.add_job({"command": py("x = bytearray(900 << 20)"), "resources": {"memory": 400 << 20}})
    final = server.final(key)
    assert final.reason == "out_of_memory"
    assert "MemoryError" in final.stderr.text


def test_a_growing_directory_is_noticed_while_the_program_runs(running: FakeServer) -> None:
    (key,) = running.add_job(
        {"command": ["sh", "-c", "head -c 5000000 /dev/zero > big; sleep 60"], "resources": {"disk": 1000000}}
    )
    assert running.final(key).reason == "output_limit"


def test_cancel_gives_grace_then_kills(running: FakeServer) -> None:
    polite = "import signal, sys, time\nsignal.signal(15, lambda *_: (print('bye'), sys.exit(7)))\n"
    deaf = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\n"
    wait = "print('up', flush=True)\ntime.sleep(60)"
    (first,) = running.add_job({"command": py(polite + wait)})
    (second,) = running.add_job({"command": py(deaf + wait), "grace": 0.3})
    for key in (first, second):
        wait_for(lambda key=key: running.logs.get((key, "stdout")))
        running.wish(key, "cancel")
    final = running.final(first)
    assert (final.reason, final.exit_code, final.stdout.text) == ("cancelled", 7, "up\nbye\n")
    assert (running.final(second).reason, running.final(second).exit_code) == ("cancelled", -9)


def test_cancel_of_a_task_that_waits_for_a_slot(server: FakeServer, make_agent) -> None:
    make_agent(server, slots=1).start()
    keys = server.add_job({"command": ["sleep", "30"]}, tasks=2)
    wait_for(lambda: set(keys) <= set(server.accepted) and (keys[0], "RUNNING") in server.started)
    server.wish(keys[1], "cancel")
    final = server.final(keys[1])
    assert (final.reason, final.message) == ("cancelled", "cancelled before it started")
    server.wish(keys[0], "cancel")
    server.final(keys[0])


def test_forget_ends_the_program_and_reports_nothing(running: FakeServer) -> None:
    (key,) = running.add_job({"command": ["sleep", "30"], "env": {"MARK": "forgotten-one"}})
    wait_for(lambda: (key, "RUNNING") in running.started)
    running.wish(key, "forget")
    wait_for(lambda: marked_processes("MARK=forgotten-one") == [])
    wait_for(lambda: running.beats and running.beats[-1].owned == [])
    assert key not in running.finals


def test_what_a_program_leaves_behind_is_ended(running: FakeServer) -> None:
    code = "sleep 77 & setsid sleep 78 & (setsid sh -c 'trap \"\" TERM; sleep 79' &) ; sleep 0.2; echo done"
    (key,) = running.add_job({"command": ["sh", "-c", code]})
    final = running.final(key)
    assert (final.reason, final.stdout.text) == ("ok", "done\n")
    for seconds in ("77", "78", "79"):
        assert marked_processes(f"sleep\0{seconds}\0") == []


def test_environment_and_directory(running: FakeServer) -> None:
    (key,) = running.add_job({"command": ["sh", "-c", "env; pwd; ls -A"], "env": {"OWN": "x y"}})
    text = running.final(key).stdout.text
    env = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert env["SIRDAR_TASK_ID"] == env["EVEREST_AGENT_TASK_ID"] == key
    assert env["SIRDAR_JOB_ID"] == key.split("-")[0]
    assert env["OWN"] == "x y"
    assert env["SIRDAR_URL"] == running.url
    assert env["SIRDAR_CPUS"] == "1"
    assert env["EVEREST_AGENT_ADDRESS"] == "127.0.0.1" and env["EVEREST_AGENT_PORT"].isdecimal()
    assert env["EVEREST_TASK_TOKEN"] == env["SIRDAR_TOKEN"] == "*" * len(f"token-{key}")  # hidden in the stream
    assert text.splitlines()[-1].endswith("/dir"), "the directory is empty"


def test_big_streams_become_blobs_with_head_and_tail(server: FakeServer, make_agent) -> None:
    make_agent(server, log_head_bytes=100_000, log_tail_bytes=50_000).start()
    code = "import sys\nsys.stdout.write('a' * 200_000 + 'z' * 60_000)\nsys.stderr.write('e' * 20_000)"
    (key,) = server.add_job({"command": py(code)})
    final = server.final(key)
    assert final.stdout.size == 260_000 and final.stdout.omitted == 110_000 and final.stdout.text is None
    raw = server.blobs[final.stdout.sha256]
    assert raw.startswith(b"a" * 100_000) and raw.endswith(b"z" * 50_000) and b"110000 bytes left out" in raw
    assert server.blobs[final.stderr.sha256] == b"e" * 20_000


def test_the_newest_of_a_long_stream_is_sent_while_it_runs(server: FakeServer, make_agent, tmp_path: Path) -> None:
    """With true places and lines, no secret at a border; the final says where its middle is missing, and when bytes came."""
    make_agent(server, log_head_bytes=1010, log_tail_bytes=501).start()  # amid a secret
    code = f"""
import os, sys, time
for number in range(400_000):
    print("line", number, os.environ["API_KEY"])
sys.stdout.flush()
while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.02)
print("end")
"""
    job = {"command": py(code), "secrets": ["API_KEY"]}
    (key,) = server.add_job(job, secrets={"API_KEY": "s3cr3t-value"})
    whole = b"".join(b"line %d ************\n" % number for number in range(400_000))

    def all_sent() -> bool:
        found = server.newest.get((key, "stdout"))
        return bool(found) and found[-1][0] + len(found[-1][2]) == len(whole)

    wait_for(all_sent)
    assert server.logs[key, "stdout"] == whole[:1010]
    for offset, line, raw in server.newest[key, "stdout"]:
        assert whole[offset : offset + len(raw)] == raw and line == whole.count(b"\n", 0, offset)
    (tmp_path / "go").touch()
    stream, whole = server.final(key).stdout, whole + b"end\n"
    raw = server.blobs[stream.sha256]
    note = f"[... {len(whole) - 1511} bytes left out here ...]\n".encode()
    assert b"s3cr3t" not in raw and b"value" not in raw and raw.startswith(whole[:1010]) and raw.endswith(whole[-501:])
    assert stream.gap_at is not None and raw[stream.gap_at :].startswith(note)
    assert stream.tail_line == whole.count(b"\n", 0, len(whole) - 501)
    assert stream.seen and stream.seen[0][0] == 0 and stream.seen[-1][0] == len(whole) - 4
    times = [at for _, at in stream.seen if at is not None]
    assert times == sorted(times) and times


def test_live_logs_samples_and_messages(running: FakeServer) -> None:
    code = """
import json, os, sys, time
print("begin", flush=True)
with open(os.environ["SIRDAR_MESSAGE_FILE"], "a") as file:
    file.write(json.dumps({"text": "half", "progress": 0.5, "metrics": {"loss": 1.25}}) + "\\n")
for _ in range(80):
    time.sleep(0.01)
while not os.path.exists("/tmp"): pass
print("end")
with open(os.environ["SIRDAR_MESSAGE_FILE"], "a") as file:
    file.write('{"progress": 1}\\n')
"""
    (key,) = running.add_job({"command": py(code)})
    assert wait_for(lambda: running.logs.get((key, "stdout"))) == b"begin\n"
    message = wait_for(lambda: running.messages.get(key))
    assert (message.text, message.progress, message.metrics) == ("half", 0.5, {"loss": 1.25})
    final = running.final(key)
    assert (final.text, final.progress, final.metrics) == ("half", 1.0, {"loss": 1.25})
    assert final.stdout.text == "begin\nend\n"
    assert len(final.stats.curve) >= 2 and final.stats.curve[0][2] > 1_000_000
    assert (key, "RUNNING") in running.started


def test_secrets_are_hidden_in_streams(running: FakeServer) -> None:
    (key,) = running.add_job(
        {"command": ["sh", "-c", "echo key=$API_KEY"], "secrets": ["API_KEY"]}, secrets={"API_KEY": "s3cr3t-value"}
    )
    assert running.final(key).stdout.text == "key=************\n"


def test_secrets_are_not_in_clear_on_the_agents_disk(server: FakeServer, make_agent) -> None:
    agent = make_agent(server).start()
    (key,) = server.add_job({"command": ["true"], "secrets": ["API_KEY"]}, secrets={"API_KEY": "s3cr3t-value"})
    server.final(key)
    for path in agent.home.rglob("*"):
        assert not path.is_file() or b"s3cr3t-value" not in path.read_bytes(), path
    assert os.stat(agent.home / "journal.key").st_mode & 0o777 == 0o600


OUTPUTS = [
    {"name": "table", "type": "file", "from": "table.csv"},
    {"name": "parts", "type": "files", "from": "part-*.txt"},
    {"name": "tree", "type": "directory", "from": "tree"},
    {"name": "total", "type": "number", "from": "result.json", "key": "sum.all"},
    {"name": "best", "type": "integer", "from": "report.txt", "key": "BEST"},
    {"name": "speed", "type": "number", "from": "stdout", "regex": r"speed: ([0-9.]+)"},
    {"name": "note", "type": "string", "from": "note.txt"},
    {"name": "maybe", "type": "file", "from": "maybe.txt", "required": False},
    {"name": "log", "type": "file", "from": "stdout"},
]
WRITES = """
import json, os
open("table.csv", "w").write("a,b\\n")
for i in range(3): open(f"part-{i}.txt", "w").write(str(i))
os.makedirs("tree/sub"); open("tree/sub/leaf", "w").write("leaf")
json.dump({"sum": {"all": 2.5}}, open("result.json", "w"))
open("report.txt", "w").write("BEST = 42\\n")
open("note.txt", "w").write("fine")
print("speed: 12.5")
"""


@pytest.mark.parametrize("shared", [False, True])
def test_outputs_of_each_kind(tmp_path: Path, make_agent, shared: bool) -> None:
    with FakeServer(tmp_path / "blobs" if shared else None) as server:
        if shared:
            (tmp_path / "blobs").mkdir()
        agent = make_agent(server).start()
        (key,) = server.add_job({"command": ["python", "main.py"], "outputs": OUTPUTS, "env": {"PATH": os.path.dirname(PYTHON)}},
                                files={"main.py": WRITES.encode()}, debug=True)  # fmt: skip
        final = server.final(key)
        assert final.reason == "ok", final
        values = {name: value for name, value in final.outputs.items() if not isinstance(value, dict | list)}
        assert values == {"total": 2.5, "best": 42, "speed": 12.5, "note": "fine"}
        assert server.content(final.outputs["table"]) == b"a,b\n"
        assert [server.content(ref) for ref in final.outputs["parts"]] == [b"0", b"1", b"2"]
        assert server.content(final.outputs["log"]) == b"speed: 12.5\n"
        with zipfile.ZipFile(io.BytesIO(server.content(final.outputs["tree"]))) as archive:
            assert archive.read("sub/leaf") == b"leaf"
        with zipfile.ZipFile(io.BytesIO(server.content(final.debug))) as archive:
            assert {"main.py", "table.csv", "tree/sub/leaf"} <= set(archive.namelist())
        assert "maybe" not in final.outputs
        assert final.stats.staged_in_bytes == len(WRITES) and final.stats.staged_out_bytes > 0
        agent.close()


@pytest.mark.parametrize(("small_bytes", "puts"), [(1000, 0), (14, 1), (2, 3)])
def test_small_outputs_travel_in_the_final(tmp_path: Path, make_agent, small_bytes: int, puts: int) -> None:
    outputs = [
        {"name": "table", "type": "file", "from": "table.csv"},
        {"name": "parts", "type": "files", "from": "part-*.txt"},
        {"name": "log", "type": "file", "from": "stdout"},
    ]
    script = "printf 12345 > table.csv; printf 0 > part-0.txt; printf 123456 > part-1.txt; printf abcd"
    with FakeServer() as server:
        server.small_bytes = small_bytes
        agent = make_agent(server).start()
        (key,) = server.add_job({"command": ["sh", "-c", script], "outputs": outputs})
        final = server.final(key)
        assert final.reason == "ok", final
        assert server.content(final.outputs["table"]) == b"12345"
        assert [server.content(ref) for ref in final.outputs["parts"]] == [b"0", b"123456"]
        assert server.content(final.outputs["log"]) == b"abcd"
        assert (server.puts, final.stats.staged_out_bytes) == (puts, 16)
        agent.close()


@pytest.mark.parametrize("gives_small", [True, False])
def test_small_inputs_of_many_tasks_come_together(server: FakeServer, make_agent, gives_small: bool) -> None:
    server.gives_small = gives_small
    document = {"command": ["sh", "own.sh"], "inputs": [{"name": "data", "type": "file", "path": "data.txt"},
                                                        {"name": "big", "type": "file", "path": "big"}]}  # fmt: skip
    big = server.file("big", os.urandom(100_000))
    texts = [b"the same", b"the same", *[f"of task {task}".encode() for task in range(2, 40)]]
    keys = server.add_job(
        document,
        tasks=40,
        files={"own.sh": b"cat data.txt; if [ -e big ]; then wc -c < big; fi"},
        each=lambda task: {"data": server.file("data.txt", texts[task])} | ({"big": big} if task == 7 else {}),
    )
    agent = make_agent(server).start()
    for task, key in enumerate(keys):
        final = server.final(key)
        said = texts[task].decode() + ("100000\n" if task == 7 else "")
        assert (final.stdout.text or "").replace(" ", "") == said.replace(" ", ""), (task, final)
    assert (server.gets, 0 < server.smalls < 12) == ((1, True) if gives_small else (41, False))
    assert not list((agent.home / "cache" / "partial").iterdir())
    agent.close()


def test_small_blobs_that_do_not_come_together_are_fetched_singly(server: FakeServer, make_agent) -> None:
    """One is missing in the answer, and of one other bytes come."""
    server.gives_small = True
    good, spoiled = server.file("good", b"good"), server.file("spoiled", b"right")
    sha256 = spoiled["$file"]["sha256"]

    async def wrong(request: web.Request) -> web.Response:
        return server._answer(SmallReply(files={sha256: base64.b64encode(b"wrong").decode(), "../x": "AAAA"}))

    server._small_blobs = wrong
    server.stop()
    server.start()
    document = {"command": ["cat", "a", "b"], "inputs": [{"name": "a", "type": "file", "path": "a"},
                                                         {"name": "b", "type": "file", "path": "b"}]}  # fmt: skip
    (key,) = server.add_job(document, inputs={"a": good, "b": spoiled})
    agent = make_agent(server).start()
    assert server.final(key).stdout.text == "goodright"
    assert server.gets == 2
    agent.close()


def test_a_final_with_files_outlives_the_agent(server: FakeServer, make_agent) -> None:
    server.small_bytes = 1000
    agent = make_agent(server).start()
    outputs = [{"name": "table", "type": "file", "from": "table.csv"}]
    (key,) = server.add_job({"command": ["sh", "-c", "sleep 0.5; printf 12345 > table.csv"], "outputs": outputs})
    wait_for(lambda: (key, "RUNNING") in server.started)
    server.down = True
    wait_for(lambda: b'"files"' in (agent.home / "journal").read_bytes())
    agent.kill()
    server.down = False
    agent.start()
    assert server.content(server.final(key).outputs["table"]) == b"12345"
    agent.close()


def test_a_missing_output_names_what_is_there_instead(running: FakeServer) -> None:
    outputs = [{"name": "plot", "type": "file", "from": "plot.png"}]
    (key,) = running.add_job({"command": ["touch", "Plot.PNG", "other"], "outputs": outputs})
    final = running.final(key)
    assert final.reason == "output_missing"
    assert final.message == "the program did not write plot.png (output plot); its directory holds Plot.PNG, other"


def test_an_unreadable_value_and_a_failed_program(running: FakeServer) -> None:
    outputs = [{"name": "n", "type": "number", "from": "n"}]
    (bad,) = running.add_job({"command": ["sh", "-c", "echo many > n"], "outputs": outputs})
    (failed,) = running.add_job({"command": ["sh", "-c", "echo 5 > n; exit 1"], "outputs": outputs})
    assert running.final(bad).reason == "output_invalid" and "output n" in running.final(bad).message
    assert (running.final(failed).reason, running.final(failed).outputs) == ("exit_code", {"n": 5})


def test_no_output_is_read_through_a_link_that_leads_out(running: FakeServer) -> None:
    outputs = [{"name": "x", "type": "file", "from": "x"}, {"name": "t", "type": "directory", "from": "t"}]
    (key,) = running.add_job({"command": ["sh", "-c", "ln -s /etc/passwd x; ln -s /etc t"], "outputs": outputs})
    assert running.final(key).reason == "output_missing"
    assert running.final(key).outputs == {}
    assert "x was left out: it is a link that leads out of the task's directory" in running.final(key).message


def test_a_link_that_matches_a_pattern_and_is_no_output_is_told(running: FakeServer) -> None:
    outputs = [{"name": "parts", "type": "files", "from": "*.csv"}]
    script = "touch a.csv; ln -s a.csv b.csv; ln -s /etc/passwd c.csv; ln -s nowhere d.csv"
    (key,) = running.add_job({"command": ["sh", "-c", script], "outputs": outputs})
    final = running.final(key)
    assert [ref["$file"]["name"] for ref in final.outputs["parts"]] == ["a.csv", "b.csv"]
    assert (final.reason, final.message) == (
        "ok",
        "c.csv was left out: it is a link that leads out of the task's directory; "
        "d.csv was left out: it is a link to what is not there",
    )


def test_names_that_are_no_utf_8_hold_no_final_up(running: FakeServer) -> None:
    parts = {"name": "parts", "type": "files", "from": "*.csv", "required": False}
    script = r"touch $(printf 'a\377.csv'); ln -s /etc/passwd $(printf 'b\377.csv')"
    (key,) = running.add_job({"command": ["sh", "-c", script], "outputs": [parts]})
    final = running.final(key)
    assert [ref["$file"]["name"] for ref in final.outputs["parts"]] == ["a\ufffd.csv"]
    assert final.message.startswith("b\ufffd.csv was left out")
    (key,) = running.add_job({"command": ["sh", "-c", script], "outputs": [{"name": "x", "type": "file", "from": "x"}]})
    assert "its directory holds a\ufffd.csv, b\ufffd.csv" in running.final(key).message


def test_links_to_code_on_the_resource_are_not_told(running: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1")
    document = {"code": {"path": str(tmp_path)}, "command": ["touch", "a.csv"]}
    outputs = [{"name": "parts", "type": "files", "from": "*.csv"}]
    (key,) = running.add_job({**document, "outputs": outputs})
    final = running.final(key)
    assert ([ref["$file"]["name"] for ref in final.outputs["parts"]], final.message) == (["a.csv"], "")


def test_inputs_of_each_kind(running: FakeServer) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("sub/inner.txt", "inner")
    script = 'cat "$@"; cat tree/sub/inner.txt etc/conf.txt filled params.json; echo x >> big.bin'
    document = {
        "inputs": [
            {"name": "data", "type": "file"},
            {"name": "big", "type": "file", "writable": True},
            {"name": "many", "type": "files"},
            {"name": "tree", "type": "directory"},
            {"name": "n", "type": "integer"},
            {"name": "conf", "type": "string", "path": "etc/conf.txt"},
        ],
        "command": ["sh", "-c", script, "sh", "${data}", "${many}", "${n}.txt"],
        "params": "params.json",
        "templates": {"filled": "template"},
        "outputs": [{"name": "big", "type": "file", "from": "big.bin"}],
    }  # fmt: skip
    inputs = {
        "data": running.file("my data.txt", b"D;"),
        "big": running.file("big.bin", b"b" * 5000),
        "many": [running.file("m.txt", b"m0;"), running.file("m.txt", b"m1;")],
        "tree": running.file("t.zip", buffer.getvalue()),
        "n": 5,
        "conf": "C;",
    }
    (key,) = running.add_job(document, inputs=inputs, files={"template": b"n=${n};", "5.txt": b"five;"})
    final = running.final(key)
    assert final.reason == "ok", final
    assert final.stdout.text.startswith("D;m0;m1;five;innerC;n=5;")
    params = json.loads(final.stdout.text[len("D;m0;m1;five;innerC;n=5;") :])
    assert params["n"] == 5 and params["data"] == "my data.txt"
    assert running.content(final.outputs["big"]) == b"b" * 5000 + b"x\n"
    cached = running.agent_home / "cache"
    assert any(path.read_bytes() == b"b" * 5000 for path in cached.glob("??/*")), "the cached blob is as it was"


def test_a_program_that_changes_a_shared_input_is_told_so(running: FakeServer) -> None:
    document = {
        "inputs": [{"name": "big", "type": "file"}],
        "command": ["sh", "-c", "chmod u+w big.bin; echo x >> big.bin"],
    }
    inputs = {"big": running.file("big.bin", b"b" * 5000)}
    (key,) = running.add_job(document, inputs=inputs)
    final = running.final(key)
    if final.reason == "ok":
        pytest.skip("the file system shares blocks: the file was the program's own")
    assert final.reason == "input_changed" and "big.bin" in final.message
    (again,) = running.add_job({**document, "command": ["wc", "-c", "big.bin"]}, inputs=inputs)
    assert running.final(again).stdout.text == "5000 big.bin\n"


STALE = [
    {"name": "total", "type": "number", "from": "result.json", "key": "total", "required": False},
    {"name": "tables", "type": "files", "from": "*.csv", "required": False},
]


def test_what_lay_there_before_the_program_is_no_output(running: FakeServer) -> None:
    """A result that was published with the program, or given as an input, is not what the program has found out."""
    files = {"result.json": b'{"total": 42}', "old.csv": b"old", "changed.csv": b"old", "moved.csv": b"old"}
    # A copy or a new name is the program's work, though it keeps the time of change.
    script = "sleep 0.1; echo new > changed.csv; echo new > made.csv; cp -p old.csv copied.csv; mv moved.csv named.csv"
    document = {"command": ["sh", "-c", script], "outputs": STALE}
    (key,) = running.add_job(document, files=files)
    final = running.final(key)
    assert final.reason == "ok"
    assert [ref["$file"]["name"] for ref in final.outputs["tables"]] == [
        "changed.csv", "copied.csv", "made.csv", "named.csv",
    ]  # fmt: skip
    assert "total" not in final.outputs
    assert "result.json was left out: it was there before the program, which did not write it" in final.message


def test_a_required_output_that_was_there_before_is_missing(running: FakeServer) -> None:
    outputs = [{"name": "plot", "type": "file", "from": "plot.bin"}]
    inputs = [{"name": "given", "type": "file", "path": "plot.bin"}]
    given = {"given": running.file("x", b"p" * 5000)}
    (key,) = running.add_job({"command": ["true"], "inputs": inputs, "outputs": outputs}, inputs=given)
    assert running.final(key).reason == "output_missing"


def test_an_evil_archive_is_refused(running: FakeServer) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil", "evil")
    document = {"inputs": [{"name": "tree", "type": "directory"}], "command": ["true"]}
    (key,) = running.add_job(document, inputs={"tree": running.file("t.zip", buffer.getvalue())})
    final = running.final(key)
    assert final.reason == "input_invalid" and "evil" in final.message
    assert not list(running.agent_home.rglob("evil"))


def test_a_blob_that_the_server_does_not_have(running: FakeServer) -> None:
    ref = {"$file": {"name": "x", "sha256": "0" * 64, "size": 3}}
    (key,) = running.add_job({"inputs": [{"name": "x", "type": "file"}], "command": ["true"]}, inputs={"x": ref})
    assert running.final(key).reason == "stage_in"


def test_a_regular_expression_that_takes_for_ever_is_the_outputs_fault_and_stops_nobody(running: FakeServer) -> None:
    outputs = [{"name": "x", "type": "string", "from": "stdout", "regex": "(a+)+$"}]
    (bad,) = running.add_job({"command": ["sh", "-c", f"echo {'a' * 60}b"], "outputs": outputs})
    (good,) = running.add_job({"command": ["true"]})
    final = running.final(bad)
    assert final.reason == "output_invalid"
    assert "takes longer than 1 s" in final.message
    assert running.final(good).reason == "ok"
