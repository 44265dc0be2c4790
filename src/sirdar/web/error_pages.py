"""``/docs/errors/{code}``: what an error's ``type`` leads to; ``/docs/reasons/{reason}``: why something ended so, and what to do.

The texts are the documentation's own pages; in another language they stand beside its catalogue of words.
"""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from sirdar.domain.outcome import MEANING, REASONS, Reason
from sirdar.domain.problems import CODES, Problem
from sirdar.web import words
from sirdar.web.pages import Page, PageRoute, open_page, show
from sirdar.web.words import gettext as _

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_GENERATED = re.compile(r"<!-- generated: [a-z-]+ -->.*?<!-- end -->", re.DOTALL)


@router.get("/docs/errors")
async def all_errors(page: Annotated[Page, Depends(open_page)]) -> Response:
    return show(page, "errors.html", codes=CODES)


@router.get("/docs/errors/{code}")
async def one_error(code: str, page: Annotated[Page, Depends(open_page)]) -> Response:
    if code not in CODES:
        detail = _("There is no error %(code)s.", code=code[:80])
        raise Problem("not_found", detail, hint=_("The page Errors has them all."))
    status, title = CODES[code]
    return show(page, "error.html", code=code, status_code=status, title=title, text=_text("errors", code))


@router.get("/docs/reasons")
async def all_reasons(page: Annotated[Page, Depends(open_page)]) -> Response:
    return show(page, "reasons.html", reasons=list(Reason), meaning=MEANING)


@router.get("/docs/reasons/{name}")
async def one_reason(name: str, page: Annotated[Page, Depends(open_page)]) -> Response:
    if name not in REASONS:
        detail = _("There is no reason %(name)s.", name=name[:80])
        raise Problem("not_found", detail, hint=_("The page Reasons has them all."))
    reason = REASONS[name]
    return show(page, "reason.html", reason=reason, meaning=MEANING[reason], text=_text("reasons", name))


def _text(kind: str, code: str) -> str:
    return explanation(kind, code, words.language()) or explanation(kind, code, "en")


@cache
def explanation(kind: str, code: str, language: str) -> str:
    """Markdown: why it happens and what to do. Empty where the installation came without the documentation, or that has no
    such language."""
    places: tuple[Traversable, ...]
    if language == "en":
        places = (files("sirdar.web") / kind, Path(__file__).resolve().parents[3] / "docs" / "reference" / kind)
    else:
        places = (files("sirdar.web") / "locale" / language / kind,)
    for place in (folder / f"{code}.md" for folder in places):
        if place.is_file():
            text = _GENERATED.sub("", place.read_text(encoding="utf-8"))
            return re.sub(r"\A# .*\n", "", text).strip()
    return ""
