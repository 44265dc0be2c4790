"""A scientist fills in the form of an application: told what is wrong as she types, files that survive a cut line and a reload."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect
from tests.journeys.conftest import Reader
from tests.system.product import Product

pytestmark = pytest.mark.needs("chromium")
PIECE = 8 * 2**20
DESCRIPTION = """\
sirdar: 1
alias: fit
name: Oscillator fit
annotation: Fits an oscillator to measured data by cross-validation
inputs:
  data: {type: file, title: Measurements, suffixes: [.csv], required: true, description: One column of times and one of values.}
  folds: {type: integer, default: 7, minimum: 2, maximum: 20, title: Folds, unit: parts}
  comment: {type: string, title: Comment, max_length: 20}
  solver: {type: enum, values: [ipopt, newton], default: ipopt, title: Solver}
  options: {type: json, title: Options of the solver}
  start: {type: list, items: {type: number, maximum: 5}, title: Start values}
  notes: {type: text, title: Notes}
  parts: {type: files, title: Further files}
  beta: {type: number, default: 0.03, title: Regularisation, advanced: true}
command: wc -c ${data}
outputs:
  size: {type: file, from: stdout}
examples:
  - {title: Careful, inputs: {folds: 20}}
resources: {cpus: 1, override: [cpus, memory]}
"""


@pytest.fixture(scope="module")
def form(product: Product) -> str:
    product.admin.post("/api/apps/publish", json={"description": DESCRIPTION, "files": []}).raise_for_status()
    return "/apps/admin/fit/run"


def test_fill_in_the_form(form: str, product: Product, reader: Callable[..., Reader], tmp_path: Path) -> None:
    anna = reader()
    anna.carry(product.token())
    anna.go("/apps/admin/fit")
    anna.page.locator(f'a[href="{form}"]').click()
    page = anna.page
    expect(page.locator("[data-bar]")).to_contain_text("Starts at once on")
    page.locator("#in-folds").fill("99")
    page.locator("sirdar-editor[language=json] .cm-content").click()
    page.keyboard.type('{"tol": 1e-8,')
    expect(page.locator("#in-folds-error")).to_have_text("99 is more than 20.")
    expect(page.locator("#in-options-error")).to_contain_text("is not JSON")
    expect(page.locator("#in-data-error")).to_be_hidden()  # nobody has touched it yet
    page.set_input_files("#in-data", {"name": "data.txt", "mimeType": "text/plain", "buffer": b"1"})
    expect(page.get_by_text("It has another suffix than .csv.")).to_be_visible()
    anna.shot("errors")
    page.get_by_role("button", name="Remove").click()
    page.set_input_files("#in-data", {"name": "data.csv", "mimeType": "text/csv", "buffer": b"1,2\n"})
    expect(page.get_by_role("link", name="data.csv")).to_be_visible()
    _drop(anna, "parts", [f"part-{number}.txt" for number in range(7)])
    expect(page.locator('input[name="kept.parts"]')).to_have_count(7)
    assert page.locator('[data-field="parts"] li a').all_inner_texts() == [f"part-{number}.txt" for number in range(7)]
    page.locator("#in-folds").fill("9")
    page.locator("sirdar-editor[language=json] .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.type('{"tol": 1e-8}')
    expect(page.locator("#in-options-error")).to_be_hidden()
    expect(page.locator("#code-python")).to_contain_text("folds=9")
    anna.shot("filled")
    page.get_by_role("button", name="Run", exact=True).dblclick()
    page.wait_for_url(re.compile("/jobs/[^/]+$"))
    job = page.url.rpartition("/")[2]
    shown = product.admin.get(f"/api/jobs/{job}").json()
    assert (shown["inputs"]["folds"], shown["inputs"]["options"], len(shown["inputs"]["parts"])) == (
        9,
        {"tol": 1e-8},
        7,
    )
    assert len(product.admin.get("/api/jobs").json()) == 1
    page.locator("#resubmit-menu summary").click()
    page.get_by_role("link", name="With other inputs").click()
    expect(page.locator("#in-folds")).to_have_value("9")
    expect(page.get_by_role("link", name="data.csv")).to_be_visible()
    _in_another_dress(form, product, reader, {"width": 360, "height": 740, "color_scheme": "dark"})
    _in_another_dress(form, product, reader, {"java_script_enabled": False})


def test_an_upload_survives_a_cut_line_and_a_reload(
    form: str, product: Product, reader: Callable[..., Reader], tmp_path: Path
) -> None:
    anna = reader()
    anna.carry(product.token())
    large = tmp_path / "large.csv"
    large.write_bytes(bytes(range(256)) * (4 * PIECE // 256))
    anna.go(form)
    offsets: list[int] = []
    cut = True

    def line(route: Route) -> None:
        offset = int(parse_qs(urlsplit(route.request.url).query)["offset"][0])
        if cut and offset >= 2 * PIECE:
            route.abort("connectionreset")
            return
        offsets.append(offset)
        route.continue_()

    anna.page.route("**/api/files/uploads/*?offset=*", line)
    anna.page.set_input_files("#in-data", large)
    expect(anna.page.get_by_text("waiting for the line")).to_be_visible()
    anna.shot("cut", whole=False)
    anna.page.reload()
    cut = False
    anna.page.set_input_files("#in-data", large)
    expect(anna.page.get_by_role("link", name="large.csv")).to_be_visible()
    assert offsets == [0, PIECE, 2 * PIECE, 3 * PIECE], "each piece went once"
    anna.page.reload()
    expect(anna.page.get_by_role("link", name="large.csv")).to_be_visible()
    anna.page.get_by_role("button", name="Run", exact=True).click()
    anna.page.wait_for_url(re.compile("/jobs/[^/]+$"))
    job = product.admin.get(f"/api/jobs/{anna.page.url.rpartition('/')[2]}").json()
    assert product.admin.get(job["inputs"]["data"]).content == large.read_bytes()


def test_many_tasks_from_a_table_and_an_example(form: str, product: Product, reader: Callable[..., Reader]) -> None:
    anna = reader()
    anna.carry(product.token())
    anna.go("/apps/admin/fit")
    page = anna.page
    page.get_by_role("link", name="Fill in the form with: Careful").click()
    expect(page.locator("#in-folds")).to_have_value("20")
    page.set_input_files("#in-data", {"name": "data.csv", "mimeType": "text/csv", "buffer": b"1,2\n"})
    expect(page.get_by_role("link", name="data.csv")).to_be_visible()
    page.get_by_text("Many tasks: a sweep, or a table").click()
    sets = page.locator("#opt-foreach")
    assert sets.get_attribute("placeholder") == "folds,beta\n7,0.03\n8,0.06\n9,0.09"
    sets.fill("folds,beta\n2,0.1\n99,\n")
    expect(page.locator("#opt-foreach-error")).to_have_text("Line 3: folds: 99 is more than 20.")
    expect(page.locator("[data-bar]")).to_have_text("Needs a look: Many tasks.")
    anna.shot("line")
    sets.fill("folds,beta\n2,0.1\n9,\n")
    expect(page.locator("#opt-foreach-error")).to_be_hidden()
    expect(page.locator("#opt-foreach-read")).to_have_text("2 sets: 2 tasks.")
    expect(page.locator("[data-bar]")).to_contain_text("Starts at once on")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[^/]+$"))
    job = product.admin.get(f"/api/jobs/{page.url.rpartition('/')[2]}").json()
    assert job["tasks"]["total"] == 2


def _in_another_dress(form: str, product: Product, reader: Callable[..., Reader], dress: dict[str, object]) -> None:
    boris = reader(**dress)
    boris.carry(product.token())
    boris.go(form)
    boris.page.get_by_role("button", name="Run", exact=True).click()
    expect(boris.page.get_by_text("One field needs a look; nothing was submitted.")).to_be_visible()
    expect(boris.page.locator("#in-data-error")).to_have_text("It is required.")
    boris.fits()
    if "width" in dress:
        boris.shot("phone")  # axe-core needs a script


def _drop(reader: Reader, field: str, names: list[str]) -> None:
    """As if these files were dragged there."""
    reader.page.evaluate(
        """([field, names]) => {
            const data = new DataTransfer();
            for (const name of names) data.items.add(new File([name], name));
            const area = document.querySelector(`[data-field="${field}"] .drop`);
            area.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        [field, names],
    )
