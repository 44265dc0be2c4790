"""Whose programs run in a sandbox, and what they find there: through a real server and its agent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.product import Product, await_that

import sirdar

PACKAGE = Path(sirdar.__file__)  # which a program of anybody may use, wherever it lies

pytestmark = pytest.mark.needs("bwrap")

LOOK = """
import json, os
seen = {"home": os.environ["HOME"], "uids": os.getuid(), "tmp": os.listdir("/tmp"),
        "processes": len([name for name in os.listdir("/proc") if name.isdecimal()]),
        "theirs": os.path.exists(os.environ["WHERE"]), "host": os.uname().nodename}
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def site(module_sirdar: Callable[..., Product]) -> Product:
    return module_sirdar()


def look(site: Product, alias: str, publisher: str, submitter: str) -> dict[str, object]:
    """What a program sees that one published and another submitted."""
    who = {"admin": lambda: site.admin}
    author = who.get(publisher, lambda: site.user(publisher, canPublish=True))()
    person = who.get(submitter, lambda: site.user(submitter, canPublish=True))()
    site.publish(alias, "python3 look.py", who=author, files={"look.py": LOOK}, env={"WHERE": str(site.home / "server.key")},
                 outputs={"seen": {"type": "json", "from": "stdout"}})  # fmt: skip
    share = author.put(f"/api/apps/me/{alias}/share/everyone", json={})
    assert share.status_code in {200, 204}, share.text
    job = site.run(f"{publisher}/{alias}", who=person)
    return dict(job["result"]["seen"])


def test_own_programs_run_with_the_owners_rights(site: Product) -> None:
    seen = look(site, "mine", "admin", "admin")
    assert seen["theirs"] and seen["host"] != "sandbox"


@pytest.mark.parametrize(("publisher", "submitter"), [("admin", "anna"), ("anna", "admin"), ("anna", "anna")])
def test_programs_of_others_see_nothing_of_the_owner(site: Product, publisher: str, submitter: str) -> None:
    seen = look(site, "theirs", publisher, submitter)
    assert not seen["theirs"], "the server's key"
    assert (
        seen["host"] == "sandbox" and seen["home"] == "/tmp" and set(seen["tmp"]) <= {*site.root.parts, *PACKAGE.parts}
    )
    assert int(str(seen["processes"])) <= 3


def test_a_sandboxed_task_reports_and_is_cancelled(site: Product) -> None:
    anna = site.user("anna", canPublish=True)
    script = "sirdar status 'half way' --progress 0.5 && sleep 600"
    job = site.submit(site.publish("reports", script, who=anna, shell=True), who=anna)
    await_that(lambda: site.job(job["id"], anna)["statusMessage"] == "half way", what="its status")
    assert anna.post(f"/api/jobs/{job['id']}/cancel").status_code in {200, 202}
    assert site.ended(job["id"], anna)["outcome"]["reason"] == "cancelled"


def test_limits_hold_in_a_sandbox(site: Product) -> None:
    anna = site.user("anna", canPublish=True)
    code = "python3 -c 'bytearray(1 << 30)'"
    app = site.publish("hungry", code, who=anna, resources={"memory": "64 MiB"})
    assert site.run(app, who=anna, state="FAILED")["outcome"]["reason"] == "out_of_memory"
    app = site.publish("slow", "sleep 600", who=anna, resources={"time": "1 s"})
    assert site.run(app, who=anna, state="FAILED")["outcome"]["reason"] == "time_limit"
    app = site.publish("absent", "no-such-program-here", who=anna)
    assert site.run(app, who=anna, state="FAILED")["outcome"]["reason"] == "command_not_found"


def test_kept_programs_are_started_for_each_task_in_a_sandbox(site: Product) -> None:
    anna = site.user("anna", canPublish=True)
    program = "import os\nimport sirdar.worker\nsirdar.worker.serve(lambda task: print(os.getpid()))\n"
    app = site.publish("kept", "python3 kept.py", who=anna, files={"kept.py": program}, keep_alive=True,
                       outputs={"pid": {"type": "integer", "from": "stdout"}})  # fmt: skip
    pids = [site.run(app, who=anna)["result"]["pid"] for _ in range(2)]
    assert pids == [2, 2], "each in a sandbox of its own"


def test_the_owner_decides(own_sirdar: Callable[..., Product]) -> None:
    site = own_sirdar()
    site.stop()
    (site.home / "agent/policy.yaml").write_text("isolation: {kind: bubblewrap, network: false}\n")
    site.start()
    site.close_clients()
    assert look(site, "mine", "admin", "admin")["host"] == "sandbox", "all programs"
    script = "python3 -c 'import socket; print(len(socket.if_nameindex()))'"
    app = site.publish("net", script, shell=True, outputs={"nets": {"type": "integer", "from": "stdout"}})
    assert site.run(app)["result"]["nets"] == 1, "none but the loopback of its own"
    site.stop()
    (site.home / "agent/policy.yaml").write_text("isolation: none\n")
    site.start()
    site.close_clients()
    assert look(site, "theirs", "anna", "anna")["host"] != "sandbox"


def test_where_no_sandbox_can_be_made_others_are_refused(own_sirdar: Callable[..., Product], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tools / "bwrap").chmod(0o755)
    site = own_sirdar(environment={"PATH": f"{tools}:{os.environ['PATH']}"})
    anna = site.user("anna", canPublish=True)
    job = site.submit(site.publish("fine", "true", who=anna), who=anna)
    why = f"/api/jobs/{job['id']}/explain"  # before the agent has attached, it says that nothing is there
    said = await_that(lambda: found if "sandbox" in (found := anna.get(why).text) else None, what="why it waits")
    assert (
        "runs its owner's programs only, for it has no sandbox" in said
        and "No permissions to create new namespace" in said
    )
    assert site.job(job["id"], anna)["state"] == "READY"
    site.run(site.publish("fine", "true"))
    share = anna.put("/api/apps/me/fine/share/everyone", json={})
    assert share.status_code in {200, 204}
    said = site.run("anna/fine", state="FAILED")["outcome"]
    assert said["reason"] == "refused" and "in a sandbox only" in said["message"] and "sysctl" in said["message"]


def test_the_version_command_of_a_stranger_runs_in_a_sandbox(site: Product, tmp_path: Path) -> None:
    anna = site.user("anna", canPublish=True)
    code = {"path": str(tmp_path), "version_command": ["uname", "-n"]}
    app = site.publish("placed", "true", who=anna, code=code)
    assert site.run(app, who=anna)["codeVersion"] == "sandbox"
    assert site.run(site.publish("placed", "true", code=code))["codeVersion"] != "sandbox"
