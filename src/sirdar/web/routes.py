"""All pages: ``router`` to be included, ``install`` for what stands around them."""

from fastapi import APIRouter, FastAPI

from sirdar.web import (
    account,
    account_notices,
    account_tokens,
    admin_audit,
    admin_groups,
    admin_page,
    admin_server,
    admin_users,
    app_secrets,
    app_sharing,
    app_versions,
    apps,
    assets,
    error_pages,
    job_bulk,
    job_list,
    job_log,
    job_many,
    job_previews,
    job_share,
    jobs,
    live,
    preferences,
    publish,
    resources,
    run_form,
    sign_in,
    sign_in_elsewhere,
)
from sirdar.web.guard import CrossSiteGuard
from sirdar.web.pages import install_not_found

router = APIRouter()
administration = (admin_page, admin_server, admin_users, admin_groups, admin_audit)
people = (preferences, sign_in, sign_in_elsewhere, account, account_tokens, account_notices)
of_jobs = (live, job_bulk, job_list, job_many, jobs, job_log, job_previews, job_share)
applications = (run_form, publish, apps, app_versions, app_sharing, app_secrets)
for part in (assets, *people, *of_jobs, *applications, resources, *administration, error_pages):
    router.include_router(part.router)
router.include_router(sign_in.link_router)  # its addresses take any word


def install(app: FastAPI) -> None:
    """Refuse what other sites send with a browser's cookie, and show missing addresses as a page.

    Called after ``api.errors.install``; ``app.state.services`` must be there when the first request comes.
    """
    app.add_middleware(CrossSiteGuard)
    install_not_found(app)
