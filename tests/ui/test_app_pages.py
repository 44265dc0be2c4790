"""Pages of applications over real HTTP: the list, one application, what changed, who may use it, how it is run elsewhere."""

import hashlib
import html
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

YAML = """\
sirdar: 1
alias: {alias}
name: Wells and curves
annotation: Fits growth to each well
keywords: [biology, fits]
inputs:
  data: {{type: file, required: true, suffixes: [.csv]}}
  folds: {{type: integer, default: {folds}}}
command: python3 fit.py ${{data}} --folds ${{folds}}
outputs: {{fit: fit.png}}
{more}"""


@pytest.fixture
def anna(site: Any) -> Iterator[httpx.Client]:
    with site.browser("anna") as browser:
        yield browser


@pytest.fixture
def boris(site: Any) -> Iterator[httpx.Client]:
    with site.browser("boris") as browser:
        yield browser


def publish(browser: httpx.Client, alias: str, *, folds: int = 7, more: str = "", files: dict[str, bytes]) -> int:
    entries = []
    for path, content in files.items():
        sha = hashlib.sha256(content).hexdigest()
        assert browser.put(f"/api/apps/publish/blobs/{sha}", content=content).status_code == 204
        entries.append({"path": path, "sha256": sha, "size": len(content)})
    body = {"description": YAML.format(alias=alias, folds=folds, more=more), "files": entries}
    reply = browser.post("/api/apps/publish", json=body)
    assert reply.status_code in {200, 201}, reply.text
    return int(reply.json()["version"])


def words(page: httpx.Response) -> str:
    text = re.sub(r"<script.*?</script>|<title>.*?</title>", "", page.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


# ---------------------------------------------------------------- the list


def test_the_list_shows_what_one_may_see_and_is_narrowed(anna: httpx.Client, boris: httpx.Client) -> None:
    publish(anna, "wells", files={"fit.py": b"1"})
    assert "anna/wells" in words(anna.get("/apps"))
    assert "anna/wells" in words(anna.get("/apps?whose=mine"))
    assert "anna/wells" not in words(anna.get("/apps?whose=shared"))
    assert "anna/wells" not in words(boris.get("/apps"))
    assert "Nobody has shared an application with you yet" in words(boris.get("/apps?whose=shared"))
    anna.put("/api/apps/anna/wells/share/user:boris", json={"permission": "run"})
    assert "anna/wells" in words(boris.get("/apps?whose=shared"))
    assert "anna/wells" not in words(boris.get("/apps?whose=mine"))
    listed = anna.get("/apps?whose=mine")
    link = re.search(r'href="(/apps\?[^"]*keyword=biology[^"]*)"', listed.text)
    assert link
    narrowed = words(anna.get(html.unescape(link[1])))
    assert "anna/wells" in narrowed and "anna/svf" not in narrowed
    assert "anna/wells" not in words(anna.get("/apps?keyword=bio"))  # a keyword is meant whole
    assert "No application fits." in words(anna.get("/apps?text=zzz"))
    assert "New application" not in words(boris.get("/apps"))


def test_the_list_says_when_one_has_run_it(site: Any, anna: httpx.Client, boris: httpx.Client) -> None:
    row = re.search(r"<tr>(?:(?!</tr>).)*anna/svf.*?</tr>", anna.get("/apps").text, re.DOTALL)
    assert row and re.search(r"\d+ jobs", row[0])


def test_an_archived_application_stands_in_its_own_list(anna: httpx.Client, secret_of: Callable[[str], str]) -> None:
    publish(anna, "old", files={"fit.py": b"1"})
    page = anna.get("/apps/anna/old/sharing")
    done = anna.post("/apps/anna/old/archive", data={"csrf": secret_of(page.text), "archived": "true"})
    assert done.status_code == 303
    assert "anna/old" not in words(anna.get("/apps"))
    assert "anna/old" in words(anna.get("/apps?archived=true"))
    page = anna.get("/apps/anna/old")
    assert "it takes no new jobs" in words(page) and "/old/run" not in page.text
    anna.post("/apps/anna/old/archive", data={"csrf": secret_of(page.text), "archived": "false"})
    assert "anna/old" in words(anna.get("/apps"))


# ---------------------------------------------------------------- one application


def test_an_applications_page(anna: httpx.Client) -> None:
    page = anna.get("/apps/anna/svf")
    text = words(page)
    for part in ("Simplicity versus fitting", "data", ".csv", "folds", "sort $data", "2 … 20", "version 1"):
        assert part in text
    assert "<strong>task</strong>" in page.text and "&lt;script&gt;" in page.text
    assert '<a class="button primary" href="/apps/anna/svf/run"' in page.text
    assert anna.get("/apps/anna/svf@1").status_code == 200
    assert anna.get("/apps/anna/svf@9").status_code == 404
    by_id = anna.get("/api/apps/anna/svf").json()["id"]
    assert anna.get(f"/apps/{by_id}").headers["location"] == "/apps/anna/svf"
    assert anna.get(f"/apps/{by_id}@1").headers["location"] == "/apps/anna/svf@1"


def test_an_applications_page_says_to_which_machines_it_is_bound(anna: httpx.Client) -> None:
    publish(anna, "bound", more="resources: {only: [lab, desk], labels: {site: lab}}\n", files={"fit.py": b"1"})
    page = words(anna.get("/apps/anna/bound"))
    assert "Only on lab, desk" in page and "Where a machine says site=lab" in page


def test_each_tab_is_a_page_and_only_for_who_may(anna: httpx.Client, boris: httpx.Client) -> None:
    publish(anna, "tabs", files={"fit.py": b"1"})
    for tab in ("", "/versions", "/jobs", "/code", "/sharing"):
        page = anna.get(f"/apps/anna/tabs{tab}")
        assert page.status_code == 200, tab
        assert page.text.count('aria-current="page"') >= 2, tab
        assert boris.get(f"/apps/anna/tabs{tab}").status_code == 404, tab
    anna.put("/api/apps/anna/tabs/share/user:boris", json={"permission": "view"})
    page = boris.get("/apps/anna/tabs")
    assert "to look at, not to run" in words(page)
    assert "/tabs/run" not in page.text and "/tabs/sharing" not in page.text and "/tabs/edit" not in page.text
    assert boris.get("/apps/anna/tabs/sharing").status_code == 403


def test_its_jobs(site: Any, anna: httpx.Client, boris: httpx.Client) -> None:
    page = anna.get("/apps/anna/svf/jobs")
    assert f'/jobs/{site.jobs["running"]}"' in page.text and "/jobs?app=anna%2Fsvf" in page.text
    publish(anna, "unrun", files={"fit.py": b"1"})
    assert "You have no jobs of it yet." in words(anna.get("/apps/anna/unrun/jobs"))


# ---------------------------------------------------------------- versions


def test_what_changed_between_two_versions(anna: httpx.Client) -> None:
    publish(anna, "history", files={"fit.py": b"one"})
    assert "only one version yet" in words(anna.get("/apps/anna/history/versions"))
    more = "resources: {cpus: 4}\n"
    publish(anna, "history", folds=5, more=more, files={"fit.py": b"other", "new.py": b"3"})
    publish(anna, "history", folds=6, more=more, files={"fit.py": b"other", "new.py": b"3"})
    page = anna.get("/apps/anna/history/versions?old=1&new=2")
    text = words(page)
    for sentence in (
        "From version 1 to 2",
        "Input folds: default: 7, now 5",
        "Resources: cpus 1, now 4",
        "File fit.py changed",
        "File new.py added",
    ):
        assert sentence in text, sentence
    assert re.search(r'<tr class="gone">.*?default: 7', page.text) and re.search(
        r'<tr class="came">.*?default: 5', page.text
    )
    assert "−1one" not in text and re.search(r"fit.py \+1 −1 .* − one .* \+ other", text), "line by line, with signs"
    publish(anna, "history", folds=6, more=more, files={"fit.py": b"<b>\n" * 3 + b"other", "new.py": b"\xff\0"})
    shown = anna.get("/apps/anna/history/versions?old=2&new=4")
    assert "fit.py +3 −0" in words(shown) and "&lt;b&gt;" in shown.text and "<b>" not in shown.text
    assert "new.py : no text, or too large to be compared here." in words(shown)
    assert "From version 2 to 3" in words(anna.get("/apps/anna/history@3/versions"))
    assert "From version 1 to 2" in words(anna.get("/apps/anna/history@2/versions"))
    assert "Nothing differs." in words(anna.get("/apps/anna/history/versions?old=2&new=2"))
    assert anna.get("/apps/anna/history/versions?old=1&new=9").status_code == 404


# ---------------------------------------------------------------- sharing


def test_sharing_by_form(anna: httpx.Client, boris: httpx.Client, secret_of: Callable[[str], str]) -> None:
    publish(anna, "shared", files={"fit.py": b"1"})
    path = "/apps/anna/shared/sharing"
    secret = secret_of(anna.get(path).text)

    def post(**fields: str) -> httpx.Response:
        return anna.post(path, data={"csrf": secret, **fields})

    assert post(kind="user", name="boris", permission="run").status_code == 303
    assert boris.get("/apps/anna/shared").status_code == 200
    assert "boris user run it" in words(anna.get(path))
    assert post(subject="user:boris", permission="view").status_code == 303
    assert "boris user look at it" in words(anna.get(path))
    wrong = post(kind="user", name="nobody-here", permission="run")
    assert wrong.status_code == 404
    assert "There is no user nobody-here." in words(wrong) and 'value="nobody-here"' in wrong.text
    assert post(subject="user:boris", permission="none").status_code == 303
    assert boris.get("/apps/anna/shared").status_code == 404
    assert post(kind="everyone", permission="view").status_code == 303
    assert boris.get("/apps/anna/shared").status_code == 200
    his = secret_of(boris.get("/apps/anna/shared").text)
    refused = boris.post(path, data={"csrf": his, "kind": "user", "name": "boris", "permission": "run"})
    assert refused.status_code == 403
    without = anna.post(path, data={"kind": "everyone", "permission": "run"})
    assert without.status_code == 403


# ---------------------------------------------------------------- use it from


def test_the_call_in_other_languages(site: Any, anna: httpx.Client) -> None:
    for way, part in {
        "cli": "sirdar run anna/svf -i data=@data.csv",
        "python": "client.app('anna/svf').run(data=Path('data.csv')",
        "notebook": "job  # state",
        "curl": f"{site.url}/api/apps/anna/svf?wait=60",
        "openapi": "POST /api/apps/anna/svf",
        "yaml": "alias: svf",
    }.items():
        page = anna.get(f"/apps/anna/svf/code?way={way}")
        assert part.replace("  ", " ") in words(page), way
    assert anna.get("/apps/anna/svf/code?way=cobol").status_code == 404
    assert "anna/svf@1" in words(anna.get("/apps/anna/svf@1/code?way=cli"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_what_the_page_says_for_curl_submits_a_job(site: Any, anna: httpx.Client, tmp_path: Any) -> None:
    page = anna.get("/apps/anna/svf/code?way=curl")
    found = re.search(r'<pre id="code"[^>]*>(.*?)</pre>', page.text, re.DOTALL)
    assert found
    script = html.unescape(found[1]).replace("wait=60", "wait=0")
    (tmp_path / "data.csv").write_text("3\n1\n2\n")
    env = {"SIRDAR_TOKEN": site.tokens["anna"], "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=True
    )
    job = httpx.Response(200, text=done.stdout).json()
    assert "id" in job, job
    try:
        assert job["state"] in {"READY", "SUBMITTED"}, job
        assert job["inputs"]["data"].endswith("/data.csv") and job["inputs"]["folds"] == 7
    finally:
        anna.post(f"/api/jobs/{job['id']}/cancel")
        anna.delete(f"/api/jobs/{job['id']}")


# ---------------------------------------------------------------- examples


def test_examples_stand_on_the_page_and_fill_in_the_form(anna: httpx.Client) -> None:
    more = """\
examples:
  - {title: Quick, annotation: Two folds, inputs: {folds: 2}}
  - {title: <b>Remote</b>, inputs: {folds: 9, data: "https://example.org/a.csv"}}
"""
    publish(anna, "shown", more=more, files={"fit.py": b"1"})
    page = anna.get("/apps/anna/shown")
    assert "Examples Quick Two folds folds 2 Fill in the form" in words(page)
    assert "<b>Remote" not in page.text
    form = anna.get("/apps/anna/shown/run?example=2")
    assert 'name="in.folds" value="9"' in form.text
    assert 'name="in.data" value="https://example.org/a.csv"' in form.text
    assert 'name="in.folds" value="7"' in anna.get("/apps/anna/shown/run").text
    assert anna.get("/apps/anna/shown/run?example=3").status_code == 404
    shown = anna.get("/api/apps/anna/shown").json()["examples"]
    assert shown[0] == {"title": "Quick", "annotation": "Two folds", "inputs": {"folds": 2}}


# ---------------------------------------------------------------- secrets


def test_secrets_are_set_by_form_and_never_shown(
    site: Any, anna: httpx.Client, boris: httpx.Client, secret_of: Callable[[str], str]
) -> None:
    publish(anna, "keyed", more="secrets: [API_KEY, OTHER_KEY]\n", files={"fit.py": b"1"})
    anna.put("/api/apps/anna/keyed/share/user:boris", json={"permission": "run"})
    assert "2 are missing: set them" in words(anna.get("/apps/anna/keyed"))
    path = "/apps/anna/keyed/secrets"
    page = anna.get(path)
    assert "API_KEY missing" in words(page) and 'name="name" class="mono" value="API_KEY"' in page.text
    csrf = secret_of(page.text)
    done = anna.post(path, data={"csrf": csrf, "name": "API_KEY", "value": "summit-of-secrets"})
    assert done.status_code == 303
    shown = anna.get(path)
    assert "API_KEY set" in words(shown) and "OTHER_KEY missing" in words(shown)
    for address in (path, "/apps/anna/keyed", "/api/apps/anna/keyed"):
        assert "summit-of-secrets" not in anna.get(address).text
    assert anna.get("/api/apps/anna/keyed").json()["secrets"]["set"] == ["API_KEY"]
    wrong = anna.post(path, data={"csrf": csrf, "name": "SIRDAR_URL", "value": "hush-hush"})
    assert wrong.status_code == 422
    assert "cannot be the name of a secret" in words(wrong) and "hush-hush" not in wrong.text
    empty = anna.post(path, data={"csrf": csrf, "name": "OTHER_KEY", "value": ""})
    assert empty.status_code == 422 and "The value is empty." in words(empty)
    assert anna.post(path, data={"csrf": csrf, "name": "API_KEY", "do": "remove"}).status_code == 303
    assert "API_KEY missing" in words(anna.get(path))
    assert anna.post(path, data={"name": "API_KEY", "value": "x"}).status_code == 403, "without the form's secret"
    assert boris.get(path).status_code == 403
    his = secret_of(boris.get("/apps/anna/keyed").text)
    assert boris.post(path, data={"csrf": his, "name": "API_KEY", "value": "x"}).status_code == 403
    assert "/keyed/secrets" not in boris.get("/apps/anna/keyed").text
    assert "are missing" not in words(boris.get("/apps/anna/keyed"))
