"""What is said when a job ends, and when a notice is tried again."""

import pytest

from sirdar.domain.app import FileRef
from sirdar.domain.outcome import Outcome, Reason
from sirdar.domain.problems import Problem
from sirdar.domain.states import State
from sirdar.services.notify.letters import JobEnd, letter, payload
from sirdar.services.notify.mail import check_address, compose
from sirdar.services.notify.schedule import DELAYS_S, GaveUp, Retry, failed, retry_delay_s
from sirdar.services.notify.webhook import sign, verify

NOON = 1_795_176_000.0  # 2026-11-20 12:00 UTC
URL = "https://sirdar.example/jobs/abc"


def end(**changes: object) -> JobEnd:
    facts = {
        "job_id": "abc",
        "app": "anna/sumsq",
        "app_version": 3,
        "state": State.DONE,
        "url": URL,
        "submitted_at": NOON,
        "started_at": NOON + 5,
        "ended_at": NOON + 95,
        "outcome": Outcome(Reason.OK, "", 0),
        **changes,
    }
    return JobEnd(**facts)  # type: ignore[arg-type]


def test_the_letter_of_a_job_that_went_well() -> None:
    plot = FileRef("plot.png", "0" * 64, 2048).to_json()
    got = letter(end(result={"total": 42, "plot": plot, "parts": [plot] * 7}, code_version="main 3c1f9e2, 2026-11-20"))
    assert got.subject == "anna/sumsq is done"
    assert got.short == f"anna/sumsq is done in 1 min 30 s: total = 42 {URL}"
    assert got.text.splitlines() == [
        "anna/sumsq is done.",
        "",
        "Application: anna/sumsq version 3 (main 3c1f9e2, 2026-11-20)",
        "Submitted:   2026-11-20 12:00:00 UTC",
        "Started:     2026-11-20 12:00:05 UTC, after 5 s",
        "Ended:       2026-11-20 12:01:35 UTC, after 1 min 30 s",
        "",
        "Outputs:",
        "  total: 42",
        "  plot: plot.png (2 KiB)",
        "  parts: " + ", ".join(["plot.png (2 KiB)"] * 5) + " and 2 more",
        "",
        URL,
    ]


def test_the_letter_of_a_failure_says_why() -> None:
    outcome = Outcome(Reason.EXIT_CODE, "ValueError: column 'x' is missing", 2)
    got = letter(end(state=State.FAILED, outcome=outcome, job_name="Tuesday's run"))
    assert got.subject == "Tuesday's run has failed"
    assert "The job 'Tuesday's run' of anna/sumsq has failed." in got.text
    assert "ValueError: column 'x' is missing" in got.text
    assert "ended by itself with an exit code that is not 0" in got.text
    assert "Exit code: 2" in got.text
    assert got.short == f"Tuesday's run has failed: ValueError: column 'x' is missing {URL}"


def test_the_letter_of_many_tasks_counts_them_and_of_one_that_never_started_says_so() -> None:
    got = letter(
        end(state=State.CANCELLED, outcome=None, started_at=None, tasks={"DONE": 7, "CANCELLED": 3, "FAILED": 0})
    )
    assert got.subject == "anna/sumsq was cancelled"
    assert "Tasks: 7 DONE, 3 CANCELLED" in got.text
    assert "without having started" in got.text


def test_long_values_and_many_outputs_are_cut() -> None:
    got = letter(end(result={f"o{n}": "x" * 5000 for n in range(30)}))
    assert "and 10 more" in got.text
    assert len(got.text) < 6000
    assert len(got.short) <= 161 + len(URL)


def test_the_webhooks_json() -> None:
    got = payload(end(result={"total": 1.5, "plot": FileRef("p.png", "0" * 64, 9).to_json()}))
    assert got["state"] == "DONE"
    assert got["ended"] == "2026-11-20T12:01:35.000Z"
    assert got["result"] == {"total": 1.5, "plot": {"name": "p.png", "size": 9}}
    assert (got["reason"], got["exitCode"], got["tasks"], got["codeVersion"]) == ("ok", 0, None, None)


def test_the_retry_schedule_grows_is_jittered_and_ends() -> None:
    assert [retry_delay_s(n, lambda: 0.5) for n in range(1, 8)] == list(DELAYS_S)
    assert retry_delay_s(1, lambda: 0.0) == pytest.approx(8)
    assert retry_delay_s(1, lambda: 1.0) == pytest.approx(12)
    assert retry_delay_s(8, lambda: 0.5) is None
    with pytest.raises(ValueError, match="nothing to retry"):
        retry_delay_s(0, lambda: 0.5)
    assert failed("No.", tries=0, draw=lambda: 0.5, asked_s=100) == Retry(100, "No.")
    assert failed("No.", tries=0, draw=lambda: 0.5, asked_s=10**9) == Retry(86400, "No.")
    assert failed("No.", tries=7, draw=lambda: 0.5) == GaveUp("No. It was tried 8 times.")


def test_a_signature_holds_for_this_secret_body_and_time_only() -> None:
    header = sign("secret", b"body", at=NOON)
    assert verify("secret", header, b"body", now=NOON + 299)
    assert verify("secret", header + ",v1=00,v2=x", b"body", now=NOON)
    for secret, head, body, now in [
        ("other", header, b"body", NOON),
        ("secret", header, b"Body", NOON),
        ("secret", header, b"body", NOON + 301),
        ("secret", header.replace("t=", "t=1"), b"body", NOON),
        ("secret", header + ",t=5", b"body", NOON),
        ("secret", "v1=00", b"body", NOON),
        ("secret", f"t={int(NOON)},v1=é", b"body", NOON),
        ("secret", "", b"body", NOON),
    ]:
        assert not verify(secret, head, body, now=now)


@pytest.mark.parametrize("text", ["anna@lab.example", " a.b+c@x.org ", "o'neil@лаборатория.рф", "root@localhost"])
def test_addresses_that_are_taken(text: str) -> None:
    assert check_address(text).isascii()


@pytest.mark.parametrize(
    "text",
    ["", "anna", "@x.org", "a@", "a b@x.org", "a@x.org\r\nBcc: b@x.org", "a\n@x.org", "a@x.org, b@x.org", "<a@x.org>",
     '"a b"@x.org', "a@b@x.org", "a..b@x.org", ".a@x.org", "a@-x.org", "a@x..org", "ы@x.org", "a" * 65 + "@x.org"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(Problem) as caught:
        check_address(text)
    assert caught.value.code == "invalid_field"


def test_no_header_can_be_slipped_into_a_letter() -> None:
    subject = "Done\r\nBcc: evil@x.org\u2028X: y"
    message = compose("sirdar@lab.example", "a@x.org", subject, "text", delivery_id="n\r\n1>", now=NOON)
    raw = message.as_bytes().decode()
    head = raw.split("\r\n\r\n")[0]
    assert sorted(line.partition(":")[0] for line in head.splitlines() if not line.startswith(" ")) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
         "MIME-Version"]
    )  # fmt: skip
    assert message["Message-ID"] == "<n--1-@lab.example>"
