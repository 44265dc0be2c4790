"""Writing an application in the browser over real HTTP: fields and text in step, files, the dry run, publishing; no script."""

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

Post = Callable[..., httpx.Response]


class Fields(HTMLParser):
    """What a browser would send of the editor's form, were no button pressed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False
        self._area = ""
        self._select: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("class") == "publish"
        if not self._inside:
            return
        name = given.get("name", "")
        if tag == "input" and given.get("type") == "checkbox":
            if "checked" in given:
                self.fields[name] = given["value"]
        elif tag == "input" and given.get("type") != "file":
            self.fields[name] = given.get("value", "")
        elif tag == "textarea":
            self._area, self.fields[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.fields[self._select] = given.get("value", "?")
            self._wanted = "value" not in given

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data
        elif self._select and self.fields.get(self._select) == "?":
            self.fields[self._select] = data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area:
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")  # as the standard says
            self._area = ""
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False


def fields_of(page: httpx.Response) -> dict[str, str]:
    return Fields(page.text).fields


def words(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


@pytest.fixture
def anna(site: Any) -> Iterator[httpx.Client]:
    with site.browser("anna") as browser:
        yield browser


@pytest.fixture
def post(anna: httpx.Client) -> Post:
    """Sends the form of a page again, with some fields changed and a button pressed."""

    def send(
        page: httpx.Response,
        do: str = "check",
        *,
        files: Any = None,
        state: str | None = None,
        without: tuple[str, ...] = (),
        **changed: str,
    ) -> Any:
        found = {**fields_of(page), **{name.replace("__", "."): value for name, value in changed.items()}, "do": do}
        found |= {"files": state} if state else {}
        parts = [(name, (None, value)) for name, value in found.items() if name not in without]
        return anna.post(str(page.request.url), files=[*parts, *(files or [("upload", ("", b""))])])

    return send


TEXT = """\
sirdar: 1
alias: {alias}
inputs:
  # how many
  count: {{type: integer, default: 3}}
command: echo ${{count}}
"""


# ---------------------------------------------------------------- a new one


def test_the_first_page_can_be_published_as_it_stands(anna: httpx.Client, post: Post) -> None:
    page = anna.get("/apps/new")
    assert "A new application, anna/hello, would be published." in words(page)
    assert re.search(r"<li><code>world</code></li>", page.text)  # the command that sample inputs make
    done = post(page, "publish", text__alias="hello1", note="from the browser")
    assert done.status_code == 303, words(done)
    assert done.headers["location"] == "/apps/anna/hello1?published=1"
    shown = anna.get(done.headers["location"])
    assert "Version 1 is published." in words(shown)
    assert anna.get("/api/apps/anna/hello1").json()["note"] == "from the browser"


def test_a_changed_text_changes_the_fields_and_a_changed_field_the_text(anna: httpx.Client, post: Post) -> None:
    page = post(anna.get("/apps/new"), description=TEXT.format(alias="steps"))
    found = fields_of(page)
    assert found["text.alias"] == "steps" and found["inputs.0.name"] == "count" and found["inputs.0.default"] == "3"
    page = post(page, **{"inputs.0.default": "5", "inputs.0.required": "true", "resources.cpus": "2"})
    text = fields_of(page)["description"]
    assert "  # how many\n  count: {type: integer, default: 5, required: true}\n" in text
    assert text.endswith("resources: {cpus: 2}\n")
    assert fields_of(page)["last"] == text
    both = post(page, description=text.replace("echo", "printf"), **{"text.name": "Steps"})
    assert "name: Steps" in fields_of(both)["description"] and "printf" in fields_of(both)["description"]


def test_rows_are_added_moved_and_removed_by_buttons(anna: httpx.Client, post: Post) -> None:
    page = post(anna.get("/apps/new"), description=TEXT.format(alias="rows"))
    page = post(page, "row:inputs:add")
    assert fields_of(page)["inputs.1.name"] == "input_1"
    page = post(page, "row:inputs:up:1", **{"inputs.1.name": "size", "inputs.1.type": "number"})
    text = fields_of(page)["description"]
    assert text.index("  size: {type: number}") < text.index("  # how many\n  count:")
    page = post(page, "row:outputs:add")
    assert "outputs:\n  output_1: {type: file, from: output.txt}" in fields_of(page)["description"]
    page = post(page, "row:inputs:remove:0")
    assert "size" not in fields_of(page)["description"]
    for do in ("row:inputs:up:99", "row:inputs:down:0", "row:inputs:remove:x", "row:else:add", "row:", "nothing"):
        assert post(page, do).status_code == 200, do


def test_what_is_wrong_is_told_with_its_line_and_nothing_is_published(anna: httpx.Client, post: Post) -> None:
    wrong = TEXT.format(alias="wrong").replace("integer, default: 3", "integr").replace("${count}", "${cuont}")
    page = post(anna.get("/apps/new"), "publish", description=wrong)
    assert page.status_code == 422
    assert "2 things are wrong" in words(page)
    assert re.search(r'<li data-line="5"><code>inputs.count.type</code>.*integr.*did you mean integer', page.text)
    assert re.search(r'<li data-line="6"><code>command</code>.*cuont', page.text)
    assert anna.get("/api/apps/anna/wrong").status_code == 404
    broken = post(page, description="a: [")
    assert "The text is not YAML now" in words(broken) and fields_of(broken)["description"] == "a: ["
    mended = post(broken, description=TEXT.format(alias="mended"))
    assert fields_of(mended)["text.alias"] == "mended"


# ---------------------------------------------------------------- files


def test_files_are_added_edited_and_removed(anna: httpx.Client, post: Post) -> None:
    text = TEXT.format(alias="withfiles").replace("echo ${count}", "python3 fit.py ${count}")
    page = post(anna.get("/apps/new"), description=text)
    assert "the application has no file fit.py" in words(page)
    page = post(page, files=[("upload", ("fit.py", b"print(1)\n")), ("folder", ("lab/lib/a.txt", b"\xff\xfe"))])
    assert {row[0] for row in json.loads(fields_of(page)["files"])} == {"fit.py", "lib/a.txt"}
    assert "A new application, anna/withfiles" in words(page)
    page = post(page, "open:fit.py")
    assert fields_of(page)["opened_text"] == "print(1)\n"
    page = post(page, "save", opened_text="print(2)\n")
    assert "opened_text" not in fields_of(page)
    page = post(page, "mode:fit.py")
    page = post(page, "open:lib/a.txt")
    assert "It is no text" in words(page)
    page = post(page, "remove:lib/a.txt")
    page = post(page, "open:")
    page = post(page, "save", opened="../etc/passwd", opened_text="x")
    assert "The file&#39;s path" in page.text
    done = post(page, "publish", without=("opened", "opened_text"))
    assert done.status_code == 303, words(done)
    files = anna.get("/api/apps/anna/withfiles").json()["files"]
    assert [(one["path"], one["size"], one["mode"]) for one in files] == [("fit.py", 9, 0o755)]


def test_the_text_of_the_open_file_is_checked_and_published_though_nobody_kept_it(
    anna: httpx.Client, post: Post
) -> None:
    text = TEXT.format(alias="typed").replace("echo ${count}", "python3 sim.py ${count}")
    page = post(post(anna.get("/apps/new"), description=text), "open:")
    unnamed = post(page, opened_text="print(1)\n")
    assert "the application has no file sim.py" in words(unnamed) and "path is empty" in words(unnamed)
    assert fields_of(post(unnamed, "open:"))["opened_text"] == "print(1)\n"  # not lost for want of a path
    page = post(page, opened="sim.py", opened_text="print(1)\n")
    assert "A new application, anna/typed, would be published." in words(page)
    assert fields_of(page)["files"] == "[]" and fields_of(page)["opened_text"] == "print(1)\n"
    refused = post(page, "publish", description=text + "wrong: 1\n")
    assert refused.status_code == 422 and fields_of(refused)["opened_text"] == "print(1)\n"
    again = post(refused, "publish", description=text, opened_text="print(10)\n")
    assert again.status_code == 303, words(again)
    files = anna.get("/api/apps/anna/typed").json()["files"]
    assert [(one["path"], one["size"]) for one in files] == [("sim.py", 10)]
    page = post(anna.get("/apps/anna/typed/edit"), "open:sim.py")
    assert "publishing changes nothing" in words(page) and "publishing changes nothing" in words(post(page))
    page = post(post(page, opened_text="print(2)\n"), "open:")
    assert json.loads(fields_of(page)["files"])[0][2] == 9  # another one was opened
    page = post(page, opened="b.py", opened_text="old", files=[("upload", ("b.py", b"newer"))])
    assert [row[2] for row in json.loads(fields_of(page)["files"])] == [9, 5] and "opened_text" not in fields_of(page)


def test_an_option_that_would_lose_its_value_is_a_doubt(anna: httpx.Client, post: Post) -> None:
    def told(command: str, spec: str = "type: file") -> str:
        text = f"sirdar: 1\nalias: lost\ninputs: {{data: {{{spec}}}}}\ncommand: {command}\n"
        return words(post(anna.get("/apps/new"), description=text))

    doubt = "would get no value where data is not given"
    assert f"--data {doubt}: make it required, give it a default, or write --data=${{data}}" in told(
        "fit --data ${data}"
    )
    assert f"-d {doubt}" in told("fit -d ${data}", "type: text")
    for command, spec in [
        ("fit --data=${data}", "type: file"),
        ("fit -- ${data}", "type: file"),
        ("fit --data ${data}", "type: file, required: true"),
        ("fit --data ${data}", "type: string, default: a"),
    ]:
        assert "would be published" in told(command, spec) and doubt not in told(command, spec), command


def test_a_file_that_is_only_looked_at_keeps_its_ends_of_lines(anna: httpx.Client, post: Post) -> None:
    page = post(
        anna.get("/apps/new"), description=TEXT.format(alias="ends"), files=[("upload", ("a.txt", b"1\r\n2\r\n"))]
    )
    assert post(post(page, "open:a.txt"), "publish").status_code == 303
    assert anna.get("/api/apps/anna/ends").json()["files"][0]["size"] == 6


def test_a_description_among_the_files_takes_the_place_of_the_text(anna: httpx.Client, post: Post) -> None:
    given = TEXT.format(alias="brought").encode()
    page = post(anna.get("/apps/new"), files=[("folder", ("mine/sirdar.yaml", given)), ("folder", ("mine/a.py", b"1"))])
    found = fields_of(page)
    assert found["text.alias"] == "brought" and [row[0] for row in json.loads(found["files"])] == ["a.py"]


def test_other_peoples_bytes_are_not_given_away(site: Any, anna: httpx.Client, post: Post) -> None:
    content = b"the secret of the admin"
    with site.browser("admin") as admin:
        sha = hashlib.sha256(content).hexdigest()
        assert admin.put(f"/api/apps/publish/blobs/{sha}", content=content).status_code == 204
    named = json.dumps([["a.txt", sha, len(content), 0o644]])
    page = post(anna.get("/apps/new"), state=named)
    assert "its bytes are not here" in words(page)
    opened = post(page, "open:a.txt")
    assert opened.status_code == 404 and "secret" not in words(opened)


# ---------------------------------------------------------------- changing one


def test_a_change_says_what_it_changes_and_publishes_the_next_version(anna: httpx.Client, post: Post) -> None:
    page = post(anna.get("/apps/new"), description=TEXT.format(alias="change"), files=[("upload", ("a.py", b"1"))])
    assert post(page, "publish").status_code == 303
    page = anna.get("/apps/anna/change/edit")
    assert "This is version 1 of anna/change as it stands" in words(page)
    page = post(page, files=[("upload", ("a.py", b"22"))], **{"inputs.0.default": "9"})
    text = words(page)
    assert "Version 2 of anna/change would be published: Input count: default: 3, now 9 File a.py changed" in text
    done = post(page, "publish")
    assert done.headers["location"] == "/apps/anna/change?published=2"
    back = anna.get("/apps/anna/change@1/edit")
    assert "These are the bytes of version 1 of anna/change; it becomes the current one again." in words(back)


def test_only_who_may_publish(site: Any, anna: httpx.Client, secret_of: Callable[[str], str]) -> None:
    with site.browser("boris") as boris:
        assert boris.get("/apps/new").status_code == 403
        secret = secret_of(boris.get("/account").text)
        assert boris.post("/apps/new", files={"csrf": (None, secret), "do": (None, "publish")}).status_code == 403
        assert boris.get("/apps/anna/svf/edit").status_code == 404
    with site.browser("admin") as admin:  # may do everything, but a version bears its owner's name
        assert admin.get("/apps/anna/svf/edit").status_code == 403
    assert anna.post("/apps/new", files={"description": (None, "x"), "do": (None, "check")}).status_code == 403
    assert anna.post("/apps/new", files={"upload": ("a", b"1")}).status_code == 403
    assert anna.post("/apps/new", data={"csrf": "x"}).status_code == 400  # no multipart form


def test_examples_are_written_in_fields_and_a_forgotten_file_is_told(anna: httpx.Client, post: Post) -> None:
    page = post(anna.get("/apps/new"), description=TEXT.format(alias="tried"))
    page = post(page, "row:examples:add")
    assert "examples:\n  - title: Example 1\n    inputs: {count: 3}\n" in fields_of(page)["description"]
    page = post(page, **{"examples.0.title": "Nine", "examples.0.inputs": "{count: 9}"})
    assert "  - title: Nine\n    inputs: {count: 9}\n" in fields_of(page)["description"]
    wrong = post(page, **{"examples.0.inputs": "{counts: 9}"})
    assert "examples[0].inputs.counts" in words(wrong) and "did you mean count?" in words(wrong)
    assert post(page, "publish").headers["location"] == "/apps/anna/tried?published=1"
    text = fields_of(page)["description"].replace("echo", "python count.py")
    added = [("upload", ("counts.py", b"print(1)\n"))]
    missing = post(page, description=text, files=added)
    assert "the application has no file count.py; did you mean counts.py?; its files: counts.py" in words(missing)
    doubtful = text.replace("inputs:\n", "inputs:\n  parts: files\n", 1)
    assert "Is something missing?" in words(post(page, description=doubtful, files=added))
    right = [("upload", ("count.py", b"print(1)\n"))]
    assert "would be published" in words(post(page, description=text, files=right))
