"""Somebody on a train looks in by telephone: every page, in both languages, without a page that is wider than the window."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urldefrag, urlencode, urljoin, urlsplit

import pytest
from playwright.sync_api import expect
from tests.journeys.conftest import Reader
from tests.system.product import PASSWORD, Product

pytestmark = pytest.mark.needs("chromium")
WIDTH = 360
STARTS = ("/jobs", "/apps", "/resources", "/account", "/admin", "/docs/errors", "/docs/reasons", "/style", "/nowhere")
WALKED = frozenset({"tab", "way", "whose", "verb"})  # others only choose or order rows
OF_MANY = ("/docs/errors/", "/docs/reasons/")  # all of one make; two of each are looked at
MOST = 400
NAME = "a job whose name is rather longer than a telephone is wide, as names that people give often are"


def publish(product: Product) -> None:
    """Jobs that are done, that failed, and one of many tasks; people, and an application with long words."""
    product.user("boris")
    app = product.publish(
        "phone",
        "echo ${x}; echo a_word_that_does_not_end_where_a_telephone_does_but_goes_on_and_on_and_on >&2; test ${x} != 7",
        shell=True,
        inputs={"x": {"type": "number", "title": "Where to look for the least of all errors", "default": 1}},
        retries=0,
    )
    product.run(app, {"x": 1}, name=NAME)
    product.run(app, {"x": 7}, name="fails", state="FAILED")
    product.run(app, foreach=[{"x": x} for x in range(9)], name="nine", state="FAILED")


@pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
def test_every_page_fits_a_phone(product: Product, reader: Callable[..., Reader], locale: str) -> None:
    publish(product)
    anna = reader(width=WIDTH, height=740, locale=locale)
    anna.go("/login")
    anna.fits()
    anna.shot("login")
    anna.carry(product.token())
    waiting, seen, wide = list(STARTS), set(STARTS), []
    while waiting:
        path = waiting.pop(0)
        anna.go(path)
        across = anna.page.evaluate("() => document.scrollingElement.scrollWidth")
        if across > WIDTH:
            wide.append(f"{path}: {across}")
        header = anna.page.locator("header.top").bounding_box()
        assert header is not None and header["height"] < 64, f"{path}: the header takes {header}"
        links = anna.page.eval_on_selector_all(
            "main a[href], nav a[href]", "all => all.map(one => one.getAttribute('href'))"
        )
        for to in links_of(path, links, seen):
            assert len(seen) < MOST, "more pages than there should be"
            seen.add(to)
            waiting.append(to)
    assert not wide, "\n".join(wide)
    assert len(seen) > 40, seen
    for path in ("/jobs", "/resources", "/account/tokens", "/admin/users", "/admin/storage"):
        anna.go(path)
        anna.shot(path.strip("/").replace("/", "-"))
    if locale == "en-GB":
        _the_menu_needs_no_scripts(product, reader)


def links_of(path: str, links: list[str], seen: set[str]) -> list[str]:
    """Pages of this server that were not seen."""
    found: dict[str, None] = {}
    for link in links:
        to = urlsplit(urldefrag(urljoin(path, link)).url)
        query = urlencode([pair for pair in parse_qsl(to.query) if pair[0] in WALKED])
        address = to.path + (f"?{query}" if query else "")
        makes = [part for part in OF_MANY if to.path.startswith(part)]
        enough = makes and sum(one.startswith(makes[0]) for one in (*seen, *found)) >= 2
        is_file = to.path.startswith(("/api", "/assets")) or to.path.endswith(("/file", "/export"))
        if not to.netloc and not is_file and not enough and address not in seen:
            found[address] = None
    return list(found)


def _the_menu_needs_no_scripts(product: Product, reader: Callable[..., Reader]) -> None:
    """Administration, account and sign-out stand behind it; everything else stands in the row."""
    product.user("carl")
    carl = reader(width=WIDTH, height=740, java_script_enabled=False)
    carl.carry(product.token("carl", PASSWORD))
    carl.go("/account/tokens")
    header = carl.page.locator("header.top")
    expect(header.get_by_role("link", name="Jobs")).to_be_visible()
    expect(header.get_by_role("button", name="Sign out")).to_be_hidden()
    revoke = carl.page.get_by_role("link", name="Revoke").first
    box = revoke.bounding_box()
    assert box is not None and box["x"] + box["width"] <= WIDTH, "to revoke a token one need not look for the link"
    header.get_by_label("Menu").click()
    expect(header.get_by_role("link", name="carl")).to_be_visible()
    expect(header.get_by_role("link", name="Administration")).to_have_count(0)
    header.get_by_role("button", name="Sign out").click()
    expect(carl.page.get_by_role("heading", name="Sign in")).to_be_visible()
