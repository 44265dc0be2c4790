"""The images of deploy/: built on a base made here, since no registry is asked, and run."""

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests import containers
from tests.system.attached import resource
from tests.system.product import ADMIN_PASSWORD, Product, await_that

import sirdar.client
from sirdar.client import Client
from sirdar.optim import Status, solve_all
from sirdar.services import attach
from sirdar.services.settings import Settings
from sirdar.store import people
from sirdar.store.engine import Store, Tx

pyo = pytest.importorskip("pyomo.environ")
pytestmark = [
    pytest.mark.needs("buildah", "podman", "runc", "mmdebstrap", "make", "docker-registry"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a base is made, and containers are run, as root"),
]
DEPLOY = Path(__file__).parents[2] / "deploy"
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
BUILD = [
    "--base",
    "localhost/base",
    "--python",
    "3.11",
    "--tool",
    "buildah --runtime runc build --isolation chroot --quiet",
]
SOLVERS = ("ipopt", "highs", "scip", "cbc")
SCRIPT = """
import pyomo.environ as pyo

model = pyo.ConcreteModel()
model.x, model.y = pyo.Var(bounds=(0, 2)), pyo.Var(bounds=(0, 10))
model.line = pyo.Constraint(expr=model.x + model.y >= 3)
model.cost = pyo.Objective(expr=model.x + 2 * model.y)
found = pyo.SolverFactory("ipopt").solve(model)
print(found.solver.termination_condition, round(pyo.value(model.cost), 5))
"""


class Engine(containers.Room):
    """Whose containers run in the foreground."""

    def run(self, image: str, *options: str, log: Path) -> "subprocess.Popen[bytes]":
        """On the machine's own loopback."""
        with log.open("wb") as output:
            words = ["podman", "run", "--rm", "--network", "host", *options, image]
            given = {**os.environ, **self.variables}
            return subprocess.Popen(words, env=given, cwd=self.here, stdout=output, stderr=output)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With all images built, by deploy/build-images."""
    with containers.room(tmp_path_factory.mktemp("containers")) as room:
        found = Engine(room.here, room.variables)
        make_base(found)
        found.do(DEPLOY / "build-images", *BUILD, "--tag", "test", "server", "agent", "solvers")
        yield found


def make_base(engine: Engine) -> None:
    """Debian with Python, by mmdebstrap from where this machine has its packages."""
    sources = "\n".join(Path(name).read_text() for name in SOURCES if Path(name).exists())
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    words = ["mmdebstrap", "--quiet", "--variant=minbase", *slim, "--include=python3-venv,ca-certificates"]
    base = engine.here / "base.tar"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    subprocess.run([*words, "bookworm", base, "-"], input=sources, text=True, env=environment, check=True)
    (engine.here / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    engine.do("buildah", "build", "--quiet", "--isolation", "chroot", "--tag", "base", ".")
    base.unlink()


def test_a_job_runs_between_the_two_images(engine: Engine, tmp_path: Path, free_port: Callable[[], int]) -> None:
    server = Product(tmp_path, url=f"http://127.0.0.1:{free_port()}")
    server.home.mkdir()
    os.chown(server.home, 10001, 10001)
    given = environment(SIRDAR_HOST="127.0.0.1", SIRDAR_PORT=server.port, SIRDAR_ADMIN_PASSWORD=ADMIN_PASSWORD)
    volume = f"{server.home}:/var/lib/sirdar"
    with running(engine, "server", tmp_path, "-v", volume, *given) as first:
        await_that(lambda: first.poll() is not None or answers(server.url), within_s=60, what="the server")
        assert first.poll() is None, (tmp_path / "server.log").read_text()
        assert engine.do("podman", "exec", "server", "id", "-u").strip() == "10001"
        given = environment(SIRDAR_URL=server.url, SIRDAR_JOIN=join_token(server), MAX_TASKS=2)
        with running(engine, "agent", tmp_path, "--init", *given) as second, contextlib.closing(server.admin):
            await_that(lambda: second.poll() is not None or reachable(server), within_s=60, what="the agent")
            assert second.poll() is None, (tmp_path / "agent.log").read_text()
            job = server.run(server.publish("inside", "id -u"), wait=120)
            assert server.admin.get(job["stdout"]).text == "10002\n"
            for name, process in (("agent", second), ("server", first)):
                engine.do("podman", "kill", "--signal", "TERM", name)
                assert process.wait(60) == 0, (tmp_path / f"{name}.log").read_text()
    assert '"event": "server_started"' in (tmp_path / "server.log").read_text()


@contextlib.contextmanager
def running(engine: Engine, name: str, logs: Path, *options: str) -> "Iterator[subprocess.Popen[bytes]]":
    process = engine.run(f"sirdar-{name}:test", "--name", name, *options, log=logs / f"{name}.log")
    try:
        yield process
    finally:
        if process.poll() is None:
            engine.do("podman", "kill", name, check=False)
            process.wait(60)


def test_the_server_wants_tls_before_it_listens_beyond_loopback(engine: Engine, tmp_path: Path) -> None:
    """As the image stands, without settings."""
    refused = engine.run("sirdar-server:test", log=tmp_path / "log")
    assert refused.wait(60) == 2
    assert "SIRDAR_PUBLIC_URL=https://" in (tmp_path / "log").read_text()


def test_each_solver_of_the_image_works_by_hand(engine: Engine) -> None:
    """Without a server, without a network, and as the image's own user, who may not change it."""
    words = ["podman", "run", "--rm", "--network", "none", "--entrypoint", "sh", "sirdar-solvers:test", "-c"]
    last = (
        "id -u; command -v cc gcc pip; ls -d /usr/include/ampl-netlib-solvers /wheels; python -c 'import pyomo.environ'"
    )
    told = engine.do(*words, f"sirdar optim solvers --json && echo ---; {last}", check=False)
    found, _, left = told.partition("---\n")
    there = {one["name"]: one for one in json.loads(found)}
    assert {name: one["state"] for name, one in there.items()} == dict.fromkeys(SOLVERS, "works")
    assert there["ipopt"]["what"].startswith("driver in C") and there["ipopt"]["kept"]
    assert left == "10002\n", "the compiler stays where it was needed"


def test_an_agent_with_solvers_joins_and_solves(
    engine: Engine, own_sirdar: Callable[..., Product], tmp_path: Path
) -> None:
    server = own_sirdar()
    given = environment(SIRDAR_URL=server.url, SIRDAR_JOIN=join_token(server), MAX_TASKS=2)
    with running(engine, "solvers", tmp_path, "--init", *given) as agent:
        await_that(lambda: agent.poll() is not None or reachable(server), within_s=60, what="the agent")
        assert agent.poll() is None, (tmp_path / "solvers.log").read_text()
        labels = resource(server, "container")["capabilities"]["labels"]
        assert {*(f"solver-{name}" for name in SOLVERS), "kept-ipopt"} <= set(labels)
        with sirdar.client.connect(server.url, server.token()) as client:
            for solver in SOLVERS:
                assert_solved(client, solver)
            assert_solved(client, "ipopt", warm=True)
        job = server.run(server.publish("script", "python script.py", files={"script.py": SCRIPT}), wait=120)
        assert server.admin.get(job["stdout"]).text == "optimal 4.0\n", "programs have Pyomo and find the solvers"
        engine.do("podman", "kill", "--signal", "TERM", "solvers")
        assert agent.wait(60) == 0, (tmp_path / "solvers.log").read_text()


def assert_solved(client: Client, solver: str, *, warm: bool = False) -> None:
    """x + 2y is least at (2, 1)."""
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(bounds=(0, 2)), pyo.Var(bounds=(0, 10))
    model.line = pyo.Constraint(expr=model.x + model.y >= 3)
    model.cost = pyo.Objective(expr=model.x + 2 * model.y)
    (record,) = solve_all([model], solver, resources=["container"], client=client, progress=False, warm=warm)
    assert record.status is Status.OPTIMAL, (solver, record.message, record.stderr)
    assert (record.resource, pyo.value(model.cost)) == ("container", pytest.approx(4, abs=1e-6))


def test_one_make_attaches_a_machine_that_solves(
    engine: Engine, own_sirdar: Callable[..., Product], tmp_path: Path
) -> None:
    server = own_sirdar()
    make = ["make", "--no-print-directory", "-C", DEPLOY / "svf", "ENGINE=podman", "TAG=test"]
    engine.do(*make, "build", "PARTS=svf", f"BUILD={shlex.join(BUILD)}")
    (tmp_path / "model.py").write_text("import matplotlib, numpy\n" + SCRIPT)
    tmp_path.chmod(0o755)
    assert engine.do(*make, "script", f"SCRIPT={tmp_path}/model.py").endswith("optimal 4.0\n"), (
        "by hand, without a server"
    )
    with containers.registry(tmp_path / "registry") as place:
        engine.do(*make, "push", f"REGISTRY={place}/lab", "PUSH=--tls-verify=false --quiet")
        told = httpx.get(f"http://{place}/v2/lab/sirdar-svf/tags/list", trust_env=False)
        assert told.json()["tags"] == ["test"]
    token = resource_token(server, "container")
    assert "TOKEN" in subprocess.run([*make, "run"], capture_output=True, text=True, check=False).stderr, (
        "it says what it needs"
    )
    engine.do(*make, "run", f"URL={server.url}", f"TOKEN={token}", "MAX_TASKS=3", "OPTIONS=--network host")
    await_that(lambda: reachable(server), within_s=60, what="the agent")
    assert resource(server, "container")["capabilities"]["slots"] == 3
    with sirdar.client.connect(server.url, server.token()) as client:
        for solver in SOLVERS:
            assert_solved(client, solver)
    engine.do(*make, "stop")
    await_that(lambda: not reachable(server), within_s=60, what="its end")
    assert engine.containers() == []


def resource_token(server: Product, name: str) -> str:
    made = server.admin.post("/api/resources", json={"name": name})
    assert made.status_code == 201, made.text
    token = server.admin.post(f"/api/resources/{name}/tokens", json={})
    assert token.status_code == 201, token.text
    return str(token.json()["token"])


def environment(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in ("-e", f"{name}={value}")]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def reachable(server: Product) -> bool:
    """The agent in its container has said hello."""
    return 'sirdar_resource_reachable{resource="container"} 1.0' in server.admin.get("/metrics").text


def join_token(server: Product) -> str:
    """A resource and its single-use token, as an administrator makes it; written beside the server."""
    settings = Settings(home=server.home)
    store = Store(settings.database_url)

    def make(tx: Tx) -> str:
        admin = people.user_by_name(tx.conn, "admin")
        assert admin is not None
        return attach.create_resource(tx, settings, name="container", owner_id=admin.id)[1]

    try:
        return store.write_now(make)
    finally:
        store.close()
