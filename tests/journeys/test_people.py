"""An administrator lets a colleague in; the colleague sets a password, makes a token for a script, and signs out."""

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect
from tests.journeys.conftest import Reader
from tests.system.product import Product

pytestmark = pytest.mark.needs("chromium")


def test_a_colleague_comes_in(product: Product, reader: Callable[..., Reader]) -> None:
    admin, maria = reader(), reader(width=390, height=800)
    admin.sign_in()
    admin.page.get_by_role("link", name="Administration").click()
    admin.shot("server")
    admin.page.get_by_role("link", name="Users").click()
    admin.page.get_by_role("link", name="Make a user").click()
    admin.page.get_by_label("Name").fill("maria")
    admin.page.get_by_label("May publish applications").check()
    admin.page.get_by_role("button", name="Make the user").click()
    link = admin.page.locator("#link").inner_text()
    admin.shot("link")

    maria.page.goto(link)
    maria.page.get_by_role("button", name="Sign in").click()
    maria.page.get_by_label("New password").fill("tea in the mess tent")
    maria.page.get_by_label("The new one again").fill("tea in the mess tent")
    maria.shot("welcome")
    maria.page.get_by_role("button", name="Set the password").click()
    expect(maria.page.get_by_text("The password was changed")).to_be_visible()
    maria.page.get_by_role("link", name="Tokens and sessions").click()
    maria.page.get_by_label("What it is for").fill("nightly script")
    maria.page.get_by_role("button", name="Make the token").click()
    token = maria.page.locator("#token").inner_text().strip()
    maria.fits()
    maria.shot("token")
    told = httpx.get(f"{product.url}/api/me", headers={"authorization": f"Bearer {token}"}, trust_env=False)
    assert told.json()["name"] == "maria"
    maria.page.get_by_label("Menu").click()
    maria.page.get_by_role("button", name="Sign out").click()
    maria.sign_in("maria", "tea in the mess tent")

    admin.page.get_by_role("link", name="Audit log").click()
    expect(admin.page.get_by_text("user.create").first).to_be_visible()
    admin.shot("audit")
    for tab in ("Groups", "Storage"):
        admin.page.get_by_role("link", name=tab).click()
        admin.shot(tab.lower())
