"""Webhooks and letters over real sockets: a web server and a small SMTP server of the tests' own."""

import asyncio
import base64
import email
import email.policy
import gc
import json
import socket
import socketserver
import ssl
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sirdar.services.notify.mail import MailSettings, send
from sirdar.services.notify.schedule import Delivered, Delivery, GaveUp, Retry
from sirdar.services.notify.webhook import deliver, verify
from sirdar.services.outbound.addresses import AddressPolicy

NOW = 1_795_176_000.0


# ---------------------------------------------------------------- webhooks


def hook(url: str, policy: AddressPolicy, **changes: Any) -> Delivery:
    settings = {"secret": "s3cret", "delivery_id": "n1", "tries": 0, "now": NOW, "draw": lambda: 0.5, **changes}
    return asyncio.run(deliver(url, {"state": "DONE", "name": "счёт"}, policy=policy, **settings))


def test_a_notice_is_posted_and_signed(web: Any, loopback: AddressPolicy) -> None:
    bodies: list[bytes] = []

    def take(x: Any) -> None:
        bodies.append(x.body())
        x.reply(204)

    web.routes["/hook"] = take
    assert hook(web.url("/hook"), loopback) == Delivered("204 No Content")
    seen = web.seen[0]
    assert (seen.method, seen.headers["Content-Type"]) == ("POST", "application/json")
    assert (seen.headers["Sirdar-Event"], seen.headers["Sirdar-Delivery"]) == ("job.ended", "n1")
    assert json.loads(bodies[0]) == {"state": "DONE", "name": "счёт"}
    assert verify("s3cret", seen.headers["Sirdar-Signature"], bodies[0], now=NOW)
    hook(web.url("/hook"), loopback, secret=None)
    assert "Sirdar-Signature" not in web.seen[1].headers


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, Retry(10.0, "The webhook answered 500 Internal Server Error.")),
        (599, {}, Retry(10.0, "The webhook answered 599.")),
        (429, {"retry_after": "77"}, Retry(77.0, "The webhook answered 429 Too Many Requests.")),
        (404, {}, GaveUp("The webhook answered 404 Not Found.")),
        (410, {}, GaveUp("The webhook answered 410 Gone.")),
    ],
)
def test_what_answers_mean(web: Any, loopback: AddressPolicy, status: int, headers: Any, expected: Delivery) -> None:
    web.routes["/"] = lambda x: x.reply(status, **headers)
    assert hook(web.url("/"), loopback) == expected
    assert len(web.seen) == 1


def test_a_redirect_is_not_followed(web: Any, other_web: Any, loopback: AddressPolicy) -> None:
    web.routes["/"] = lambda x: x.reply(307, location=other_web.url("/"))
    got = hook(web.url("/"), loopback)
    assert isinstance(got, GaveUp)
    assert "redirect" in got.reason
    assert other_web.seen == []


def test_addresses_that_are_not_allowed_are_given_up(web: Any, loopback: AddressPolicy) -> None:
    for url in (web.url("/"), "http://10.0.0.1/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "", "http://[::1"):
        assert isinstance(hook(url, AddressPolicy()), GaveUp)
    assert web.seen == []


def test_silence_and_refused_connections_are_tried_again_until_the_schedule_ends(
    web: Any, loopback: AddressPolicy
) -> None:
    web.routes["/"] = lambda x: x.wait_for_stop(10)
    got = hook(web.url("/"), loopback, timeout_s=0.2)
    assert got == Retry(10.0, "The webhook did not answer within 0.2 s.")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert isinstance(hook(f"http://127.0.0.1:{port}/", loopback, tries=2), Retry)
    assert isinstance(hook(f"http://127.0.0.1:{port}/", loopback, tries=7), GaveUp)


def test_an_endless_answer_is_not_read(web: Any, loopback: AddressPolicy, lies: Any) -> None:
    web.routes["/"] = lies.endless
    assert isinstance(hook(web.url("/"), loopback), Delivered)


# ---------------------------------------------------------------- letters


@dataclass
class Smtp:
    """An SMTP server: ``answers`` replaces its reply to a command (empty: none), ``letters`` are what it took."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    password: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    letters: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    lingers: threading.Event | None = None  # it hangs up only when this is set


class _Session(socketserver.StreamRequestHandler):
    server: "_SmtpServer"

    def handle(self) -> None:
        self.sender, self.recipients = "", list[str]()
        self.say("220 test")
        try:
            while line := self.rfile.readline().decode().strip():
                if not self.answer(line):
                    break
        except (ConnectionError, ssl.SSLError):
            pass

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def answer(self, line: str) -> bool:
        smtp, verb = self.server.smtp, line.split(maxsplit=1)[0].upper()
        smtp.commands.append(verb)
        secure = isinstance(self.connection, ssl.SSLSocket)
        if verb in smtp.answers:
            if smtp.answers[verb]:
                self.say(smtp.answers[verb])
        elif verb == "EHLO":
            offers = ["STARTTLS"] if smtp.tls and not secure else []
            offers += ["AUTH PLAIN"] if smtp.password else []
            self.say("\r\n".join(f"250-{offer}" for offer in ["test", *offers]) + "\r\n250 8BITMIME")
        elif verb == "STARTTLS" and smtp.tls:
            self.say("220 go")
            self.connection = smtp.tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        elif verb == "AUTH":
            right = base64.b64decode(line.split()[2]).decode() == f"\0sirdar\0{smtp.password}"
            self.say("235 ok" if right else "535 wrong")
        elif verb == "MAIL":
            self.sender = line
            self.say("250 ok")
        elif verb == "RCPT":
            self.recipients.append(line)
            self.say("250 ok")
        elif verb == "DATA":
            self.say("354 go")
            body = b""
            while (part := self.rfile.readline()) not in {b".\r\n", b""}:
                body += part.removeprefix(b".") if part.startswith(b"..") else part
            smtp.letters.append((self.sender, self.recipients, body))
            self.say("250 queued as 1")
        elif verb == "QUIT":
            self.say("221 bye")
            return False
        else:
            self.say("250 ok")
        return True

    def finish(self) -> None:
        if self.server.smtp.lingers:
            self.server.smtp.lingers.wait(30)
        try:
            super().finish()
        finally:
            self.connection.close()


class _SmtpServer(socketserver.ThreadingTCPServer):
    daemon_threads = False
    smtp: Smtp


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    server = _SmtpServer(("127.0.0.1", 0), _Session)
    server.smtp = Smtp(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.smtp
    server.shutdown()
    server.server_close()
    thread.join()


def post(smtp: Smtp, to: str = "anna@lab.example", **changes: Any) -> Delivery:
    settings = {"host": "127.0.0.1", "port": smtp.port, "sender": "sirdar@lab.example", "timeout_s": 5.0, **changes}
    letter = {"subject": "Счёт is done", "text": "Всё.\n.\nEnd.\n", "delivery_id": "n1", "tries": 0, "now": NOW}
    return asyncio.run(send(MailSettings(**settings), to=to, draw=lambda: 0.5, **letter))


def test_a_letter_arrives(smtp: Smtp) -> None:
    assert post(smtp) == Delivered("queued as 1")
    sender, recipients, body = smtp.letters[0]
    assert "<sirdar@lab.example>" in sender
    assert recipients == ["RCPT TO:<anna@lab.example>"]
    message = email.message_from_bytes(body, policy=email.policy.default)
    assert (message["Subject"], message["To"]) == ("Счёт is done", "anna@lab.example")
    assert message["From"] == "Sirdar <sirdar@lab.example>"
    assert message["Message-ID"] == "<n1@lab.example>"
    assert message["Date"] == "Fri, 20 Nov 2026 12:00:00 +0000"
    assert message.get_content().splitlines() == ["Всё.", ".", "End."]  # type: ignore[attr-defined]


def test_the_password_goes_over_tls_only(smtp: Smtp, certificates: Any) -> None:
    smtp.password = "pw"
    got = post(smtp, user="sirdar", password="pw")
    assert isinstance(got, Retry)
    assert "not sent in clear" in got.reason
    assert "AUTH" not in smtp.commands
    smtp.tls = certificates.server
    trusting = ssl.create_default_context(cafile=str(certificates.authority))
    trusting.check_hostname = False  # the certificate is for another name than 127.0.0.1
    assert isinstance(post(smtp, user="sirdar", password="pw", tls="starttls", tls_context=trusting), Delivered)
    assert isinstance(post(smtp, user="sirdar", password="pw", tls="auto", tls_context=trusting), Delivered)
    wrong = post(smtp, user="sirdar", password="no", tls="starttls", tls_context=trusting)
    assert isinstance(wrong, Retry)
    assert "sign-in" in wrong.reason
    assert isinstance(post(smtp, user="sirdar", password="pw"), Retry), "a certificate that nobody vouches for"


def test_a_local_server_with_a_certificate_of_its_own_making_serves_without_a_password(
    smtp: Smtp, certificates: Any
) -> None:
    smtp.tls = certificates.server
    assert isinstance(post(smtp), Delivered)
    assert "STARTTLS" in smtp.commands
    assert isinstance(post(smtp, tls="starttls"), Retry)
    smtp.commands.clear()
    assert isinstance(post(smtp, tls="none"), Delivered)
    assert "STARTTLS" not in smtp.commands


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"RCPT": "550 no such user"}, GaveUp("The mail server refuses the recipient (550 no such user).")),
        ({"RCPT": "451 greylisted"}, Retry(10.0, "The mail server refuses the recipient (451 greylisted).")),
        ({"MAIL": "552 too big"}, GaveUp("The mail server refuses the letter (552 too big).")),
        ({"DATA": "421 going down"}, Retry(10.0, "The mail server refuses the letter (421 going down).")),
    ],
)
def test_what_the_mail_servers_answers_mean(smtp: Smtp, answers: dict[str, str], expected: Delivery) -> None:
    smtp.answers = answers
    assert post(smtp) == expected
    assert smtp.letters == []


def test_a_letter_that_was_taken_counts_though_the_server_never_says_goodbye(smtp: Smtp) -> None:
    smtp.answers = {"QUIT": ""}
    assert isinstance(post(smtp), Delivered)


def test_a_mail_server_that_does_not_hang_up_is_left_behind(smtp: Smtp, certificates: Any) -> None:
    smtp.tls = certificates.server
    smtp.lingers = threading.Event()
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert isinstance(post(smtp), Delivered)
            gc.collect()
        assert not [w for w in seen if issubclass(w.category, ResourceWarning)], [str(w.message) for w in seen]
    finally:
        smtp.lingers.set()


def test_a_mail_server_that_is_away_or_silent_is_tried_again(smtp: Smtp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = Smtp(silent.getsockname()[1])
        assert post(away, timeout_s=0.2) == Retry(10.0, "The mail server did not answer within 0.2 s.")
    got = post(away)
    assert isinstance(got, Retry)
    assert "could not be reached" in got.reason


@pytest.mark.parametrize("to", ["nobody", "a@x.org\r\nRCPT TO:<b@x.org>", "a@x.org\nBcc: b@x.org", "a@x.org>,<b@x.org"])
def test_an_address_that_is_none_is_given_up_before_anything_is_sent(smtp: Smtp, to: str) -> None:
    assert isinstance(post(smtp, to=to), GaveUp)
    assert smtp.commands == []
