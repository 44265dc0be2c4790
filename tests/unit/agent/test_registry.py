"""What is asked of a registry, and how: a stand-in speaks its API, with tokens as the large public ones have."""

import base64
import contextlib
import json
import platform
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sirdar.agent.environments.base import EnvironmentFailed
from sirdar.agent.environments.registry import MACHINES, Described, ImageName, NoSuchImage, describe

GOOD = base64.b64encode(b"anna:sesame").decode()
LAYERS = [{"digest": "sha256:" + "1" * 64, "size": 100}, {"digest": "sha256:" + "2" * 64, "size": 50}]
MACHINE = MACHINES.get(platform.machine(), platform.machine())


class Registry(BaseHTTPRequestHandler):
    """``team/tool`` for several machines, behind a token; ``team/busy`` has no time."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = self.headers.get("Authorization", "")
        if url.path == "/token":
            asked = parse_qs(url.query)
            known = given == f"Basic {GOOD}"
            found = {"token": f"for {asked['scope'][0]}"} if known else {}
            self._answer(200 if known else 401, found)
        elif url.path.startswith("/v2/team/busy/"):
            self._answer(503, {})
        elif given != "Bearer for repository:team/tool:pull":
            port = self.server.server_address[1]
            challenge = f'Bearer realm="http://127.0.0.1:{port}/token",service="here",scope="repository:team/tool:pull"'
            self._answer(401, {}, {"WWW-Authenticate": challenge})
        else:
            self._manifest(url.path.rpartition("/")[2])

    def _manifest(self, reference: str) -> None:
        listed = [
            {"digest": f"sha256:{name}", "platform": {"os": "linux", "architecture": name}}
            for name in ("other", MACHINE)
        ]
        found: dict[str, Any] = {
            "1": {"manifests": listed},
            f"sha256:{MACHINE}": {"layers": LAYERS},
            "2": {"manifests": listed[:1]},
        }
        if reference in found:
            self._answer(200, found[reference], {"Docker-Content-Digest": f"sha256:of-{reference}"})
        else:
            self._answer(404, {})

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with contextlib.ExitStack() as stack:
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            yield f"127.0.0.1:{server.server_address[1]}"


def test_a_token_is_fetched_and_the_image_for_this_machine_is_described(registry: str) -> None:
    found = describe(ImageName.parse(f"{registry}/team/tool:1"), GOOD)
    assert found == Described("sha256:of-1", {one["digest"]: one["size"] for one in LAYERS})


def test_what_a_registry_says_no_to(registry: str) -> None:
    with pytest.raises(EnvironmentFailed, match=r"refuses the credentials of this agent") as caught:
        describe(ImageName.parse(f"{registry}/team/tool:1"), base64.b64encode(b"anna:wrong").decode())
    assert not caught.value.transient
    with pytest.raises(EnvironmentFailed, match=r"wants credentials, or has no such image.*auth\.json"):
        describe(ImageName.parse(f"{registry}/team/tool:1"), "")
    with pytest.raises(NoSuchImage, match="has no such image"):
        describe(ImageName.parse(f"{registry}/team/tool:9"), GOOD)
    with pytest.raises(NoSuchImage, match=f"there is none for linux/{MACHINE}"):
        describe(ImageName.parse(f"{registry}/team/tool:2"), GOOD)
    with pytest.raises(EnvironmentFailed, match="answers 503") as caught:
        describe(ImageName.parse(f"{registry}/team/busy:1"), GOOD)
    assert caught.value.transient
