"""Calls that last look again at who made them: a token is revoked, a user shut out, a share taken away. And so many at most."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from tests.system.product import PASSWORD, Product, problem

MOST = 3
SOON_S = 20.0  # far beyond two looks, far below the job's life


@pytest.fixture(scope="module")
def quick(module_sirdar: Callable[..., Product]) -> Product:
    """A server that looks at watchers often, and lets each user have three streams."""
    product = module_sirdar(stream_look_s=0.2, user_streams=MOST)
    product.publish("nap", "sleep 600")
    return product


@pytest.fixture
def job(quick: Product) -> Iterator[str]:
    """A job of Anna's that does not end by itself: she has no machine."""
    anna = quick.user("anna", canPublish=True)
    assert quick.admin.put("/api/apps/admin/nap/share/everyone", json={"permission": "run"}).status_code < 300
    job_id = str(quick.submit("admin/nap", who=anna)["id"])
    yield job_id
    quick.admin.post(f"/api/jobs/{job_id}/cancel")
    quick.ended(job_id)


class Watch:
    """A stream that a thread reads, so that a test can wait for its end."""

    def __init__(self, client: httpx.Client, address: str) -> None:
        self._told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stack = ExitStack()
        self.reply = self._stack.enter_context(client.stream("GET", address, timeout=60))
        assert self.reply.status_code == 200, self.reply.read()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self.reply.iter_lines():
                self._told.put(line)
        except httpx.HTTPError:
            pass
        finally:
            self._told.put(None)

    def speaks(self) -> None:
        """Waits until it has said, again, that it is still there."""
        while (line := self._told.get(timeout=SOON_S)) is None or "still here" not in line:
            assert line is not None, "the stream has ended"

    def ends(self) -> list[str]:
        """What it still said before its end."""
        said, deadline = [], time.monotonic() + SOON_S
        while (line := self._told.get(timeout=max(0.01, deadline - time.monotonic()))) is not None:
            said.append(line)
        return said

    def close(self) -> None:
        for part in (self.reply.extensions.get("network_stream"),):
            if part is not None and (line := part.get_extra_info("socket")) is not None:
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._stack.close()


@contextmanager
def watching(client: httpx.Client, *addresses: str) -> Iterator[list[Watch]]:
    with ExitStack() as stack:
        watches = []
        for address in addresses:
            watches.append(Watch(client, address))
            stack.callback(watches[-1].close)
        yield watches


def streams_of(job: str) -> tuple[str, ...]:
    """The API's, with and without a log; and a page's."""
    return f"/api/jobs/{job}/events", f"/api/jobs/{job}/events?log=stdout,stderr", f"/jobs/{job}/live"


@contextmanager
def as_browser(quick: Product, token: str) -> Iterator[httpx.Client]:
    """Pages know the cookie, and the API too."""
    with quick.client(cookies={"access_token": token}) as client:
        yield client


def test_streams_end_when_their_token_is_revoked(quick: Product, job: str) -> None:
    made = quick.signed_in("anna").post("/api/tokens", json={"label": "watches", "scopes": ["read"]}).json()
    token, used = made["access_token"], made["id"]
    with as_browser(quick, token) as client, watching(client, *streams_of(job)) as watches:
        for watch in watches:
            watch.speaks()
            watch.speaks()
        assert quick.signed_in("anna").delete(f"/api/tokens/{used}").status_code < 300
        for watch in watches:
            assert not [line for line in watch.ends() if line.startswith("event: end")], "the job has not ended"
        problem(client.get(f"/api/jobs/{job}"), 401, "token_expired")


@pytest.mark.parametrize("page", ["log/live", "live"])
def test_a_page_s_streams_end_when_the_session_is_signed_out(quick: Product, job: str, page: str) -> None:
    with (
        as_browser(quick, quick.token("anna", PASSWORD)) as client,
        watching(client, f"/jobs/{job}/{page}") as (watch,),
    ):
        watch.speaks()
        assert client.delete("/api/auth/access_token").status_code < 300
        watch.ends()


def test_streams_end_when_their_user_is_disabled(quick: Product, job: str) -> None:
    quick.user("boris")
    assert quick.signed_in("anna").put(f"/api/jobs/{job}/share/user:boris").status_code < 300
    with as_browser(quick, quick.token("boris", PASSWORD)) as client, watching(client, *streams_of(job)) as watches:
        for watch in watches:
            watch.speaks()
        assert quick.admin.patch("/api/users/boris", json={"disabled": True}).status_code < 300
        for watch in watches:
            watch.ends()


def test_streams_end_when_the_share_is_taken_away(quick: Product, job: str) -> None:
    anna = quick.signed_in("anna")
    carol = quick.user("carol")
    assert anna.put(f"/api/jobs/{job}/share/user:carol").status_code < 300
    link = anna.post(f"/api/jobs/{job}/share/link").json()["url"].partition("share=")[2]
    events, _, page = streams_of(job)
    with (
        watching(carol, events) as (hers,),
        quick.client() as nobody,
        watching(
            nobody, f"{events}?share={link}", f"{page}?share={link}", f"/jobs/{job}/log/live?share={link}"
        ) as linked,
    ):
        for watch in (hers, *linked):
            watch.speaks()
        assert anna.delete(f"/api/jobs/{job}/share/user:carol").status_code < 300
        hers.ends()
        problem(carol.get(events), 404, "not_found")
        for watch in linked:
            watch.speaks()
        assert anna.delete(f"/api/jobs/{job}/share/link").status_code < 300
        for watch in linked:
            watch.ends()


def test_held_calls_end_too(quick: Product, job: str) -> None:
    quick.user("dorje")
    assert quick.signed_in("anna").put(f"/api/jobs/{job}/share/user:dorje").status_code < 300
    replies: queue.SimpleQueue[tuple[str, httpx.Response]] = queue.SimpleQueue()
    with quick.client(quick.token("dorje", PASSWORD)) as client, quick.client(quick.token("dorje", PASSWORD)) as other:

        def hold(what: str, method: str, address: str, **more: Any) -> None:
            replies.put((what, client.request(method, address, timeout=120, **more)))

        calls = [
            threading.Thread(target=hold, args=("seen", "GET", f"/api/jobs/{job}?wait=100")),
            threading.Thread(target=hold, args=("made", "POST", "/api/apps/admin/nap?wait=100"), kwargs={"json": {}}),
        ]
        for call in calls:
            call.start()
        deadline = time.monotonic() + SOON_S
        while not (made := other.get("/api/jobs?owner=dorje").json()):
            assert time.monotonic() < deadline
        assert quick.admin.patch("/api/users/dorje", json={"disabled": True}).status_code < 300
        answered = dict(replies.get(timeout=SOON_S) for _ in calls)
        for call in calls:
            call.join()
    problem(answered["seen"], 401, "token_expired")
    assert answered["made"].status_code == 201, "the job was made, and whoever made it is told so"
    assert answered["made"].json()["id"] == made[0]["id"]
    quick.admin.post(f"/api/jobs/{made[0]['id']}/cancel")
    quick.ended(made[0]["id"])


def test_a_user_has_so_many_streams_and_a_closed_one_is_free_again(quick: Product, job: str) -> None:
    anna = quick.signed_in("anna")
    with ExitStack() as stack:
        open_ones = [stack.enter_context(watching(anna, address))[0] for address in streams_of(job)[:2]]
        with as_browser(quick, quick.token("anna", PASSWORD)) as browser:
            with watching(browser, f"/jobs/{job}/live") as (page,):
                page.speaks()
                refused = anna.get(f"/api/jobs/{job}/events")
                problem(refused, 429, "too_many_streams")
                told = refused.json()
                assert f"{MOST} event streams" in told["detail"]
                assert told["try"].startswith("Close")
                assert int(refused.headers["retry-after"]) > 0
                assert quick.admin.get(told["type"], headers={"accept": "text/html"}).status_code == 200
                problem(browser.get(f"/jobs/{job}/live"), 429, "too_many_streams")
                problem(browser.get("/jobs/live"), 429, "too_many_streams")
                assert browser.get(f"/jobs/{job}").status_code == 200, "pages load"
                admins = quick.signed_in("admin", PASSWORD)
                with watching(admins, f"/api/jobs/{job}/events") as (theirs,):
                    theirs.speaks()
            # The page was closed; as soon as the server has noticed, its place is free.
            deadline = time.monotonic() + SOON_S
            while True:
                with browser.stream("GET", f"/jobs/{job}/live") as again:
                    if again.status_code == 200:
                        break
                assert time.monotonic() < deadline
        for one in open_ones:
            one.speaks()
