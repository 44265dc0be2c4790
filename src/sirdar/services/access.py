"""Who may do what. Pure rules over facts (``may_*``), and the same rules asked of the store (``seen_job``, ``seen_app``, ...).

Other people's things are ``not_found``, so that nobody learns what exists; what is visible but not allowed is ``forbidden``.
Administrators see and do everything, through a token that has the scope. A task's program acts for its job's owner, within
the scopes read and run: it cannot publish or administer.
"""

import hmac
from collections.abc import Collection, Mapping

from sirdar.domain.people import Caller, Scope
from sirdar.domain.problems import Problem
from sirdar.services.signin import token_hash
from sirdar.store import access as facts
from sirdar.store.access import AppFacts, JobFacts
from sirdar.store.people import Conn

RUN = "run"
VIEW = "view"

# ---------------------------------------------------------------- rules: jobs


def may_see_job(
    caller: Caller | None,
    owner_id: str,
    shares: Collection[str] = (),
    *,
    app_id: str | None = None,
    share_hash: str | None = None,
    link: str | None = None,
) -> bool:
    """Its owner, administrators, those it is shared with, and whoever holds the link (``caller`` None: only the link)."""
    if link and share_hash and hmac.compare_digest(token_hash(link), share_hash):
        return True
    if caller is None or not caller.has(Scope.READ) or not _reaches(caller, app_id):
        return False
    return caller.administers or caller.user_id == owner_id or not caller.subjects.isdisjoint(shares)


def may_act_on_job(caller: Caller, owner_id: str, *, app_id: str | None = None) -> bool:
    """Cancel, delete, resubmit, share: its owner and administrators."""
    return _owns_or_administers(caller, owner_id) and caller.has(Scope.RUN) and _reaches(caller, app_id)


# ---------------------------------------------------------------- rules: applications


def may_view_app(
    caller: Caller, owner_id: str, shares: Mapping[str, str] | None = None, *, app_id: str | None = None
) -> bool:
    """Read its description and versions: with any share."""
    if not caller.has(Scope.READ) or not _reaches(caller, app_id):
        return False
    return _owns_or_administers(caller, owner_id) or not caller.subjects.isdisjoint(shares or ())


def may_run_app(
    caller: Caller, owner_id: str, shares: Mapping[str, str] | None = None, *, app_id: str | None = None
) -> bool:
    """Submit jobs of it: with a share ``run``."""
    if not caller.has(Scope.RUN) or not _reaches(caller, app_id):
        return False
    shared = any((shares or {}).get(subject) == RUN for subject in caller.subjects)
    return shared or _owns_or_administers(caller, owner_id)


def may_change_app(caller: Caller, owner_id: str, *, app_id: str | None = None) -> bool:
    """Publish a version, share, archive, set secrets: its owner while they may publish, and administrators."""
    if not _reaches(caller, app_id) or not caller.has(Scope.PUBLISH):
        return False
    return caller.publishes and _owns_or_administers(caller, owner_id)


def app_permissions(
    caller: Caller, owner_id: str, shares: Mapping[str, str], *, app_id: str | None = None
) -> list[str]:
    """What the caller may do with it, in words: of ``view``, ``run`` and ``change``."""
    rules = {
        VIEW: may_view_app(caller, owner_id, shares, app_id=app_id),
        RUN: may_run_app(caller, owner_id, shares, app_id=app_id),
        "change": may_change_app(caller, owner_id, app_id=app_id),
    }
    return [word for word, allowed in rules.items() if allowed]


def _owns_or_administers(caller: Caller, owner_id: str) -> bool:
    return caller.user_id == owner_id or caller.administers


def _reaches(caller: Caller, app_id: str | None) -> bool:
    """False where the token is restricted to other applications."""
    return caller.apps is None or app_id in caller.apps


# ---------------------------------------------------------------- rules: resources


def may_use_resource(caller: Caller, owner_id: str, shares: Collection[str] = ()) -> bool:
    """Run jobs there: its owner, and those it is shared with. Administrators' jobs are no exception."""
    return caller.user_id == owner_id or not caller.subjects.isdisjoint(shares)


def may_see_resource(caller: Caller, owner_id: str, shares: Collection[str] = ()) -> bool:
    """Know that it is there and how it stands: whoever may use it, and administrators."""
    return caller.has(Scope.READ) and (caller.administers or may_use_resource(caller, owner_id, shares))


def may_attach(caller: Caller) -> bool:
    """Attach machines: see ``require_attach``."""
    try:
        require_attach(caller)
    except Problem:
        return False
    return True


def require_attach(caller: Caller) -> None:
    """Raises ``forbidden`` where the caller may not attach machines: that is for those who may publish.

    Both let a user bring code, or a machine, that others' work meets.
    """
    if caller.is_admin:
        require_scope(caller, Scope.ADMIN)
        return
    require_scope(caller, Scope.ALL)
    if not caller.publishes:
        raise Problem(
            "forbidden",
            f"User {caller.name} may not attach machines.",
            hint="It comes with the right to publish, which an administrator grants: sirdar user set NAME --publish.",
        )


# ---------------------------------------------------------------- rules: the caller alone


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raises Problem ``forbidden`` where the token was not made for this."""
    if not caller.has(scope):
        raise _forbidden(f"This token is for {_words(caller)}; this needs the scope '{scope}'.")


def require_account(caller: Caller) -> None:
    """For passwords, e-mail addresses and tokens: a person with an unrestricted token, not a task, not a narrow token."""
    if caller.attempt is not None or caller.apps is not None or Scope.ALL not in caller.scopes:
        raise _forbidden(f"This token is for {_words(caller)}; an account is changed by its user, signed in.")


def require_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise Problem("forbidden", "This is for administrators.", hint="Ask an administrator of this server.")
    require_scope(caller, Scope.ADMIN)


def require_publish(caller: Caller) -> None:
    """Raises ``forbidden`` where the caller may not publish applications."""
    require_scope(caller, Scope.PUBLISH)
    if not caller.publishes:
        raise Problem(
            "forbidden",
            f"User {caller.name} may not publish applications.",
            hint="An administrator grants it: sirdar user set NAME --publish.",
        )


def may_publish(caller: Caller) -> bool:
    """See ``require_publish``."""
    return caller.has(Scope.PUBLISH) and caller.publishes


# ---------------------------------------------------------------- asked of the store


def seen_job(conn: Conn, caller: Caller | None, job_id: str, *, link: str | None = None) -> JobFacts:
    """The facts of a job that the caller may see. Raises ``not_found`` otherwise, and where there is none."""
    job = facts.job_facts(conn, job_id) if job_id.isascii() and job_id.isalnum() else None
    if job is not None and may_see_job(
        caller, job.owner_id, job.shares, app_id=job.app_id, share_hash=job.share_hash, link=link
    ):
        return job
    raise Problem("not_found", f"There is no job {job_id[:80]}.", hint="GET /api/jobs lists your jobs.")


def own_job(conn: Conn, caller: Caller, job_id: str) -> JobFacts:
    """The facts of a job that the caller may act on. Raises ``not_found``, or ``forbidden`` where it is only visible."""
    job = seen_job(conn, caller, job_id)
    if not may_act_on_job(caller, job.owner_id, app_id=job.app_id):
        require_scope(caller, Scope.RUN)
        raise _forbidden(f"Job {job.id} is shared with you to look at; its owner acts on it.")
    return job


def seen_app(conn: Conn, caller: Caller, app_id: str) -> AppFacts:
    """The facts of an application (by id) that the caller may see. Raises ``not_found`` otherwise."""
    app = facts.app_facts(conn, app_id)
    if app is not None and may_view_app(caller, app.owner_id, app.shares, app_id=app.id):
        return app
    raise Problem("not_found", f"There is no application {app_id[:80]}.", hint="GET /api/apps lists what you may see.")


def runnable_app(conn: Conn, caller: Caller, app_id: str) -> AppFacts:
    """The facts of an application that the caller may run. Raises ``not_found``, or ``forbidden`` where only visible."""
    app = seen_app(conn, caller, app_id)
    if not may_run_app(caller, app.owner_id, app.shares, app_id=app.id):
        require_scope(caller, Scope.RUN)
        raise _forbidden("This application is shared with you to look at, not to run.")
    return app


def changeable_app(conn: Conn, caller: Caller, app_id: str) -> AppFacts:
    """The facts of an application that the caller may change. Raises ``not_found``, or ``forbidden``."""
    app = seen_app(conn, caller, app_id)
    if not may_change_app(caller, app.owner_id, app_id=app.id):
        require_publish(caller)
        raise _forbidden("Only its owner changes an application.")
    return app


def _words(caller: Caller) -> str:
    if caller.attempt is not None:
        return f"task {caller.attempt.text}"
    limit = " of some applications only" if caller.apps is not None else ""
    return (", ".join(sorted(caller.scopes)) or "nothing") + limit


def _forbidden(detail: str) -> Problem:
    return Problem("forbidden", detail)
