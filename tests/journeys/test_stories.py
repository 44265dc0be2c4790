"""A job goes from hand to hand; somebody without a mouse; a server that is restarted while one watches; a job of many tasks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.journeys.conftest import Reader
from tests.system.product import PASSWORD, Product, await_that

pytestmark = pytest.mark.needs("chromium")
SCORE = """\
import json, sys
x = float(sys.argv[1])
assert x != 7, "x is seven"
json.dump({"score": (x - 3) ** 2}, open("result.json", "w"))
"""


@pytest.fixture
def own_product(tmp_path: Path) -> Iterator[Product]:
    """A server of the test's own, which it may restart."""
    root = tmp_path / "own"
    root.mkdir()
    running = Product(root)
    running.start()
    yield running
    running.close()


def kill(product: Product) -> None:
    """As kill -9 does; the program and its porter live on."""
    assert product.process is not None and product.process.stdout is not None
    product.process.kill()
    product.process.wait()
    product.process.stdout.close()


def publish_score(product: Product) -> str:
    return product.publish(
        "score",
        "python3 score.py ${x}",
        files={"score.py": SCORE},
        inputs={"x": {"type": "number", "title": "Where to look", "default": 1}},
        outputs={"score": {"type": "number", "from": "result.json", "key": "score"}},
        retries=0,
    )


def test_a_job_goes_from_hand_to_hand(product: Product, reader: Callable[..., Reader]) -> None:
    """Anna shares a job with Boris, who looks at it in Russian; she sends it again with another input."""
    product.user("boris")
    job = product.run(publish_score(product), {"x": 1}, name="first look")["id"]
    anna, boris = reader(), reader(locale="ru-RU")
    anna.carry(product.token())
    boris.carry(product.token("boris", PASSWORD))
    boris.go(f"/jobs/{job}")
    expect(boris.page.locator("h1")).not_to_have_text("first look")  # not there, for him
    anna.go(f"/jobs/{job}")
    anna.page.get_by_role("link", name="Share").click()
    anna.page.get_by_label("Name").fill("boris")
    anna.page.get_by_role("button", name="Share", exact=True).click()
    anna.shot("shared")
    boris.go(f"/jobs/{job}")
    expect(boris.page.locator("h1")).to_have_text("first look")
    expect(boris.page.locator(".answer .state")).to_have_text("Готово")
    boris.shot("in-russian")
    anna.go(f"/jobs/{job}")
    anna.page.locator("#resubmit-menu summary").click()
    anna.page.get_by_role("link", name="With other inputs").click()
    field = anna.page.get_by_label("Where to look").first  # the other one is the sweep's
    expect(field).to_have_value("1")
    field.fill("5")
    anna.shot("edited")
    anna.page.get_by_role("button", name="Run").click()
    expect(anna.page.locator(".answer .state")).to_have_text("Done")
    expect(anna.page.locator("main")).to_contain_text("score")
    anna.shot("again")


def test_without_a_mouse(product: Product, reader: Callable[..., Reader]) -> None:
    """Sign in, find a job, open it, ask to send it again, and get help: by keys alone."""
    product.run(publish_score(product), {"x": 2}, name="by keys")
    anna = reader()
    anna.go("/login")
    keys = anna.page.keyboard
    anna.page.get_by_label("Name").focus()
    keys.type("admin")
    keys.press("Tab")
    keys.type("summit-8848")
    keys.press("Enter")
    anna.page.get_by_role("heading", name="Jobs").wait_for()
    anna.page.wait_for_load_state("load")  # scripts listen from now on
    keys.press("?")
    expect(anna.page.locator("#keys")).to_be_visible()
    anna.shot("help")
    keys.press("?")
    expect(anna.page.locator("#keys")).to_be_hidden()
    keys.press("/")
    keys.type("by keys")
    keys.press("Enter")
    anna.page.wait_for_url("**text=by+keys**")  # loaded: scripts listen again
    expect(anna.page.locator("table tbody tr")).to_have_count(1)
    anna.page.locator("h1").click()  # typing is over
    keys.press("j")
    expect(anna.page.locator("a[data-row]").first).to_be_focused()
    anna.shot("row")
    keys.press("Enter")
    anna.page.wait_for_url("**/jobs/*")
    expect(anna.page.locator("h1")).to_have_text("by keys")
    anna.page.wait_for_load_state("load")
    keys.press("r")
    expect(anna.page.locator("#resubmit-menu")).to_have_attribute("open", "")
    anna.shot("menu")


def test_the_server_is_restarted_while_one_watches(
    own_product: Product, reader: Callable[..., Reader], tmp_path: Path
) -> None:
    """The page says that nobody answers, and goes on by itself; the program never noticed."""
    go = tmp_path / "go"
    app = own_product.publish("patient", f"while [ ! -e {go} ]; do sleep 0.1; done; echo came through", shell=True)
    job = own_product.submit(app)["id"]
    await_that(lambda: own_product.job(job)["state"] == "RUNNING", what="a start")
    anna = reader()
    anna.url = own_product.url
    anna.carry(own_product.token())
    anna.go(f"/jobs/{job}")
    expect(anna.page.locator(".answer .state")).to_have_text("Running")
    port = own_product.port
    kill(own_product)
    expect(anna.page.locator("sirdar-live.away")).to_be_visible()
    anna.shot("away")
    own_product.start(port)
    expect(anna.page.locator("sirdar-live.away")).to_have_count(0)
    anna.page.get_by_role("link", name="Cancel").click()
    expect(anna.page.locator("dialog[open]")).to_contain_text("Cancel this job?")
    go.touch()
    expect(anna.page.locator(".answer .state")).to_have_text("Done")
    expect(anna.page.locator("dialog[open]")).to_have_count(0)  # nobody is asked whether to delete it instead
    expect(anna.page.locator("sirdar-log")).to_contain_text("came through")
    anna.shot("done")


def test_a_job_of_many_tasks(product: Product, reader: Callable[..., Reader]) -> None:
    """Which of them is best, which failed and why; the failed ones again."""
    points = [{"x": x} for x in range(12)]
    sought = {"maximize": "score"}
    job = product.submit(publish_score(product), foreach=points, criterion=sought, name="a dozen")["id"]
    anna = reader()
    anna.carry(product.token())
    anna.go(f"/jobs/{job}/table")
    expect(anna.page.locator(".answer")).to_contain_text("12 of 12 ended")
    expect(anna.page.locator(".failures")).to_contain_text("1 task failed")
    expect(anna.page.locator("sirdar-plot .plot-canvas canvas")).to_be_visible()
    best = product.job(job)["best"]["task"]
    expect(anna.page.locator(".plot-legend")).to_have_text(f"the best: task {best}")
    anna.shot("table")
    anna.page.get_by_role("columnheader", name="score").get_by_role("link").click()
    first = anna.page.locator("#many table tbody tr").first
    expect(first).to_contain_text("3")
    anna.page.get_by_role("button", name="Run the failed one again").click()
    expect(anna.page.locator("main")).to_contain_text("repeats")
    expect(anna.page.locator(".answer .state").first).to_have_text("Failed")  # seven is still seven
    anna.shot("again")
