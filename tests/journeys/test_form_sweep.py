"""A scientist types a sweep into the form of an application, sees how many tasks it would be, and finds the best of them."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.journeys.conftest import Reader
from tests.system.product import Product

pytestmark = pytest.mark.needs("chromium")
DESCRIPTION = """\
sirdar: 1
alias: valley
name: A valley
inputs:
  a: {type: integer, minimum: 1, maximum: 10, default: 1, title: Rate}
  b: {type: number, default: 0.5, title: Weight}
  model: {type: enum, values: [linear, spline], default: linear, title: Model}
shell: echo "loss = $(( (a - 4) * (a - 4) ))"
outputs:
  loss: {type: number, from: stdout, key: loss}
"""


@pytest.fixture(scope="module")
def form(product: Product) -> str:
    product.admin.post("/api/apps/publish", json={"description": DESCRIPTION, "files": []}).raise_for_status()
    return "/apps/admin/valley/run"


def test_a_sweep_is_typed_counted_mended_and_run(form: str, product: Product, reader: Callable[..., Reader]) -> None:
    anna = reader()
    anna.carry(product.token())
    anna.go(form)
    page = anna.page
    page.get_by_text("Many tasks: a sweep, or a table").click()
    count = page.locator("#opt-sweep-read")
    page.locator("[name='sweep.a']").fill("1..10:1")
    expect(count).to_have_text("10 combinations: 10 tasks.")
    page.locator("[name='sweep.model']").fill("linear, splin")
    expect(page.locator("[id='opt-sweep.model-error']")).to_contain_text("did you mean spline?")
    expect(page.locator("[data-bar]")).to_have_text("Needs a look: Values of model.")
    expect(count).to_be_hidden()
    anna.shot("fault")
    page.locator("[name='sweep.model']").fill("linear, spline")
    page.get_by_label("Conditions").fill("a*2 < 15")
    expect(count).to_have_text("20 combinations, 14 pass the conditions: 14 tasks.")
    page.get_by_label("Conditions").fill("a > 10")
    expect(page.locator("#opt-sweep-error")).to_have_text("The conditions leave none of the 20 combinations.")
    page.get_by_label("Conditions").fill("a*2 < 15")
    page.get_by_label("Criterion", exact=True).fill("loss")
    page.get_by_label("Stop when").fill("loss < -1")
    expect(page.locator("#opt-sweep-error")).to_be_hidden()
    expect(page.locator("#code-cli")).to_contain_text("--where 'a*2 < 15'")
    expect(page.locator("[data-bar]")).to_contain_text("Starts at once on")
    anna.shot("filled")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[^/]+$"))
    job = product.ended(page.url.rpartition("/")[2])
    assert (job["state"], job["tasks"]["total"], job["best"]["value"]) == ("DONE", 14, 0)
    assert job["best"]["inputs"]["a"] == 4
    page.reload()
    anna.shot("best")


@pytest.mark.parametrize(
    "dress",
    [
        {"java_script_enabled": False},
        {"width": 360, "height": 740, "color_scheme": "dark"},
        {"width": 360, "height": 740, "locale": "ru-RU"},
    ],
    ids=["no script", "phone", "phone in Russian"],
)
def test_without_a_script_and_on_a_phone(
    dress: dict[str, object], form: str, product: Product, reader: Callable[..., Reader]
) -> None:
    boris = reader(**dress)
    boris.carry(product.token())
    boris.go(form)
    page = boris.page
    page.locator("#many > summary").click()
    page.locator("[name='sweep.a']").fill("1..4")
    page.locator("[name='sweep.b']").fill("0.1, 0.2, 0.3, 0.4")
    page.locator("[name='mode']").select_option("zip")
    page.locator("[name='where']").fill("b > 0.1")
    if "java_script_enabled" in dress:
        _check_and_send(page, product)
        return
    told = {"ru-RU": "4 комбинации, 3 удовлетворяют условиям: 3 задачи."}.get(
        str(dress.get("locale")), "4 combinations, 3 pass the conditions: 3 tasks."
    )
    expect(page.locator("#opt-sweep-read")).to_have_text(told)
    boris.fits()
    boris.shot("phone")


def _check_and_send(page: Page, product: Product) -> None:
    """A button of the form's own counts."""
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#opt-sweep-read")).to_have_text("4 combinations, 3 pass the conditions: 3 tasks.")
    expect(page.locator("[name='mode']")).to_have_value("zip")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[^/]+$"))
    assert product.ended(page.url.rpartition("/")[2])["tasks"]["total"] == 3


def test_a_plan_says_itself_what_its_tasks_are(product: Product, reader: Callable[..., Reader]) -> None:
    anna = reader()
    anna.carry(product.token())
    anna.go("/apps/sirdar/parameter-sweep/run")
    expect(anna.page.locator("#opt-foreach")).to_have_count(1)
    expect(anna.page.locator("[name='mode']")).to_have_count(0)
