"""Where jobs go: bindings, shares, inputs that lie somewhere already, accepted work that moves, gpus. Real agents."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.attached import Machine, create
from tests.system.product import Product, await_that

INPUT_BYTES = 20 << 20
NVIDIA_SMI = "#!/bin/sh\necho NVIDIA T1\necho NVIDIA T2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("placement"), {"heartbeat_s": 0.5}, slots=0)
    product.start()
    yield product
    product.close()


@pytest.fixture
def machine(server: Product, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def attach(name: str, *words: str, who: httpx.Client | None = None, **environment: str) -> Machine:
        """A machine of the administrator's, or of ``who``."""
        here = Machine(server, tmp_path / name, environment)
        made.append(here)
        if who is None:
            join = create(server, name)["join"]["command"]
        else:
            reply = who.post("/api/resources", json={"name": name})
            assert reply.status_code == 201, reply.text
            join = reply.json()["join"]["command"]
        here.join(join)
        here.start(*words)
        return here

    yield attach
    for one in made:
        one.close()
    for row in server.admin.get("/api/resources").json():
        if not row["embedded"]:
            assert server.admin.delete(f"/api/resources/{row['id']}").status_code == 204


def place(server: Product, job_id: str, who: httpx.Client | None = None, no: int = 0) -> str | None:
    tasks = (who or server.admin).get(f"/api/jobs/{job_id}/tasks").json()
    resource = tasks[no]["resource"] if len(tasks) > no else None
    return resource["name"] if resource else None


def why(server: Product, job_id: str, who: httpx.Client | None = None) -> str:
    reply = (who or server.admin).get(f"/api/jobs/{job_id}/explain")
    assert reply.status_code == 200, reply.text
    return " ".join(one["text"] for one in reply.json()["why"])


# ---------------------------------------------------------------- bindings


def test_an_application_runs_where_its_labels_are_and_on_the_resources_it_names(
    server: Product, machine: Callable[..., Machine]
) -> None:
    machine("plain")
    machine("good", "--label", "site=lab")
    bound = server.publish("labelled", "true", resources={"labels": {"site": "lab"}})
    named = server.publish("named", "true", resources={"only": ["plain"]})
    free = server.publish("free", "true")
    for app, wanted in ((bound, "good"), (named, "plain")):
        job = server.run(app)
        assert (job["state"], place(server, job["id"])) == ("DONE", wanted)
    job = server.run(free, resources=["good"])
    assert place(server, job["id"]) == "good"
    refused = server.admin.post("/api/apps/me/named", json={"inputs": {}, "resources": ["good"]})
    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"] == "The application runs on plain only, not on good."
    assert refused.json()["expected"] == "one of plain"
    refused = server.admin.post("/api/apps/me/labelled", json={"inputs": {}, "resources": ["plain"]})
    assert "where a resource has the label site=lab only, not on plain" in refused.json()["detail"], refused.text
    nowhere = server.publish("nowhere", "true", resources={"labels": {"site": "moon"}})
    reply = server.admin.post("/api/apps/me/nowhere", json={"inputs": {}})
    assert "plain has no label site; the application asks for site=moon" in reply.json()["warnings"][0], reply.text
    assert nowhere and "good has site=lab" in why(server, reply.json()["id"])
    server.admin.post(f"/api/jobs/{reply.json()['id']}/cancel")


# ---------------------------------------------------------------- shares


def test_a_machine_is_its_owners_until_it_is_shared(server: Product, machine: Callable[..., Machine]) -> None:
    olga, petr = server.user("olga", canPublish=True), server.user("petr", canPublish=False)
    refused = petr.post("/api/resources", json={"name": "petrs"})
    assert refused.status_code == 403 and "may not attach machines" in refused.json()["detail"]
    machine("olgas", who=olga)
    app = server.publish("shared", "true", who=olga)
    assert olga.put("/api/apps/olga/shared/share/user:petr", json={"permission": "run"}).status_code in {200, 204}
    assert app
    # Others' work does not come there, and others do not learn its name.
    reply = petr.post("/api/apps/olga/shared", json={"inputs": {}}).json()
    job, (warning,) = reply["id"], reply["warnings"]
    assert warning.startswith("There is no resource that the job's owner may use.") and "olgas" not in warning
    assert "No resource is shared with petr." in why(server, job, petr)
    assert "Ask an administrator" in why(server, job, petr) and "resource create" not in why(server, job, petr)
    for told in (why(server, job, petr), petr.get("/api/resources").text, petr.get("/api/resources/olgas").text):
        assert "olgas" not in told.replace("There is no resource olgas", "")
    asked = petr.post("/api/apps/olga/shared", json={"inputs": {}, "resources": ["olgas"]})
    assert asked.status_code == 422 and asked.json()["detail"] == "There is no resource 'olgas'."
    assert petr.put("/api/resources/olgas/share/user:petr", json={}).status_code == 404
    # Its owner may share it, with everyone only an administrator; then what waited goes there.
    assert olga.put("/api/resources/olgas/share/everyone", json={}).status_code == 403
    assert olga.put("/api/resources/olgas/share/user:nobody-here", json={}).status_code == 404
    assert server.job(job)["state"] == "READY"
    assert olga.put("/api/resources/olgas/share/user:petr", json={}).json() == ["user:petr"]
    assert server.ended(job)["state"] == "DONE"
    assert place(server, job, petr) == "olgas" and "olgas" in petr.get("/api/resources").text
    assert petr.put("/api/resources/olgas/share/user:petr", json={}).status_code == 403
    # Taken back, the next one waits again; by a group it is given once more.
    assert olga.delete("/api/resources/olgas/share/user:petr").status_code == 204
    job = petr.post("/api/apps/olga/shared", json={"inputs": {}}).json()["id"]
    assert "No resource is shared with petr." in why(server, job, petr)
    assert server.admin.post("/api/groups", json={"name": "hydro"}).status_code == 201
    assert server.admin.put("/api/groups/hydro/members/petr", json={}).status_code in {200, 204}
    assert olga.put("/api/resources/olgas/share/group:hydro", json={}).status_code == 200
    assert server.ended(job)["state"] == "DONE"


def test_secrets_go_only_where_their_owner_is_welcome(server: Product, machine: Callable[..., Machine]) -> None:
    nina, oleg = server.user("nina", canPublish=True), server.user("oleg", canPublish=True)
    server.publish("keyed", "true", who=nina, secrets=["KEY"], app_secrets={"KEY": "precious"})
    assert nina.put("/api/apps/nina/keyed/share/user:oleg", json={"permission": "run"}).status_code in {200, 204}
    machine("olegs", who=oleg)
    job = oleg.post("/api/apps/nina/keyed", json={"inputs": {}}).json()["id"]
    assert "the owner of its application, whose secrets it carries" in why(server, job, oleg)
    assert server.job(job)["state"] == "READY"
    assert oleg.put("/api/resources/olegs/share/user:nina", json={}).status_code == 200
    assert server.ended(job)["state"] == "DONE"


# ---------------------------------------------------------------- locality


def test_a_job_goes_where_its_input_lies(server: Product, machine: Callable[..., Machine]) -> None:
    machine("first", "--slots", "2")
    app = server.publish("heavy", "wc -c ${data}", inputs={"data": {"type": "file"}})
    data = server.upload("data.bin", b"\x5a" * INPUT_BYTES)
    assert server.run(app, {"data": data}, resources=["first"])["state"] == "DONE"
    machine("second", "--slots", "8")  # more room: it would be taken, were it not for the input
    await_that(lambda: server.admin.get("/api/resources/second").json()["state"] == "online", what="second online")
    small = server.publish("small", "true")
    assert place(server, server.run(small)["id"]) == "second", "more room"
    for _ in range(3):
        job = server.run(app, {"data": data})
        assert (job["state"], place(server, job["id"])) == ("DONE", "first")


# ---------------------------------------------------------------- moving


def test_accepted_work_moves_to_a_machine_that_comes_later(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    script = f"echo ${{SIRDAR_TASK_ID}} >> {ran}; while [ ! -e {gate} ]; do sleep 0.05; done"
    app = server.publish("gated", script, shell=True, inputs={"i": {"type": "integer"}})
    machine("early", "--slots", "2")
    job = server.admin.post(f"/api/apps/{app}", json={"foreach": [{"i": i} for i in range(4)]}).json()["id"]

    def phases() -> list[tuple[str | None, str]]:
        return [(place(server, job, no=no), one["state"]) for no, one in enumerate(tasks())]

    def tasks() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.admin.get(f"/api/jobs/{job}/tasks").json()
        return found

    await_that(lambda: len(tasks()) == 4 and sum(one["state"] == "RUNNING" for one in tasks()) == 2, what="two run")
    assert {where for where, _ in phases()} == {"early"}, "all are claimed by the only one"
    machine("late", "--slots", "2")
    await_that(lambda: sorted(phases()) == [("early", "RUNNING")] * 2 + [("late", "RUNNING")] * 2, what="two moved")
    gate.touch()
    ended = server.ended(job)
    assert ended["state"] == "DONE" and ended["tasks"]["done"] == 4
    keys = ran.read_text().split()
    assert len(keys) == 4 and len({key.rsplit("-", 1)[0] for key in keys}) == 4, "each task ran once"
    assert sorted(key.rsplit("-", 1)[1] for key in keys) == ["0", "0", "1", "1"]


# ---------------------------------------------------------------- gpus


def test_gpus_are_given_by_their_numbers_and_kept_across_a_restart_of_the_agent(
    server: Product, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(NVIDIA_SMI)
    (tools / "nvidia-smi").chmod(0o755)
    gate, said = tmp_path / "gate", tmp_path / "said"
    gate.mkdir()
    script = f"echo $i=$CUDA_VISIBLE_DEVICES >> {said}; while [ ! -e {gate}/$i ]; do sleep 0.05; done"
    app = server.publish(
        "trains",
        script,
        shell=True,
        inputs={"i": {"type": "integer"}},
        resources={"gpus": 1, "override": ["gpus"]},
    )
    here = machine("gpus", "--slots", "8", PATH=f"{tools}:/usr/bin:/bin")
    job = server.admin.post(f"/api/apps/{app}", json={"foreach": [{"i": i} for i in range(4)]}).json()["id"]

    def seen() -> dict[str, str]:
        lines = said.read_text().split() if said.exists() else []
        return dict(line.split("=") for line in lines)

    await_that(lambda: len(seen()) == 2, what="two run")
    assert sorted(seen().values()) == ["0", "1"]
    assert "2 of 2 gpu(s) of gpus are held; the task needs 1" in why(server, job)
    plain = server.publish("plain-one", f"echo x=$CUDA_VISIBLE_DEVICES. >> {said}", shell=True)
    assert server.run(plain)["state"] == "DONE"
    assert seen()["x"] == ".", "a task that asked for none sees none"
    here.end()
    here.start("--slots", "8")  # it knows which are taken
    second = next(i for i, gpu in seen().items() if gpu == "1")
    (gate / second).touch()
    await_that(lambda: len(seen()) == 4, what="a third runs")
    third = list(seen())[-1]
    assert seen()[third] == "1", "the one that was released, not the one in use"
    for i in range(4):
        (gate / str(i)).touch()
    assert server.ended(job)["state"] == "DONE"
