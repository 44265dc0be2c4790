"""Pages that every reader meets, in each dress."""

from collections.abc import Callable

import pytest
from tests.journeys.conftest import Reader
from tests.system.product import Product

DRESSES = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"width": 360, "height": 740},
    "russian": {"locale": "ru-RU"},
}
PAGES = ("/jobs", "/apps", "/resources", "/account", "/account/notifications", "/admin", "/style", "/docs/reasons")


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("dress", DRESSES)
def test_every_page_in_every_dress(product: Product, reader: Callable[..., Reader], dress: str) -> None:
    anna = reader(**DRESSES[dress])
    anna.carry(product.token())
    for path in PAGES:
        anna.go(path)
        anna.fits()
        anna.shot(path.strip("/").replace("/", "-"))
