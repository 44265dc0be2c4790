"""Pages in a real browser: they are drawn in light and dark, narrow and wide, and nothing offends their own policy."""

import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is missing here")
DARK, LIGHT = "0", "1"
PNG_WIDTH = slice(16, 20)


@pytest.fixture
def signed_in(site: Any) -> Iterator[str]:
    """Address of a proxy that adds Anna's cookie: a browser without windows cannot be given one."""
    cookie = f"access_token={site.tokens['anna']}"

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urllib.request.Request(site.url + self.path, headers={"cookie": cookie, "accept": "text/html"})
            try:
                answer = urllib.request.urlopen(asked, timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
            self.send_response(answer.status)
            for name in ("content-type", "content-security-policy", "cache-control"):
                if answer.headers[name]:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def draw(url: str, into: Path, *, width: int = 1280, height: int = 1600, scheme: str = LIGHT) -> str:
    """Writes a picture of the page; returns what the browser complained about."""
    with tempfile.TemporaryDirectory() as home:  # a short path: the browser makes a socket in it
        done = subprocess.run(
            [*command(home, width, height, scheme), f"--screenshot={into}", url],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HOME": home, "TMPDIR": home},
        )
    assert done.returncode == 0, done.stderr
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def command(home: str, width: int, height: int, scheme: str) -> list[str]:
    assert CHROMIUM is not None
    words = "headless no-sandbox disable-gpu disable-dev-shm-usage no-first-run hide-scrollbars disable-extensions"
    words += " disable-background-networking disable-component-update enable-logging=stderr"
    return [
        CHROMIUM,
        *(f"--{word}" for word in words.split()),
        f"--user-data-dir={home}",
        f"--window-size={width},{height}",
        f"--blink-settings=preferredColorScheme={scheme}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]


@pytest.mark.parametrize("kind", ["done", "many"])
def test_a_job_is_drawn(site: Any, signed_in: str, tmp_path: Path, kind: str) -> None:
    light = tmp_path / f"{kind}.png"
    assert draw(f"{signed_in}/jobs/{site.jobs[kind]}", light) == ""
    assert int.from_bytes(light.read_bytes()[PNG_WIDTH], "big") == 1280
    keep(light)


def test_lists_in_light_and_dark_wide_and_narrow(signed_in: str, tmp_path: Path) -> None:
    pictures = []
    for name, width, scheme in (("light", 1280, LIGHT), ("dark", 1280, DARK), ("narrow", 420, LIGHT)):
        picture = tmp_path / f"jobs-{name}.png"
        assert draw(f"{signed_in}/jobs", picture, width=width, height=800, scheme=scheme) == ""
        pictures.append(picture.read_bytes())
        keep(picture)
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("page", ["apps/anna/svf", "account"])
def test_other_pages_are_drawn(signed_in: str, tmp_path: Path, page: str) -> None:
    picture = tmp_path / f"{page.replace('/', '-')}.png"
    assert draw(f"{signed_in}/{page}", picture, height=1000) == ""
    keep(picture)


def test_the_sign_in_page_is_drawn(site: Any, tmp_path: Path) -> None:
    picture = tmp_path / "sign-in.png"
    assert draw(f"{site.url}/login", picture, height=700) == ""
    keep(picture)


def keep(picture: Path) -> None:
    """To be looked at: UI_PICTURES names a directory."""
    if directory := os.environ.get("UI_PICTURES"):
        shutil.copy(picture, directory)
