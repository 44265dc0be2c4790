"""A server without a machine of its own, and machines that attach through the real command line."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_server import BIN
from tests.system.attached import Machine, await_state, create, resource, status
from tests.system.product import Product, await_that
from tests.system.way_out import HOST, way_out

REFUSED = "sirdar agent: "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(
        tmp_path_factory.mktemp("attach"), {"lease_s": 2, "heartbeat_s": 0.3, "agent_token_s": 30}, slots=0
    )
    product.start()
    yield product
    product.close()


@pytest.fixture
def machine(server: Product, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(**environment: str) -> Machine:
        made.append(Machine(server, tmp_path / f"m{len(made)}", environment))
        return made[-1]

    yield make
    for one in made:
        one.close()
    for row in server.admin.get(
        "/api/resources"
    ).json():  # what was attached by a test is no place for the next one's jobs
        if not row["embedded"]:
            assert server.admin.delete(f"/api/resources/{row['id']}").status_code == 204


def sirdar(server: Product, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line of the server's administrator."""
    token = server.token()
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "SIRDAR_URL": server.url, "SIRDAR_TOKEN": token, "NO_COLOR": "1"}
    environment["SIRDAR_CONFIG_DIR"] = str(server.root / "nobody")
    return subprocess.run(
        [BIN / "sirdar", *words], env=environment, check=False, capture_output=True, text=True, timeout=60
    )


def test_a_machine_is_attached_by_the_printed_command_and_runs_a_job(
    server: Product, machine: Callable[..., Machine]
) -> None:
    made = sirdar(server, "resource", "create", "lab")
    assert made.returncode == 0, made.stderr
    command, start = made.stdout.splitlines()
    assert start == "sirdar agent start"
    here = machine()
    assert "not_joined" in here.run("agent", "start").err
    joined = here.join(command)
    assert "lab" in joined.out and "next: sirdar agent start" in joined.err
    again = here.run(*command.split()[1:], SIRDAR_AGENT_HOME=str(here.root / "other"))
    assert again.code == 1 and "unknown, used, or older" in again.err and "sirdar resource join" in again.err
    assert status(here)["state"] == "stopped"
    here.start("--slots", "3", "--label", "site=lab")
    app = server.publish("hello", "echo hello from ${who}", inputs={"who": {"type": "string"}})
    job = server.run(app, {"who": "afar"})
    assert server.admin.get(f"/api/jobs/{job['id']}/tasks").json()[0]["resource"]["name"] == "lab"
    shown = await_state(server, "lab", "online")
    assert shown["capabilities"]["slots"] == 3 and shown["capabilities"]["labels"]["site"] == "lab"
    assert shown["capabilities"]["system"] and shown["capabilities"]["executors"] == ["process"]
    assert shown["load"]["slots_free"] == 3 and shown["load"]["disk_free_bytes"] > 0
    words = sirdar(server, "resource", "show", "lab").stdout
    assert "3 free of 3" in words and "site=lab" in words and "● Online" in words
    stands = status(here)
    assert (stands["state"], stands["name"], stands["server"], stands["slots"]) == ("attached", "lab", server.url, 3)
    assert "recovered" not in here.run("agent", "logs").err
    assert here.end() == 0


def test_free_capacity_follows_what_runs(server: Product, machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = attach(server, machine(), "busy", "--slots", "2")
    gate = tmp_path / "gate"
    app = server.publish("gated", f"while [ ! -e {gate} ]; do sleep 0.05; done", shell=True)
    job = server.submit(app)
    await_that(lambda: resource(server, "busy")["load"]["slots_free"] == 1, what="a slot taken")
    assert await_that(lambda: status(here)["running"] == 1, what="the agent's own word")
    await_that(lambda: "cpu_used" in resource(server, "busy")["load"], what="how busy the machine is")
    shown = resource(server, "busy")
    assert 0 <= shown["load"]["cpu_used"] <= 1 and shown["loadAt"] <= shown["seenAt"]
    assert 0 < shown["load"]["disk_free_bytes"] < shown["load"]["disk_total_bytes"]
    assert shown["capacity"]["cpus"] == {"total": 2, "held": 1, "free": 1}
    assert shown["capacity"]["gpus"] == {"total": None, "held": 0, "free": None}
    reply = server.admin.get("/api/resources/busy/tasks")
    (task,) = reply.json()
    assert (task["job"], task["task"], task["phase"], task["app"]) == (job["id"], 0, "RUNNING", "admin/gated")
    assert (reply.headers["sirdar-others"], server.admin.get(task["url"]).json()["state"]) == ("0", "RUNNING")
    gate.touch()
    assert server.ended(job["id"])["state"] == "DONE"
    await_that(lambda: resource(server, "busy")["load"]["slots_free"] == 2, what="a slot free again")


def test_a_drained_machine_takes_nothing_until_it_is_resumed(server: Product, machine: Callable[..., Machine]) -> None:
    here = attach(server, machine(), "drained")
    app = server.publish("quick", "true")
    server.run(app)
    assert sirdar(server, "resource", "drain", "drained").returncode == 0
    job = server.submit(app)
    why = server.admin.get(f"/api/jobs/{job['id']}/explain").text
    assert "draining" in why
    assert resource(server, "drained")["state"] == "draining"
    assert server.job(job["id"])["state"] == "READY"
    ran = here.run("agent", "drain", "--undo")
    assert ran.code == 0 and "drained takes work again" in ran.out
    assert server.ended(job["id"])["state"] == "DONE"
    assert here.run("agent", "drain").code == 0
    await_state(server, "drained", "draining")
    assert await_that(lambda: status(here)["mode"] == "drain", what="the agent's own word")
    assert sirdar(server, "resource", "resume", "drained").returncode == 0
    server.run(app)


def test_a_revoked_machine_has_no_access_from_then_on_and_says_so(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = attach(server, machine(), "bad")
    key = (here.home / "identity.json").read_text()
    pid_file = tmp_path / "pid"
    app = server.publish("long", f"echo $$ > {pid_file}; sleep 600", shell=True)
    job = server.submit(app)
    pid = int(await_that(lambda: pid_file.exists() and pid_file.read_text(), what="the program's start"))
    began = time.monotonic()
    ran = sirdar(server, "resource", "revoke", "bad")
    assert ran.returncode == 0 and "sirdar resource join bad" in ran.stderr
    assert here.agent is not None
    assert here.agent.wait(15) == 4, "it stops asking"
    here.agent = None
    assert time.monotonic() - began < 12
    assert "revoked or deleted" in here.words() and "sirdar resource join" in here.words()
    assert not Path(f"/proc/{pid}").exists(), "its programs are ended"
    stands = status(here)
    assert stands["state"] == "detached" and "revoked" in stands["trouble"]
    task = server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()
    assert task["state"] == "READY" and "detached from the server by admin" in str(task["tries"]), "tried elsewhere"
    assert resource(server, "bad")["state"] == "revoked"
    again = here.start(ready=False)
    assert again.wait(15) == 4
    here.agent = None
    # Another machine takes its place, and takes up the task.
    other = machine()
    other.join(server.admin.post("/api/resources/bad/join").json()["command"])
    assert (other.home / "identity.json").read_text() != key
    pid_file.unlink()
    other.start()
    await_that(pid_file.exists, what="the second try")
    assert here.start(ready=False).wait(15) == 4, "the first key is worth nothing"
    here.agent = None
    assert "another machine has joined" in here.words()
    left = here.run("agent", "leave")
    assert left.code == 0, f"nothing of it runs any more: {left.err}"
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    assert server.ended(job["id"])["state"] == "CANCELLED"


def test_a_key_that_was_replaced_has_no_access_though_its_token_has_time_left(
    server: Product, machine: Callable[..., Machine]
) -> None:
    here = attach(server, machine(), "twice")
    other = machine()
    other.join(server.admin.post("/api/resources/twice/join").json()["command"])
    assert here.agent is not None
    assert here.agent.wait(15) == 4
    here.agent = None
    other.start()
    server.run(server.publish("quick", "true"))


def test_a_machine_leaves_for_good(server: Product, machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = attach(server, machine(), "passing")
    gate = tmp_path / "gate"
    app = server.publish("gated", f"while [ ! -e {gate} ]; do sleep 0.05; done", shell=True)
    job = server.submit(app)
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="its start")
    assert here.agent is not None
    refused = here.run("agent", "leave")
    assert refused.code == 1 and "1 program runs on this machine" in refused.err and "--force" in refused.err
    assert here.agent.poll() is None and status(here)["state"] == "attached", "a refusal changes nothing"
    left = here.run("agent", "leave", "--force")
    assert here.agent is not None and here.agent.wait(15) == 0
    here.agent = None
    assert left.code == 0, left.err
    assert resource(server, "passing")["state"] == "revoked"
    assert not (here.home / "identity.json").exists() and not (here.home / "journal").exists()
    assert status(here)["state"] == "not joined"
    assert server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()["state"] == "READY"
    gate.touch()
    attach(server, machine(), "staying")
    assert server.ended(job["id"])["state"] == "DONE"


def test_a_second_ctrl_c_ends_the_programs_too(server: Product, machine: Callable[..., Machine]) -> None:
    made = create(server, "lab")
    here = machine()
    here.join(made["join"]["command"])
    here.start()
    job = server.submit(server.publish("endless", "sleep 600", resources={"labels": {}}), resources=[made["id"]])["id"]
    await_that(lambda: server.job(job)["state"] == "RUNNING", what="a program that runs")
    assert here.agent is not None
    here.agent.send_signal(signal.SIGINT)
    here.await_said("1 program runs on; Ctrl-C again ends what runs")
    assert here.end(signal.SIGINT) == 0
    assert here.words().splitlines()[-1] == "agent ended", here.words()
    assert status(here)["running"] == 0
    server.admin.post(f"/api/jobs/{job}/cancel")
    assert server.ended(job)["state"] == "CANCELLED"


def test_what_is_ended_by_leaving_begins_elsewhere_only_then(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here, told = attach(server, machine(), "hasty"), tmp_path / "told"
    command = f"echo begin >> {told}; trap 'sleep 1; echo end >> {told}; exit 1' TERM; while :; do sleep 0.05; done"
    job = server.submit(server.publish("slow-to-end", command, shell=True))
    await_that(told.exists, what="its start")
    attach(server, machine(), "patient")
    assert here.run("agent", "leave", "--force").code == 0
    assert here.agent is not None and here.agent.wait(15) == 0
    here.agent = None
    words = await_that(lambda: told.read_text().split()[2:] and told.read_text().split(), what="its start elsewhere")
    assert words == ["begin", "end", "begin"]
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    server.ended(job["id"])


def test_a_home_that_becomes_another_machine_runs_nothing_of_the_first(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = attach(server, machine(), "first")
    pid = tmp_path / "pid"
    app = server.publish("endless", f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600", shell=True)
    job = server.submit(app)
    await_that(pid.exists, what="its start")
    program = Path("/proc", pid.read_text().strip())
    assert here.end() == 0 and program.exists()
    here.join(create(server, "second")["join"]["command"])
    await_that(lambda: not program.exists(), what="the end of the first machine's program")
    server.admin.post(f"/api/jobs/{job['id']}/cancel")


def test_restarting_the_agent_kills_nothing(server: Product, machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = attach(server, machine(), "steady")
    gate = tmp_path / "gate"
    app = server.publish("gated", f"while [ ! -e {gate} ]; do sleep 0.05; done", shell=True)
    job = server.submit(app)
    await_that(lambda: server.job(job["id"])["state"] == "RUNNING", what="its start")
    assert here.end(signal.SIGKILL) == -signal.SIGKILL
    here.start()
    gate.touch()
    assert server.ended(job["id"])["state"] == "DONE"
    assert server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()["attempts"] == 1


def test_names_and_rights(server: Product, machine: Callable[..., Machine]) -> None:
    admin, carla = server.admin, server.user("carla")
    made = create(server, "old", lostAfterS=120)
    assert made["lostAfterS"] == 120 and made["state"] == "offline" and made["owner"] == "admin"
    assert admin.post("/api/resources", json={"name": "old"}).json()["code"] == "already_exists"
    assert admin.post("/api/resources", json={"name": "a b"}).json()["field"] == "name"
    assert admin.patch("/api/resources/old", json={"lostAfterS": -1}).json()["field"] == "lostAfterS"
    assert admin.patch("/api/resources/local", json={"name": "x"}).status_code == 409
    refused = carla.post("/api/resources", json={"name": "mine"})
    assert refused.status_code == 403 and "user set NAME --publish" in refused.json()["try"]
    calls = [
        lambda: carla.get("/api/resources/old"),
        lambda: carla.patch("/api/resources/old", json={"mode": "drain"}),
        lambda: carla.post("/api/resources/old/revoke"),
        lambda: carla.post("/api/resources/old/join"),
        lambda: carla.post("/api/resources/old/tokens", json={}),
        lambda: carla.delete("/api/resources/old"),
    ]
    assert {call().status_code for call in calls} == {404}, "it is not there for her"
    assert sirdar(server, "resource", "share", "old", "carla").stdout == "user:carla\n"
    assert [call().status_code for call in calls] == [200, *[403] * 5], "she may use it, and that is all"
    assert sirdar(server, "resource", "share", "old", "carla", "--revoke").stdout == "shared with nobody\n"
    assert carla.get("/api/resources/old").status_code == 404
    server.publish("bound", "true", resources={"only": ["old", "elsewhere"]})
    server.publish("free", "true", resources={"only": ["elsewhere"]}, annotation="only old")
    renamed = sirdar(server, "resource", "rename", "old", "new")
    assert renamed.stdout == "old is new now\n"
    assert "warning: 1 application runs on old only, a name that is not there any more" in renamed.stderr
    assert admin.get("/api/resources/old").status_code == 404
    assert resource(server, made["id"])["name"] == "new"
    assert sirdar(server, "resource", "delete", "new").returncode == 0
    assert admin.get(f"/api/resources/{made['id']}").status_code == 404
    create(server, "new")
    lines = [line["action"] for line in admin.get("/api/audit?limit=100").json()]
    assert {"resource.create", "resource.change", "resource.revoke", "resource.delete"} <= set(lines)


def test_a_deleted_machines_name_stays_with_what_ran_there(server: Product, machine: Callable[..., Machine]) -> None:
    attach(server, machine(), "gone")
    job = server.run(server.publish("quick", "true"))
    assert server.admin.delete("/api/resources/gone").status_code == 204
    assert server.admin.get(f"/api/jobs/{job['id']}/tasks").json()[0]["resource"]["name"] == "gone"
    assert "gone" not in sirdar(server, "resource", "list").stdout


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_one_that_systemd_accepts(server: Product, machine: Callable[..., Machine]) -> None:
    here = machine()
    here.join(create(server, "unit")["join"]["command"])
    ran = here.run("agent", "install", "--slots", "2", "--label", "note=50% of it")
    assert ran.code == 0, ran.err
    unit = here.root / "config/systemd/user/sirdar-agent.service"
    text = unit.read_text()
    assert "KillMode=process" in text and '"note=50%% of it"' in text and str(here.home) in text
    assert "next: systemctl --user enable --now sirdar-agent.service" in ran.err
    checked = subprocess.run(["systemd-analyze", "--user", "verify", unit], check=False, capture_output=True, text=True)
    assert "sirdar-agent" not in checked.stderr, checked.stderr


def test_the_unit_takes_the_policy_and_the_proxy_along(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    here.join(create(server, "proxied")["join"]["command"])
    here.environment |= {"HTTPS_PROXY": "http://me:50%@proxy:3128", "no_proxy": "localhost, .example.org"}
    policy = tmp_path / "mine.yaml"
    ran = here.run("agent", "install", "--policy", str(policy))
    assert ran.code != 0 and f"there is no file {policy}" in ran.err
    policy.write_text("tasks: none\n")
    ran = here.run("agent", "install", "--policy", str(policy))
    assert ran.code != 0 and "is not a number of tasks" in ran.err
    policy.write_text("tasks: 1\n")
    ran = here.run("agent", "install", "--policy", str(policy))
    assert ran.code == 0, ran.err
    unit = here.root / "config/systemd/user/sirdar-agent.service"
    text = unit.read_text()
    assert f" --policy {policy}\n" in text
    assert '[Service]\nEnvironment="HTTPS_PROXY=http://me:50%%@proxy:3128"\n' in text
    assert 'Environment="no_proxy=localhost, .example.org"\n' in text
    assert unit.stat().st_mode & 0o077 == 0, "an address of a proxy may hold a password"


def attach(server: Product, machine: Machine, name: str, *words: str) -> Machine:
    machine.join(create(server, name)["join"]["command"])
    machine.start(*words)
    return machine


# ---------------------------------------------------------------- throw-away machines


def token_of(server: Product, name: str, **more: Any) -> dict[str, Any]:
    reply = server.admin.post(f"/api/resources/{name}/tokens", json=more)
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def throwaway(machine: Callable[..., Machine], token: dict[str, Any], **more: str) -> Machine:
    here = machine(**token["environment"], **more)
    here.environment |= {"SIRDAR_AGENT_HOME": "", "XDG_DATA_HOME": str(here.root / "data"), "TMPDIR": "/tmp"}
    return here


@pytest.mark.parametrize("variable", ["SIRDAR_TOKEN", "EVEREST_TOKEN"])
def test_a_throwaway_machine_attaches_by_its_environment(
    server: Product, machine: Callable[..., Machine], variable: str
) -> None:
    create(server, "cloud")
    made = sirdar(server, "resource", "token", "create", "cloud", "--lifetime", "1h", "--label", "vm")
    environment = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert environment["SIRDAR_URL"] == server.url and "then: sirdar agent start" in made.stderr
    environment[variable] = environment.pop("SIRDAR_TOKEN")
    here = throwaway(machine, {"environment": environment}, MAX_TASKS="3")
    here.start()
    assert resource(server, "cloud")["capabilities"]["slots"] == 3
    job = server.run(server.publish("where", "pwd", outputs={"place": {"type": "string", "from": "stdout"}}))
    place = Path(job["result"]["place"].strip()).parents[2]
    assert place.name.startswith("sirdar-agent-") and place.exists()
    assert not (here.root / "data").exists()
    listed = sirdar(server, "resource", "token", "list", "cloud").stdout
    assert "vm" in listed and environment[variable] not in listed
    assert here.end() == 0
    assert not place.exists(), "it keeps nothing"
    assert resource(server, "cloud")["state"] == "offline", "at once: it said goodbye"


def test_what_a_throwaway_machine_ran_is_tried_again_when_it_goes(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    create(server, "vm")
    here = throwaway(machine, token_of(server, "vm"))
    here.start()
    pid_file = tmp_path / "pid"
    app = server.publish("long", f"echo $$ > {pid_file}; sleep 600", shell=True)
    job = server.submit(app)
    pid = int(await_that(lambda: pid_file.exists() and pid_file.read_text(), what="the program's start"))
    assert here.end() == 0
    assert not Path(f"/proc/{pid}").exists()
    task = server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()
    assert task["state"] == "READY" and task["tries"][0]["reason"] == "preempted", task
    pid_file.unlink()
    here.start()
    await_that(lambda: pid_file.exists() and pid_file.read_text(), what="the second try, on the same resource")
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    server.ended(job["id"])


def test_a_token_attaches_one_agent_at_a_time(server: Product, machine: Callable[..., Machine]) -> None:
    create(server, "single")
    token = token_of(server, "single")
    first, second = throwaway(machine, token), throwaway(machine, token)
    first.start()
    second.start(ready=False)
    second.await_said("Another agent is attached as single")
    server.run(server.publish("quick", "true"))
    assert "agent ready" not in second.words()
    assert resource(server, "single")["state"] == "online"
    assert first.end() == 0
    second.await_said("agent ready single")
    server.run("me/quick")


def test_a_revoked_token_ends_its_agent_and_a_wrong_one_is_told(
    server: Product, machine: Callable[..., Machine]
) -> None:
    create(server, "brief")
    token = token_of(server, "brief")
    here = throwaway(machine, token)
    here.start()
    assert sirdar(server, "resource", "token", "revoke", "brief", token["id"]).returncode == 0
    assert here.agent is not None and here.agent.wait(15) == 4
    here.agent = None
    assert "unknown or was revoked" in here.words()
    wrong = throwaway(machine, {"environment": {"SIRDAR_URL": server.url, "SIRDAR_TOKEN": server.token()}})
    assert wrong.start(ready=False).wait(15) == 1
    wrong.agent = None
    assert "not an agent's token" in wrong.words() and "sirdar resource" in wrong.words()
    late = token_of(server, "brief", lifetime=0.001)
    gone = throwaway(machine, late)
    assert gone.start(ready=False).wait(15) == 4
    gone.agent = None
    assert "has expired" in gone.words()


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_what_runs_by_a_token_that_ends_is_tried_again_at_once(
    server: Product, machine: Callable[..., Machine], tmp_path: Path, end: str
) -> None:
    """Its agent ends the programs; nobody waits for the end of its lease, and then for its return."""
    name = f"until-{end}"
    create(server, name)
    token = token_of(server, name, **({"lifetime": 12} if end == "expired" else {}))
    here = throwaway(machine, token)
    here.start()
    pid_file = tmp_path / "pid"
    app = server.publish("long", f"echo $$ > {pid_file}; sleep 600", shell=True)
    job = server.submit(app)
    pid = int(await_that(lambda: pid_file.exists() and pid_file.read_text(), what="the program's start"))
    if end == "revoked":
        assert sirdar(server, "resource", "token", "revoke", name, token["id"]).returncode == 0
    assert here.agent is not None and here.agent.wait(30) == 4
    here.agent = None
    assert not Path(f"/proc/{pid}").exists()
    task = server.admin.get(f"/api/jobs/{job['id']}/tasks/0").json()
    assert (task["state"], task["tries"][0]["reason"]) == ("READY", "agent_lost"), task
    assert "has ended" in task["tries"][0]["message"], task
    assert resource(server, name)["state"] == "offline"
    server.admin.post(f"/api/jobs/{job['id']}/cancel")
    server.ended(job["id"])


# ---------------------------------------------------------------- the way out


@pytest.fixture
def hidden(tmp_path: Path, free_port: Any) -> Iterator[Product]:
    """A server that others know by a name which only the proxy can reach."""
    (tmp_path / "hidden").mkdir()
    product = Product(tmp_path / "hidden", {"public_url": f"https://{HOST}"}, slots=0)
    port = free_port()
    product.start(port)
    product.url = f"http://127.0.0.1:{port}"
    yield product
    product.close()


def test_a_machine_behind_a_proxy_attaches_by_https(tmp_path: Path, hidden: Product) -> None:
    server = hidden
    with way_out(server.port, tmp_path) as out:
        here = Machine(server, tmp_path / "inside")
        here.environment = {"HTTPS_PROXY": f"http://me:pass@127.0.0.1:{out.port}"}
        command = create(server, "inside")["join"]["command"]
        assert f"https://{HOST}" in command
        unknown = here.run(*command.split()[1:])
        assert unknown.code == 1 and "certificate verify failed" in unknown.err.lower()
        here.environment["SSL_CERT_FILE"] = str(out.authority)
        here.join(command)
        here.start()
        try:
            data = bytes(range(256)) * 40_000
            app = server.publish(
                "copy",
                "cp ${data} copy.bin",
                inputs={"data": {"type": "file"}},
                outputs={"copy": {"type": "file", "from": "copy.bin"}},
            )
            job = server.run(app, {"data": server.upload("data.bin", data)})
            assert server.admin.get(job["result"]["copy"]).content == data
        finally:
            here.close()
        assert set(out.asked) == {f"CONNECT {HOST}:443 HTTP/1.1"}
        assert "Proxy-Authorization: Basic bWU6cGFzcw==" in out.heads[-1]


# ---------------------------------------------------------------- what the machine has


def test_cards_are_counted_by_nvidias_own_tool(server: Product, machine: Callable[..., Machine]) -> None:
    here = machine()
    tools = here.root / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB'\necho 'NVIDIA A100-SXM4-40GB'\n")
    (tools / "nvidia-smi").chmod(0o755)
    here.environment["PATH"] = f"{tools}:/usr/bin:/bin"
    attach(server, here, "cards")
    has = resource(server, "cards")["capabilities"]
    assert has["gpus"] == 2 and has["gpu_names"][0] == "NVIDIA A100-SXM4-40GB"
    assert "NVIDIA A100" in sirdar(server, "resource", "show", "cards").stdout
    server.run(server.publish("on_card", "true", resources={"gpus": 2}))


# ---------------------------------------------------------------- the owner's policy

POLICY = """
allow:
  users: [anna]
  groups: [lab]
  commands: [sh, "true", /usr/bin/env]
deny:
  apps: ["*/forbidden"]
tasks: 2
limits: {cpus: 1, memory: 256 MiB, time: 1 s}
"""


def test_the_owner_of_a_machine_decides_what_runs_there(server: Product, machine: Callable[..., Machine]) -> None:
    anna, boris = server.user("anna", canPublish=True), server.user("boris", canPublish=True)
    server.admin.post("/api/groups", json={"name": "lab"})
    here = machine()
    here.join(create(server, "picky")["join"]["command"])
    (here.home / "policy.yaml").write_text(POLICY)
    here.start("--slots", "8")
    assert server.admin.put("/api/resources/picky/share/everyone", json={}).status_code == 200
    assert resource(server, "picky")["capabilities"]["slots"] == 2

    def refused(app: str, who: Any, words: str, **more: Any) -> None:
        job = server.run(app, who=who, state="FAILED", **more)
        assert job["outcome"]["reason"] == "refused", job
        assert words in job["outcome"]["message"], job["outcome"]

    for who in (anna, boris):
        server.publish("fine", "true", who=who)
    server.run("me/fine", who=anna)
    refused("me/fine", boris, "picky: its owner does not let boris run there")
    assert server.admin.put("/api/groups/lab/members/boris", json={}).status_code in {200, 204}
    server.run("me/fine", who=boris)
    refused(server.publish("forbidden", "true", who=anna), anna, "does not let the application anna/forbidden")
    refused(
        server.publish("other", "python3 -c 1", who=anna), anna, "picky: its owner does not let the command python3"
    )
    tool = server.publish("own", "./true", who=anna, files={"true": "#!/bin/sh\n"})
    refused(tool, anna, "does not let the command ./true")
    large = server.publish("large", "true", who=anna, resources={"memory": "1 GiB"})
    refused(large, anna, "asks for 1 GiB of memory; its owner allows 256 MiB")
    slow = server.publish("slow", "sleep 30", who=anna, shell=True)
    job = server.run(slow, who=anna, state="FAILED")
    assert job["outcome"]["reason"] == "time_limit", "a task without a limit gets the owner's"


def test_an_agent_does_not_start_with_a_policy_that_it_cannot_read(
    server: Product, machine: Callable[..., Machine]
) -> None:
    here = machine()
    here.join(create(server, "typo")["join"]["command"])
    (here.home / "policy.yaml").write_text("allow: {user: [anna]}\n")
    assert here.start(ready=False).wait(15) == 1
    here.agent = None
    assert "policy.yaml" in here.words() and "there is no 'user'" in here.words() and "users" in here.words()
