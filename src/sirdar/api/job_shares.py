"""Who else may look at a job."""

from typing import Any

from fastapi import APIRouter

from sirdar.api.deps import CallerDep, ServicesDep
from sirdar.services import jobs as job_service
from sirdar.store import job_shares

router = APIRouter(tags=["jobs"])


@router.get("/api/jobs/{job_id}/share")
async def shares(services: ServicesDep, caller: CallerDep, job_id: str) -> dict[str, Any]:
    """Who else may look at the job."""

    def read(conn: Any) -> Any:
        job = job_service.find_seen(conn, caller, job_id)
        return job, job_shares.shares_of_job(conn, job.id)

    job, subjects = await services.store.read(read)
    return {"subjects": subjects, "link": job.shared_by_link}


@router.put("/api/jobs/{job_id}/share/{subject}")
async def share_with(services: ServicesDep, caller: CallerDep, job_id: str, subject: str) -> dict[str, Any]:
    """Let ``user:NAME`` or ``group:NAME`` look at the job."""
    return {"subjects": await job_service.share_job(services, caller, job_id, subject)}


@router.post("/api/jobs/{job_id}/share/link", status_code=201)
async def share_link(services: ServicesDep, caller: CallerDep, job_id: str) -> dict[str, str]:
    """Make an address under which anybody may look at the job."""
    return {"url": await job_service.share_link(services, caller, job_id)}


@router.delete("/api/jobs/{job_id}/share/link")
async def revoke_link(services: ServicesDep, caller: CallerDep, job_id: str) -> dict[str, bool]:
    """Make the address stop working."""
    await job_service.revoke_link(services, caller, job_id)
    return {"link": False}


@router.delete("/api/jobs/{job_id}/share/{subject}")
async def unshare(services: ServicesDep, caller: CallerDep, job_id: str, subject: str) -> dict[str, Any]:
    """Take a share back."""
    return {"subjects": await job_service.unshare_job(services, caller, job_id, subject)}
