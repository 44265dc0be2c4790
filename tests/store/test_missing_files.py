"""DONE means that the files are here: a final that names a blob which is not is no success."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.ledger import Ledger, check

from sirdar.blobs import s3, s3_bucket
from sirdar.blobs.local import LocalBlobs
from sirdar.domain.problems import Problem
from sirdar.services import agent_files
from sirdar.store import blobs as blob_store

SHA = "ab" * 32


def outputs(sha256: str) -> dict[str, object]:
    return {"plot": {"$file": {"name": "plot.png", "sha256": sha256, "size": 3}}}


def test_a_final_whose_files_did_not_arrive_is_a_fault_of_the_platform(ledger: Ledger) -> None:
    job = ledger.submit(retries=0)
    agent = ledger.attach()
    (key,) = agent.take()
    agent.phase(key)
    agent.final(key, outputs=outputs(SHA))
    check(ledger)
    assert ledger.job(job).state == "FAILED"
    assert ledger.job(job).reason == "stage_out"
    assert ledger.task(job).result_json is None


def test_the_others_in_the_same_call_are_not_held_up(ledger: Ledger) -> None:
    job = ledger.submit(2, retries=0)
    agent = ledger.attach()
    keys = agent.take(2)
    for key in keys:
        agent.phase(key)
    ledger.write(lambda tx: blob_store.register(tx, SHA, 3))
    finals = [agent.make_final(keys[0], outputs=outputs("cd" * 32)), agent.make_final(keys[1], outputs=outputs(SHA))]
    reply = agent.sync(finals=finals)
    assert sorted(reply["acked"]) == sorted(keys)
    check(ledger)
    assert [ledger.task(job, no).state for no in range(2)] == ["FAILED", "DONE"]
    assert ledger.read(lambda conn: blob_store.holders_of(conn, SHA)) == [f"job:{job}"]


def test_small_files_come_with_their_final(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    monkeypatch.setattr(ledger.desk, "_blobs", blobs)
    job = ledger.submit(3, retries=0)
    agent = ledger.attach()
    keys = agent.take(3)
    for key in keys:
        agent.phase(key)
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"two", b"three")]
    texts = [b64encode(b"one").decode(), b64encode(b"damaged").decode(), "no base64"]
    finals = [
        agent.make_final(key, outputs=outputs(digest), files={digest: text})
        for key, digest, text in zip(keys, digests, texts, strict=True)
    ]
    agent.sync(finals=finals)
    agent.sync(finals=finals[:1])  # its answer was lost
    check(ledger)
    assert [ledger.task(job, no).state for no in range(3)] == ["DONE", "FAILED", "FAILED"]
    assert ledger.task(job, 1).reason == "stage_out"
    assert ledger.read(lambda conn: blob_store.known(conn, digests)) == {digests[0]: 3}
    assert ledger.read(lambda conn: blob_store.holders_of(conn, digests[0])) == [f"job:{job}"]
    assert ledger.run(blobs.read_small(digests)) == {digests[0]: b"one"}
    blobs.close()


@pytest.mark.needs("obstore")
def test_a_blob_store_that_does_not_answer_spoils_no_blob(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(s3_bucket, "RETRIES", 0)
    ledger.write(lambda tx: blob_store.register(tx, SHA, 3))
    blobs = s3.S3Blobs(s3_bucket.S3Place("lab", endpoint=f"http://127.0.0.1:{free_port()}"), tmp_path)
    try:
        with pytest.raises(Problem) as told:
            ledger.run(agent_files.doubt(replace(ledger.services, blobs=blobs), SHA))
    finally:
        blobs.close()
    assert told.value.code == "unavailable"
    assert ledger.read(lambda conn: blob_store.known(conn, [SHA])) == {SHA: 3}, "it is not quarantined"
