"""Sending one notice of a job's end, by whatever way it asks for."""

from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.states import State
from sirdar.services.context import Services
from sirdar.services.notify import mail, webhook
from sirdar.services.notify.letters import JobEnd, letter, payload
from sirdar.services.notify.schedule import Delivery, GaveUp
from sirdar.services.outbound.addresses import AddressPolicy
from sirdar.services.settings import Settings
from sirdar.store import job_views, task_views
from sirdar.store.notices import Notice
from sirdar.store.people import Conn


async def send_notice(services: Services, notice: Notice) -> Delivery:
    """Never raises for what the other side does."""
    end = await services.store.read(lambda conn: _end(conn, services.settings, notice.job_id))
    if end is None:
        return GaveUp("The job was deleted.")
    now = services.store.clock()
    if "webhook" in notice.target:
        sealed = notice.target.get("secret")
        return await webhook.deliver(
            notice.target["webhook"],
            payload(end),
            secret=services.keys.unseal(sealed) if sealed else None,
            delivery_id=notice.id,
            tries=notice.tries,
            now=now,
            policy=AddressPolicy.from_lines(services.settings.fetch_allow),
        )
    if not services.settings.smtp_host:
        return GaveUp("The server has no SMTP host: set SIRDAR_SMTP_HOST.")
    text = letter(end)
    return await mail.send(
        mail_settings(services.settings),
        to=notice.target["email"],
        subject=text.subject,
        text=text.text,
        delivery_id=notice.id,
        tries=notice.tries,
        now=now,
    )


def mail_settings(settings: Settings) -> mail.MailSettings:
    return mail.MailSettings(
        host=settings.smtp_host,
        sender=settings.mail_from,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password,
    )


def _end(conn: Conn, settings: Settings, job_id: str) -> JobEnd | None:
    job = job_views.find_job(conn, job_id)
    if job is None or job.ended_at is None:
        return None
    task = task_views.find_task(conn, job, 0) if not job.many else None
    return JobEnd(
        job_id=job.id,
        app=f"{job.app_owner}/{job.app_alias}",
        app_version=job.version,
        state=State(job.state),
        url=f"{settings.url}/jobs/{job.id}",
        submitted_at=job.created_at,
        ended_at=job.ended_at,
        outcome=Outcome(Reason(job.reason or "ok"), job.message or "", job.exit_code),
        started_at=job.started_at,
        job_name=job.name,
        code_version=job.code_version,
        owner=job.owner,
        result=task.result if task else {},
        tasks={"DONE": job.done, "FAILED": job.failed, "CANCELLED": job.cancelled} if job.many else {},
    )
