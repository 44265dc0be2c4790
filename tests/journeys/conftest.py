"""A real server, a real browser, and readers who use both: each journey is one user's story.

Screenshots are kept in ``build/screenshots`` (or ``$SIRDAR_SCREENSHOTS``), named by journey and step. Each is looked at by axe-core
as well: no page may have a serious fault.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from tests.conftest import require
from tests.system.product import ADMIN_PASSWORD, PASSWORD, Product

ROOT = Path(__file__).parents[2]
AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"
WITHIN_MS = 30_000
GRAVE = {"serious", "critical"}
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
EXPECTED = re.compile(r"Failed to load resource: .* (4\d\d|50\d|net::ERR_)|net::ERR_")  # the network's, not the page's


expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, without a window. Closed with the module: while it lives, no other test of the process has an event loop."""
    place = require("chromium")
    with sync_playwright() as driver:
        own: dict[str, str | float | bool] = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("chromium"))}
        running = driver.chromium.launch(executable_path=place, args=list(ARGUMENTS), env=own)
        yield running
        running.close()


@pytest.fixture(scope="session")
def shots() -> Path:
    place = Path(os.environ.get("SIRDAR_SCREENSHOTS") or ROOT / "build/screenshots")
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A ``sirdar up`` that the journeys of a module share."""
    running = Product(tmp_path_factory.mktemp("journeys"))
    running.start()
    yield running
    running.close()


@dataclass
class Reader:
    """Somebody in front of a browser. Whatever the browser complains about on the way fails the journey."""

    page: Page
    url: str
    name: str
    shots: Path
    complaints: list[str] = field(default_factory=list)
    taken: int = 0

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, who: str = "admin", password: str | None = None) -> None:
        """As a person does."""
        self.go("/login")
        self.page.get_by_label("Name").fill(who)
        self.page.get_by_label("Password").fill(password or (ADMIN_PASSWORD if who == "admin" else PASSWORD))
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("navigation", name="Main").wait_for()

    def carry(self, token: str) -> None:
        """The browser has that session already."""
        self.page.context.add_cookies([{"name": "access_token", "value": token, "url": self.url}])

    def shot(self, step: str, *, whole: bool = True) -> Path:
        """Keep a picture of the page as it is now, and look for faults that keep people out."""
        self.taken += 1
        place = self.shots / f"{self.name}-{self.taken:02d}-{step}.png"
        self.page.screenshot(path=place, full_page=whole)
        self.check()
        return place

    def check(self) -> None:
        """axe-core's serious and critical findings; none is allowed."""
        found = self._run_axe()
        assert not found, f"{self.page.url}: " + json.dumps(found, indent=1)

    def _run_axe(self) -> list[dict[str, Any]]:
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text())  # by the debugger's way, which the page's policy does not concern
        told = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            {"rule": one["id"], "says": one["help"], "at": [node["html"][:200] for node in one["nodes"][:3]]}
            for one in told["violations"]
            if one["impact"] in GRAVE
        ]

    def fits(self) -> None:
        """Nothing makes the page itself wider than the window; tables scroll by themselves."""
        self.page.wait_for_load_state("load")
        wide, window = self.page.evaluate("() => [document.scrollingElement.scrollWidth, window.innerWidth]")
        assert wide <= window, f"{self.page.url}: {wide} pixels in {window}"


@pytest.fixture
def reader(
    browser: Browser, product: Product, shots: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Reader]]:
    """Makes readers: ``reader(width=360, color_scheme="dark", locale="ru-RU")``."""
    contexts: list[BrowserContext] = []
    readers: list[Reader] = []

    def open_one(*, width: int = 1280, height: int = 900, **more: Any) -> Reader:
        context = browser.new_context(viewport={"width": width, "height": height}, **{"locale": "en-GB", **more})
        context.set_default_timeout(WITHIN_MS)
        contexts.append(context)
        name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
        one = Reader(context.new_page(), product.url, name, shots)
        one.page.on("console", lambda said: _listen(one, said))
        one.page.on("pageerror", lambda error: one.complaints.append(f"{one.page.url}: {error}"))
        readers.append(one)
        return one

    yield open_one
    for context in contexts:
        context.close()
    complaints = [text for one in readers for text in one.complaints]
    assert not complaints, complaints


def _listen(reader: Reader, said: ConsoleMessage) -> None:
    if said.type == "error" and not EXPECTED.search(said.text):
        reader.complaints.append(f"{reader.page.url}: {said.text}")
