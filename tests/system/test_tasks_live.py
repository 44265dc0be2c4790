"""While a task runs: its status, progress, metrics and streams, its children; each on the real product."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.system.product import Product, await_that

# What known clients of Everest do: a length, a byte 0, the task's id; then a length and a text for each message.
EVEREST = """
import os, socket, sys, time
def frame(text): return len(text).to_bytes(4, "big") + text.encode()  # counts characters, as they do
peer = socket.create_connection((os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])))
task = os.environ["EVEREST_AGENT_TASK_ID"]
peer.sendall((len(task) + 1).to_bytes(4, "big") + b"\\0" + task.encode())
"""


def held(path: str) -> str:
    """Shell words that wait until a file is there."""
    return f"while [ ! -e {path} ]; do sleep 0.02; done"


def gate(sirdar: Product, name: str) -> Any:
    place = sirdar.root / f"gate-{name}"
    place.unlink(missing_ok=True)
    return place


def live(sirdar: Product, job_id: str, **wanted: Any) -> dict[str, Any]:
    """The job as soon as it shows this, while it runs."""

    def shows() -> dict[str, Any] | None:
        job = sirdar.job(job_id)
        assert job["state"] in {"READY", "RUNNING"}, job
        return job if all(job[name] == value for name, value in wanted.items()) else None

    return dict(await_that(shows, what=str(wanted)))


def test_a_shell_tells_its_status(sirdar: Product) -> None:
    opened = gate(sirdar, "shell")
    script = f'sirdar status "half" --progress 0.5 --metric loss=0.25; echo printed; {held(str(opened))}; sirdar status "all"'
    app = sirdar.publish("live-shell", script, shell=True)
    job = sirdar.submit(app)
    live(sirdar, job["id"], statusMessage="half", progress=0.5, metrics={"loss": 0.25})
    await_that(lambda: sirdar.admin.get(job["stdout"]).text == "printed\n", what="live output")
    opened.touch()
    ended = sirdar.ended(job["id"])
    assert ended["state"] == "DONE"
    assert (ended["statusMessage"], ended["progress"], ended["metrics"]) == ("all", 0.5, {"loss": 0.25})


def test_the_message_file_and_the_port_of_everest(sirdar: Product) -> None:
    opened = gate(sirdar, "port")
    code = EVEREST + (
        'peer.sendall(frame("начало"))\n'
        'open(os.environ["SIRDAR_MESSAGE_FILE"], "a").write(\'{"progress": 0.25, "metrics": {"gap": 1e-3}}\\n\')\n'
        f"while not os.path.exists({str(opened)!r}): time.sleep(0.02)\n"
        'peer.sendall(frame("VAR_SET_MD best 12.5:x")); peer.sendall(frame("VAR_GET best"))\n'
        "n = int.from_bytes(peer.recv(4), 'big'); print(peer.recv(n).decode())\n"
        'peer.sendall(frame("конец")); peer.close()\n'
    )
    app = sirdar.publish("live-port", [sys.executable, "talk.py"], files={"talk.py": code})
    job = sirdar.submit(app)
    live(sirdar, job["id"], statusMessage="начало", progress=0.25, metrics={"gap": 0.001})
    opened.touch()
    ended = sirdar.ended(job["id"])
    assert (ended["state"], ended["progress"]) == ("DONE", 0.25), ended
    assert ended["statusMessage"] == "конец"
    assert sirdar.admin.get(job["stdout"]).text == "VAR_VALUE best 12.5:x\n"


CHILDREN = """
import sirdar, sys
with sirdar.connect() as c:
    quick = c.app("me/live-child").run(seconds=0)
    print("child", quick.id, quick.result()["said"], flush=True)
    slow = c.app("me/live-child").run(seconds=600)
    print("slow", slow.id, flush=True)
    slow.wait()
"""


def test_children_are_the_owners_and_are_cancelled_with_their_parent(sirdar: Product) -> None:
    sirdar.publish(
        "live-child",
        ["sh", "-c", 'sleep "$0"; echo said=here', "${seconds}"],
        inputs={"seconds": {"type": "integer"}},
        outputs={"said": {"type": "string", "from": "stdout", "regex": "said=(.*)"}},
    )
    app = sirdar.publish("live-parent", [sys.executable, "parent.py"], files={"parent.py": CHILDREN})
    job = sirdar.submit(app)
    lines = await_that(
        lambda: (
            found if (found := sirdar.admin.get(job["stdout"]).text.split("\n"))[1:2] and "slow" in found[1] else None
        ),
        within_s=40,
        what="both children",
    )
    quick, slow = lines[0].split()[1], lines[1].split()[1]
    assert lines[0].endswith(" here")
    children = sirdar.admin.get(f"/api/jobs/{job['id']}/children").json()
    assert {child["id"] for child in children} == {quick, slow}
    assert {child["parent"] for child in children} == {job["id"]}
    await_that(lambda: sirdar.job(slow)["state"] == "RUNNING", what="the slow child")
    assert sirdar.admin.post(f"/api/jobs/{job['id']}/cancel").status_code in {200, 202, 204}
    assert sirdar.ended(job["id"])["state"] == "CANCELLED"
    assert sirdar.ended(slow)["state"] == "CANCELLED"
    assert sirdar.job(quick)["state"] == "DONE"


def test_the_tasks_token_dies_with_the_task(sirdar: Product) -> None:
    opened = gate(sirdar, "token")
    app = sirdar.publish("live-token", f"echo $SIRDAR_TOKEN > {opened}.token; {held(str(opened))}", shell=True)
    job = sirdar.submit(app)
    kept = opened.with_name(opened.name + ".token")
    token = await_that(lambda: kept.exists() and kept.read_text().strip(), what="the token")
    with sirdar.client(token) as task:
        assert task.get(f"/api/jobs/{job['id']}").status_code == 200
        opened.touch()
        assert sirdar.ended(job["id"])["state"] == "DONE"
        await_that(lambda: task.get(f"/api/jobs/{job['id']}").status_code == 401, what="the token's end")


def test_streams_are_seen_while_they_grow(sirdar: Product) -> None:
    opened = gate(sirdar, "streams")
    app = sirdar.publish("live-streams", f"echo first; echo wrong >&2; {held(str(opened))}; echo last", shell=True)
    began = time.monotonic()
    job = sirdar.submit(app)
    await_that(lambda: sirdar.admin.get(job["stdout"]).text == "first\n", what="the first line")
    await_that(lambda: sirdar.admin.get(job["stderr"]).text == "wrong\n", what="the error")
    assert time.monotonic() - began < 10
    opened.touch()
    sirdar.ended(job["id"])
    assert sirdar.admin.get(job["stdout"]).text == "first\nlast\n"
    assert json.loads(sirdar.admin.get(f"/api/jobs/{job['id']}").text)["state"] == "DONE"


def test_what_it_uses_is_seen_while_it_runs(own_sirdar: Callable[..., Product]) -> None:
    sirdar = own_sirdar(agent_sample_first_s=0.2, agent_usage_every_s=0.5)
    opened = gate(sirdar, "usage")
    code = f"import os\nx = bytearray(40 << 20)\nwhile not os.path.exists({str(opened)!r}): sum(range(10000))\n"
    app = sirdar.publish("live-usage", [sys.executable, "-c", code])
    job = sirdar.submit(app)
    where = f"/api/jobs/{job['id']}/tasks/0/usage"

    def seen() -> dict[str, Any] | None:
        usage = sirdar.admin.get(where).json()
        return usage if len(usage["points"]) >= 5 else None

    usage = await_that(seen, 60, "a curve")
    assert usage["live"] and usage["attempt"] == 1 and usage["limit"]["cpus"] == 1
    assert 0 < usage["peak"]["cpu"] < 1.6 and usage["peak"]["memoryBytes"] > 40 << 20
    assert 0 < usage["cpuS"] <= usage["points"][-1]["at"] + 0.1
    opened.touch()
    ended = sirdar.ended(job["id"])
    after = sirdar.admin.get(where).json()
    assert not after["live"] and len(after["points"]) >= len(usage["points"])
    assert after["cpuS"] >= ended["stats"]["cpuUserS"] > 0
    other = sirdar.user("onlooker")
    assert other.get(where).status_code == 404
