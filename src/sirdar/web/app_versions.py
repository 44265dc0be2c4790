"""The page of an application's versions, and of what changed between two of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain import app_diff
from sirdar.services import apps, version_texts
from sirdar.services.app_cache import LoadedVersion
from sirdar.web import app_diff_words
from sirdar.web.app_page import AppPage, open_app, show_app
from sirdar.web.pages import Page, PageRoute, open_page
from sirdar.wire.description_text import author_yaml

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
Number = Annotated[int | None, Query(ge=1, le=apps.MAX_NUMBER)]
ROWS = 20
FILES = 200


@router.get("/apps/{owner}/{name}/versions")
async def versions_page(
    owner: str, name: str, page: PageDep, *, old: Number = None, new: Number = None, before: Number = None
) -> Response:
    """Without ``old`` and ``new``: the version that is shown, beside the one before it."""
    opened = await open_app(page, owner, name)
    _, found = await apps.list_versions(
        page.services, page.user, opened.view.app.reference, limit=ROWS + 1, before=before
    )
    newer = new or opened.number
    older = old or await _number_before(opened, newer)
    compared = None
    if older is not None:
        compared = await _compared(page, await _load(opened, older), await _load(opened, newer))
    return show_app(
        opened,
        "app_versions.html",
        "versions",
        versions=found[:ROWS],
        following=found[ROWS - 1].number if len(found) > ROWS else None,
        older=older,
        newer=newer,
        compared=compared,
    )


async def _number_before(opened: AppPage, number: int) -> int | None:
    page, reference = opened.page, opened.view.app.reference
    _, found = await apps.list_versions(page.services, page.user, reference, limit=1, before=number)
    return found[0].number if found else None


async def _load(opened: AppPage, number: int) -> LoadedVersion:
    reference = f"{opened.view.app.reference}@{number}"
    return await apps.resolve_app(opened.page.services, opened.page.user, reference, need=apps.VIEW)


async def _compared(page: Page, old: LoadedVersion, new: LoadedVersion) -> dict[str, object]:
    """Sentences, files, and lines of the two descriptions and of the text files."""
    files = app_diff.file_changes(old.version.files, new.version.files)
    return {
        "sentences": [
            app_diff_words.sentence(one) for one in app_diff.changes(old.version.document, new.version.document)
        ],
        "files": [(one.kind.value, app_diff_words.file_sentence(one)) for one in files[:FILES]],
        "more_files": max(0, len(files) - FILES),
        "code": (old.version.code_version, new.version.code_version),
        "texts": await version_texts.text_changes(page.services, old, new, files),
        "lines": await page.services.blobs.in_thread(_description_lines, old, new),
    }


def _description_lines(old: LoadedVersion, new: LoadedVersion) -> list[app_diff.Line]:
    return app_diff.lines(author_yaml(old.version.document), author_yaml(new.version.document))
