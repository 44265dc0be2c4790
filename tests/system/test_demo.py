"""``make demo`` without a terminal: examples end DONE, results and the address are shown, nothing is left behind."""

import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
import samples
from own_server import BIN

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def demo(*words: str) -> list[str | Path]:
    return [BIN / "python", ROOT / "scripts" / "demo", *words]


def test_without_a_terminal_it_ends_by_itself(session_temp: Path) -> None:
    before = set(session_temp.iterdir())
    done = subprocess.run(demo(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in samples.names():
        if not samples.load(name).why_not():
            assert re.search(rf"^{name} +DONE ", done.stdout, re.M), done.stdout
    assert "fastest = glucose" in done.stdout
    assert re.search(r"^Web address: http://127\.0\.0\.1:\d+", done.stdout, re.M)
    assert set(session_temp.iterdir()) == before


def test_on_a_terminal_it_stays_and_answers_until_ctrl_c(session_temp: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        demo("--only", "logs"), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        said = ""
        while "until you press Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        check_page(said)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said + rest
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        os.close(theirs)
    assert list(session_temp.iterdir()) == []


def check_page(said: str) -> None:
    """The page of the job that was shown is served, and asks a stranger to sign in."""
    found = re.search(r"^logs +DONE .*(http://\S+/jobs/\S+)", said, re.M)
    assert found, said
    page = httpx.get(found[1], follow_redirects=True)
    assert page.status_code in {200, 401}
    assert "Sirdar" in page.text
