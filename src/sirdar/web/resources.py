"""Pages of resources: the machines that one may use, one machine and what its owner does with it, and the command that attaches
another."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import resource_shares, resource_tasks, resources
from sirdar.services.access import may_attach
from sirdar.services.resources import NewJoin, ResourceView, is_known_here_only, join_command
from sirdar.store.resource_tokens import ResourceToken
from sirdar.web import form_values, session, words
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show, show_part
from sirdar.wire.solvers import LABEL

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FORM_CODES = frozenset({"invalid_field", "already_exists", "not_found", "conflict"})
LOOK_EVERY_S = 5
TASKS = 20
# How a resource's state is drawn: the style of a job's state that says the same.
SHAPES = {
    "online": "running",
    "unreachable": "unreachable",
    "draining": "waiting",
    "offline": "waiting",
    "revoked": "cancelled",
}


def state_word(state: str) -> str:
    return {
        "online": words.gettext("Online"),
        "unreachable": words.gettext("Unreachable"),
        "draining": words.gettext("Draining"),
        "offline": words.gettext("Offline"),
        "revoked": words.gettext("Revoked"),
    }[state]


def phase_words() -> dict[str, str]:
    """By the state of an attempt."""
    return {
        "ACCEPTED": words.gettext("queued there"),
        "STAGING_IN": words.gettext("brings its files"),
        "RUNNING": words.gettext("runs"),
        "STAGING_OUT": words.gettext("collects its outputs"),
    }


# ---------------------------------------------------------------- the list


@router.get("/resources")
async def list_page(page: PageDep, part: Annotated[str, Query(max_length=10)] = "") -> Response:
    return await _list(page, page.user, part=part)


async def _list(
    page: Page, caller: Caller, *, name: str = "", problem: Problem | None = None, part: str = ""
) -> Response:
    values: dict[str, Any] = {
        "found": [_line(view) for view in await resources.list_resources(page.services, caller)],
        "may_attach": may_attach(caller),
        "name": name,
        "problem": problem,
        "every_s": LOOK_EVERY_S,
    }
    if part:
        return show_part(page, "resources.html", "rows", **values)
    return show(page, "resources.html", problem.status if problem else 200, **values)


@dataclass(frozen=True, slots=True)
class Line:
    """A resource as a list shows it. ``busy``: the share of its processors that tasks hold, None where nobody can know now."""

    view: ResourceView
    shape: str
    word: str
    has: dict[str, Any]
    load: dict[str, float]
    busy: float | None

    @property
    def labels(self) -> dict[str, str]:
        """What its owner says of it."""
        return {key: value for key, value in self._all_labels().items() if not key.startswith(LABEL)}

    @property
    def solvers(self) -> dict[str, str]:
        """By name, the version."""
        found = self._all_labels().items()
        return {key.removeprefix(LABEL): value for key, value in found if key.startswith(LABEL)}

    def _all_labels(self) -> dict[str, str]:
        return dict(self.has.get("labels") or {})


def _line(view: ResourceView) -> Line:
    has, load = view.row.capabilities or {}, _load(view)
    busy = view.cpus.held / view.cpus.total if view.reachable and view.cpus.total else None
    return Line(view, SHAPES[view.state], state_word(view.state), has, load, busy)


def _load(view: ResourceView) -> dict[str, float]:
    """What is free there, of a machine that can be reached."""
    return view.row.load if view.reachable else {}


@router.post("/resources")
async def create(page: PageDep) -> Response:
    caller = page.user
    name = (await session.read_form(page.request, page.services)).get("name", "").strip()
    try:
        made = await resources.create(page.services, caller, name, None)
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _list(page, caller, name=name, problem=problem)
    return await _one(page, caller, made.row.id, joining=made)


# ---------------------------------------------------------------- one


@router.get("/resources/{ref}")
async def resource_page(
    ref: str,
    page: PageDep,
    part: Annotated[str, Query(max_length=10)] = "",
    after: Annotated[str, Query(max_length=200)] = "",
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    return await _one(page, page.user, ref, part=part, after=after, done=done)


async def _one(
    page: Page,
    caller: Caller,
    ref: str,
    *,
    joining: NewJoin | None = None,
    token: str = "",
    problem: Problem | None = None,
    part: str = "",
    after: str = "",
    done: str = "",
) -> Response:
    view = await resources.show(page.services, caller, ref)
    mine = caller.administers or caller.user_id == view.row.owner_id
    there = await resource_tasks.list_tasks(page.services, caller, view.row.id, after=after, limit=TASKS)
    values: dict[str, Any] = {
        "line": _line(view),
        "view": view,
        "mine": mine,
        "there": there,
        "after": after,
        "following": resource_tasks.cursor_of(there.tasks[-1]) if len(there.tasks) == TASKS else "",
        "shares": await resource_shares.list_shares(page.services, caller, view.row.id) if mine else [],
        "tokens": await _tokens(page, caller, view) if mine else [],
        "joining": joining,
        "here_only": is_known_here_only(page.services.settings),
        "command": join_command(joining, page.services.settings) if joining else "",
        "token": token,
        "phases": phase_words(),
        "problem": problem,
        "done": _done(done),
        "every_s": LOOK_EVERY_S,
    }
    if part:
        return show_part(page, "resource.html", "now", **values)
    response = show(page, "resource.html", problem.status if problem else 200, **values)
    if joining is not None or token:
        response.headers["cache-control"] = "no-store"
    return response


async def _tokens(page: Page, caller: Caller, view: ResourceView) -> list[ResourceToken]:
    return [] if view.row.embedded else await resources.list_tokens(page.services, caller, view.row.id)


def _done(what: str) -> str:
    return {
        "drain": words.gettext("It takes no new tasks; what runs there goes on."),
        "resume": words.gettext("It takes tasks again."),
        "shared": words.gettext("Who may use it was changed."),
        "changed": words.gettext("It was changed."),
        "revoked": words.gettext("Its agent has no access any more. What ran there is tried elsewhere."),
    }.get(what, "")


# ---------------------------------------------------------------- what its owner does


@router.post("/resources/{ref}/join")
async def join(ref: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    return await _one(page, caller, ref, joining=await resources.new_join(page.services, caller, ref))


@router.post("/resources/{ref}/mode")
async def set_mode(ref: str, page: PageDep) -> Response:
    """Drain, or take tasks again."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    mode = "drain" if fields.get("mode") == "drain" else "active"
    await resources.change(page.services, caller, ref, {"mode": mode})
    return go_to(f"/resources/{ref}?done={'drain' if mode == 'drain' else 'resume'}")


@router.post("/resources/{ref}/settings")
async def set_settings(ref: str, page: PageDep) -> Response:
    """Its name, and after how long a silence it counts as lost."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    before = await resources.show(page.services, caller, ref)
    values: dict[str, Any] = {}
    try:
        if fields.get("name", "").strip() not in {"", before.row.name}:
            values["name"] = fields["name"].strip()
        if fields.get("lost_after", "").strip():
            values["lost_after_s"] = form_values.span(fields, "lost_after")
        await resources.change(page.services, caller, ref, values)
    except Problem as problem:
        return await _again(page, caller, ref, problem)
    return go_to(f"/resources/{before.row.id}?done=changed")


@router.post("/resources/{ref}/share")
async def share(ref: str, page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    kind, name = fields.get("kind", "user"), fields.get("name", "").strip()
    subject = "everyone" if kind == "everyone" else f"{kind}:{name}"
    try:
        await resource_shares.put_share(page.services, caller, ref, subject)
    except Problem as problem:
        return await _again(page, caller, ref, problem)
    return go_to(f"/resources/{ref}?done=shared")


@router.post("/resources/{ref}/unshare")
async def unshare(ref: str, page: PageDep) -> Response:
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    await resource_shares.remove_share(page.services, caller, ref, fields.get("subject", ""))
    return go_to(f"/resources/{ref}?done=shared")


@router.post("/resources/{ref}/tokens")
async def make_token(ref: str, page: PageDep) -> Response:
    """Shown once."""
    caller = page.user
    fields = await session.read_form(page.request, page.services)
    try:
        days = fields.get("days", "").strip()
        lifetime_s = float(int(days)) * 86_400 if days else None
        made = await resources.new_token(
            page.services, caller, ref, label=fields.get("label", "").strip(), lifetime_s=lifetime_s
        )
    except ValueError:
        fault = Problem("invalid_field", words.gettext("The lifetime is a whole number of days."), field="days")
        return await _again(page, caller, ref, fault)
    except Problem as problem:
        return await _again(page, caller, ref, problem)
    return await _one(page, caller, ref, token=made[1])


@router.post("/resources/{ref}/tokens/{token_id}/revoke")
async def end_token(ref: str, token_id: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    await resources.revoke_token(page.services, caller, ref, token_id)
    return go_to(f"/resources/{ref}?done=changed")


async def _again(page: Page, caller: Caller, ref: str, problem: Problem) -> Response:
    """The page once more, with what was wrong."""
    if problem.code not in FORM_CODES and problem.code != "forbidden":
        raise problem
    return await _one(page, caller, ref, problem=problem)


# ---------------------------------------------------------------- what asks first


@router.get("/resources/{ref}/{verb}")
async def ask(ref: str, verb: str, page: PageDep) -> Response:
    """Before a machine is detached for good: what follows from it."""
    caller = page.user
    view = await resources.show(page.services, caller, ref)
    if verb not in {"revoke", "delete"} or not (caller.administers or caller.user_id == view.row.owner_id):
        path = f"/resources/{ref[:80]}/{verb[:80]}"
        raise Problem("not_found", words.gettext("There is no page %(path)s.", path=path))
    return show(page, "resource_ask.html", view=view, verb=verb)


@router.post("/resources/{ref}/revoke")
async def revoke(ref: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    row = await resources.revoke(page.services, caller, ref)
    return go_to(f"/resources/{row.id}?done=revoked")


@router.post("/resources/{ref}/delete")
async def delete(ref: str, page: PageDep) -> Response:
    caller = page.user
    await session.read_form(page.request, page.services)
    await resources.delete(page.services, caller, ref)
    return go_to("/resources")
