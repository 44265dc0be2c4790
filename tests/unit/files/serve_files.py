"""A server of files alone, as a process: ``python serve_files.py HOME PORT`` prints a line of JSON when it answers.

The same parts as in the whole server (store, blobs, sign-in, routers, sweep), nothing in their place. Settings come as
``SIRDAR_*`` variables. The line: ``{"alice": TOKEN, "bob": TOKEN, "agent": TOKEN, "read": TOKEN}``.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from sirdar.api import agent_blobs, errors, files
from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.dispatch import sweep
from sirdar.dispatch.assign import Assigner
from sirdar.dispatch.desk import Desk
from sirdar.domain.ids import UserId
from sirdar.domain.people import Scope
from sirdar.services.attach import agent_token, create_resource
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings, from_environment
from sirdar.services.signin import Authenticator
from sirdar.services.tokens import TokenRequest, issue
from sirdar.store import people
from sirdar.store.engine import Store, Tx
from sirdar.store.jobs import delete_jobs
from sirdar.store.tables import metadata


def main(home: Path, port: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    settings = from_environment(home, port=port)
    app, words = build(settings)
    config = uvicorn.Config(app, port=port, log_level="warning", ws="none", access_log=False)
    server = uvicorn.Server(config)
    app.state.ready = lambda: print(json.dumps(words), flush=True)
    server.run()


def build(settings: Settings) -> tuple[FastAPI, dict[str, str]]:
    store = Store(settings.database_url)
    metadata.create_all(store.write_engine)
    keys = Keys.load(settings.home / "key")
    blobs = LocalBlobs(settings.home / "blobs")
    auth = Authenticator(store, keys, settings)
    services = Services(settings, store, keys, Hub(), blobs, auth, LogStore(settings.home / "logs"))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        store.start()
        sweeping = asyncio.create_task(sweep.run(services, delete_jobs))
        asyncio.get_running_loop().call_later(0.05, app.state.ready)
        yield
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        blobs.close()
        store.close()

    app = FastAPI(lifespan=lifespan)
    app.state.services = services
    app.state.desk = Desk(settings, store, keys, Assigner(settings, keys), blobs)
    app.include_router(files.router)
    app.include_router(agent_blobs.router)
    errors.install(app, settings)
    return app, store.write_now(lambda tx: _people(tx, settings, keys))


def _people(tx: Tx, settings: Settings, keys: Keys) -> dict[str, str]:
    words = {}
    for name in ("alice", "bob"):
        if people.user_by_name(tx.conn, name) is None:
            user = people.User(
                UserId(f"user{name}"), name, None, None, False, False, None, None, 0.0, 0, None, tx.now, None
            )
            people.insert_user(tx, user)
        words[name] = issue(tx, f"user{name}", TokenRequest("test", scopes=[Scope.ALL]), default_s=3600).text
    words["read"] = issue(tx, "useralice", TokenRequest("test", scopes=[Scope.READ]), default_s=3600).text
    resource_id, _ = create_resource(tx, settings, name=f"r{tx.now}", owner_id="useralice", embedded=True)
    words["agent"] = agent_token(keys, resource_id, tx.now + 3600)
    return words


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
