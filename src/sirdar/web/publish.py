"""Writing and changing an application in the browser: fields and YAML side by side, files, a dry run, and publishing.

Everything is one form: the page posts what it shows, the server puts changed fields into the text, does what the button says and
shows the result. A script sends the same form as one types and takes parts of the answer over (ui/src/publish.ts).
"""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from sirdar.domain.app import InputType, OutputType
from sirdar.domain.command import render
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import access, drafts, publish
from sirdar.services.drafts import Checked
from sirdar.web import app_diff_words, code_examples, publish_post
from sirdar.web.app_page import AppPage, address_of, open_app
from sirdar.web.code_examples import Local
from sirdar.web.pages import Page, PageRoute, go_to, open_page, show
from sirdar.web.publish_post import Draft
from sirdar.web.words import gettext
from sirdar.wire.description_form import Form, read_form
from sirdar.wire.description_text import author_yaml
from sirdar.wire.yaml_lines import TextError

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
FIRST = """\
# How Sirdar runs this program.
sirdar: 1
alias: hello  # the address: OWNER/hello
name: Hello
annotation: Greets whoever is named

inputs:
  who: {type: string, default: world, title: Whom to greet}

# ${who} stands for the input's value; a value is always one word for the program.
command: echo Hello, ${who}

# What one run gets; it is ended when it needs more memory or time.
resources: {cpus: 1, memory: 512 MiB, time: 10 min}
"""


@router.get("/apps/new")
async def new_page(page: PageDep) -> Response:
    access.require_publish(page.user)
    return await _show(page, None, Draft(FIRST))


@router.post("/apps/new")
async def new_post(page: PageDep) -> Response:
    return await _post(page, None)


@router.get("/apps/{owner}/{name}/edit")
async def edit_page(owner: str, name: str, page: PageDep) -> Response:
    opened = await _open(page, owner, name)
    version = opened.view.loaded.version
    fetched = publish.is_fetched(opened.app)
    draft = Draft(author_yaml(version.document), {} if fetched else {one.path: one for one in version.files})
    return await _show(page, opened, draft)


@router.post("/apps/{owner}/{name}/edit")
async def edit_post(owner: str, name: str, page: PageDep) -> Response:
    return await _post(page, await _open(page, owner, name))


async def _open(page: Page, owner: str, name: str) -> AppPage:
    opened = await open_app(page, owner, name)
    if not opened.may_edit:
        access.require_publish(page.user)
        raise Problem("forbidden", gettext("Only its owner publishes versions of an application."))
    return opened


# ---------------------------------------------------------------- what the buttons do


async def _post(page: Page, opened: AppPage | None) -> Response:
    access.require_publish(page.user)
    draft, wish = await publish_post.read(page.request, page.services, page.user)
    verb, _, rest = wish.partition(":")
    if verb not in {"save", "close"} and (verb != "remove" or rest != draft.opened.strip()):
        named = await publish_post.take_typed(page.services, page.user, draft)
        if verb in {"open", "remove", "mode"}:  # which close the open file
            if not named:
                return await _show(page, opened, draft)
            await publish_post.keep_typed(page.services, page.user, draft)
    if verb == "publish" and not draft.faults:
        try:
            await publish_post.keep_typed(page.services, page.user, draft)
            done = await publish.publish(page.services, page.user, draft.publication)
        except Problem as problem:
            if problem.code not in drafts.FAULTS:
                raise
            return await _show(page, opened, draft, drafts.errors_of(problem), problem.status)
        return go_to(f"{address_of(done.reference)}?published={done.inserted.number}")
    if verb == "row":
        section, what, number = [*rest.split(":"), "", ""][:3]
        if section in {"inputs", "outputs", "examples"}:
            publish_post.change_rows(
                draft, section, what, int(number) if number.isascii() and number.isdecimal() else -1
            )
    elif verb in {"open", "save", "remove", "mode", "close"}:
        await _change_files(page, draft, verb, rest)
    return await _show(page, opened, draft)


async def _change_files(page: Page, draft: Draft, verb: str, path: str) -> None:
    """The buttons of a file, and of the one that is open."""
    file = draft.files.get(path)
    if verb == "save" and draft.opened_text is not None:
        target = publish_post.opened_path(draft)
        if target is None:
            return
        draft.add(await drafts.put_text(page.services, page.user, target, draft.opened_text))
    elif verb == "open" and file is not None:
        draft.opened, draft.opened_text = path, await drafts.text_of(page.services, page.user, file)
        if draft.opened_text is None:
            draft.faults.append(FieldError(f"files.{path}", gettext("It is no text, or too large to be edited here.")))
        return
    elif verb == "open":
        draft.opened, draft.opened_text = "", ""  # a new one
        return
    elif verb == "remove":
        draft.files.pop(path, None)
    elif verb == "mode" and file is not None:
        draft.files[path] = replace(file, mode=0o644 if file.mode & 0o111 else 0o755)
    draft.opened, draft.opened_text = "", None


# ---------------------------------------------------------------- what the page shows


async def _show(
    page: Page, opened: AppPage | None, draft: Draft, errors: tuple[FieldError, ...] = (), status: int = 200
) -> Response:
    coming = [draft.typed.sha256] if draft.typed else []
    checked = (
        Checked(errors=errors) if errors else await drafts.check(page.services, page.user, draft.publication, coming)
    )
    return show(
        page,
        "publish.html",
        status,
        opened=opened,
        draft=draft,
        form=_form(draft.text),
        errors=[(_line_of(error), error) for error in (*draft.faults, *checked.errors)],
        checked=checked,
        told=[app_diff_words.sentence(one) for one in checked.changes],
        told_files=[(one.kind.value, app_diff_words.file_sentence(one)) for one in checked.files],
        preview=_preview(checked),
        input_types=[kind.value for kind in InputType],
        output_types=[kind.value for kind in OutputType],
        action=f"{opened.address}/edit" if opened else "/apps/new",
    )


def _form(text: str) -> Form | None:
    try:
        return read_form(text)
    except TextError:
        return None


def _line_of(error: FieldError) -> int | None:
    """The line that the parser names."""
    word, _, rest = error.detail.partition(" ")
    number = rest.partition(":")[0]
    return int(number) if word == "line" and number.isascii() and number.isdecimal() else None


def _preview(checked: Checked) -> dict[str, Any] | None:
    """What one run would start, for the default inputs or ones that fit."""
    app = checked.app
    if app is None:
        return None
    values = code_examples.values_of(app)
    staged = {name: _staged(value) for name, value in values.items() if _is_file(value)}
    try:
        made = render(app, values, staged)
    except ValueError as error:
        return {"line": str(error), "env": {}, "stdin": ""}
    return {"words": made.argv, "env": made.env, "files": made.files, "stdin": made.stdin_path or made.stdin_text or ""}


def _is_file(value: Any) -> bool:
    return isinstance(value, Local) or (isinstance(value, list) and any(isinstance(item, Local) for item in value))


def _staged(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [item.path if isinstance(item, Local) else str(item) for item in value]
    return value.path if isinstance(value, Local) else str(value)
