"""What the pages of one application have in common: who asks, the version that is meant, the tabs."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Response

from sirdar.domain.app import App
from sirdar.services import access, apps
from sirdar.services.apps import View
from sirdar.web.pages import Page, show
from sirdar.web.words import gettext


@dataclass(frozen=True, slots=True)
class AppPage:
    """An application as one visitor sees it; ``pinned``: the address names a version."""

    page: Page
    view: View
    pinned: bool

    @property
    def app(self) -> App:
        return self.view.loaded.app

    @property
    def number(self) -> int:
        return self.view.loaded.version.number

    @property
    def reference(self) -> str:
        """``owner/alias``, with the version where the address names one."""
        return f"{self.view.app.reference}@{self.number}" if self.pinned else self.view.app.reference

    @property
    def address(self) -> str:
        return (
            f"{address_of(self.view.app.reference)}@{self.number}"
            if self.pinned
            else address_of(self.view.app.reference)
        )

    @property
    def may_edit(self) -> bool:
        """Whether a new version may be published: by its owner only, whose name it bears."""
        caller = self.page.user
        own = caller.user_id == self.view.app.owner_id
        return own and access.may_change_app(caller, self.view.app.owner_id, app_id=self.view.app.id)


def address_of(reference: str) -> str:
    """Of the page of ``owner/alias``."""
    owner, _, alias = reference.partition("/")
    return f"/apps/{quote(owner, safe='')}/{quote(alias, safe='@')}"


async def open_app(page: Page, owner: str, name: str) -> AppPage:
    """The application ``owner/name``, where ``name`` may end with ``@N``. Raises Problem ``not_found``."""
    view = await apps.describe(page.services, page.user, f"{owner}/{name}")
    return AppPage(page, view, "@" in name)


def show_app(opened: AppPage, template: str, current: str, status: int = 200, **values: Any) -> Response:
    """A page of the application; ``current`` names its tab."""
    return show(
        opened.page,
        template,
        status,
        opened=opened,
        view=opened.view,
        app=opened.app,
        record=opened.view.app,
        permissions=opened.view.permissions,
        tabs_of_app=_tabs(opened, current),
        **values,
    )


def _tabs(opened: AppPage, current: str) -> list[tuple[str, str, bool]]:
    at = opened.address
    entries = [
        (at, gettext("Overview"), "overview"),
        (f"{at}/versions", gettext("Versions"), "versions"),
        (f"{at}/jobs", gettext("Jobs"), "jobs"),
        (f"{at}/code", gettext("Use it from"), "code"),
    ]
    if "change" in opened.view.permissions:
        entries.insert(3, (f"{at}/sharing", gettext("Sharing"), "sharing"))
        if opened.app.secrets or opened.view.secrets or opened.app.code.token_secret or current == "secrets":
            entries.insert(4, (f"{at}/secrets", gettext("Secrets"), "secrets"))
    return [(address, word, name == current) for address, word, name in entries]
