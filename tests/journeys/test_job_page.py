"""Somebody watches a job while it runs: its words and its log come by themselves, errors are found, and it can be called off."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.journeys.conftest import Reader
from tests.system.product import Product

pytestmark = pytest.mark.needs("chromium")
# Goes on when the test says so, by a file: nothing is timed.
PROGRAM = """\
import json, os, pathlib, sys, time

def await_word(word):
    while not (pathlib.Path(sys.argv[1]) / word).exists():
        time.sleep(0.02)

def say(**words):
    with open(os.environ["SIRDAR_MESSAGE_FILE"], "a") as file:
        file.write(json.dumps(words) + "\\n")

for number in range(20_000):
    print(f"\\x1b[32mstep\\x1b[0m {number}")
say(text="fold 1 of 2", progress=0.5, metrics={"cv_error": 0.186})
await_word("first")
print("ValueError: nearly singular")
open("table.csv", "w").write("well,depth\\nW1,1.5\\n")
await_word("second")
"""


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A directory in which a file is a word to the program."""
    return tmp_path


def submit(product: Product, words: Path) -> str:
    outputs = {"table": {"type": "file", "from": "table.csv", "required": False}}
    files = {"fits.py": PROGRAM}
    app = product.publish(
        "fits", "python3 -u fits.py ${go}", files=files, inputs={"go": {"type": "string"}}, outputs=outputs
    )
    return str(product.submit(app, {"go": str(words)})["id"])


def test_watch_a_job(product: Product, reader: Callable[..., Reader], words: Path) -> None:
    job = submit(product, words)
    anna = reader()
    anna.carry(product.token())
    anna.go(f"/jobs/{job}?tab=log&stream=stdout")
    answer, log = anna.page.locator(".answer"), anna.page.locator("sirdar-log")
    expect(answer).to_contain_text("fold 1 of 2")
    expect(answer).to_contain_text("50")
    expect(log.locator(".log-row", has_text="step 19999")).to_be_visible()  # it follows
    assert log.locator(".log-row").count() < 200  # what is not in view is not in the page
    expect(log.locator(".log-row .fg2").first).to_have_text("step")
    log.get_by_role("searchbox").fill("STEP 1234")
    expect(log.locator("output")).to_have_text("1 of 11")
    expect(log.locator(".log-row.at")).to_contain_text("step 1234")
    anna.shot("found", whole=False)
    # Seven more windows, all in view, each with what follows the job and what follows its log: a browser has six connections.
    windows = [anna.page.context.new_page() for _ in range(7)]
    for window in windows:
        window.goto(anna.page.url)
        expect(window.locator("sirdar-log .log-row", has_text="step 19999")).to_be_visible()
    (words / "first").touch()
    errors = log.get_by_role("button", name="Errors: 1")
    errors.click()
    expect(log.locator(".log-row.at")).to_contain_text("ValueError: nearly singular")
    permalink = log.locator(".log-row.at a.no").get_attribute("href")
    assert permalink and permalink.endswith("#L20001")
    (words / "second").touch()
    expect(answer.locator(".state")).to_have_text("Done")  # nobody loaded the page again
    for window in windows:
        expect(window.locator("sirdar-log .log-row", has_text="ValueError")).to_be_visible()
        expect(window.locator(".answer .state")).to_have_text("Done")
        window.close()
    expect(anna.page.locator("details.preview table")).to_be_visible()  # it opens by itself
    expect(anna.page.locator("details.preview table")).to_contain_text("W1")
    wide = "one => one.scrollWidth > one.clientWidth"
    assert not anna.page.locator("details.preview .content").evaluate(wide)  # nothing to scroll to the side
    anna.shot("done")
    for tab in ("Tasks 1", "Timeline", "Machine", "As code"):
        anna.page.get_by_role("link", name=tab).click()
        anna.shot(tab.split()[0].lower())
    (words / "other").mkdir()
    _call_a_job_off(product, reader, words / "other")


def _call_a_job_off(product: Product, reader: Callable[..., Reader], words: Path) -> None:
    """With the keyboard alone, on a telephone, in the dark."""
    job = submit(product, words)
    boris = reader(width=360, color_scheme="dark")
    boris.carry(product.token())
    boris.go(f"/jobs/{job}")
    expect(boris.page.locator(".answer .state")).to_have_text("Running")
    boris.fits()
    boris.page.keyboard.press("c")
    dialog = boris.page.get_by_role("dialog", name="Cancel this job?")
    expect(dialog.get_by_role("link", name="Let it run")).to_be_focused()
    boris.shot("asked", whole=False)
    dialog.get_by_role("button", name="Cancel the job").press("Enter")
    expect(boris.page.locator(".answer .state")).to_have_text("Cancelled")
    boris.shot("cancelled")
