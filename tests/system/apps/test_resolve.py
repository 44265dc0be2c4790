"""What a submission resolves: cheap, and true at once."""

import asyncio
import hashlib
import time
from typing import Any

from sirdar.domain.people import Caller
from sirdar.services.app_cache import HEAD_S
from sirdar.services.apps import resolve_app
from sirdar.services.context import Services
from sirdar.store import blobs as blob_rows
from sirdar.store.engine import Store


def caller(name: str) -> Caller:
    return Caller(f"id-{name}", name)  # type: ignore[arg-type]


def test_a_resolved_application_is_cheap_and_true(site: Any, anna: Any) -> None:
    """Within this process a change counts at once; through another one within two seconds."""
    anna.publish()
    store = Store(site.services.settings.database_url)
    services = Services(**{**{name: getattr(site.services, name) for name in Services.__slots__}, "store": store})
    me = caller("anna")

    async def look() -> None:
        store.start()
        assert (await resolve_app(services, me, "anna/sumsq")).version.number == 1
        rounds = 2000
        best = 1.0
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(rounds):
                await resolve_app(services, me, "me/sumsq")
            best = min(best, (time.perf_counter() - begun) / rounds)
        assert best < 300e-6, f"{best * 1e6:.1f} microseconds"
        await asyncio.to_thread(
            anna.publish, anna.DESCRIPTION, anna.PROGRAM + b"# two\n"
        )  # by the server, another process to us
        begun = time.monotonic()
        while (await resolve_app(services, me, "anna/sumsq")).version.number != 2:
            assert time.monotonic() - begun < HEAD_S + 0.5
            await asyncio.sleep(0.02)

    asyncio.run(look())
    store.close()


def test_a_change_counts_for_the_next_request(site: Any, anna: Any) -> None:
    boris = site["boris"]
    for number in range(20):
        anna.publish(content=anna.PROGRAM + b"#%d\n" % number)
        assert anna.get("/api/apps/anna/sumsq").json()["version"] == number + 1
        anna.put("/api/apps/anna/sumsq/share/user:boris", json={"permission": "view"})
        assert boris.get("/api/apps/anna/sumsq").status_code == 200
        anna.delete("/api/apps/anna/sumsq/share/user:boris")
        assert boris.get("/api/apps/anna/sumsq").status_code == 404


def test_the_bytes_of_a_version_are_held(site: Any, anna: Any) -> None:
    anna.publish()
    sha256 = hashlib.sha256(anna.PROGRAM).hexdigest()
    holders = site.write(lambda tx: blob_rows.holders_of(tx.conn, sha256))
    assert [holder.split(":")[0] for holder in holders if holder.startswith("publish")] == []
    assert any(holder.startswith("version:") for holder in holders)
