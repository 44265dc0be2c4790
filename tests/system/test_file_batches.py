"""Many small files in one call: sent, sent only where they are not here, and read."""

import hashlib

from tests.system.product import Product, problem


def test_files_are_brought_and_read_together(sirdar: Product) -> None:
    texts = {"a.nl": b"g3 1 1 0\n", "b.bin": bytes(range(256)), "empty": b""}
    files = [
        {"filename": "a.nl", "text": "g3 1 1 0\n"},
        {"filename": "b.bin", "base64": "AAEC" + _base64(texts["b.bin"])[4:]},
        {"filename": "empty", "text": ""},
    ]
    reply = sirdar.admin.post("/api/files/batch", json={"files": files})
    assert reply.status_code == 200, reply.text
    taken = reply.json()
    assert taken["missing"] == []
    assert [file["filename"] for file in taken["files"]] == list(texts)
    for file, content in zip(taken["files"], texts.values(), strict=True):
        assert sirdar.admin.get(file["uri"]).content == content
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    uris = [file["uri"] for file in taken["files"]]
    found = sirdar.admin.post("/api/files/contents", json={"uris": [*uris, "/api/files/temp/none/x"]}).json()["files"]
    assert [one.get("text") for one in found[:3]] == ["g3 1 1 0\n", None, ""]
    assert found[1]["base64"] == _base64(texts["b.bin"])
    assert found[3]["problem"]["code"] == "not_found" and "text" not in found[3]


def test_a_digest_is_enough_for_what_the_same_user_has_brought(sirdar: Product) -> None:
    content = "only once\n"
    entry = {"filename": "once.txt", "sha256": hashlib.sha256(content.encode()).hexdigest()}

    def bring(who: str, **more: str) -> dict[str, object]:
        client = sirdar.user(who)
        reply = client.post("/api/files/batch", json={"files": [{**entry, **more}]})
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    assert bring("batcher") == {"files": [None], "missing": [entry["sha256"]]}
    first = bring("batcher", text=content)
    again = bring("batcher")
    assert again == first and first["missing"] == []
    renamed = bring("batcher", filename="twice.txt")["files"]
    assert isinstance(renamed, list) and renamed[0]["uri"] != first["files"][0]["uri"]  # type: ignore[index]
    assert bring("stranger") == {"files": [None], "missing": [entry["sha256"]]}, "others' bytes are not given away"


def test_outputs_and_streams_of_a_job_are_read_together(sirdar: Product) -> None:
    app = sirdar.publish(
        "batched",
        "echo out-${n}; echo made-${n} > made.txt",
        shell=True,
        inputs={"n": {"type": "integer"}},
        outputs={"made": "made.txt"},
    )
    job = sirdar.run(app, foreach=[{"n": 1}, {"n": 2}])
    prefix = f"/api/files/jobs/{job['id']}/tasks"
    uris = [f"{prefix}/{no}/{name}" for no in (0, 1) for name in ("made.txt", "stdout", "nothing")]
    found = sirdar.admin.post("/api/files/contents", json={"uris": uris}).json()["files"]
    assert [one.get("text") for one in found] == ["made-1\n", "out-1\n", None, "made-2\n", "out-2\n", None]
    theirs = sirdar.user("stranger").post("/api/files/contents", json={"uris": uris[:1]}).json()["files"]
    assert theirs[0]["problem"]["code"] == "not_found"


def test_what_is_wrong_with_a_batch_is_said(sirdar: Product) -> None:
    def post(path: str, body: object) -> object:
        return sirdar.admin.post(path, json=body)

    good = {"filename": "a", "text": "a"}
    batch = "/api/files/batch"
    problem(post(batch, {"files": [good, {"filename": "b"}]}), 422, "invalid_field", "files[1]")  # type: ignore[arg-type]
    wrong = {"filename": "a/b", "text": "a"}
    problem(post(batch, {"files": [good, wrong]}), 422, "invalid_field", "files[1].filename")  # type: ignore[arg-type]
    wrong = {"filename": "a", "base64": "%%%"}
    problem(post(batch, {"files": [wrong]}), 422, "invalid_field", "files[0].base64")  # type: ignore[arg-type]
    wrong = {"filename": "a", "text": "a", "sha256": "0" * 64}
    problem(post(batch, {"files": [wrong]}), 422, "invalid_field", "sha256")  # type: ignore[arg-type]
    many = [good] * 2001
    problem(post(batch, {"files": many}), 413, "too_large", "files")  # type: ignore[arg-type]
    with sirdar.client() as nobody:
        problem(nobody.post(batch, json={"files": [good]}), 401, "unauthenticated")


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()
