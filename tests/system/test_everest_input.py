"""Everest's clients with what real people give them: other alphabets, many jobs of one name, errors, pages, zips of their own."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.system.product import ADMIN_PASSWORD, Product, await_that
from tests.system.test_everest_client import CppClient, EverestError, PythonClient

NAMES = [
    "отчёт за май.csv",
    "a b  c.txt",
    "x&y=z#1?.txt",
    "100%.txt",
    "quote'\".txt",
    "🏔.nl",
    ".hidden",
    "naïve;v=1.txt",
]


@pytest.fixture(scope="module")
def http(sirdar: Product) -> Iterator[httpx.Client]:
    sirdar.publish(
        "echo.it", "cat ${f}", inputs={"f": {"type": "file"}, "s": {"type": "string"}},
        outputs={"said": {"type": "file", "from": "stdout"}},
    )  # fmt: skip
    sirdar.publish("wait.on", "sleep 600")
    with sirdar.client() as client:
        yield client


@pytest.fixture
def everest(http: httpx.Client) -> PythonClient:
    http.cookies.clear()
    client = PythonClient.sign_in(http, "admin", ADMIN_PASSWORD)
    http.cookies.clear()
    return client


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name(everest: PythonClient, name: str) -> None:
    content = name.encode()
    uri = everest.upload(name, content)
    job = everest.run("admin/echo.it", {"f": uri, "s": name}, name=name)
    assert job.fetch(job.result()["said"]) == content
    body = everest.get(f"/api/jobs/{job.id}")
    assert body["name"] == body["inputs"]["s"] == name
    assert job.fetch(body["inputs"]["f"]) == content
    assert job.fetch(f"/api/files/jobs/{job.id}/{uri.rsplit('/', 1)[1]}") == content


def test_a_name_in_the_way_of_older_libraries(everest: PythonClient) -> None:
    """``filename*=utf-8''...``, as requests wrote other alphabets before 2019."""
    disposition = b"form-data; name=\"file\"; filename*=utf-8''%D0%B4%D0%B0%20%D0%B4%D0%B0.txt"
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nyes\r\n--b--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = everest.read(everest.http.post("/api/files/temp", content=body, headers=everest.headers() | kind))
    assert answer["filename"] == "да да.txt"


# ---------------------------------------------------------------- where the token is


def test_every_place_of_the_token(http: httpx.Client, sirdar: Product) -> None:
    token = sirdar.token()
    places = [
        {"authorization": f"Bearer {token}"},
        {"authorization": f"bearer {token}"},
        {"cookie": f"access_token={token}"},
        {"cookie": f'other=1; access_token={token}; last="x"'},
        {"authorization": f"Bearer {token}", "cookie": "access_token=old"},  # what is said last and clearly counts
        {"cookie": f"access_token={token}", "content-type": "application/json", "charsets": "utf-8"},
    ]
    for headers in places:
        assert http.get("/api/jobs", headers=headers).status_code == 200, headers
        made = http.post("/api/apps/me/echo.it", content=b'{"inputs":{}, "name": 5}', headers=headers)
        assert made.status_code == 422, (headers, made.text)
    for headers in (
        {},
        {"authorization": "Bearer x"},
        {"cookie": "access_token="},
        {"authorization": f"Basic {token}"},
    ):
        assert http.get("/api/jobs", headers=headers).status_code == 401, headers
        assert http.post("/api/apps/me/echo.it", content=b"{}", headers=headers).status_code == 401, headers
    assert http.get(f"/api/jobs?access_token={token}").status_code == 401  # addresses end up in logs


def test_signing_in_sets_the_cookie_and_signing_out_takes_it(sirdar: Product) -> None:
    with sirdar.client() as client:
        reply = client.post(
            "/auth/access_token", json={"username": "admin", "password": ADMIN_PASSWORD, "label": "C++"}
        )
        kept = reply.headers["set-cookie"]
        assert kept.startswith(f"access_token={reply.json()['access_token']};")
        assert {"httponly", "path=/", "samesite=lax", "max-age=604800"} <= set(kept.lower().split("; "))
        assert client.get("/api/jobs").status_code == 200
        foreign = {"origin": "http://elsewhere.example"}
        assert client.post("/api/apps/me/echo.it", json={}, headers=foreign).status_code == 403
        assert client.delete("/auth/access_token").json() == {"revoked": True}
        assert "access_token" not in client.cookies
        assert client.get("/api/jobs").status_code == 401
        wrong = client.post("/auth/access_token", json={"username": "admin", "password": "no", "label": "C++"})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers


# ---------------------------------------------------------------- many jobs


def test_deleting_by_name_takes_all_and_no_other(http: httpx.Client, sirdar: Product, everest: PythonClient) -> None:
    name = 'сто % задач_и "ещё" \' одна'
    other = sirdar.user("tenzing")
    assert other.get("/api/apps/admin/echo.it").status_code == 404
    uri = everest.upload("a.txt", b"a")
    ids = [everest.run("admin/echo.it", {"f": uri}, name=name).id for _ in range(450)]  # several transactions' worth
    near = [
        everest.run("admin/echo.it", {"f": uri}, name=like).id for like in (name + " ", name.upper(), name[:-1], "%")
    ]
    running = everest.run("admin/wait.on", {}, name=name)
    await_that(lambda: running.state() == "RUNNING", what="the start", within_s=60)
    assert other.delete("/api/jobs", params={"name": name}).json() == {"deleted": 0}
    gone = everest.http.delete("/api/jobs", params={"name": name}, headers=everest.headers())
    assert (gone.status_code, gone.json()) == (200, {"deleted": 451})

    def left() -> set[str]:
        return {one["id"] for one in everest.get("/api/jobs?limit=1000")} & {*ids, running.id}

    await_that(lambda: not left(), within_s=30, what="the end of those that ran")
    for job_id in near:
        assert everest.get(f"/api/jobs/{job_id}")["id"] == job_id
    assert http.delete("/api/jobs", headers=everest.headers()).status_code == 422
    assert http.delete("/api/jobs?name=", headers=everest.headers()).status_code == 422


def test_pages(everest: PythonClient) -> None:
    """A client that knows no pages gets a list; one that follows ``Link`` gets all of it, once."""
    uri = everest.upload("a.txt", b"a")
    name = "страница 1"
    ids = [everest.run("admin/echo.it", {"f": uri}, name=name).id for _ in range(7)]
    assert isinstance(everest.get("/api/jobs"), list)
    found, address = [], "/api/jobs"
    params: Any = {"name": name, "limit": 3}
    while address:
        reply = everest.http.get(address, params=params, headers=everest.headers())
        found += [one["id"] for one in reply.json()]
        address, params = reply.links.get("next", {}).get("url", ""), None
    assert found == ids[::-1]
    assert isinstance(everest.get("/api/apps/search?pagenum=1&pagesize=20&sortBy=jobs"), list)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("client", [PythonClient, CppClient])
def test_errors_are_text_that_says_what_to_do(http: httpx.Client, client: type[PythonClient]) -> None:
    http.cookies.clear()
    session = client.sign_in(http, "admin", ADMIN_PASSWORD)
    with pytest.raises(EverestError, match=r"404: .*no application"):
        session.run("admin/нет такого", {})
    with pytest.raises(EverestError, match=r"404: .*no job"):
        session.get("/api/jobs/5bf5d5a3310000a15d5ab8c2")
    with pytest.raises(EverestError, match=r"422: .*no resource 'moon'"):
        session.run("admin/wait.on", {}, resources=["moon"])
    with pytest.raises(EverestError, match=r"4\d\d: .*inputs\.f"):
        session.run("admin/echo.it", {"f": "/api/files/temp/0000000000000000/gone.txt"})
    with pytest.raises(EverestError, match=r"4\d\d: .*inputs\.f"):
        session.run("admin/echo.it", {"f": "file:///etc/passwd"})
    with pytest.raises(EverestError, match=r"4\d\d: .*unknown"):
        session.run("admin/echo.it", {"unknown": 1})


# ---------------------------------------------------------------- applications that come as a zip


def test_an_application_comes_as_a_zip_and_goes_back_as_one(everest: PythonClient, sirdar: Product) -> None:
    document = {
        "alias": "Zip-App", "name": "Из Everest", "annotation": "", "keywords": [], "description": "*Markdown*",
        "inputs": {"data": {"title": "Данные", "type": "array", "items": {"type": "string", "format": "uri"}, "required": False},
                   "mng": {"title": "Задание", "type": "string", "format": "uri", "viewType": "input", "required": True},
                   "n": {"type": "integer", "default": 2, "minimum": 1}},
        "outputs": {"results": {"title": "", "type": "string", "format": "uri", "required": False},
                    "size": {"type": "integer"}, "logs": {"type": "array", "items": {"type": "string", "format": "uri"}}},
        "type": "application",
        "config": {"command": "run.sh ${mng} ${n}", "inputMappings": [],
                   "outputMappings": [{"param": "results", "file": "results.zip", "pattern": ""},
                                      {"param": "size", "file": "size", "pattern": ""},
                                      {"param": "logs", "file": "", "pattern": "*.log"}],
                   "resourceRequirements": {"nodes": {"defaultValue": 1, "allowOverride": False}, "coresPerNode": {},
                                            "memoryPerCore": {}, "timeLimit": {}}},
        "retryFailedTasks": False, "files": [], "version": "0.1.0",
    }  # fmt: skip
    script = (
        '#!/bin/sh\ncp "$1" 1.log; echo "$2" > 2.log; ls > names.log; wc -c < "$1" > size; cp given.zip results.zip\n'
    )
    given = io.BytesIO()
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("inside.txt", "x")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("application.json", json.dumps(document))
        entry = zipfile.ZipInfo("ApplicationFiles/run.sh")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, script)
    made = sirdar.admin.post("/api/apps/import", files={"file": ("из everest.zip", packed.getvalue())})
    assert made.status_code == 201, made.text

    inputs = {"mng": everest.upload("задание 1.mng", b"12345"), "data": [everest.upload("given.zip", given.getvalue())]}
    job = everest.run("admin/zip-app", inputs)
    result = job.result()
    assert (result["size"], len(result["logs"])) == (5, 3)
    assert job.fetch(result["results"]) == given.getvalue(), "an archive stays an archive"
    (names,) = (uri for uri in result["logs"] if uri.endswith("names.log"))
    assert "задание 1.mng" in job.fetch(names).decode().split("\n")

    back = everest.http.get("/api/apps/admin/zip-app/export", headers=everest.headers())
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        again = json.loads(archive.read("application.json"))
        assert archive.read("ApplicationFiles/run.sh").decode() == script
    for key in ("name", "description", "type", "retryFailedTasks", "files"):
        assert again[key] == document[key]
    assert {name: one["type"] for name, one in again["inputs"].items()} == {
        "data": "array",
        "mng": "string",
        "n": "integer",
    }
    config: Any = document["config"]
    assert again["config"]["command"] == config["command"]
    assert again["config"]["outputMappings"] == config["outputMappings"]
