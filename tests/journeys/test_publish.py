"""A researcher writes an application in the browser, changes it and sees what changed; others find it, on a telephone too."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.journeys.conftest import Reader
from tests.system.product import PASSWORD, Product

pytestmark = pytest.mark.needs("chromium")
PROGRAM = b"import sys\n\nprint('sum', sum(float(line) for line in open(sys.argv[1])) ** int(sys.argv[2]))\n"


def write(page: Page, text: str) -> None:
    """Into the editor, in place of what stands there. It indents by itself, so lines are given as one paste would give them."""
    page.locator("sirdar-editor[language=yaml] .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def test_write_an_application_and_change_it(product: Product, reader: Callable[..., Reader]) -> None:
    anna = reader()
    anna.carry(product.token())
    anna.go("/apps")
    page = anna.page
    page.get_by_role("link", name="New application").first.click()
    text = page.locator("#description")
    page.get_by_label("Alias").fill("sums")
    page.get_by_label("Name", exact=True).first.fill("Sums of powers")
    expect(text).to_have_value(holding("alias: sums  # the address", "name: Sums of powers"))
    expect(page.get_by_label("Name", exact=True).first).to_be_focused()  # what came back left the cursor where it was
    write(page, "sirdar: 1\nalias: sums\ncomand: python3 sum.py ${data}\n")
    expect(page.locator(".faults")).to_contain_text("did you mean command?")
    anna.shot("faults")
    page.get_by_role("button", name="Go to line 3").click()
    write(
        page, "sirdar: 1\nalias: sums\nname: Sums of powers\n# the column\ncommand: python3 sum.py ${data} ${power}\n"
    )
    expect(page.locator(".faults")).to_contain_text("${data} names no input")
    page.get_by_role("button", name="Add an input").click()
    page.locator('[name="inputs.0.name"]').fill("data")
    page.locator('[name="inputs.0.type"]').select_option("file")
    page.locator('[name="inputs.0.required"]').check()
    expect(text).to_have_value(holding("  data: {type: file, required: true}"))
    page.get_by_role("button", name="Add an input").click()
    page.locator('[name="inputs.1.name"]').fill("power")
    page.locator('[name="inputs.1.type"]').select_option("integer")
    page.locator('[name="inputs.1.default"]').fill("2")
    expect(page.locator(".faults")).to_contain_text("the application has no file sum.py; it has no files")
    page.set_input_files("#upload", {"name": "sum.py", "mimeType": "text/x-python", "buffer": PROGRAM})
    expect(page.locator("#draft-checked")).to_contain_text("A new application, admin/sums, would be published.")
    expect(page.locator(".words")).to_contain_text("sum.py")
    anna.shot("ready")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status")).to_contain_text("Version 1 is published.")
    anna.shot("published")
    reply = product.admin.post("/api/files/temp", files={"file": ("a.csv", b"1\n2\n")})
    job = product.admin.post("/api/apps/admin/sums?wait=30", json={"inputs": {"data": reply.json()["uri"]}}).json()
    assert job["state"] == "DONE", job

    page.get_by_role("link", name="Change").click()
    page.locator('[name="inputs.1.default"]').fill("3")
    expect(page.locator("#draft-checked")).to_contain_text("Input power: default: 2, now 3")
    page.get_by_role("button", name="Edit sum.py").click()
    page.locator("fieldset.opened .cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("# the end")
    page.get_by_role("button", name="Keep this text").click()
    expect(page.locator("#draft-checked")).to_contain_text("File sum.py changed")
    page.get_by_role("button", name="Write a new file").click()
    page.get_by_label("Path", exact=True).fill("read.me")
    expect(page.locator("#draft-checked")).to_contain_text("File read.me")
    page.get_by_label("Note for the list of versions").fill("cubes")
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_text("From version 1 to 2")).to_be_visible()
    expect(page.locator(".came").filter(has_text="default: 3")).to_be_visible()
    expect(page.locator("details.file .came").filter(has_text="# the end")).to_be_visible()
    anna.shot("difference")
    _others_find_it_by_telephone_in_the_dark(product, reader)


def holding(*parts: str) -> re.Pattern[str]:
    """A pattern for a field's value that holds the parts in this order."""
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


def _others_find_it_by_telephone_in_the_dark(product: Product, reader: Callable[..., Reader]) -> None:
    head = "sirdar: 1\nalias: wells\nname: Wells and curves\nkeywords: [biology]\n"
    text = head + "inputs: {x: {type: integer, default: 1}}\ncommand: echo ${x}\n"
    product.admin.post("/api/apps/publish", json={"description": text, "files": []}).raise_for_status()
    product.admin.post("/api/users", json={"name": "boris", "password": PASSWORD}).raise_for_status()
    anna = reader()
    anna.carry(product.token())
    anna.go("/apps/admin/wells/sharing")
    anna.page.get_by_label("Name of the user or group").fill("boris")
    anna.page.get_by_role("button", name="Share", exact=True).click()
    expect(anna.page.locator("table.shares")).to_contain_text("boris")
    anna.shot("sharing")

    boris = reader(width=360, color_scheme="dark")
    boris.sign_in("boris")
    boris.go("/apps?whose=shared")
    boris.fits()
    boris.shot("list")
    boris.page.get_by_role("link", name="biology").click()
    boris.page.wait_for_url("**keyword=biology**")
    boris.page.keyboard.press("j")
    boris.page.keyboard.press("Enter")
    expect(boris.page.get_by_role("heading", name="Wells and curves")).to_be_visible()
    for tab in ("Overview", "Versions", "Jobs", "Use it from"):
        boris.page.get_by_role("navigation", name="Of this application").get_by_role(
            "link", name=tab, exact=True
        ).click()
        boris.fits()
        boris.shot(tab.lower().replace(" ", "-"))
    boris.page.get_by_role("link", name="OpenAPI").click()
    boris.fits()
    boris.check()
    expect(boris.page.get_by_role("link", name="Change")).to_have_count(0)
