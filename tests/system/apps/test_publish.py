"""Publishing in three steps over real HTTP."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sirdar.store import tables as t


def test_publish_in_three_steps(anna: Any) -> None:
    wanted = anna.body(note="first light")
    sha256 = wanted["files"][0]["sha256"]
    planned = anna.post("/api/apps/publish/plan", json=wanted).json()
    assert planned == {
        "app": "anna/sumsq",
        "digest": planned["digest"],
        "missing": [sha256],
        "unchanged": False,
        "version": None,
    }
    anna.bring(anna.PROGRAM)
    assert anna.post("/api/apps/publish/plan", json=wanted).json()["missing"] == []
    reply = anna.post("/api/apps/publish", json=wanted)
    made = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == "/api/apps/anna/sumsq@1"
    assert (made["owner"], made["alias"], made["version"], made["created"]) == ("anna", "sumsq", 1, True)
    assert made["digest"] == planned["digest"]
    shown = anna.get(made["url"]).json()
    assert shown["files"] == [anna.entry("sumsq.py", anna.PROGRAM)]
    assert shown["note"] == "first light"


def test_the_same_bytes_make_no_version_and_earlier_ones_become_current_again(anna: Any) -> None:
    first = anna.publish()
    again = anna.post("/api/apps/publish", json=anna.body())
    assert (again.status_code, again.json()["created"], again.json()["version"]) == (200, False, 1)
    plan = anna.post("/api/apps/publish/plan", json=anna.body()).json()
    assert (plan["unchanged"], plan["version"], plan["digest"]) == (True, 1, first["digest"])
    assert anna.publish(content=anna.PROGRAM + b"# better\n")["version"] == 2
    back = anna.post("/api/apps/publish", json=anna.body())
    assert (back.status_code, back.json()["version"]) == (200, 1)
    assert back.json()["notes"] == ["These are the bytes of version 1; it is the current version again."]
    assert anna.get("/api/apps/anna/sumsq").json()["version"] == 1
    rows = anna.get("/api/apps/anna/sumsq/versions").json()
    assert [row["version"] for row in rows if row["current"]] == [1], rows


def test_the_digest_depends_on_bytes_alone(anna: Any) -> None:
    """Not on comments and spaces of the text, the order of files, or the umask of whoever publishes."""
    anna.bring(b"one", b"two")
    files = [anna.entry("a.py", b"one", 0o664), anna.entry("b.sh", b"two", 0o775)]
    plain = "alias: order\ncommand: python a.py\n"
    first = {"description": plain, "files": files}
    second = {
        "description": "# again\nalias:   order\ncommand: [python, a.py]\n",
        "files": [{**files[1], "mode": 0o100755}, {**files[0], "mode": 0o600}],
    }
    digests = [anna.post("/api/apps/publish/plan", json=wanted).json()["digest"] for wanted in (first, second)]
    assert digests[0] == digests[1]


def test_a_description_may_be_json(anna: Any) -> None:
    description = json.dumps({"alias": "asjson", "command": ["true"]})
    assert anna.post("/api/apps/publish", json={"description": description}).status_code == 201


def test_all_errors_come_at_once_with_their_lines(site: Any, anna: Any) -> None:
    wrong = "alias: Sum Sq\ninputs:\n  n: {type: intger}\ncommand: python fit.py ${m}\nresources: {cpus: many}\n"
    for address in ("/api/apps/publish/plan", "/api/apps/publish"):
        found = anna.refused(422, "invalid_description", "POST", address, json=anna.body(wrong, {}))
        texts = [f"{error['field']}: {error['detail']}" for error in found["errors"]]
        assert len(texts) >= 3
        assert any("line 1" in text for text in texts)
        assert any("line 3" in text and "inputs.n" in text for text in texts)
    assert site.count(t.apps) == 0


def test_files_that_the_description_names_must_be_there(anna: Any) -> None:
    wanted = anna.body("alias: sums\ncommand: python sumsq.py\n", {"sumsk.py": b"x"})
    found = anna.refused(422, "invalid_description", "POST", "/api/apps/publish/plan", json=wanted)
    assert (
        found["errors"][0]["detail"]
        == "the application has no file sumsq.py; did you mean sumsk.py?; its files: sumsk.py"
    )


def entry(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ([entry("../up.py", b"x")], "files[0]"),
        ([entry("/etc/passwd", b"x")], "files[0]"),
        ([entry("a//b", b"x")], "files[0]"),
        ([entry("a/./b", b"x")], "files[0]"),
        ([entry("a\\b", b"x")], "files[0]"),
        ([entry("a\nb", b"x")], "files[0]"),
        ([entry("C:/x", b"x")], "files[0]"),
        ([entry("x" * 300, b"x")], "files[0]"),
        ([entry("a", b"x"), entry("a", b"x")], "files[1]"),
        ([entry("a", b"x"), entry("a/b", b"x")], "files[1]"),
        ([{**entry("a", b"x"), "sha256": "../../key"}], "files[0]"),
        ([{**entry("a", b"x"), "size": -1}], "files[0].size"),
        ([{**entry("a", b"x"), "size": "1"}], "files[0].size"),
    ],
)
def test_files_that_cannot_be(anna: Any, files: list[dict[str, Any]], field: str) -> None:
    found = anna.refused(
        422, "invalid_field", "POST", "/api/apps/publish/plan", json={"description": anna.DESCRIPTION, "files": files}
    )
    assert found["errors"][0]["field"] == field


def test_without_its_bytes_nothing_is_made(site: Any, anna: Any) -> None:
    other = b"nobody has brought this"
    found = anna.refused(409, "conflict", "POST", "/api/apps/publish", json=anna.body(files={"sumsq.py": other}))
    assert found["errors"][0]["field"] == "sumsq.py"
    assert site.count(t.apps) == 0


def test_bytes_of_others_are_not_taken_by_naming_them(site: Any, anna: Any) -> None:
    content = b"olga's own program"
    site["olga"].publish(anna.DESCRIPTION, content)
    wanted = anna.body(files={"sumsq.py": content})
    assert len(anna.post("/api/apps/publish/plan", json=wanted).json()["missing"]) == 1
    anna.refused(409, "conflict", "POST", "/api/apps/publish", json=wanted)


def test_wrong_bytes_are_refused(anna: Any) -> None:
    sha256 = hashlib.sha256(b"right").hexdigest()
    anna.refused(422, "invalid_field", "PUT", f"/api/apps/publish/blobs/{sha256}", content=b"wrong")
    anna.refused(405, "method_not_allowed", "PUT", "/api/apps/publish/blobs/..%2Fkey", content=b"x")
    anna.refused(422, "invalid_field", "PUT", "/api/apps/publish/blobs/abc", content=b"x")


def test_a_wrong_size_is_refused(anna: Any) -> None:
    anna.bring(anna.PROGRAM)
    wanted = anna.body()
    wanted["files"][0]["size"] += 1
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish/plan", json=wanted)
    anna.refused(422, "invalid_field", "POST", "/api/apps/publish", json=wanted)


def test_what_is_published_at_once_by_many_is_numbered_without_gaps(anna: Any) -> None:
    contents = [anna.PROGRAM + b"#%d\n" % number for number in range(12)]
    anna.bring(*contents)

    def one(content: bytes) -> int:
        reply = anna.post("/api/apps/publish", json=anna.body(files={"sumsq.py": content}))
        assert reply.status_code == 201, reply.text
        return int(reply.json()["version"])

    with ThreadPoolExecutor(12) as pool:
        numbers = list(pool.map(one, contents))
    assert sorted(numbers) == list(range(1, 13))
    assert anna.get("/api/apps/anna/sumsq").json()["versions"] == 12


def test_too_large_is_refused_before_it_is_read(serving: Any) -> None:
    with serving(body_bytes=20_000, publish_bytes=50_000, publish_files=10) as small:
        anna = small["anna"]
        anna.refused(413, "too_large", "POST", "/api/apps/publish/plan", json=anna.body("#" * 30_000))
        anna.refused(413, "too_large", "POST", "/api/apps/publish/plan", content=(b"#" * 1000 for _ in range(30)))
        many = {f"f{number}": b"" for number in range(11)}
        anna.refused(413, "too_large", "POST", "/api/apps/publish/plan", json=anna.body(files=many))
        large = [{**anna.entry("a", b"x"), "size": 50_001}]
        wanted = {"description": anna.DESCRIPTION, "files": large}
        anna.refused(413, "too_large", "POST", "/api/apps/publish/plan", json=wanted)
        sha256 = hashlib.sha256(b"x" * 60_000).hexdigest()
        anna.refused(413, "too_large", "PUT", f"/api/apps/publish/blobs/{sha256}", content=b"x" * 60_000)
        chunks = (b"x" * 6000 for _ in range(10))
        anna.refused(413, "too_large", "PUT", f"/api/apps/publish/blobs/{sha256}", content=chunks)
        anna.refused_zip(413, "too_large", b"x" * 60_000)
        bomb = {"sirdar.yaml": anna.DESCRIPTION.encode(), "zeros": b"\0" * 2_000_000}
        anna.refused_zip(422, "invalid_archive", bomb)
        assert small.count(t.apps) == 0
        assert small.leftovers == []
