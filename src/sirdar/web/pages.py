"""How a page is made: templates with the formats of ``formats``, headers that keep it safe, errors as pages."""

import gzip
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sirdar import __version__
from sirdar.api.errors import headers_of, problem_of
from sirdar.domain.people import Caller
from sirdar.domain.problems import CODES, Problem
from sirdar.services.context import Services
from sirdar.web import assets, client_words, formats, markdown, reason_words, service_words, session, words

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "private, no-cache",
}
# What belongs to the session is signed away by these: sign in again, then go on where one was.
LITTLE_BYTES = 1000  # below this a compressed page saves nothing
SIGN_IN_CODES = frozenset({"unauthenticated", "token_expired"})


@dataclass(frozen=True, slots=True)
class Page:
    """A request for a page: who asks, and the services."""

    request: Request
    services: Services
    caller: Caller | None

    @property
    def user(self) -> Caller:
        """Who is signed in. Raises ``unauthenticated``."""
        if self.caller is None:
            raise Problem("unauthenticated", words.gettext("Sign in first."))
        return self.caller


async def open_page(request: Request) -> Page:
    """A dependency: the page for whoever asks, signed in or not."""
    services: Services = request.app.state.services
    words.begin(request)
    return Page(request, services, await session.caller_if_any(request, services))


def show(page: Page, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template of ``templates/``."""
    visit = session.begin_visit(page.request)
    text = _environment().get_template(template).render(_common(page) | values)
    response = _respond(page, text, status)
    if visit is not None:
        secure = session.is_secure(page.request)
        response.set_cookie(session.VISIT, visit, path="/", httponly=True, samesite="lax", secure=secure)
    return response


def show_part(page: Page, template: str, block: str, **values: Any) -> HTMLResponse:
    """Only one block of a template, for ``<sirdar-live>``: what stands in the whole page too."""
    loaded = _environment().get_template(template)
    context = loaded.new_context(_common(page) | values)
    beginning = loaded.root_render_func(context)
    next(beginning, None)  # imports and macros of the template's top level come before its first words
    text = "".join(loaded.blocks[block](context))
    return _respond(page, text, 200)


def _common(page: Page) -> dict[str, Any]:
    """What every template may use."""
    now = time.time()
    return {
        "caller": page.caller,
        "csrf": session.form_secret(page.request, page.services),
        "path": page.request.url.path,
        "query": page.request.url.query,
        "now": now,
        "moment": partial(_moment, now=now),
        "site_url": page.services.settings.url,
        "language": words.language(),
    }


def _respond(page: Page, text: str, status: int) -> HTMLResponse:
    """Compressed where the browser takes it; the secrets of forms are masked anew on each page, so that nothing can be guessed
    from its length (the attack is known as BREACH)."""
    headers = {**SECURITY_HEADERS, "vary": "accept-encoding, cookie"}
    content = text.encode()
    if len(content) > LITTLE_BYTES and "gzip" in page.request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 5, mtime=0)
        headers["content-encoding"] = "gzip"
    return HTMLResponse(content, status, headers)


def go_to(address: str) -> RedirectResponse:
    """After a form: the next page is asked for by GET."""
    return RedirectResponse(address, 303, {"cache-control": "no-store"})


def _moment(at: float | None, *, now: float) -> Markup:
    if at is None:
        return escape(formats.NOTHING)
    shown, whole = formats.moment(at, now, words.zone()), formats.utc(at)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        whole.replace(" UTC", "Z").replace(" ", "T"), whole, shown
    )


_built: list[jinja2.Environment] = []


def _environment() -> jinja2.Environment:
    """Built at the first page, so that a start waits for nothing."""
    if not _built:
        _built.append(_build_environment())
    return _built[0]


def _build_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sirdar.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    environment.install_gettext_callables(words.raw_gettext, words.raw_ngettext, newstyle=True)  # type: ignore[attr-defined]
    for name in (
        "integer",
        "number",
        "size",
        "memory",
        "duration",
        "growing",
        "rough",
        "percent",
        "value",
        "exact",
        "utc",
    ):
        environment.filters[name] = getattr(formats, name)
    environment.filters |= {"subject": formats.subject, "seconds": formats.seconds, "bytes": formats.whole_bytes}
    environment.filters["said"] = service_words.say
    environment.filters["advised"] = service_words.advise
    environment.filters["reason"] = reason_words.reason_word
    environment.filters["markdown"] = markdown.render
    environment.filters["quoted"] = lambda text: quote(str(text), safe="")
    environment.globals |= {
        "asset": assets.address,
        "version": __version__,
        "nothing": formats.NOTHING,
        "languages": words.LANGUAGES,
        "client_words": client_words.catalogue,
    }
    return environment


# ---------------------------------------------------------------- errors


class PageRoute(APIRoute):
    """A route whose errors are pages: a sentence, a cause, a next step; or the sign-in page, where that is what is missing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                raise
            except Exception as error:
                where = f"{request.method} {request.url.path}"
                return await show_problem(request, problem_of(error, where=where))

        return handle_with_pages


async def show_problem(request: Request, problem: Problem) -> Response:
    """A problem as a page."""
    if problem.code in SIGN_IN_CODES:
        return to_sign_in(request)
    page = await open_page(request)
    response = show(page, "problem.html", problem.status, problem=problem, title=CODES[problem.code][1])
    response.headers.update({name: text for name, text in headers_of(problem).items() if name != "www-authenticate"})
    return response


def to_sign_in(request: Request) -> Response:
    """To the sign-in page, and after it back to the page that was asked for."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(wanted, safe='')}" if request.method == "GET" and wanted != "/" else ""
    response = go_to("/login" + back)
    if request.cookies.get(session.SESSION):
        session.end(request, response)
    return response


def install_not_found(app: FastAPI) -> None:
    """Addresses that nothing answers are a page for a browser, and what they were for everybody else."""
    before = app.exception_handlers.get(HTTPException)

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        is_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
            ("/api", "/agent")
        )
        if before is None or (is_page and error.status_code in {404, 405}):
            words.begin(request)
            path = request.url.path[:200]
            problem = Problem("not_found", words.gettext("There is no page %(path)s.", path=path))
            return await show_problem(request, problem)
        response = before(request, error)
        answer = response if isinstance(response, Response) else await response
        assert isinstance(answer, Response)
        return answer

    app.add_exception_handler(HTTPException, handle)
