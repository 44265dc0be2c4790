"""Counts the tasks of a sweep that stands in a form, before it is sent."""

from pydantic import ValidationError

from sirdar.domain.app import App
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.services.context import Services
from sirdar.services.sweeps import count_sweep
from sirdar.web.form_fields import Given
from sirdar.web.form_sweep import Swept, placed
from sirdar.wire.submit import Sweep

QUICK_S = 1.0  # while one types


async def count(services: Services, caller: Caller, app: App, given: Given, *, quick: bool = False) -> None:
    """Puts the counts, or what is wrong with the sweep, into ``given.swept``. ``quick``: what takes long is left uncounted."""
    swept = given.swept
    if swept is None or swept.errors:
        return
    try:
        sweep = Sweep.model_validate(swept.body)
        counted = await count_sweep(services, caller, app, sweep, within_s=QUICK_S if quick else None)
    except ValidationError as error:
        swept.errors.append(FieldError("sweep", str(error.errors()[0]["msg"])))
    except Problem as problem:
        swept.errors += _errors_of(problem, swept)
    else:
        swept.total, swept.tasks, swept.uncounted = counted.total, counted.tasks, counted.tasks is None


def _errors_of(problem: Problem, swept: Swept) -> list[FieldError]:
    listed = problem.errors or [FieldError(problem.field or "sweep", problem.detail, problem.expected)]
    return [placed(error, swept) for error in listed]
