"""Pages of applications: the list; of one, what it is, its jobs, and how it is run from elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sirdar.api.apps import cursor_of, parse_cursor
from sirdar.api.paging import LONGEST_CURSOR
from sirdar.domain.command import as_line
from sirdar.domain.people import SYSTEM_USER
from sirdar.domain.problems import Problem
from sirdar.services import access, apps, jobs
from sirdar.services.apps import Filter
from sirdar.services.outlook import outlook
from sirdar.store import job_places
from sirdar.store.job_lists import JobFilter
from sirdar.web import code_examples, job_words, openapi_short, outlook_words, session
from sirdar.web.app_page import AppPage, address_of, open_app, show_app
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show
from sirdar.web.words import gettext
from sirdar.wire.description_text import author_yaml
from sirdar.wire.openapi import app_openapi

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
ROWS = 40
JOBS = 20
KEYWORD_MAX = 1000
Text = Annotated[str, Query(max_length=apps.SEARCH_MAX)]


# ---------------------------------------------------------------- the list


@router.get("/apps")
async def list_page(
    page: PageDep,
    *,
    text: Text = "",
    owner: Annotated[str, Query(max_length=64)] = "",
    keyword: Annotated[str, Query(max_length=KEYWORD_MAX)] = "",
    whose: Annotated[str, Query(max_length=10)] = "",
    archived: bool = False,
    after: Annotated[str, Query(max_length=LONGEST_CURSOR)] = "",
) -> Response:
    """``whose``: ``mine``, ``shared`` with me, or all that I may see."""
    caller = page.user
    which = Filter("me" if whose == "mine" else owner or None, text, archived, keyword, shared=whose == "shared")
    found = await apps.list_apps(page.services, caller, which, limit=ROWS + 1, after=parse_cursor(after))
    kept = {name: value for name, value in {"text": text, "owner": owner, "keyword": keyword}.items() if value}
    kept |= {"archived": "true"} if archived else {}
    here = kept | ({"whose": whose} if whose else {})
    tabs = [("", gettext("All")), ("mine", gettext("Mine")), ("shared", gettext("Shared with me"))]
    return show(
        page,
        "apps.html",
        apps=found[:ROWS],
        used=await apps.used_lately(page.services, caller),
        tabs_of_list=[
            (_list_address(kept | ({"whose": key} if key else {})), word, key == whose) for key, word in tabs
        ],
        filters={"text": text, "owner": owner, "keyword": keyword, "whose": whose, "archived": archived},
        filtered=bool(kept) or bool(after),
        only_builtin=not (kept or after or whose) and all(app.owner_id == SYSTEM_USER for app in found),
        system_user=SYSTEM_USER,
        may_publish=access.may_publish(caller),
        address_of=address_of,
        with_keyword=lambda word: _list_address({**here, "keyword": word}),
        following=_list_address({**here, "after": cursor_of(found[ROWS - 1])}) if len(found) > ROWS else "",
    )


def _list_address(query: dict[str, str]) -> str:
    return f"/apps?{session.query(**query)}" if query else "/apps"


# ---------------------------------------------------------------- one application


@router.get("/apps/{app_id}")
async def by_id(app_id: str, page: PageDep) -> Response:
    """An id, with ``@N`` perhaps, leads to the name."""
    view = await apps.describe(page.services, page.user, app_id)
    number = f"@{view.loaded.version.number}" if "@" in app_id else ""
    return go_to(address_of(view.app.reference + number))


@router.get("/apps/{owner}/{name}")
async def overview(owner: str, name: str, page: PageDep, published: str = "") -> Response:
    opened = await open_app(page, owner, name)
    loaded = opened.view.loaded
    files = loaded.version.files
    may_run = "run" in opened.view.permissions and opened.view.app.archived_at is None
    seen = await outlook(page.services, page.user, loaded, opened.app.resources) if may_run else None
    return show_app(
        opened,
        "app.html",
        "overview",
        command=as_line(opened.app.command),
        files=files,
        files_bytes=sum(file.size_bytes for file in files),
        published=published[:20],
        places=outlook_words.rows(seen) if seen else None,
    )


@router.get("/apps/{owner}/{name}/jobs")
async def jobs_page(owner: str, name: str, page: PageDep) -> Response:
    """The newest that the visitor may see; the whole list has filters."""
    opened = await open_app(page, owner, name)
    found = await jobs.list_jobs(page.services, page.user, JobFilter(app=opened.reference), JOBS + 1)
    places = await page.services.store.read(lambda conn: job_places.places_of(conn, [job.id for job in found]))
    now = page.services.store.clock()
    rows = [(job, job_words.state_words(job, now, places.get(job.id)), places.get(job.id)) for job in found[:JOBS]]
    return show_app(opened, "app_jobs.html", "jobs", rows=rows, more=len(found) > JOBS)


@router.get("/apps/{owner}/{name}/code")
async def code_page(
    owner: str, name: str, page: PageDep, way: Annotated[str, Query(max_length=20)] = "curl"
) -> Response:
    """The call in other languages, with default values or some that fit."""
    opened = await open_app(page, owner, name)
    ways = code_examples.examples(opened.app, opened.reference, page.services.settings.url)
    chosen = next((one for one in ways if one.way == way), None)
    if chosen is None and way not in OTHER_WAYS:
        raise Problem("not_found", gettext("There is no such page."))
    version = opened.view.loaded.version
    document = app_openapi(opened.app, version.owner_name, version.alias, version.number, page.services.settings.url)
    return show_app(
        opened,
        "app_code.html",
        "code",
        ways=_ways(opened, [(one.way, one.title) for one in ways], way),
        way=way,
        chosen=chosen,
        source=author_yaml(version.document) if way == "yaml" else "",
        operations=openapi_short.calls(document),
        schemas=[
            (gettext("Inputs"), openapi_short.members(document, "Inputs")),
            (gettext("Result"), openapi_short.members(document, "Result")),
        ],
    )


OTHER_WAYS = ("openapi", "yaml")


def _ways(opened: AppPage, ways: list[tuple[str, str]], current: str) -> list[tuple[str, str, bool]]:
    ways = [*ways, ("openapi", "OpenAPI"), ("yaml", "sirdar.yaml")]
    titles = {"notebook": gettext("Notebook")}
    return [(f"{opened.address}/code?way={way}", titles.get(way, title), way == current) for way, title in ways]
