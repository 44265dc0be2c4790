"""The form that runs an application, without JavaScript: every kind of input, files, errors at their fields, one job for a form."""

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

KINDS = """\
sirdar: 1
alias: kinds
name: Every kind
inputs:
  line: {type: string, required: true, max_length: 20, pattern: "[a-z ]+"}
  text: {type: text}
  number: {type: number, minimum: 0, maximum: 10, default: 0.5}
  integer: {type: integer, minimum: 1, maximum: 9}
  flag: {type: boolean, default: true}
  maybe: {type: boolean}
  pick: {type: enum, values: [red, green]}
  many_picks: {type: enum, values: [1, 2, 3, 4, 5], default: 3}
  config: {type: json}
  list: {type: list, items: {type: integer, maximum: 5}}
  data: {type: file, suffixes: [.csv], required: true, max_size: 1 MiB}
  parts: {type: files}
  folder: {type: directory}
  key: {type: secret, env: KEY}
command: cat ${data}
outputs:
  out: {type: file, from: stdout}
resources: {cpus: 2, memory: 1 GiB, override: [cpus, memory, time]}
"""
FILE = b"a,b\n1,2\n"


class Form(HTMLParser):
    """The fields of a page's form with what stands in them, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self._area: str | None = None
        self._select: str | None = None
        self._first: str | None = None
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == "run"
        if not self._inside or ("disabled" in given and tag == "input"):
            return
        name = given.get("name", "")
        if tag == "input" and given.get("type") not in {"file"}:
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self.fields.append((name, given.get("value", "on" if given.get("type") == "checkbox" else "")))
        elif tag == "textarea":
            self._area = name
            self.fields.append((name, ""))
        elif tag == "select":
            self._select, self._first = name, None
        elif tag == "option" and self._select and (self._first is None or "selected" in given):
            if self._first is not None:
                self.fields.pop()
            self._first = given["value"]
            self.fields.append((self._select, self._first))

    def handle_data(self, data: str) -> None:
        if self._area:
            name, text = self.fields[-1]
            self.fields[-1] = (name, text + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False


@pytest.fixture(scope="module")
def kinds(site: Any) -> str:
    """The application's page of the form."""
    anna = {"authorization": f"Bearer {site.tokens['anna']}"}
    reply = httpx.post(f"{site.url}/api/apps/publish", json={"description": KINDS, "files": []}, headers=anna)
    assert reply.status_code == 201, reply.text
    return "/apps/anna/kinds/run"


@pytest.fixture
def browser(site: Any) -> Iterator[httpx.Client]:
    with site.browser("anna") as client:
        yield client


Sent = list[tuple[str, tuple[str | None, bytes | str]]]


def parts(page: str, changes: dict[str, str], files: list[tuple[str, str, bytes]]) -> Sent:
    """What a browser sends of the page's form: fields first to last as they stand, with changes; an empty part for no file."""
    sent: Sent = [(name, (None, text)) for name, text in Form(page).fields if name not in changes]
    sent += [(name, (None, text)) for name, text in changes.items()]
    sent += [(f"file.{name}", (filename, content)) for name, filename, content in files]
    return sent or [("none", (None, ""))]


def post(
    browser: httpx.Client, path: str, page: str, changes: dict[str, str], *files: tuple[str, str, bytes]
) -> httpx.Response:
    return browser.post(path, files=parts(page, changes, list(files)))


def error_of(page: str, id: str) -> str:
    found = re.search(rf'<p class="error" id="{re.escape(id)}-error"( hidden)?>([^<]*)</p>', page)
    assert found, id
    return "" if found[1] else found[2]


def job_of(browser: httpx.Client, reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 303, re.findall(r'class="error"[^>]*>([^<]+)<', reply.text) or reply.text[:500]
    answer = browser.get(f"/api{reply.headers['location']}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


GOOD = {
    "in.line": "hello there",
    "in.text": "one\r\ntwo",
    "in.number": "2.5",
    "in.integer": "7",
    "in.maybe": "false",
    "in.pick": "green",
    "in.many_picks": "5",
    "in.config": '{"a": [1, 2]}',
    "in.list": "1\r\n2\r\n3",
    "in.key": "hush",
    "name": "by form",
}


def test_every_kind_becomes_a_job(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds)
    assert page.status_code == 200
    csv, first, second = ("data", "my data.csv", FILE), ("parts", "a.txt", b"a"), ("parts", "b.txt", b"b")
    job = job_of(browser, post(browser, kinds, page.text, GOOD, csv, first, second, ("folder", "", b"")))
    inputs = job["inputs"]
    assert job["name"] == "by form"
    assert {name: inputs[name] for name in ("line", "text", "number", "integer", "flag", "maybe")} == {
        "line": "hello there",
        "text": "one\ntwo",
        "number": 2.5,
        "integer": 7,
        "flag": True,
        "maybe": False,
    }
    assert (inputs["pick"], inputs["many_picks"], inputs["config"], inputs["list"]) == (
        "green",
        5,
        {"a": [1, 2]},
        [1, 2, 3],
    )
    assert browser.get(inputs["data"]).content == FILE
    assert [browser.get(uri).content for uri in inputs["parts"]] == [b"a", b"b"]
    assert "folder" not in inputs
    assert "hush" not in json.dumps(job)


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("line", "", "It is required."),
        ("line", "UPPER", "does not match"),
        ("line", "a" * 21, "at most 20"),
        ("line", "<b>", "&lt;b&gt;"),
        ("number", "2,5", "write a decimal point"),
        ("number", "nan", "is not a number"),
        ("number", "11", "more than 10"),
        ("integer", "2.5", "is not an integer"),
        ("integer", "0", "less than 1"),
        ("integer", "9" * 2000, "is not an integer"),
        ("maybe", "perhaps", "is not true or false"),
        ("pick", "blue", "is not one of the choices"),
        ("many_picks", "7", "is not one of the choices"),
        ("config", "{", "is not JSON"),
        ("config", "3", "is not a JSON object"),
        ("config", '{"$file": {}}', "reserved"),
        ("config", "[" * 3000, "is not JSON"),
        ("list", "1\n9", "[1]: 9 is more than 5"),
        ("list", "a", "is not an integer"),
        ("data", "file:///etc/passwd", "is not a file"),
        ("data", "/api/files/temp/0000000000000000/a.csv", "There is no file"),
        ("parts", "not an address", "is not a file"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(browser: httpx.Client, kinds: str, name: str, text: str, says: str) -> None:
    before = browser.get("/api/jobs").text
    good = {} if name == "data" else {"data": ("data", "a.csv", FILE)}
    reply = post(browser, kinds, browser.get(kinds).text, {**GOOD, f"in.{name}": text}, *good.values())
    assert reply.status_code == 422
    assert says in error_of(reply.text, f"in-{name}")
    others = [other for other in ("line", "number", "integer", "config", "list", "data") if other != name]
    assert not any(error_of(reply.text, f"in-{other}") for other in others)
    assert dict(Form(reply.text).fields)["in.text"] == "one\ntwo", "what was typed is kept"
    assert browser.get("/api/jobs").text == before, "nothing is half-created"


@pytest.mark.parametrize(
    ("part", "text", "says"),
    [
        ("over.cpus", "many", "whole number"),
        ("over.cpus", "0", "too small"),
        ("over.memory", "lots", "is not a size"),
        ("over.time", "soon", "is not a duration"),
        ("retries", "-1", "too small"),
        ("name", "x" * 501, "500"),
        ("foreach", "{", "Line 1: not JSON"),
        ("foreach", '[{"nothing": 1}]', "no such input"),
        ("foreach", "integer\n3\n99\n", "Line 3: integer: 99 is more than 9"),
        ("foreach", "integer\n3\n99\nmany\n4,5\n0\n", "Line 3: integer: 99 is more than 9.\nLine 4: integer: "),
        (
            "foreach",
            "integer\nmany\n4,5\n10\n",
            "\nLine 3: 2 cells, and the header has 1.\nLine 4: integer: 10 is more",
        ),
        ("foreach", "data\n/api/files/temp/0000000000000000/a.csv\n", "Line 2: data: There is no file"),
        ("resource", "nowhere", "There is no resource"),
    ],
)
def test_what_is_wrong_with_the_rest_is_said_there(
    browser: httpx.Client, kinds: str, part: str, text: str, says: str
) -> None:
    reply = post(browser, kinds, browser.get(kinds).text, {**GOOD, part: text}, ("data", "a.csv", FILE))
    assert reply.status_code == 422
    assert says in error_of(reply.text, f"opt-{part}")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\\b.csv", "a\nb.csv", "..", "x" * 300 + ".csv", "\x7f.csv"])
def test_a_hostile_name_of_a_file_is_refused_at_its_field(browser: httpx.Client, kinds: str, name: str) -> None:
    page = browser.get(kinds).text
    boundary = "b0undary"
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'
        for field, text in {**dict(Form(page).fields), **GOOD}.items()
    )
    body = f'{head}--{boundary}\r\nContent-Disposition: form-data; name="file.data"; filename="{name}"\r\n\r\n'.encode()
    body += FILE + f"\r\n--{boundary}--\r\n".encode()
    reply = browser.post(kinds, content=body, headers={"content-type": f"multipart/form-data; boundary={boundary}"})
    assert reply.status_code in {400, 422}
    if "\n" not in name:
        assert "The file name" in error_of(reply.text, "in-data")


def test_a_field_of_files_says_what_it_takes(browser: httpx.Client, kinds: str) -> None:
    page = html.unescape(browser.get(kinds).text)
    help_of = dict(re.findall(r'id="in-(\w+)-help">([^<]*)<', page))
    assert help_of["data"] == "Takes a .csv file of at most 1 MiB."
    assert "parts" not in help_of


def test_names_are_written_so_that_no_page_is_broken(browser: httpx.Client, kinds: str) -> None:
    reply = post(browser, kinds, browser.get(kinds).text, {**GOOD, "in.line": ""}, ("data", '<img src=x>".csv', FILE))
    assert reply.status_code == 422
    assert "<img src=x>" not in reply.text
    assert "&lt;img src=x&gt;" in reply.text


def test_files_are_kept_while_something_else_is_mended(browser: httpx.Client, kinds: str) -> None:
    reply = post(browser, kinds, browser.get(kinds).text, {**GOOD, "in.integer": "0"}, ("data", "a.csv", FILE))
    assert reply.status_code == 422
    assert "kept:" in reply.text
    assert "8\N{NARROW NO-BREAK SPACE}B" in reply.text
    job = job_of(browser, post(browser, kinds, reply.text, {"in.integer": "3"}))
    assert browser.get(job["inputs"]["data"]).content == FILE


def test_a_new_file_takes_the_place_of_the_one_that_was_kept(browser: httpx.Client, kinds: str) -> None:
    first = post(browser, kinds, browser.get(kinds).text, {**GOOD, "in.integer": "0"}, ("data", "a.csv", FILE))
    job = job_of(browser, post(browser, kinds, first.text, {"in.integer": "3"}, ("data", "b.csv", b"new")))
    assert browser.get(job["inputs"]["data"]).content == b"new"


def test_a_file_of_another_suffix_or_too_large_is_refused_and_not_lost(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    assert "another suffix" in error_of(post(browser, kinds, page, GOOD, ("data", "a.txt", FILE)).text, "in-data")
    large = post(browser, kinds, page, GOOD, ("data", "a.csv", b"x" * (2**20 + 1)))
    assert "at most 1 MiB" in error_of(large.text, "in-data")


# ---------------------------------------------------------------- once, and by whom


def test_a_form_that_is_sent_twice_is_one_job(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    first = post(browser, kinds, page, GOOD, ("data", "a.csv", FILE))
    again = post(browser, kinds, page, GOOD, ("data", "a.csv", FILE))
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    changed = post(browser, kinds, page, {**GOOD, "in.integer": "2"}, ("data", "a.csv", FILE))
    assert changed.headers["location"] != first.headers["location"]
    other = post(browser, kinds, page, GOOD, ("data", "a.csv", b"other"))
    assert other.headers["location"] not in {first.headers["location"], changed.headers["location"]}


def test_without_the_secret_nothing_is_taken(site: Any, browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    for changes in ({"csrf": "wrong"}, {"csrf": ""}):
        sent = [(name, part) for name, part in parts(page, changes | GOOD, []) if name != "csrf"]
        refused = browser.post(kinds, files=[*sent, ("csrf", (None, changes["csrf"]))])
        assert refused.status_code == 403
    files_before = count_files(site)
    sent = [("file.data", ("a.csv", FILE)), *parts(page, GOOD, [])]
    assert browser.post(kinds, files=sent).status_code == 403, "a file before the secret"
    assert count_files(site) == files_before
    assert browser.post(f"{kinds}/check", files=[("in.line", (None, "a"))]).status_code == 403


def count_files(site: Any) -> int:
    found: int = site.services.store.read_now(
        lambda conn: conn.exec_driver_sql("SELECT count(*) FROM files").scalar_one()
    )
    return found


def test_who_may_not_run_it_sees_no_form(site: Any, kinds: str) -> None:
    with site.browser("boris") as stranger:
        assert stranger.get(kinds).status_code == 404
        assert stranger.post(kinds, files=[("csrf", (None, "x"))]).status_code == 404
    with site.browser() as nobody:
        assert nobody.get(kinds).headers["location"].startswith("/login")


# ---------------------------------------------------------------- filled in


def test_the_form_is_filled_as_in_a_job(browser: httpx.Client, kinds: str) -> None:
    changes = {**GOOD, "over.memory": "2 GiB", "over.cpus": "3", "retries": "1"}
    job = job_of(browser, post(browser, kinds, browser.get(kinds).text, changes, ("data", "a.csv", FILE)))
    page = browser.get(f"{kinds}?like={job['id']}")
    filled = dict(Form(page.text).fields)
    names = ("in.line", "in.number", "in.integer", "in.pick", "in.many_picks", "in.list", "in.maybe", "name", "retries")
    assert {name: filled[name].replace("\n", "\r\n") for name in names} == {name: changes[name] for name in names}
    assert json.loads(filled["in.config"]) == {"a": [1, 2]}
    assert (filled["over.memory"], filled["over.cpus"], filled["in.key"]) == ("2 GiB", "3", "")
    assert "hush" not in page.text
    again = job_of(browser, post(browser, kinds, page.text, {"in.integer": "1"}))
    assert again["inputs"]["integer"] == 1
    assert browser.get(again["inputs"]["data"]).content == FILE
    assert f"/apps/anna/kinds@1/run?like={job['id']}" in browser.get(f"/jobs/{job['id']}").text


def test_a_job_of_another_application_or_person_fills_nothing(site: Any, browser: httpx.Client, kinds: str) -> None:
    assert browser.get(f"{kinds}?like={site.jobs['done']}").status_code == 404
    assert browser.get(f"{kinds}?like=0123456789abcdef").status_code == 404


def test_an_address_fills_fields_but_no_secret(browser: httpx.Client, kinds: str) -> None:
    filled = dict(Form(browser.get(f"{kinds}?in.integer=4&in.key=hush&in.line=%3Cb%3E").text).fields)
    assert (filled["in.integer"], filled["in.key"], filled["in.line"]) == ("4", "", "<b>")


# ---------------------------------------------------------------- while one types


def test_the_script_is_told_what_is_wrong_where_it_would_run_and_the_code(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    found = browser.post(f"{kinds}/check", files=parts(page, {**GOOD, "in.integer": "0", "over.cpus": "x"}, [])).json()
    assert set(found["errors"]) == {"in-integer", "in-data", "opt-over.cpus"}
    assert found["errors"]["in-data"] == "It is required."
    assert "integer=0" in found["code"]["cli"]
    assert "hush" not in json.dumps(found)
    assert {"text", "shape"} <= found["bar"].keys()


def test_without_a_script_a_form_can_be_checked_too(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    checked = post(browser, kinds, page, {**GOOD, "action": "check"}, ("data", "a.csv", FILE))
    assert checked.status_code == 200
    assert "Nothing is wrong" in checked.text


def test_every_resource_says_why_it_is_possible_or_not(site: Any, browser: httpx.Client, kinds: str) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", browser.get(kinds).text)
    assert "No agent has run there yet" in text
    assert "It can run nowhere now" in text


def test_a_large_file_streams_through_in_constant_memory(browser: httpx.Client, kinds: str) -> None:
    """The high-water mark of this process, in which the server runs too."""
    resource = pytest.importorskip("resource")
    page = browser.get(kinds).text
    boundary, piece, pieces = "b0undary", b"x" * 2**20, 160
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'
        for field, text in {**dict(Form(page).fields), **GOOD, "in.integer": "0"}.items()
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file.parts"; filename="large.bin"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head.encode()
        for _ in range(pieces):
            yield piece
        yield f"\r\n--{boundary}--\r\n".encode()

    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reply = browser.post(kinds, content=body(), headers=kind, timeout=120)
    assert reply.status_code == 422
    assert "large.bin" in reply.text
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024, f"{grown_kib} KiB for a file of {pieces} MiB"


# ---------------------------------------------------------------- many tasks


SETS = [
    "integer,number\n3,0.5\n4,\n",
    '{"integer": 3, "number": 0.5}\n{"integer": 4}\n',
    '[{"integer": 3, "number": 0.5},\n{"integer": 4}]',
]


@pytest.mark.parametrize("text", SETS)
@pytest.mark.parametrize("as_file", [False, True])
def test_many_tasks_from_a_table_or_json(browser: httpx.Client, kinds: str, text: str, as_file: bool) -> None:
    page = browser.get(kinds).text
    assert 'placeholder="number,integer\n0.5,1\n' in page, "the placeholder is of this application's own inputs"
    sent = parts(page, GOOD if as_file else {**GOOD, "foreach": text}, [("data", "a.csv", FILE)])
    if as_file:
        sent.append(("foreach_file", ("sets.csv", text.encode())))
    job = job_of(browser, browser.post(kinds, files=sent))
    tasks = [browser.get(f"/api/jobs/{job['id']}/tasks/{number}").json() for number in (0, 1)]
    given = [(task["inputs"]["integer"], task["inputs"]["number"]) for task in tasks]
    assert given == [(3, 0.5), (4, 2.5)]


def test_a_file_of_sets_is_kept_while_the_form_is_mended(browser: httpx.Client, kinds: str) -> None:
    sent = parts(browser.get(kinds).text, {**GOOD, "in.line": ""}, [("data", "a.csv", FILE)])
    sent.append(("foreach_file", ("sets.csv", b"integer\n3\n4\n5\n")))
    again = browser.post(kinds, files=sent)
    assert again.status_code == 422
    assert "It is required" in again.text
    assert "sets.csv" in again.text
    assert "3 sets: 3 tasks." in again.text
    job = job_of(browser, browser.post(kinds, files=parts(again.text, {"in.line": "now there"}, [])))
    assert job["tasks"]["total"] == 3
    both = browser.post(kinds, files=parts(again.text, {"in.line": "a", "foreach": "integer\n1\n"}, []))
    assert "more than once" in error_of(both.text, "opt-foreach")
    broken = parts(browser.get(kinds).text, GOOD, [("data", "a.csv", FILE)])
    wrong = browser.post(kinds, files=[*broken, ("foreach_file", ("sets.csv", b"integer\n3\n\xff\n"))])
    assert error_of(wrong.text, "opt-foreach") == "Line 3: not UTF-8 text."


def test_a_fault_of_a_table_is_told_in_the_pages_language(browser: httpx.Client, kinds: str) -> None:
    browser.headers["accept-language"] = "ru"
    sent = parts(browser.get(kinds).text, {**GOOD, "foreach": "integer\nmany\n"}, [("data", "a.csv", FILE)])
    told = error_of(browser.post(kinds, files=sent).text, "opt-foreach")
    assert re.fullmatch("Строка 2: integer: .*[а-я].*", told), told


def test_a_file_of_more_sets_than_a_form_takes_is_told_where_to_go(browser: httpx.Client, kinds: str) -> None:
    sent = parts(browser.get(kinds).text, GOOD, [("data", "a.csv", FILE)])
    sent.append(("foreach_file", ("sets.csv", b"integer\n" + b"3\n" * 100_001)))
    told = browser.post(kinds, files=sent)
    assert told.status_code == 422
    assert error_of(told.text, "opt-foreach").startswith("A form takes at most 100000 sets")


def test_more_sets_than_a_text_holds_are_taken_from_their_job(browser: httpx.Client, kinds: str, site: Any) -> None:
    uri = browser.post("/api/files/temp", files={"file": ("a.csv", FILE)}).json()["uri"]
    body = {
        "inputs": {"line": "many", "data": uri},
        "foreach": [{"integer": 1 + n % 9, "number": n / 100} for n in range(250)],
    }
    anna = {"authorization": f"Bearer {site.tokens['anna']}"}
    first = httpx.post(f"{site.url}/api/apps/anna/kinds", json=body, headers=anna).json()["id"]
    page = browser.get(f"{kinds}?like={first}").text
    assert f"the sets of job {first}, as they are" in page
    assert "250 sets: 250 tasks." in page
    job = job_of(browser, browser.post(kinds, files=parts(page, {"in.line": "again"}, [])))
    assert job["tasks"]["total"] == 250
    last = browser.get(f"/api/jobs/{job['id']}/tasks/249").json()
    assert (last["inputs"]["integer"], last["inputs"]["number"]) == (7, 2.49)
    assert dict(Form(browser.get(f"{kinds}?like={job['id']}").text).fields)["foreach_job"] == job["id"]
    strange = browser.post(kinds, files=parts(page, {"in.line": "again", "foreach_job": site.jobs["many"]}, []))
    assert strange.status_code == 404, "of another application"


# ---------------------------------------------------------------- files that are not taken, and the order of what is wrong


def test_a_file_that_was_not_taken_is_named_after_sending(browser: httpx.Client, kinds: str) -> None:
    page = browser.get(kinds).text
    refused = [("refused.data", (None, "12 notes.txt"))]
    reply = browser.post(kinds, files=[*parts(page, {**GOOD, "in.integer": "99", "retries": "-1"}, []), *refused])
    assert reply.status_code == 422
    assert error_of(reply.text, "in-data") == "The file &#34;notes.txt&#34; has another suffix than .csv."
    assert dict(Form(reply.text).fields)["refused.data"] == "12 notes.txt"
    assert re.findall(r'<li><a href="#([^"]+)">', reply.text) == ["in-integer", "in-data", "opt-retries"]
    assert "Needs a look: integer, data, Retries." in reply.text
    assert 'data-bar role="status">Starts at once' not in reply.text
    many = browser.post(
        kinds, files=parts(reply.text, {"in.integer": "3", "retries": "", "foreach": "number\n1\n2\n"}, [])
    )
    assert "notes.txt" in error_of(many.text, "in-data"), "of many tasks too"
    sent = parts(reply.text, {"in.integer": "3", "retries": ""}, [("data", "a.txt", FILE)])
    kept = browser.post(kinds, files=[part for part in sent if part[0] != "refused.data"])
    assert error_of(kept.text, "in-data") == "The file &#34;a.txt&#34; has another suffix than .csv."
