"""The form that runs an application: derived from its description, whole without JavaScript."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from sirdar.api import submit as api_submit
from sirdar.domain.app import FILE_INPUTS, App, InputType, OutputType
from sirdar.domain.criterion import read_criterion
from sirdar.domain.problems import FieldError, Problem
from sirdar.services import apps
from sirdar.services.app_cache import LoadedVersion
from sirdar.services.files import TEMP_PREFIX, resolve_uri
from sirdar.services.outlook import Outlook, outlook
from sirdar.services.plans import is_planned
from sirdar.services.submit import apply_overrides, submit
from sirdar.web import (
    form_options,
    form_post,
    form_sets,
    form_sweep,
    outlook_words,
    run_like,
    run_sets,
    run_sweep,
    words,
)
from sirdar.web.code_examples import Example, examples
from sirdar.web.form_fields import (
    IN,
    Given,
    Kept,
    all_errors,
    by_name,
    defaults,
    fields_of,
    given_values,
    name_of,
    read_inputs,
    refused_errors,
)
from sirdar.web.pages import SECURITY_HEADERS, Page, PageRoute, go_to, open_page, show
from sirdar.wire.submit import Overrides, SubmitRequest

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PageDep = Annotated[Page, Depends(open_page)]
MAX_ONCE = 64
NUMBERS = frozenset({OutputType.NUMBER, OutputType.INTEGER})  # of which a task may be the best
LIVE_SETS = 2_000  # of many tasks, which are looked at while one types
SETS_IN_CODE = 20
# What a submission may be refused for by what stands in the form; anything else is a page of its own.
FORM_CODES = frozenset({"invalid_input", "invalid_field", "invalid_request", "address_not_allowed", "quota_exceeded"})


@dataclass(slots=True)
class Faults:
    """What is wrong: of inputs by their names, of the rest by the form's part, and what is of neither."""

    inputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    general: Problem | None = None

    def __bool__(self) -> bool:
        return bool(self.inputs or self.options or self.general)


@router.get("/apps/{owner}/{alias}/run")
async def form_page(
    owner: str,
    alias: str,
    page: PageDep,
    like: Annotated[str, Query(max_length=64)] = "",
    example: Annotated[int, Query(ge=0, le=1000)] = 0,
) -> Response:
    """``like``: a job that the form is filled from, ``example``: one of the application's, from 1; ``in.NAME=TEXT`` in the address
    fills one field."""
    loaded = await apps.resolve_app(page.services, page.user, f"{owner}/{alias}")
    given = defaults(loaded.app.inputs)
    if like:
        given = await run_like.filled(page.services, page.user, loaded, like)
    shown = loaded.app.examples[example - 1 : example] if example else ()
    if example and not shown:
        raise Problem("not_found", words.gettext("This version has no such example."))
    for one in shown:
        filled = given_values(loaded.app.inputs, one.inputs)
        given.texts |= filled.texts
    asked = {name: text for name, text in page.request.query_params.items() if name.startswith(IN)}
    given.texts |= {name: text for name, text in asked.items() if not _is_secret(loaded.app, name)}
    await form_post.name_kept(page.services, page.user, given)
    await run_sets.read(page.services, page.user, loaded, given, quick=True)
    faults = Faults(inputs=by_name(loaded.app.inputs, given.faults))
    return await _show(page, loaded, f"{owner}/{alias}", given, faults, like=like, example=example)


def _is_secret(app: App, part: str) -> bool:
    spec = app.input(part.removeprefix(IN))
    return spec is not None and spec.type is InputType.SECRET


@router.post("/apps/{owner}/{alias}/run")
async def run(owner: str, alias: str, page: PageDep) -> Response:
    """Submit, and go on to the job; or the form again, with what is wrong at its fields and everything that was typed."""
    reference = f"{owner}/{alias}"
    loaded = await apps.resolve_app(page.services, page.user, reference)
    given = await form_post.read(page.request, page.services, page.user, loaded.app)
    await run_sets.read(page.services, page.user, loaded, given)
    given.swept = form_sweep.read_sweep(loaded.app.inputs, given.texts, tabled=_is_tabled(given))
    request, faults = await run_sync(_request_of, loaded.app, given)  # there may be a million sets
    if given.swept is not None and (request is None or given.option("action") == "check"):
        await run_sweep.count(page.services, page.user, loaded.app, given)
        request, faults = await run_sync(_request_of, loaded.app, given)
    if given.option("action") == "check":
        return await _show(page, loaded, reference, given, faults, checked=request is not None)
    if request is None:
        return await _show(page, loaded, reference, given, faults)
    key = await _key_of(page, given, request)
    try:
        made = await submit(page.services, page.user, loaded.reference, request, key=key, body=b"")
    except Problem as problem:
        if problem.code not in FORM_CODES:
            raise
        return await _show(page, loaded, reference, given, _faults_of(loaded.app, problem, given))
    return go_to(f"/jobs/{made.job_id}")


@router.post("/apps/{owner}/{alias}/run/check")
async def check(owner: str, alias: str, page: PageDep) -> Response:
    """For the page's script: what is wrong so far, where it would run, and the same call as code."""
    loaded = await apps.resolve_app(page.services, page.user, f"{owner}/{alias}")
    given = await form_post.read(page.request, page.services, page.user, loaded.app)
    await run_sets.read(page.services, page.user, loaded, given, quick=True)
    given.swept = form_sweep.read_sweep(loaded.app.inputs, given.texts, tabled=_is_tabled(given))
    await run_sweep.count(page.services, page.user, loaded.app, given, quick=True)
    _, faults = _request_of(loaded.app, given, most_sets=LIVE_SETS)
    seen = await _outlook(page, loaded, given)
    bar = outlook_words.bar(seen, _asked(given))
    content = {
        "sets": _sets_words(given),
        "swept": form_sweep.told(given.swept),
        "errors": {f"in-{name}": text for name, text in faults.inputs.items()}
        | {f"opt-{name}": text for name, text in faults.options.items()},
        "titles": {
            f"in-{spec.name}": spec.title or spec.name for spec in loaded.app.inputs if spec.name in faults.inputs
        }
        | {f"opt-{part}": form_options.title_of(part) for part in faults.options},
        "bar": {"shape": bar.shape, "text": bar.text},
        "places": {row.id: {"shape": row.shape, "text": row.text} for row in outlook_words.rows(seen)},
        "code": {one.way: one.code for one in _code(page, loaded, f"{owner}/{alias}", given, seen)},
    }
    return JSONResponse(content, headers={**SECURITY_HEADERS, "cache-control": "no-store"})


# ---------------------------------------------------------------- from the form to a submission


def _request_of(app: App, given: Given, most_sets: int | None = None) -> tuple[SubmitRequest | None, Faults]:
    """The submission that the form means; None where something is wrong with it, and what. ``most_sets``: so many are looked at."""
    values, errors = read_inputs(app.inputs, given)
    body, wrong = form_options.read_options(given)
    wrong += [fault for fault in given.faults if not name_of(fault.field)]
    tabled = _is_tabled(given)
    if given.swept is not None:
        wrong += given.swept.errors
    if not tabled:
        errors = all_errors(app.inputs, given)
    else:
        errors += refused_errors(app.inputs, given)
    if given.sets:
        found = form_sets.check_sets(app.inputs, values, given.sets, most_sets)
        if not given.sets.errors:  # a cell that cannot be read is not one that was left out
            errors += [error for error in found if name_of(error.field)]
        wrong += form_sets.in_lines([*given.sets.errors, *(error for error in found if not name_of(error.field))])
    faults = Faults(by_name(app.inputs, errors), form_options.places_of(wrong))
    try:
        if given.swept is not None and tabled:
            del body["sweep"]
        elif given.swept is not None:
            values = {name: value for name, value in values.items() if name not in given.swept.names}
        request = api_submit.parse(to_json({**body, "inputs": values}))
        apply_overrides(app, request.overrides)
        read_criterion(app, body.get("criterion", {}), body.get("stopWhen", ""))
    except Problem as problem:
        more = _faults_of(app, problem, given)
        faults.options = form_options.in_order(faults.options | more.options)
        faults.general = more.general
        return None, faults
    return (None if faults else request), faults


def _is_tabled(given: Given) -> bool:
    """Whether it has input sets, from wherever."""
    return given.sets is not None or given.sets_file is not None or bool(given.option(run_sets.JOB))


def _faults_of(app: App, problem: Problem, given: Given) -> Faults:
    """A submission's problem at the fields that it is about."""
    errors = list(problem.errors) or [FieldError(problem.field or "", problem.detail, problem.expected)]
    errors = [form_sweep.placed(form_sets.placed(error, given.sets), given.swept) for error in errors]
    faults = Faults(
        by_name(app.inputs, errors), form_options.places_of([error for error in errors if not name_of(error.field)])
    )
    if "" in faults.options or problem.code == "quota_exceeded":
        return Faults(general=problem)
    return faults


async def _key_of(page: Page, given: Given, request: SubmitRequest) -> str:
    """The same form sent twice is one job, also where its files were sent twice; changed, it is another."""
    content: dict[str, Any] = request.model_dump(mode="json")
    for name, listed in given.kept.items():
        refs = [await resolve_uri(page.services, page.user, kept.uri) for kept in listed]
        content["inputs"][name] = [[ref.name, ref.sha256] for ref in refs] + [given.texts.get(IN + name, "")]
    once = given.option("once")[:MAX_ONCE] or secrets.token_hex(16)
    return "form:" + hashlib.sha256(once.encode(errors="replace") + b"\0" + to_json(content)).hexdigest()


# ---------------------------------------------------------------- the page


async def _show(
    page: Page,
    loaded: LoadedVersion,
    reference: str,
    given: Given,
    faults: Faults,
    *,
    like: str = "",
    example: int = 0,
    checked: bool = False,
) -> Response:
    app = loaded.app
    _one_file_each(app, given)
    seen = await _outlook(page, loaded, given)
    status = (faults.general.status if faults.general else 422) if faults and page.request.method == "POST" else 200
    return show(
        page,
        "run.html",
        status,
        app=app,
        loaded=loaded,
        reference=reference,
        like=like or given.option("like"),
        example=example,
        fields=fields_of(app.inputs, given, faults.inputs),
        given=given,
        faults=faults,
        checked=checked,
        once=given.option("once")[:MAX_ONCE] or secrets.token_urlsafe(16),
        title_of=form_options.title_of,
        unfolded=form_options.is_unfolded(given, faults.options),
        sets_sample=form_sets.sample(app.inputs),
        sets_words=_sets_words(given),
        many=form_options.is_many(given, faults.options),
        sweep_rows=[] if is_planned(loaded) else form_sweep.rows(app.inputs, given.texts),
        sweep_words=form_sweep.told(given.swept),
        numbers=[spec.name for spec in app.outputs if spec.type in NUMBERS],
        overrides=form_options.overrides_of(app, given),
        places=outlook_words.rows(seen),
        asked=_asked(given),
        bar=_bar(app, faults) or outlook_words.bar(seen, _asked(given)),
        examples=_code(page, loaded, reference, given, seen),
        told_by_account=bool(page.user.notify),
        file_bytes=page.services.settings.file_bytes,
    )


def _bar(app: App, faults: Faults) -> outlook_words.Said | None:
    """Beside the button: nothing starts while something is wrong, and that goes before where it would run."""
    if not faults:
        return None
    titles = [spec.title or spec.name for spec in app.inputs if spec.name in faults.inputs]
    return outlook_words.wrong(titles + [form_options.title_of(part) for part in faults.options])


def _one_file_each(app: App, given: Given) -> None:
    """A field of one file keeps the one that came last."""
    for spec in app.inputs:
        if spec.type in FILE_INPUTS and spec.type is not InputType.FILES and spec.name in given.kept:
            given.kept[spec.name] = given.kept[spec.name][-1:]


def _sets_words(given: Given) -> str:
    """How many tasks it would be."""
    if given.sets is None or given.sets.errors:
        return ""
    count = len(given.sets.items)
    told = words.ngettext("%(num)s set: %(num)s task.", "%(num)s sets: %(num)s tasks.", count)
    if count <= SETS_IN_CODE:
        return told
    return f"{told} " + words.gettext("The code beside shows the first %(count)s.", count=SETS_IN_CODE)


def _asked(given: Given) -> list[str]:
    return [text for text in given.chosen.get("resource", ()) if text]


async def _outlook(page: Page, loaded: LoadedVersion, given: Given) -> Outlook:
    """With the needs that the form asks for, where they can be read; else with the application's own."""
    try:
        needs, _ = apply_overrides(loaded.app, Overrides.model_validate(form_options.read_overrides(given)))
    except (Problem, ValueError):
        needs = loaded.app.resources
    return await outlook(page.services, page.user, loaded, needs, _asked(given))


def _code(page: Page, loaded: LoadedVersion, reference: str, given: Given, seen: Outlook) -> list[Example]:
    """The same call as code, from what stands in the form."""
    app = loaded.app
    values, _ = read_inputs(app.inputs, given)
    for spec in app.inputs:
        if spec.type in FILE_INPUTS and spec.name in values:
            values[spec.name] = _files_in_code(values[spec.name], given.kept.get(spec.name, ()))
    options, _ = form_options.read_options(given)
    if "foreach" in options:
        options["foreach"] = options["foreach"][:SETS_IN_CODE]
    names = {choice.id: choice.name for choice in seen.choices}
    options["resources"] = [names.get(wanted, wanted) for wanted in options["resources"]]
    return examples(app, reference, page.services.settings.url, values, options)


def _files_in_code(uris: Any, kept: Sequence[Kept]) -> Any:
    """What was uploaded for this form lies beside the reader under its name; anything else is named by its address."""
    names = {file.uri: file.name for file in kept if file.uri.startswith(TEMP_PREFIX)}
    return [names.get(uri, uri) for uri in uris] if isinstance(uris, list) else names.get(uris, uris)
