"""Who sees, shares, archives and lists applications; what a description shows; secrets."""

import hashlib
from typing import Any

import httpx
import pytest
import yaml

SECRET = "glpat-3f9a-do-not-show"


def test_publishing_is_a_permission(site: Any, anna: Any) -> None:
    for who in ("boris", "anna-reads"):
        client = site[who]
        client.refused(403, "forbidden", "POST", "/api/apps/publish/plan", json=anna.body())
        client.refused(403, "forbidden", "POST", "/api/apps/publish", json=anna.body())
        sha256 = hashlib.sha256(b"x").hexdigest()
        client.refused(403, "forbidden", "PUT", f"/api/apps/publish/blobs/{sha256}", content=b"x")
        client.refused_zip(403, "forbidden", b"x")
    nobody = httpx.post(f"{site.url}/api/apps/publish", json=anna.body())
    anna.problem(nobody, 401, "unauthenticated")
    assert nobody.headers["www-authenticate"] == "Bearer"


def test_a_token_for_one_application(site: Any, anna: Any) -> None:
    """It reaches that one and no other, and makes none."""
    first, second = anna.publish(), anna.publish("alias: other\ncommand: ls\n")
    narrow = site.narrow("anna", f"all app:{first['id']}")
    assert narrow.get("/api/apps/anna/sumsq").status_code == 200
    narrow.refused(404, "not_found", "GET", "/api/apps/anna/other")
    narrow.refused(404, "not_found", "GET", f"/api/apps/{second['id']}")
    assert [app["alias"] for app in narrow.get("/api/apps").json()] == ["sumsq"]
    assert narrow.publish(content=b"new")["version"] == 2
    narrow.refused(403, "forbidden", "POST", "/api/apps/publish", json=anna.body("alias: third\ncommand: ls\n", {}))
    narrow.refused(403, "forbidden", "POST", "/api/apps/publish", json=anna.body("alias: other\ncommand: ls\n", {}))


def test_others_applications_do_not_exist(site: Any, anna: Any) -> None:
    made = anna.publish()
    boris = site["boris"]
    for name in ("anna/sumsq", "anna/sumsq@1", made["id"], f"{made['id']}@1"):
        assert anna.get(f"/api/apps/{name}").json()["id"] == made["id"]
        for part in ("", "/versions", "/source", "/openapi.json", "/export", "/share"):
            boris.refused(404, "not_found", "GET", f"/api/apps/{name}{part}")
        boris.refused(404, "not_found", "PUT", f"/api/apps/{name}/share/user:boris", json={"permission": "run"})
        boris.refused(404, "not_found", "POST", f"/api/apps/{name}/archive", json={"archived": True})
        boris.refused(404, "not_found", "PUT", f"/api/apps/{name}/secrets/KEY", json={"value": "x"})
    assert boris.get("/api/apps").json() == []
    assert anna.get("/api/apps/me/sumsq").json()["id"] == made["id"]
    assert site["root"].get("/api/apps/anna/sumsq").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["anna/nothing", "anna/sumsq@2", "anna/sumsq@0", "anna/sumsq@-1", "anna/sumsq@x", "anna/sumsq@99999999999999999999",
     "anna/SUMSQ", "anna", "anna/a/b", "0123456789abcdef", "'; DROP TABLE apps; --", "anna/%00", "%F0%9F%92%A5/x", "@", "/"],
)  # fmt: skip
def test_what_is_not_there(anna: Any, name: str) -> None:
    anna.publish()
    anna.refused(404, "not_found", "GET", f"/api/apps/{name}")


@pytest.mark.parametrize("subject", ["user:boris", "group:lab", "everyone"])
def test_share(site: Any, anna: Any, subject: str) -> None:
    anna.publish()
    boris = site["boris"]
    given = anna.put(f"/api/apps/anna/sumsq/share/{subject}", json={"permission": "view"})
    assert given.json() == {subject: "view"}
    assert boris.get("/api/apps/anna/sumsq").json()["permissions"] == ["view"]
    assert [app["alias"] for app in boris.get("/api/apps").json()] == ["sumsq"]
    boris.refused(403, "forbidden", "GET", "/api/apps/anna/sumsq/share")
    boris.refused(403, "forbidden", "PUT", "/api/apps/anna/sumsq/share/user:clara", json={"permission": "run"})
    anna.put(f"/api/apps/anna/sumsq/share/{subject}", json={"permission": "run"})
    assert boris.get("/api/apps/anna/sumsq").json()["permissions"] == ["view", "run"]
    assert anna.delete(f"/api/apps/anna/sumsq/share/{subject}").status_code == 204
    boris.refused(404, "not_found", "GET", "/api/apps/anna/sumsq")


def test_share_with_nobody(anna: Any) -> None:
    anna.publish()
    share = "/api/apps/anna/sumsq/share"
    anna.refused(404, "not_found", "PUT", f"{share}/user:nobody", json={"permission": "run"})
    anna.refused(422, "invalid_field", "PUT", f"{share}/robot:r2", json={"permission": "run"})
    anna.refused(422, "invalid_field", "PUT", f"{share}/user:boris", json={"permission": "own"})
    assert anna.get(share).json() == {}


def test_an_archived_application(site: Any, anna: Any) -> None:
    anna.publish()
    shown = anna.post("/api/apps/anna/sumsq/archive", json={"archived": True}).json()
    assert shown["archived"] is True
    assert anna.get("/api/apps").json() == []
    assert [app["alias"] for app in anna.get("/api/apps?archived=true").json()] == ["sumsq"]
    assert anna.get("/api/apps/anna/sumsq").status_code == 200
    anna.refused(409, "conflict", "POST", "/api/apps/publish", json=anna.body())
    anna.refused(409, "conflict", "POST", "/api/apps/publish/plan", json=anna.body())
    anna.post("/api/apps/anna/sumsq/archive", json={"archived": False})
    assert anna.post("/api/apps/publish", json=anna.body()).status_code == 200


# ---------------------------------------------------------------- lists


def test_lists_are_searched_and_paged(site: Any, anna: Any) -> None:
    for number in range(5):
        anna.publish(f"alias: fit-{number}\nname: Подгонка {number}\ncommand: 'true'\n")
    site["olga"].publish("alias: heat\nname: Heat\ncommand: 'true'\n")
    first = anna.get("/api/apps", params={"text": "ПОДГОНКА", "limit": 2})
    seen = first.json()
    following = first
    while "next" in following.links:
        following = anna.get(following.links["next"]["url"])
        seen += following.json()
    assert [app["alias"] for app in seen] == [f"fit-{number}" for number in (4, 3, 2, 1, 0)]
    assert [app["alias"] for app in anna.get("/api/apps/search?name=fit-3").json()] == ["fit-3"]
    assert anna.get("/api/apps?owner=olga").json() == []
    root = site["root"]
    assert [app["alias"] for app in root.get("/api/apps?owner=olga").json()] == ["heat"]
    assert len(anna.get("/api/apps?owner=me").json()) == 5
    for query in ("limit=0", "limit=x", "after=x", "after=nan_a", "text=" + "x" * 300, "text=%00"):
        anna.refused(422, "invalid_field", "GET", f"/api/apps?{query}")


def test_versions_are_paged(anna: Any) -> None:
    for number in range(3):
        anna.publish(content=anna.PROGRAM + b"#%d\n" % number, note=f"note {number}")
    first = anna.get("/api/apps/anna/sumsq/versions?limit=2")
    assert [(row["version"], row["note"]) for row in first.json()] == [(3, "note 2"), (2, "note 1")]
    assert [row["version"] for row in anna.get(first.links["next"]["url"]).json()] == [1]


# ---------------------------------------------------------------- descriptions


def test_a_description_is_everests_and_more(anna: Any) -> None:
    made = anna.publish()
    shown = anna.get("/api/apps/anna/sumsq").json()
    assert shown["inputs"]["data"] | {"required": True, "format": "uri", "title": "Numbers"} == shown["inputs"]["data"]
    assert shown["inputs"]["power"]["default"] == 2
    assert shown["outputs"]["total"]["type"] == "number"
    assert shown["config"]["command"].startswith("python sumsq.py")
    assert shown["resources"] | {"cpus": 1, "memoryBytes": 512 * 2**20, "timeS": 600.0} == shown["resources"]
    assert shown["permissions"] == ["view", "run", "change"]
    assert (shown["digest"], shown["codeVersion"], shown["version"]) == (made["digest"], "", 1)
    document = anna.get("/api/apps/anna/sumsq@1/openapi.json").json()
    assert document["openapi"].startswith("3.")


def test_the_source_publishes_to_the_same_version(anna: Any) -> None:
    made = anna.publish()
    reply = anna.get("/api/apps/anna/sumsq/source")
    assert reply.headers["content-type"].startswith("application/yaml")
    assert yaml.safe_load(reply.text)["alias"] == "sumsq"
    assert anna.publish(reply.text)["digest"] == made["digest"]


# ---------------------------------------------------------------- secrets


def test_secrets_never_come_back(site: Any, anna: Any) -> None:
    description = anna.DESCRIPTION + "secrets: [API_KEY]\n"
    made = anna.publish(description)
    assert made["notes"] == ["Secret without a value yet: API_KEY."]
    assert anna.put("/api/apps/anna/sumsq/secrets/API_KEY", json={"value": SECRET}).status_code == 204
    assert anna.publish(description)["notes"] == []
    anna.put("/api/apps/anna/sumsq/share/user:boris", json={"permission": "view"})
    assert anna.get("/api/apps/anna/sumsq").json()["secrets"] == {"named": ["API_KEY"], "set": ["API_KEY"]}
    assert site["boris"].get("/api/apps/anna/sumsq").json()["secrets"]["set"] == []
    for part in ("", "/versions", "/source", "/openapi.json", "/share"):
        assert SECRET not in anna.get(f"/api/apps/anna/sumsq{part}").text
    assert SECRET.encode() not in anna.get("/api/apps/anna/sumsq/export").content
    assert not site.holds(SECRET)
    assert anna.delete("/api/apps/anna/sumsq/secrets/API_KEY").status_code == 204
    anna.refused(404, "not_found", "DELETE", "/api/apps/anna/sumsq/secrets/API_KEY")


def test_secrets_may_come_with_the_publication(site: Any, anna: Any) -> None:
    made = anna.publish(anna.DESCRIPTION + "secrets: [API_KEY]\n", secrets={"API_KEY": SECRET})
    assert made["notes"] == []
    assert not site.holds(SECRET)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("a b", SECRET, "invalid_field"),
        ("SIRDAR_TOKEN", SECRET, "invalid_field"),
        ("KEY", SECRET + "\0", "invalid_field"),
        ("KEY", [SECRET], "invalid_field"),
        ("KEY", {"x": SECRET}, "invalid_field"),
        ("KEY", SECRET * 4000, "too_large"),
    ],
)
def test_no_error_shows_a_secret(anna: Any, name: str, value: Any, code: str) -> None:
    anna.publish()
    reply = anna.put(f"/api/apps/anna/sumsq/secrets/{name}", json={"value": value})
    anna.problem(reply, 413 if code == "too_large" else 422, code)
    assert SECRET not in reply.text
    reply = anna.post("/api/apps/publish", json=anna.body(secrets={name: value}))
    assert reply.status_code in {413, 422}
    assert SECRET not in reply.text
