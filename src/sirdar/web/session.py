"""A browser's session: a token in a cookie, and a secret on every form that only our own pages carry."""

import base64
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import Request, Response

from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.signin import token_hash
from sirdar.web.words import gettext as _

SESSION = "access_token"  # the cookie that the API knows too
VISIT = "sirdar_visit"  # before there is a session: what binds the sign-in form to this browser
FORM_FIELDS_MAX = 100
FORM_BYTES_MAX = 2**20


async def caller_of(request: Request, services: Services) -> Caller:
    """Who is signed in. Raises ``unauthenticated`` or ``token_expired``."""
    token = request.cookies.get(SESSION)
    if not token:
        raise Problem("unauthenticated", _("Sign in first."))
    return await services.auth.caller(token)


async def caller_if_any(request: Request, services: Services) -> Caller | None:
    try:
        return await caller_of(request, services)
    except Problem:
        return None


def start(request: Request, response: Response, token: str, lifetime_s: float) -> None:
    """Give the browser its session."""
    response.set_cookie(
        SESSION, token, max_age=int(lifetime_s), path="/", httponly=True, samesite="lax", secure=is_secure(request)
    )
    response.delete_cookie(VISIT, path="/")


def end(request: Request, response: Response) -> None:
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="lax", secure=is_secure(request))


def is_secure(request: Request) -> bool:
    services: Services = request.app.state.services
    return request.url.scheme == "https" or services.settings.url.startswith("https:")


# ---------------------------------------------------------------- forms


def form_secret(request: Request, services: Services) -> str:
    """What a form carries: a signature of the session, or of the visit where nobody is signed in; masked, so that no two pages
    carry the same letters."""
    signature = services.keys.sign("csrf", _bound_to(request)).encode()
    mask = secrets.token_bytes(len(signature))
    return base64.urlsafe_b64encode(mask + _mixed(signature, mask)).decode()


def _unmasked(text: str) -> str:
    """The signature; anything else where the text is none of ours."""
    try:
        content = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        half = len(content) // 2
        return _mixed(content[half:], content[:half]).decode("ascii")
    except ValueError:
        return ""


def _mixed(text: bytes, mask: bytes) -> bytes:
    return bytes(letter ^ other for letter, other in zip(text, mask, strict=False))


def begin_visit(request: Request) -> str | None:
    """The value of a cookie to be set, where the browser has neither a session nor a visit; known to this request too."""
    if request.cookies.get(SESSION) or request.cookies.get(VISIT):
        return None
    request.state.visit = secrets.token_urlsafe(16)
    return str(request.state.visit)


def _bound_to(request: Request) -> str:
    visit = request.cookies.get(VISIT) or getattr(request.state, "visit", "")
    session = request.cookies.get(SESSION)
    return f"session {token_hash(session)}" if session else f"visit {visit}"


async def read_form(request: Request, services: Services) -> dict[str, str]:
    """The fields of a form of ours. Raises ``csrf`` where it is not, ``invalid_request`` where it is no form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise Problem("too_large", _("The form is too large."))
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX))
    except ValueError as error:
        raise Problem("invalid_request", _("This is no form.")) from error
    check_secret(request, services, fields.pop("csrf", ""))
    return fields


def check_secret(request: Request, services: Services, given: str) -> None:
    """Raises ``csrf`` where the form is none of ours."""
    has_cookie = bool(request.cookies.get(SESSION) or request.cookies.get(VISIT))
    if not has_cookie or not services.keys.checks("csrf", _bound_to(request), _unmasked(given)):
        raise Problem(
            "csrf",
            _("The form does not carry this session's secret."),
            hint=_("Load the page again and repeat."),
        )


def local_path(text: str) -> str:
    """An address of this site to go on to; the start page where the text is anything else."""
    parts = urlsplit(text)
    outside = parts.scheme or parts.netloc or not text.startswith("/") or text.startswith(("//", "/\\"))
    return "/" if outside or not text.isprintable() or "\\" in text else text


def query(**values: str) -> str:
    """The query of an address."""
    return urlencode(values)
