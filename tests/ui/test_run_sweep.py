"""A sweep in the form that runs an application, without JavaScript and as its script asks: counts, faults, one job."""

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.ui.test_run_form import Form, error_of, job_of, parts

FIT = """\
sirdar: 1
alias: swept
inputs:
  data: {type: file, suffixes: [.csv], required: true}
  folds: {type: integer, minimum: 2, maximum: 20, required: true, title: Folds}
  alpha: {type: number, default: 0.03}
  beta: {type: number}
  solver: {type: enum, values: [ipopt, newton], default: ipopt}
  smooth: {type: boolean, default: true}
  start: {type: list, items: {type: number}}
  key: {type: secret, env: KEY}
command: cat ${data}
outputs:
  loss: {type: number, from: stdout, key: loss}
  out: {type: file, from: stdout}
"""
DATA = [("data", "a.csv", b"1,2\n")]
GRID = {"sweep.folds": "2..13", "sweep.alpha": "0.001..10:*10", "sweep.solver": "ipopt, newton"}


@pytest.fixture(scope="module")
def form(site: Any) -> str:
    anna = {"authorization": f"Bearer {site.tokens['anna']}"}
    reply = httpx.post(f"{site.url}/api/apps/publish", json={"description": FIT, "files": []}, headers=anna)
    assert reply.status_code == 201, reply.text
    return "/apps/anna/swept/run"


@pytest.fixture
def browser(site: Any) -> Iterator[httpx.Client]:
    with site.browser("anna") as client:
        yield client


def send(browser: httpx.Client, form: str, changes: dict[str, str], action: str = "run") -> httpx.Response:
    return browser.post(form, files=parts(browser.get(form).text, {**changes, "action": action}, DATA))


def counted(page: str) -> str:
    return re.findall(r'id="opt-sweep-read" role="status">([^<]*)<', page)[0]


def look(browser: httpx.Client, form: str, changes: dict[str, str]) -> dict[str, Any]:
    """What the page's script is told."""
    reply = browser.post(f"{form}/check", files=parts(browser.get(form).text, changes, []))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_the_form_has_a_field_for_each_input_that_may_vary(browser: httpx.Client, form: str) -> None:
    page = browser.get(form).text
    names = [name for name, _ in Form(page).fields if name.startswith("sweep.")]
    assert names == ["sweep.data", "sweep.folds", "sweep.alpha", "sweep.beta", "sweep.solver", "sweep.smooth"]
    samples = dict(re.findall(r'name="sweep\.(\w+)" value="" placeholder="([^"]*)"', page))
    assert (samples["folds"], samples["alpha"], samples["solver"]) == ("2..20", "0.03..3:*10", "ipopt, newton")
    assert re.search(r'<details class="more" id="many">', page), "folded while nothing stands in it"
    assert counted(page) == ""


def test_a_sweep_is_counted_before_it_is_sent_and_becomes_one_job(browser: httpx.Client, form: str) -> None:
    wish = {**GRID, "where": "alpha*folds < 15\r\nfolds != 3", "criterion": "loss", "stop_when": "loss < 0.01"}
    page = send(browser, form, wish, action="check")
    assert page.status_code == 200, page.text
    assert counted(page.text) == "120 combinations, 88 pass the conditions: 88 tasks."
    assert 'id="many" open' in page.text
    assert "Nothing is wrong with it" in page.text, "the required input has its values from the sweep"
    job = job_of(browser, browser.post(form, files=parts(page.text, {"action": "run"}, [])))
    assert (job["tasks"]["total"], job["onFailure"]) == (88, "ignore")
    assert (job["criterion"], job["stopWhen"]) == ({"minimize": "loss"}, "loss < 0.01")
    assert set(job["varying"]) == {"folds", "alpha", "solver"}
    first = browser.get(f"/api/jobs/{job['id']}/tasks/0").json()["inputs"]
    assert (first["folds"], first["alpha"], first["solver"], first["smooth"]) == (2, 0.001, "ipopt", True)


def test_values_go_together_and_the_greatest_is_sought(browser: httpx.Client, form: str) -> None:
    pairs = {"sweep.folds": "2..4", "sweep.alpha": "1, 2, 4", "mode": "zip"}
    wish = {**pairs, "criterion": "loss", "direction": "maximize", "on_failure": "stop"}
    assert look(browser, form, wish)["swept"] == "3 combinations: 3 tasks."
    job = job_of(browser, send(browser, form, wish))
    tasks = [browser.get(f"/api/jobs/{job['id']}/tasks/{number}").json()["inputs"] for number in range(3)]
    assert [(task["folds"], task["alpha"]) for task in tasks] == [(2, 1), (3, 2), (4, 4)]
    assert (job["criterion"], job["onFailure"]) == ({"maximize": "loss"}, "stop")
    again = dict(Form(browser.get(f"{form}?like={job['id']}").text).fields)
    assert (again["criterion"], again["direction"], again["on_failure"]) == ("loss", "maximize", "stop")


FAULTS = [
    ({"sweep.folds": "2..21"}, "sweep.folds", "Value 20: 21 is more than 20. Expected: an integer from 2 to 20."),
    ({"sweep.folds": "2..x"}, "sweep.folds", '"2..x" is not'),
    ({"sweep.folds": "5..2"}, "sweep.folds", "From 5 to 2 step 1: the step leads away from the end"),
    ({"sweep.alpha": "1..9:*1"}, "sweep.alpha", "1..9:*1: the factor leads nowhere."),
    ({"sweep.alpha": '"1'}, "sweep.alpha", "A quote is opened and not closed"),
    ({"sweep.solver": "ipopt, newtn"}, "sweep.solver", 'Value 2: "newtn" is not one of the choices (did you mean newton?)'),
    ({**GRID, "where": "\n\ngamma > 1"}, "where", "There is no parameter gamma"),
    ({**GRID, "where": "alpha < 1\n\nsolver"}, "where", "Line 3: a condition is a comparison, such as a*2 < 15"),
    ({"sweep.folds": "", "in.folds": "3", "where": "folds > 1"}, "where", "No input has values"),
    ({**GRID, "where": "alpha > 100"}, "sweep", "The conditions leave none of the 120 combinations."),
    ({"sweep.folds": "2..9", "sweep.alpha": "1..3", "mode": "zip"}, "sweep", "Values that go together must be equally many; "),
    ({"sweep.folds": "2..9", "foreach": "alpha\n1\n"}, "sweep", "A sweep and a table of sets exclude one another"),
    ({"sweep.folds": "2..20", "sweep.alpha": "1..900000"}, "sweep", "17100000 combinations are too many: "),
    ({**GRID, "criterion": "los"}, "criterion", "The application has no output 'los'."),
    ({**GRID, "stop_when": "loss +"}, "stop_when", "The condition cannot be read"),
    ({"in.folds": "3", "criterion": "loss"}, "criterion", "A job of one task has nothing to choose from"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "part", "told"), FAULTS, ids=[f"{part}-{told[:24]}" for _, part, told in FAULTS])
def test_a_fault_stands_at_its_field(
    browser: httpx.Client, form: str, changes: dict[str, str], part: str, told: str
) -> None:
    """After sending, after `Check`, and while one types; nothing is submitted, and what was typed stays."""
    sent = send(browser, form, changes)
    assert sent.status_code == 422, sent.headers
    assert html.unescape(error_of(sent.text, f"opt-{part}")).startswith(told)
    assert f'href="#opt-{part}"' in sent.text and f'id="opt-{part}"' in sent.text
    kept = dict(Form(sent.text).fields)
    assert {name: kept[name] for name in changes} == changes
    if "one task" in told:
        return  # that is only looked at when it is sent
    checked = send(browser, form, changes, "check").text
    assert html.unescape(error_of(checked, f"opt-{part}")).startswith(told)
    live = look(browser, form, changes)
    assert live["errors"][f"opt-{part}"].startswith(told)
    assert live["swept"] == "" or part in {"criterion", "stop_when"}


def test_what_is_wrong_elsewhere_does_not_hide_the_count(browser: httpx.Client, form: str) -> None:
    live = look(browser, form, {"sweep.folds": "2..5"})
    assert live["swept"] == "4 combinations: 4 tasks."
    assert live["errors"] == {"in-data": "It is required."}
    reply = browser.post(form, files=parts(browser.get(form).text, {"sweep.folds": "2..5", "retries": "-1"}, []))
    assert counted(reply.text) == "4 combinations: 4 tasks."
    assert re.findall(r'<li><a href="#([^"]+)">', reply.text) == ["in-data", "opt-retries"]


def test_what_takes_long_to_count_is_counted_when_it_is_sent(browser: httpx.Client, form: str) -> None:
    """Nobody who types holds up others' submissions."""
    wish = {
        "sweep.alpha": "1..3000",
        "sweep.beta": "1..3000",
        "in.folds": "3",
        "where": "log(alpha)*beta < sqrt(alpha)",
    }
    live = look(browser, form, wish)
    assert live["swept"] == "9000000 combinations. Counting takes a while: it is done when the form is sent."
    assert not [part for part in live["errors"] if part.startswith("opt-")]


def test_the_same_call_as_code_is_a_sweep(browser: httpx.Client, form: str) -> None:
    code = look(
        browser, form, {**GRID, "where": "alpha < 1", "mode": "product", "criterion": "loss", "stop_when": "loss < 1"}
    )["code"]
    line = code["cli"].replace(" \\\n ", "")
    assert line.startswith("sirdar sweep anna/swept ")
    wanted = (
        "-i folds=2..13",
        "-i 'alpha=0.001..10:*10'",
        "--where 'alpha < 1'",
        "--minimize loss",
        "--stop-when 'loss < 1'",
    )
    assert [word for word in wanted if word not in line] == []
    assert "_sweep={'parameters': {'folds': '2..13'" in code["python"] and "_stop_when='loss < 1'" in code["python"]
    assert '"sweep": {"parameters": {"folds": "2..13"' in code["curl"]


def test_it_is_told_in_the_pages_language(browser: httpx.Client, form: str) -> None:
    browser.headers["accept-language"] = "ru"
    page = send(browser, form, {**GRID, "where": "alpha*folds < 15"}, action="check").text
    assert counted(page) == "120 комбинаций, 96 удовлетворяют условиям: 96 задач."
    wrong = send(browser, form, {**GRID, "where": "alpha > 100"}).text
    assert error_of(wrong, "opt-sweep") == "Ни одна из комбинаций (всего 120) не удовлетворяет условиям."
