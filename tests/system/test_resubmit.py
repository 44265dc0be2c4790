"""Submitting a job again: whose secrets it runs with, and that a repeated request makes one job."""

from tests.system.product import Product, problem


def test_somebody_else_cannot_run_with_the_secrets_of_a_job_that_is_shared_with_them(sirdar: Product) -> None:
    owner, guest = sirdar.user("keeper", canPublish=True), sirdar.user("guest", canPublish=True)
    sirdar.publish(
        "secretive",
        'printf %s "$WORD" | wc -c',
        shell=True,
        who=owner,
        inputs={"word": {"type": "secret", "required": True, "env": "WORD"}},
        outputs={"length": {"type": "integer", "from": "stdout", "regex": "([0-9]+)"}},
    )
    job = sirdar.submit("keeper/secretive", {"word": "s3cret-word"}, who=owner)["id"]
    assert sirdar.ended(job, owner)["result"] == {"length": 11}
    assert owner.put("/api/apps/keeper/secretive/share/user:guest", json={"permission": "run"}).is_success
    assert owner.put(f"/api/jobs/{job}/share/user:guest").is_success

    problem(guest.post(f"/api/jobs/{job}/resubmit", json={}), 422, "invalid_input", "inputs.word")
    own = guest.post(f"/api/jobs/{job}/resubmit", json={"inputs": {"word": "mine"}}).json()["id"]
    assert sirdar.ended(own, guest)["result"] == {"length": 4}
    again = owner.post(f"/api/jobs/{job}/resubmit", json={}).json()["id"]
    assert sirdar.ended(again, owner)["result"] == {"length": 11}


def test_a_resubmission_that_is_sent_again_with_its_key_makes_one_job(sirdar: Product) -> None:
    sirdar.publish("once", "true", inputs={"n": "integer"})
    job = sirdar.submit("me/once", {"n": 1})["id"]
    headers = {"idempotency-key": "again-1"}
    made = [sirdar.admin.post(f"/api/jobs/{job}/resubmit", json={}, headers=headers).json()["id"] for _ in range(2)]
    assert made[0] == made[1] != job
    other = sirdar.admin.post(f"/api/jobs/{job}/resubmit", json={"inputs": {"n": 2}}, headers=headers)
    problem(other, 422, "idempotency_mismatch", "Idempotency-Key")


def test_a_change_in_common_reaches_every_task_that_does_not_give_the_input_itself(sirdar: Product) -> None:
    sirdar.publish(
        "sets",
        "echo ${n} ${p} ${q}",
        inputs={"n": "integer", "p": {"type": "integer", "default": 2}, "q": {"type": "integer", "default": 7}},
        outputs={"said": {"type": "string", "from": "stdout"}},
    )

    def said(job: str) -> list[str]:
        sirdar.ended(job)
        return [result["said"] for result in sirdar.admin.get(f"/api/jobs/{job}/results").json()]

    sets = [{"n": 1, "p": 2}, {"n": 2}, {"n": 3, "p": 5}]
    job = sirdar.admin.post("/api/apps/me/sets", json={"foreach": sets}).json()["id"]
    assert said(job) == ["1 2 7", "2 2 7", "3 5 7"]
    again = sirdar.admin.post(f"/api/jobs/{job}/resubmit", json={"inputs": {"p": 9, "q": 8}}).json()["id"]
    assert said(again) == ["1 2 8", "2 9 8", "3 5 8"]

    refused = sirdar.admin.post(f"/api/jobs/{job}/resubmit", json={"inputs": {"q": 1, "n": 4}})
    body = problem(refused, 422, "invalid_input", "inputs.n")
    assert body["detail"].startswith("Each of the 3 input sets of foreach gives n itself")
