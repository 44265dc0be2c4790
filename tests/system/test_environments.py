"""Environments of packages through a real server and its agent: told while they are made, used again, failing in words."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.system.product import Product, await_that
from tests.wheels import make_sdist, make_wheel

from sirdar.client.sse import Event, SseParser

SHOW = """
import os, sys
import sirdartiny
print("version", sirdartiny.__version__, os.getpid(), sys.prefix == os.environ["VIRTUAL_ENV"])
"""
VERSION = {"version": {"type": "string", "from": "stdout", "regex": r"version (\S+)"}}
# uv waits for the test where it is told to: so that what is told meanwhile can be seen.
GATED_UV = """#!/bin/sh
case "$*" in
*"pip install"*) while [ -e %(gate)s ]; do sleep 0.05; done;;
esac
exec %(uv)s "$@"
"""


class Site:
    """A server with an agent, and the packages that its owner lets it find."""

    def __init__(self, root: Path, start: Callable[..., Product], **environment: str) -> None:
        self.wheels = root / "wheels"
        make_wheel(self.wheels, "sirdartiny", "1.0")
        make_wheel(self.wheels, "sirdartiny", "2.0")
        config = root / "machine.toml"
        config.write_text(f'no-index = true\nfind-links = ["{self.wheels}"]\n')
        path = f"{sys.base_prefix}/bin:/usr/bin:/bin"  # few interpreters: each is asked
        own = {"UV_CONFIG_FILE": str(config), "SIRDAR_AGENT_ENVIRONMENT_RETRY_S": "0", "PATH": path}
        self.product = start(environment={**own, **environment})

    @property
    def made(self) -> list[Path]:
        folder = self.product.home / "agent" / "environments"
        return [path.parent.parent for path in folder.glob("*/bin/python")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_sirdar: Callable[..., Product]) -> Iterator[Site]:
    return Site(tmp_path_factory.mktemp("site"), module_sirdar)


def publish(site: Site, alias: str, requirements: str, command: str = "python show.py", **more: object) -> str:
    given = {"outputs": VERSION, "environment": {"python": ">=3.11", "requirements": "requirements.txt"}, **more}
    return site.product.publish(alias, command, files={"show.py": SHOW, "requirements.txt": requirements}, **given)


def test_it_is_made_for_the_first_job_and_used_by_the_next(site: Site) -> None:
    app = publish(site, "tiny", "sirdartiny<2\n")
    before = len(site.made)
    first = site.product.run(app)
    assert first["result"]["version"] == "1.0" and len(site.made) == before + 1
    assert site.product.admin.get(first["stdout"]).text.split()[3] == "True"
    assert first["environment"].startswith("sha256:")
    again = publish(site, "tiny-again", "sirdartiny<2\n")  # another application with the same list
    second = site.product.run(again)
    assert second["environment"] == first["environment"] and len(site.made) == before + 1
    other = site.product.run(publish(site, "tiny-other", "sirdartiny\n"))
    assert other["result"]["version"] == "2.0" and other["environment"] != first["environment"]


def test_a_script_finds_the_environments_python(site: Site) -> None:
    script = "#!/usr/bin/env python\nimport sirdartiny\nprint('version', sirdartiny.__version__)\n"
    files = {"run.sh": script, "requirements.txt": "sirdartiny<2\n"}
    app = site.product.publish("tiny-script", "./run.sh", files=files, outputs=VERSION,
                               environment={"requirements": "requirements.txt"})  # fmt: skip
    assert site.product.run(app)["result"]["version"] == "1.0"


def test_a_sweep_makes_it_once(site: Site) -> None:
    before = len(site.made)
    app = publish(site, "tiny-sweep", "sirdartiny\n# of a sweep\n", inputs={"n": {"type": "integer"}})
    job = site.product.run(app, foreach=[{"n": number} for number in range(12)])
    assert len(site.made) == before + 1
    tasks = site.product.admin.get(f"/api/jobs/{job['id']}/tasks?limit=100").json()
    assert [task["result"]["version"] for task in tasks] == ["2.0"] * 12


def test_kept_programs_live_in_it(site: Site) -> None:
    program = "import os, sirdartiny\nimport sirdar_worker\n"
    make_wheel(site.wheels, "sirdarworker", "1.0", {"sirdar_worker.py": WORKER})
    app = site.product.publish(
        "tiny-kept",
        ["python", "kept.py", "${n}"],
        files={
            "kept.py": program + "sirdar_worker.serve(sirdartiny)\n",
            "requirements.txt": "sirdartiny<2\nsirdarworker\n",
        },
        inputs={"n": {"type": "integer", "required": True}},
        outputs={"said": {"type": "json", "from": "said.json"}},
        environment={"requirements": "requirements.txt"},
        keep_alive={"idle": "60 s"},
    )
    said = [site.product.run(app, {"n": number})["result"]["said"] for number in (3, 4)]
    assert [one["version"] for one in said] == ["1.0", "1.0"] and [one["n"] for one in said] == ["3", "4"]
    assert said[0]["pid"] == said[1]["pid"]


WORKER = '''
import json, os

def serve(module):
    """What sirdar.worker does, in few words: it is not in the environment."""
    fd = int(os.environ["SIRDAR_WORKER_FD"])
    with os.fdopen(fd, "rb") as lines:
        for line in lines:
            task = json.loads(line)
            with open(os.path.join(task["directory"], "said.json"), "w") as file:
                json.dump({"version": module.__version__, "pid": os.getpid(), "n": task["command"][-1]}, file)
            os.write(fd, json.dumps({"task": task["task"], "exit_code": 0}).encode() + b"\\n")
'''


def test_what_cannot_be_made_fails_the_job_with_its_log(site: Site) -> None:
    job = site.product.run(publish(site, "tiny-bad", "sirdartiny\nsirdarnowhere==9\n"), state="FAILED")
    outcome = job["outcome"]
    assert outcome["reason"] == "environment" and "sirdarnowhere" in outcome["message"], outcome
    log = site.product.admin.get(job["stderr"]).text
    assert "$ uv pip install" in log and "sirdarnowhere" in log
    job = site.product.run(publish(site, "tiny-include", "-r ../../agent/identity.json\n"), state="FAILED")
    assert "lies outside of the application" in job["outcome"]["message"]


def test_an_interpreter_that_is_not_there_is_told(site: Site) -> None:
    app = publish(
        site, "tiny-new", "sirdartiny\n", environment={"python": ">=3.99", "requirements": "requirements.txt"}
    )
    job = site.product.run(app, state="FAILED")
    assert job["outcome"]["reason"] == "environment"
    assert job["outcome"]["message"].startswith("no Python on this machine fits >=3.99: there are 3.")


@pytest.mark.needs("bwrap")
def test_packages_of_strangers_are_not_built_outside_of_a_sandbox(site: Site) -> None:
    ran = site.wheels.parent / "ran"
    make_sdist(site.wheels, "sirdarsource", "1.0", f"open({str(ran)!r}, 'w').write('x')\n")
    anna = site.product.user("anna", canPublish=True)
    files = {"requirements.txt": "sirdarsource\n"}
    app = site.product.publish(
        "sourced", "true", files=files, who=anna, environment={"requirements": "requirements.txt"}
    )
    job = site.product.run(app, who=anna, state="FAILED")
    assert "other people than this machine's owner" in job["outcome"]["message"]
    assert not ran.exists()


@pytest.mark.needs("bwrap")
def test_strangers_programs_see_it_from_their_sandbox(site: Site) -> None:
    anna = site.product.user("anna", canPublish=True)
    files = {"show.py": SHOW, "requirements.txt": "sirdartiny<2\n"}
    app = site.product.publish("boxed", "python show.py", files=files, who=anna, outputs=VERSION,
                               environment={"requirements": "requirements.txt"})  # fmt: skip
    job = site.product.run(app, who=anna)
    assert job["result"]["version"] == "1.0"
    said = anna.get(job["stdout"]).text.split()
    assert said[2:] == ["2", "True"], "in a sandbox of its own"


def events_of(stream: httpx.Response) -> Iterator[Event]:
    parser = SseParser()
    return (event for chunk in stream.iter_bytes() for event in parser.feed(chunk))


def test_how_far_it_is_stands_on_the_job(tmp_path: Path, own_sirdar: Callable[..., Product]) -> None:
    gate, slow = tmp_path / "gate", tmp_path / "slow-uv"
    gate.touch()
    slow.write_text(GATED_UV % {"gate": gate, "uv": Path(sys.executable).parent / "uv"})
    slow.chmod(0o755)
    site = Site(tmp_path, own_sirdar, SIRDAR_AGENT_UV=str(slow))
    job = site.product.submit(publish(site, "tiny-slow", "sirdartiny\n"))
    now = await_that(
        lambda: found if "building" in str((found := site.product.job(job["id"]))["statusMessage"]) else None,
        what="its status",
    )
    assert now["state"] not in {"DONE", "FAILED"}
    other = site.product.submit(publish(site, "tiny-slow-too", "sirdartiny\n"))
    await_that(lambda: "building" in str(site.product.job(other["id"])["statusMessage"]), what="the other's status")
    assert site.product.admin.post(f"/api/jobs/{job['id']}/cancel").status_code in {200, 202}
    assert site.product.ended(job["id"])["outcome"]["reason"] == "cancelled", "who waits need not wait for the end"
    told: list[str] = []
    with site.product.admin.stream("GET", f"/api/jobs/{other['id']}/events") as stream:
        for event in filter(lambda event: event.kind == "message", events_of(stream)):
            told.append(event.data["text"])
            gate.unlink(missing_ok=True)
    assert "building" in told[0] and told[-1] == "", "that it is built no more is told, too"
    assert site.product.ended(other["id"])["state"] == "DONE"
