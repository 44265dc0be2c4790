"""The server alone, without an agent: ``python serve_files.py HOME PORT`` prints a line of JSON when it answers.

Settings come as ``SIRDAR_*`` variables. The line holds tokens: ``{"alice": ..., "bob": ..., "read": ..., "agent": ...}``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn

from sirdar.domain.people import Scope
from sirdar.server.app import build_app, build_services
from sirdar.services.attach import agent_token, create_resource
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings, from_environment
from sirdar.services.tokens import TokenRequest, issue
from sirdar.store import people
from sirdar.store.engine import Tx
from sirdar.store.tables import users


class Announcing(uvicorn.Server):
    """Prints the line when it listens."""

    line = ""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(self.line, file=sys.__stdout__, flush=True)


def main(home: Path, port: int) -> None:
    sys.stdout = sys.stderr  # logs go there
    settings = from_environment(home, port=port)
    services = build_services(settings)
    words = services.store.write_now(lambda tx: _people(tx, settings, services.keys))
    app = build_app(services)
    server = Announcing(uvicorn.Config(app, port=port, log_level="warning", ws="none", access_log=False))
    server.line = json.dumps(words)
    server.run()


def _people(tx: Tx, settings: Settings, keys: Keys) -> dict[str, str]:
    words = {}
    for name in ("alice", "bob"):
        if people.user_by_name(tx.conn, name) is None:
            tx.conn.execute(users.insert().values(id=f"user{name}", name=name, created_at=tx.now))
        words[name] = issue(tx, f"user{name}", TokenRequest("test", scopes=[Scope.ALL]), default_s=3600).text
    words["read"] = issue(tx, "useralice", TokenRequest("test", scopes=[Scope.READ]), default_s=3600).text
    resource_id, _ = create_resource(tx, settings, name=f"r{tx.now}", owner_id="useralice", embedded=True)
    words["agent"] = agent_token(keys, resource_id, tx.now + 3600)
    return words


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
