"""The form that runs an application, without JavaScript: every kind of input, files, errors at their fields, one job for one form."""

import json
import re
from collections.abc import Callable, Iterator
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
                self.fields.append((name, given.get("value", "on" if given.get("type") else "")))
        elif tag == "textarea":
            self._area = name
            self.fields.append((name, ""))
        elif tag == "select":
            self._select, self._first = name, None
        elif tag == "option" and self._select:
            if self._first is None or "selected" in given:
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
