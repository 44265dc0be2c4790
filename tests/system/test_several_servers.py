"""Two ``sirdar serve`` over one PostgreSQL and one home: any of them answers any call, and none is needed."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN
from tests.conftest import PostgresCluster
from tests.system.attached import resource
from tests.system.product import ADMIN_PASSWORD, await_that, problem, surroundings
from tests.system.several import QUICK, Served, Site, kill, site
from tests.system.test_everest_agents import PING_PONG, PORT

pytestmark = pytest.mark.postgres
SOON_S = 90.0  # less than every loop's period here: what agents are told within it comes from server to server
GATE = {"gate": {"type": "string"}, "n": {"type": "integer", "default": 0}}
WAIT = "echo began; while [ ! -e ${gate} ]; do sleep 0.02; done; echo over"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster) -> Iterator[Site]:
    """Servers a and b, and an agent at each. Loops look seldom."""
    name = postgres_cluster.create_database()
    with site(tmp_path_factory.mktemp("two") / "site", postgres_cluster.url(name)) as made:
        made.a.publish("say", "echo ${word}", shell=True, inputs={"word": {"type": "string", "default": "hello"}})
        made.a.publish("wait", WAIT, shell=True, inputs=GATE)
        made.attach(made.a, "at-a")
        made.attach(made.b, "at-b")
        yield made
    postgres_cluster.drop_database(name)


def soon(holds: Callable[[], Any], what: str) -> Any:
    return await_that(holds, SOON_S / 3, what)


def told(server: Served, job_id: str, until: Callable[[str, dict[str, Any]], bool], log: str = "") -> list[Any]:
    """What a server's stream of the job's events says, up to the first thing that is looked for."""
    seen: list[Any] = []
    with server.admin.stream("GET", f"/api/jobs/{job_id}/events?log={log}", timeout=SOON_S) as stream:
        kind = ""
        for line in stream.iter_lines():
            name, _, rest = line.partition(": ")
            if name == "event":
                kind = rest
            elif name == "data":
                data = json.loads(rest)
                seen.append((kind, data))
                if until(kind, data):
                    return seen
    return seen


def test_what_is_submitted_here_runs_there_and_is_waited_for_anywhere(two: Site) -> None:
    for submitter, runner, waiter in (("a", "b", "b"), ("b", "a", "a"), ("a", "b", "a"), ("b", "b", "a")):
        began = time.monotonic()
        job = getattr(two, submitter).submit("me/say", resources=[f"at-{runner}"])
        ended = getattr(two, waiter).ended(job["id"])
        assert ended["state"] == "DONE"
        assert time.monotonic() - began < SOON_S


def test_a_watcher_there_sees_what_happens_here_and_the_log_while_it_is_written(two: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = two.a.submit("me/wait", {"gate": str(gate)}, resources=["at-a"])["id"]
    watched: list[Any] = []
    ready = threading.Event()

    def watch() -> None:
        def until(kind: str, data: dict[str, Any]) -> bool:
            if kind == "log" and "began" in data["text"]:
                ready.set()
            return kind == "end"

        watched.extend(told(two.b, job, until, log="stdout"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert ready.wait(SOON_S), "the first line of the log did not reach the other server's watcher"
        assert two.b.admin.get(f"/api/jobs/{job}/stdout").text == "began\n"
        assert two.b.job(job)["state"] == "RUNNING"
    finally:
        gate.touch()
        thread.join(SOON_S)
    assert not thread.is_alive(), "the end did not reach the other server's watcher"
    states = [data["state"] for kind, data in watched if kind == "job" and "state" in data]
    assert states[-2:] == ["RUNNING", "DONE"]
    assert "over" in "".join(data["text"] for kind, data in watched if kind == "log")


def test_a_list_that_is_watched_there_hears_of_a_job_that_is_submitted_here(two: Site) -> None:
    shown = two.a.submit("me/say")["id"]
    two.b.ended(shown)
    with (
        two.b.client(cookies={"access_token": two.b.token()}) as browser,
        browser.stream("GET", f"/jobs/live?ids={shown}&newest=0&text=from-here", timeout=SOON_S) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        two.a.submit("me/say", name="from-here")
        heard = next(line for line in lines if line.startswith("data: "))
    assert json.loads(heard.removeprefix("data: ")) == {"ids": [], "new": 1}


def test_a_cancel_here_reaches_the_agent_there_at_once(two: Site, tmp_path: Path) -> None:
    job = two.a.submit("me/wait", {"gate": str(tmp_path / "never")}, resources=["at-b"])["id"]
    soon(lambda: two.a.job(job)["state"] == "RUNNING", "the start")
    assert two.a.admin.post(f"/api/jobs/{job}/cancel").status_code == 200
    ended = soon(lambda: (found := two.b.job(job))["endedAt"] and found, "the end")
    assert ended["state"] == "CANCELLED"
    waiting = two.a.submit("me/wait", {"gate": str(tmp_path / "never")}, resources=["at-b"])["id"]
    soon(lambda: two.b.job(waiting)["state"] == "RUNNING", "the start")
    assert two.a.admin.delete(f"/api/jobs/{waiting}").status_code < 300
    soon(lambda: two.b.admin.get(f"/api/jobs/{waiting}").status_code == 404, "its removal")


def test_an_agent_there_is_drained_and_resumed_here(two: Site) -> None:
    assert two.a.admin.patch("/api/resources/at-b", json={"mode": "drain"}).status_code == 200
    try:
        job = two.a.submit("me/say", resources=["at-b"])["id"]
        assert "drained" in two.b.admin.get(f"/api/jobs/{job}/explain").text or two.b.job(job)["state"] == "READY"
        assert two.b.run("me/say", resources=["at-a"])["state"] == "DONE"
        assert two.a.job(job)["state"] == "READY", "it was given to a drained agent"
    finally:
        assert two.a.admin.patch("/api/resources/at-b", json={"mode": "active"}).status_code == 200
    began = time.monotonic()
    assert two.a.ended(job)["state"] == "DONE"
    assert time.monotonic() - began < SOON_S


def test_a_new_version_and_a_revoked_token_count_everywhere_at_once(two: Site) -> None:
    for number in range(1, 4):
        two.a.publish("edition", f"echo {number}", shell=True, outputs={"out": {"type": "string", "from": "stdout"}})
        two.b.run("me/edition")  # which the other server remembers from now on
        two.b.publish("edition", f"echo {number}.5", shell=True, outputs={"out": {"type": "string", "from": "stdout"}})
        soon(lambda number=number: two.a.run("me/edition")["result"]["out"].strip() == f"{number}.5", "the new version")
    token = two.a.token()
    with two.b.client(token) as there, two.a.client(token) as here:
        assert there.get("/api/me").status_code == 200
        assert here.delete("/api/auth/access_token").status_code < 300
        await_that(lambda: there.get("/api/me").status_code == 401, what="the end of the token")


def test_tasks_of_agents_at_different_servers_share_variables(two: Site) -> None:
    agents = [two.join(server, f"shares-{n}") for n, server in enumerate(two.servers)]
    ports = ",".join(str(json.loads((agent.home / "agent.json").read_text())["task_port"]) for agent in agents)
    two.a.publish(
        "pair", ["python3", "pair.py", "${ports}", "10"], files={"pair.py": PORT + PING_PONG},
        inputs={"ports": {"type": "string"}, "n": {"type": "integer"}},
        outputs={"said": {"type": "string", "from": "stdout"}}, retries=0,
    )  # fmt: skip
    try:
        names = ["shares-0", "shares-1"]
        job = two.b.submit("me/pair", {"ports": ports}, foreach=[{"n": n} for n in range(4)], resources=names)
        ended = two.a.ended(job["id"])
        assert ended["state"] == "DONE", [
            two.a.admin.get(f"/api/jobs/{job['id']}/stderr?task={n}").text for n in range(4)
        ]
        (took,) = [one["said"].split() for one in ended["result"] if one["said"].strip()]
        assert sorted(map(float, took))[len(took) // 2] < SOON_S / 3
        ran = {task["resource"]["name"] for task in two.a.admin.get(f"/api/jobs/{job['id']}/tasks").json()}
        assert ran == set(names)
    finally:
        for agent in agents:
            agent.close()


def test_files_and_people_are_the_same_everywhere(two: Site) -> None:
    uri = two.a.upload("given.txt", b"one\n" * 1000)
    assert two.b.admin.get(uri).content == b"one\n" * 1000
    anna = two.a.user("anna")
    assert two.b.signed_in("anna").get("/api/me").json()["name"] == anna.get("/api/me").json()["name"]
    assert two.b.admin.post(f"/api/resources/{'at-a'}/tokens", json={}).status_code == 201


def test_what_is_sent_twice_at_the_same_moment_to_both_is_one_job(two: Site) -> None:
    for number in range(5):
        headers = {"idempotency-key": f"key {number}"}
        replies: list[Any] = []

        def post(server: Served, headers: dict[str, str] = headers, replies: list[Any] = replies) -> None:
            replies.append(server.admin.post("/api/apps/me/say", json={"inputs": {}}, headers=headers))

        threads = [threading.Thread(target=post, args=(server,)) for server in two.servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {reply.status_code for reply in replies} <= {200, 201}, [reply.text for reply in replies]
        assert len({reply.json()["id"] for reply in replies}) == 1


def test_a_job_that_waits_for_a_job_there_goes_on(two: Site, tmp_path: Path) -> None:
    first = two.a.submit("me/wait", {"gate": str(tmp_path / "gate")}, resources=["at-a"])["id"]
    second = two.b.submit("me/say", after=[first], resources=["at-b"])["id"]
    assert two.a.job(second)["state"] == "SUBMITTED"
    (tmp_path / "gate").touch()
    began = time.monotonic()
    assert two.b.ended(second)["state"] == "DONE"
    assert time.monotonic() - began < SOON_S


def test_a_server_that_was_deaf_for_a_moment_misses_nothing(two: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = two.a.submit("me/wait", {"gate": str(gate)}, resources=["at-b"])["id"]
    soon(lambda: two.b.job(job)["state"] == "RUNNING", "the start")
    ends: list[Any] = []
    thread = threading.Thread(target=lambda: ends.append(told(two.a, job, lambda kind, _: kind == "end")))
    thread.start()
    listeners = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'sirdar-listen %'"
    before = two.rows(listeners)
    assert len(before) == 2
    two.rows(listeners.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))
    gate.touch()
    thread.join(SOON_S)
    assert not thread.is_alive(), "the end did not reach the watcher"
    soon(lambda: len(set(two.rows(listeners)) - set(before)) == 2, "the listeners' return")
    assert two.b.run("me/say", resources=["at-a"])["state"] == "DONE"


# ---------------------------------------------------------------- servers that come and go


@pytest.fixture
def own(tmp_path: Path, postgres_url: str) -> Iterator[Callable[..., Any]]:
    """``own(servers=2, **settings)``: a site of the test's own."""
    made: list[Any] = []

    def make(servers: int = 2, **settings: Any) -> Site:
        context = site(tmp_path / "site", postgres_url, servers, **settings)
        made.append(context)
        return context.__enter__()

    yield make
    for context in made:
        context.__exit__(None, None, None)


def test_agents_go_on_through_a_balancer_when_a_server_is_killed_under_load(own: Callable[..., Site]) -> None:
    made = own(**QUICK)
    balancer = made.balancer()
    made.a.publish("tick", "sleep 0.05; echo ${n}", shell=True, inputs={"n": {"type": "integer", "default": 0}},
                   outputs={"out": {"type": "string", "from": "stdout"}})  # fmt: skip
    for n in range(2):
        made.attach(made.b, f"m{n}", slots=4, url=balancer.url)
    sweep = made.b.submit("me/tick", foreach=[{"n": n} for n in range(300)])["id"]
    singles = [made.b.submit("me/tick", {"n": n})["id"] for n in range(60)]
    done = "SELECT count(*) FROM tasks WHERE state = 'DONE'"
    await_that(lambda: made.rows(done)[0][0] > 50, what="the first ends")
    assert min(balancer.by_port.values()) > 3, "not both servers were asked"
    kill(made.a)
    assert made.rows(done)[0][0] < 360, "the load was over before the server was killed"
    job = made.b.ended(sweep, wait=120)
    assert job["state"] == "DONE"
    assert [int(one["out"]) for one in job["result"]] == list(range(300))
    assert all(made.b.ended(one)["state"] == "DONE" for one in singles)
    ends = made.rows("SELECT job_id, data_json FROM events WHERE kind = 'ended'")
    ended = [(job_id, entry[0]) for job_id, text in ends for entry in json.loads(text)["tasks"]]
    assert len(ended) == len(set(ended)) == 360, "a task ended twice, or not at all"
    assert not made.rows("SELECT * FROM attempts WHERE state <> 'ENDED'")


def test_a_server_that_is_told_to_stop_answers_whoever_waits_and_the_other_takes_over(own: Callable[..., Site]) -> None:
    made = own()
    balancer = made.balancer()
    made.a.publish("say", "echo hello", shell=True)
    made.attach(made.b, "m0", url=balancer.url)
    assert made.a.run("me/say")["state"] == "DONE"
    began = time.monotonic()  # the agent's call is held by one of them for up to 50 s
    made.a.stop()
    assert time.monotonic() - began < SOON_S
    assert made.b.run("me/say")["state"] == "DONE"
    assert time.monotonic() - began < 2 * SOON_S
    made.a.start(made.a.port)
    assert made.a.run("me/say")["state"] == "DONE"


def test_servers_that_begin_together_make_one_key_one_schema_and_one_administrator(
    own: Callable[..., Site], tmp_path: Path
) -> None:
    made = own(servers=0)
    for n in range(3):
        root = made.root / f"server{n}"
        root.mkdir()
        made.servers.append(Served(root, {}, database=made.database, place=made.root / "home"))
    threads = [threading.Thread(target=server.start) for server in made.servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = made.a.token("admin", ADMIN_PASSWORD)
    for server in made.servers:
        with server.client(token) as client:
            assert client.get("/api/me").json()["name"] == "admin"
    joined = made.a.admin.post("/api/resources", json={"name": "m"}).json()
    assert resource(made.b, "m")["id"] == joined["id"]
    assert len(list((made.root / "home").glob("server*.new"))) == 0


def test_a_server_that_does_not_share_the_home_does_not_start(own: Callable[..., Site]) -> None:
    made = own(servers=1)
    root = made.root / "stranger"
    root.mkdir()
    stranger = Served(root, {}, database=made.database, place=root / "home")
    with pytest.raises(Exception, match="it is not the home that they share"):
        stranger.start()
    assert stranger.process is not None and stranger.process.wait(10) == 1 and stranger.process.stdout is not None
    assert stranger.process.stdout.read() == b"", "neither ready nor a link"
    stranger.process.stdout.close()
    assert "try: Give it their home (--home), or a database of its own (--database)." in stranger.log()
    with made.a.client() as here:
        assert here.get("/api/ready").status_code == 200
    assert "server_with_another_key" in made.a.log()


# ---------------------------------------------------------------- one server alone


def test_serve_with_sqlite_is_one_server_that_holds_its_home(tmp_path: Path) -> None:
    made = Site(tmp_path / "site", "", {})
    made.root.mkdir()
    try:
        only = made.serve()
        only.publish("say", "echo hello", shell=True)
        made.attach(only, "m0")
        assert only.run("me/say")["state"] == "DONE"
        assert only.admin.get("/api/resources").json()[0]["name"] == "m0", "there is an agent of its own"
        second = Served(tmp_path / "second", {}, place=only.home)
        second.root.mkdir()
        with pytest.raises(Exception, match="home_held"):
            second.start()
        assert second.process is not None and second.process.wait(10) == 3
        assert second.process.stdout is not None
        second.process.stdout.close()
        reply = only.client()
        with reply as nobody:
            problem(nobody.get("/api/jobs"), 401, "unauthenticated")
        only.stop(number=signal.SIGINT)
    finally:
        made.close()


@pytest.mark.needs("obstore")
def test_a_server_whose_blobs_cannot_be_reached_says_so_instead_of_ready(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # nothing listens there
        place = {
            "SIRDAR_BLOBS": "s3://lab/sirdar",
            "SIRDAR_S3_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }
        with subprocess.Popen(
            [BIN / "sirdar", "serve", "--home", tmp_path / "home", "--port", "0"],
            env=surroundings(tmp_path) | place,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server:
            assert server.stdout is not None
            said = server.stdout.readline()
            server.send_signal(signal.SIGTERM)
            more = server.stdout.read()
    assert said.startswith("not ready: The blob store ") and "/api/ready" in said
    assert server.returncode == 0 and "ready http" not in more and "sign in" not in more
