"""The owner of a machine attaches it, lets a colleague use it, and takes it out of service."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.journeys.conftest import Reader
from tests.system.product import BIN, Product, processes_below, surroundings

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """Another machine's home; its agent is ended with the test."""
    yield tmp_path
    processes_below(tmp_path, grace_s=0)


def test_attach_a_machine(product: Product, reader: Callable[..., Reader], machine: Path) -> None:
    anna = reader()
    anna.sign_in()
    anna.page.get_by_role("link", name="Resources").click()
    anna.page.get_by_label("Name").fill("workstation")
    anna.page.get_by_role("button", name="Make the command").click()
    command = anna.page.locator("#join").inner_text()
    expect(
        anna.page.get_by_text("every machine's name for itself")
    ).to_be_visible()  # the tests' server listens on loopback
    anna.shot("command")
    join = re.match(r"sirdar agent join (\S+) --token (\S+)", command)
    assert join, command
    environment = surroundings(machine)
    words = [BIN / "sirdar", "agent", "join", join[1], "--token", join[2], "--home", machine / "agent"]
    subprocess.run(words, env=environment, check=True, timeout=60, capture_output=True)
    agent = subprocess.Popen(
        [BIN / "sirdar", "agent", "start", "--home", machine / "agent"], env=environment, cwd=machine
    )
    expect(anna.page.locator(".answer .state")).to_have_text("Online", timeout=30_000)  # nobody loaded the page again
    anna.shot("online")
    product.user("boris")
    anna.page.get_by_label("Share with").select_option("user")
    anna.page.locator('form[action$="/share"]').get_by_label("Name").fill("boris")
    anna.page.get_by_role("button", name="Share", exact=True).click()
    expect(anna.page.get_by_role("cell", name="boris user")).to_be_visible()
    boris = reader(width=360, height=740)
    boris.carry(product.token("boris", "base camp tent"))
    boris.go("/resources")
    boris.page.get_by_role("link", name="workstation").click()
    expect(boris.page.get_by_text("You may.")).to_be_visible()
    boris.fits()
    boris.shot("of-a-colleague")
    anna.page.get_by_role("button", name="Drain").click()
    expect(anna.page.locator(".answer .state")).to_have_text("Draining")
    agent.kill()
    agent.wait()
    anna.page.get_by_text("More").click()
    anna.page.get_by_role("link", name="Revoke its access").click()
    anna.page.get_by_role("button", name="Revoke its access").click()
    expect(anna.page.locator(".answer .state")).to_have_text("Revoked")
    anna.shot("revoked")
