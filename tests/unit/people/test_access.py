"""Who may do what: the rules as a table."""

import pytest

from sirdar.domain.ids import AttemptKey, JobId, UserId
from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services import access
from sirdar.services.signin import token_hash

OWNER = "id-anna"
TASK = frozenset({Scope.READ, Scope.RUN})


def caller(name: str = "anna", **more: object) -> Caller:
    return Caller(UserId(f"id-{name}"), name, **more)  # type: ignore[arg-type]


ANNA = caller(can_publish=True)
ANNA_READS = caller(can_publish=True, scopes=frozenset({Scope.READ}))
ANNA_RUNS = caller(can_publish=True, scopes=frozenset({Scope.RUN}))
ANNA_PUBLISHES = caller(can_publish=True, scopes=frozenset({Scope.PUBLISH}))
ANNAS_TASK = caller(can_publish=True, is_admin=True, scopes=TASK, attempt=AttemptKey(JobId("j"), 0, 1))
ANNA_RETIRED = caller(can_publish=False)
BORIS = caller("boris", groups=frozenset({"lab"}), can_publish=True)
ADMIN = caller("root", is_admin=True)
ADMIN_READS = caller("root", is_admin=True, scopes=frozenset({Scope.READ}))
ADMINS_TASK = caller("root", is_admin=True, scopes=TASK, attempt=AttemptKey(JobId("j"), 0, 1))


@pytest.mark.parametrize(
    ("who", "sees", "acts", "runs", "changes"),
    [
        (ANNA, True, True, True, True),
        (ANNA_READS, True, False, False, False),
        (ANNA_RUNS, True, True, True, False),
        (ANNA_PUBLISHES, True, False, False, True),
        (ANNAS_TASK, True, True, True, False),
        (ANNA_RETIRED, True, True, True, False),
        (BORIS, False, False, False, False),
        (ADMIN, True, True, True, True),
        (ADMIN_READS, False, False, False, False),
        (ADMINS_TASK, False, False, False, False),
    ],
)
def test_without_shares(who: Caller, sees: bool, acts: bool, runs: bool, changes: bool) -> None:
    assert access.may_see_job(who, OWNER) is sees
    assert access.may_act_on_job(who, OWNER) is acts
    assert access.may_view_app(who, OWNER) is sees
    assert access.may_run_app(who, OWNER) is runs
    assert access.may_change_app(who, OWNER) is changes


@pytest.mark.parametrize("subject", ["user:boris", "group:lab", "everyone"])
def test_with_shares(subject: str) -> None:
    assert access.may_see_job(BORIS, OWNER, {subject})
    assert not access.may_act_on_job(BORIS, OWNER)
    assert access.may_view_app(BORIS, OWNER, {subject: "view"})
    assert not access.may_run_app(BORIS, OWNER, {subject: "view"})
    assert access.may_run_app(BORIS, OWNER, {subject: "run"})
    assert not access.may_change_app(BORIS, OWNER)
    assert access.app_permissions(BORIS, OWNER, {subject: "run"}) == ["view", "run"]


def test_shares_for_others_are_not_for_one() -> None:
    shares = {"user:boriss": "run", "user:lab": "run", "group:boris": "run", "group:other": "run"}
    assert not access.may_view_app(BORIS, OWNER, shares)
    assert not access.may_see_job(BORIS, OWNER, shares)


def test_links() -> None:
    hashed = token_hash("the link")
    assert access.may_see_job(None, OWNER, share_hash=hashed, link="the link")
    for link, share_hash in (
        ("another", hashed),
        ("", hashed),
        (None, hashed),
        ("the link", None),
        ("ü\ud800", hashed),
    ):
        assert not access.may_see_job(None, OWNER, share_hash=share_hash, link=link)


def test_a_token_for_one_application() -> None:
    narrow = caller(can_publish=True, apps=frozenset({"app1"}))
    for rule in (
        access.may_view_app,
        access.may_run_app,
        access.may_change_app,
        access.may_see_job,
        access.may_act_on_job,
    ):
        assert rule(narrow, OWNER, app_id="app1")
        assert not rule(narrow, OWNER, app_id="app2")
        assert not rule(narrow, OWNER)


def test_what_is_said() -> None:
    for who, check in (
        (ANNA_READS, lambda who: access.require_scope(who, Scope.RUN)),
        (ANNAS_TASK, access.require_account),
        (ANNA_RUNS, access.require_account),
        (ANNAS_TASK, access.require_admin),
        (ANNA, access.require_admin),
        (ANNA_RETIRED, access.require_publish),
        (ANNAS_TASK, access.require_publish),
    ):
        with pytest.raises(Problem) as caught:
            check(who)
        assert caught.value.code == "forbidden"
    access.require_account(ANNA)
    access.require_admin(ADMIN)
    access.require_publish(ADMIN)
