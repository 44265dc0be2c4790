"""What stands in deploy/ agrees with itself and with the product."""

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sirdar.agent.operate import UNIT
from sirdar.services.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
NOT_SETTINGS = {
    "SIRDAR_ADMIN_PASSWORD",
    "SIRDAR_HOME",
    "SIRDAR_SLOTS",
    "SIRDAR_CONFIG_DIR",
    "SIRDAR_URL",
    "SIRDAR_TOKEN",
    "SIRDAR_JOIN",
    "SIRDAR_SOLVERS",
}
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def short(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_every_variable_is_one_that_sirdar_knows(path: Path) -> None:
    known = {f"SIRDAR_{field.name.upper()}" for field in dataclasses.fields(Settings)} | NOT_SETTINGS
    assert set(re.findall(r"\bSIRDAR_[A-Z_]+\b", path.read_text())) <= known


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def test_the_compose_file_names_what_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            assert place in compose["volumes"] or place == "./tls" or (DEPLOY / place).exists()
    images = [re.sub(r"\$\{\w+:-([\w-]+)\}", r"\1", service["image"]) for service in services.values()]
    ours = {image.split(":")[0] for image in images if "/" not in image}
    built = {path.name.replace("Containerfile.", "sirdar-") for path in DEPLOY.glob("Containerfile.*")}
    assert built == ours | {"sirdar-solvers"}, "which takes an agent's place, as the head of the file says"
    assert "AGENT=sirdar-solvers" in (DEPLOY / "compose.yaml").read_text()


def test_all_images_are_built_unless_some_are_named() -> None:
    script = (DEPLOY / "build-images").read_text()
    """But for the one with a folder of its own, which is made on another."""
    parts = {path.name.removeprefix("Containerfile.") for path in DEPLOY.glob("Containerfile.*")}
    assert set(re.findall(r"parts:-([a-z ]+)\}", script)[0].split()) == parts
    assert set(re.findall(r"^    ([a-z |]+)\)\n        parts=", script, re.MULTILINE)[0].split(" | ")) == parts | {
        "svf"
    }


def test_health_checks_ask_an_address_that_exists(compose: dict[str, Any]) -> None:
    assert "/api/ready" in str(compose["services"]["server"]["healthcheck"]["test"])


def test_both_units_of_an_agent_restart_it_alike() -> None:
    """The one for a whole machine, and the one that `sirdar agent install` writes."""
    shared = r"^(?:Restart\w*|KillMode)=.*$"
    for_machine = (DEPLOY / "systemd/sirdar-agent.service").read_text()
    found = set(re.findall(shared, for_machine, re.MULTILINE))
    assert found == set(re.findall(shared, UNIT, re.MULTILINE))
    assert "RestartPreventExitStatus=2 3 4" in found, "an agent that was detached is not started again"


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("systemd/*.service")), ids=short)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    own = tmp_path / unit.name  # the program is not installed here
    own.write_text(re.sub(r"/opt/sirdar/bin/\S+", "/bin/true", unit.read_text()))
    done = subprocess.run(["systemd-analyze", "verify", own], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if unit.name in line]
