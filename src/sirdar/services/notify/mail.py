"""Letters through the institute's SMTP server, one at a time, and what its answers mean."""

import asyncio
import random
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import cast

import aiosmtplib
import anyio

from sirdar.domain.problems import Problem
from sirdar.services.notify.schedule import Delivered, Delivery, GaveUp, failed

TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 1.0
MAX_SUBJECT = 200

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The SMTP server. ``tls``: ``tls`` from the first byte, ``starttls``, ``none``, or ``auto``: STARTTLS where it is offered.

    With ``auto`` and without a user the certificate is not verified, for a local mail server seldom has one that could be.
    """

    host: str
    sender: str
    port: int = 25
    tls: str = "auto"
    user: str = ""
    password: str = ""
    tls_context: ssl.SSLContext | None = None  # None: the usual certificate authorities
    timeout_s: float = TIMEOUT_S


async def send(
    settings: MailSettings,
    *,
    to: str,
    subject: str,
    text: str,
    delivery_id: str,
    tries: int,
    now: float,
    draw: Callable[[], float] = random.random,
) -> Delivery:
    """Sends a letter once. Never raises for what the mail server does.

    ``tries``: attempts made before this one. The Message-ID comes from ``delivery_id``: a letter that was taken though its
    answer got lost is seen as one by most readers.
    """
    try:
        message = compose(settings.sender, to, subject, text, delivery_id=delivery_id, now=now)
    except Problem as problem:
        return GaveUp(problem.detail)
    try:
        with anyio.fail_after(settings.timeout_s):
            return Delivered(await _transmit(settings, message))
    except aiosmtplib.SMTPRecipientsRefused as error:
        refusal = error.recipients[0]
        return _judged("The mail server refuses the recipient", refusal.code, refusal.message, tries, draw=draw)
    except aiosmtplib.SMTPAuthenticationError as error:
        # The administrator will have to set it right; the letter waits for that.
        return failed(f"The mail server does not accept the server's sign-in ({error.code}).", tries=tries, draw=draw)
    except aiosmtplib.SMTPResponseException as error:
        return _judged("The mail server refuses the letter", error.code, error.message, tries, draw=draw)
    except TimeoutError:
        return failed(f"The mail server did not answer within {settings.timeout_s:g} s.", tries=tries, draw=draw)
    except (aiosmtplib.SMTPException, OSError) as error:
        return failed(f"The mail server could not be reached: {_one_line(str(error))}.", tries=tries, draw=draw)


def compose(sender: str, to: str, subject: str, text: str, *, delivery_id: str, now: float) -> EmailMessage:
    """The message. Problem ``invalid_field`` for an address that is none."""
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = _header(sender, name="Sirdar")
    message["To"] = _header(to)
    message["Subject"] = _one_line(subject)[:MAX_SUBJECT]
    message["Date"] = datetime.fromtimestamp(now, UTC)
    message["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9.-]', '-', delivery_id)}@{check_address(sender).partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def check_address(text: str) -> str:
    """One e-mail address as SMTP takes it, its domain in ASCII. Problem ``invalid_field`` for anything else."""
    local, at, domain = text.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise Problem(
            "invalid_field",
            f"{_one_line(text)[:100]!r} is not an e-mail address.",
            field="email",
            expected="an address such as anna@lab.example",
        )
    return f"{local}@{domain}"


async def _transmit(settings: MailSettings, message: EmailMessage) -> str:
    if settings.tls not in {"auto", "starttls", "tls", "none"}:
        raise ValueError(f"tls must be auto, starttls, tls or none, not {settings.tls!r}")
    own_domain = check_address(settings.sender).partition("@")[2]
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        timeout=settings.timeout_s,
        use_tls=settings.tls == "tls",
        start_tls={"auto": None, "starttls": True}.get(settings.tls, False),
        validate_certs=settings.tls_context is None and not (settings.tls == "auto" and not settings.user),
        tls_context=settings.tls_context,
        local_hostname=own_domain,  # else the library asks the name service for this machine's
    )
    try:
        await client.connect()
        if settings.user:
            if settings.tls != "none" and client.get_transport_info("sslcontext") is None:
                raise aiosmtplib.SMTPException("it offers no encryption, and the password is not sent in clear")
            await client.login(settings.user, settings.password)
        _, answer = await client.send_message(message)
    finally:
        await _leave(client)
    return _one_line(answer)[:200]


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Takes leave, and goes whatever the server says: a letter that it has taken must not be sent again for that."""
    transport = client.transport  # the client forgets it when it closes
    with anyio.move_on_after(LEAVE_TIMEOUT_S, shield=True):
        try:
            if client.is_connected:
                await client.quit()
        except (aiosmtplib.SMTPException, OSError):
            pass
    client.close()
    if transport is not None:
        cast(asyncio.WriteTransport, transport).abort()  # a transport of TLS would wait for the other side's farewell


def _judged(what: str, code: int, said: str, tries: int, *, draw: Callable[[], float]) -> Delivery:
    """SMTP's own rule: 4xx is for now, 5xx for ever."""
    reason = f"{what} ({code} {_one_line(said)[:200]})."
    return GaveUp(reason) if code >= 500 else failed(reason, tries=tries, draw=draw)


def _header(address: str, name: str = "") -> Address:
    local, _, domain = check_address(address).rpartition("@")
    return Address(name, local, domain)


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()
