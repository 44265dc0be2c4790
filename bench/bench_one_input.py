"""One large input for many tasks on one agent of another disk: how many bytes pass the line between it and the server.

The agent reaches the server through a proxy that counts. Beside it: how long all takes, against ``cp`` of the input.
"""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.product import Http, Product, publish
from bench.report import Config, Row
from sirdar.services import attach
from sirdar.services.settings import Settings
from sirdar.store import people
from sirdar.store.engine import Store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from wire import Wire

SLOTS = 2
STAGE_WITHIN_S = 900


def run(config: Config) -> list[Row]:
    size, tasks = (100_000_000, 50) if config.quick else (1_000_000_000, 200)
    source = config.work / "input"
    digest = _fill(source, size)
    began = time.perf_counter()
    subprocess.run(["cp", source, config.work / "copy"], check=True)
    copied_s = time.perf_counter() - began
    (config.work / "copy").unlink()
    root = config.work / "product"
    root.mkdir()
    product = Product(root, slots=0)
    try:
        product.start()
        connection = product.http()
        wire = Wire(int(product.url.rsplit(":", 1)[1]))
        try:
            with _agent(product, wire, config.work / "agent"):
                took_s = _run_tasks(connection, source, digest, tasks)
            sent, received = wire.down, wire.up
        finally:
            wire.close()
            connection.close()
    finally:
        product.close()
    what = f"{size / 1e9:g} GB input, {tasks} tasks on one remote agent"
    return [
        Row(
            f"{what}: bytes sent, both ways",
            (sent + received) / 1e9,
            "GB",
            limit=size / 1e9,
            limit_what="the input",
            ratio_at_most=1.01,
            note=f"to the agent {sent:,}, from it {received:,}",
        ),
        Row(
            f"{what}: from the submission to the last end",
            took_s,
            "s",
            limit=copied_s,
            limit_what="cp of the input",
            note="each task reads the first and the last byte of its input",
        ),
    ]


def _run_tasks(connection: Http, source: Path, digest: str, tasks: int) -> float:
    publish(
        connection,
        "look",
        shell="head -c 1 given > /dev/null; tail -c 1 given > /dev/null; stat -c %s given",
        inputs={"given": {"type": "file", "path": "given"}, "n": {"type": "integer", "default": 0}},
    )
    uri = _upload(connection, source, digest)
    body = {"inputs": {"given": uri}, "foreach": [{"n": number} for number in range(tasks)]}
    began = time.perf_counter()
    job = connection.json("POST", f"/api/apps/me/look?wait={STAGE_WITHIN_S}", body)
    took_s = time.perf_counter() - began
    if job["state"] != "DONE":
        raise RuntimeError(f"the job ended as {job['state']}: {job}")
    return took_s


def _upload(connection: Http, source: Path, digest: str) -> str:
    """Past the wire."""
    host, port = connection.url.removeprefix("http://").split(":")
    sender = http.client.HTTPConnection(host, int(port), timeout=300)
    with source.open("rb") as file:
        headers = {**connection.headers, "content-length": str(source.stat().st_size)}
        sender.request("PUT", f"/api/files/temp/given?sha256={digest}", file, headers)
        reply = sender.getresponse()
        text = reply.read()
    sender.close()
    if reply.status != 200:
        raise RuntimeError(f"the upload was answered {reply.status}: {text[:500]!r}")

    return str(json.loads(text)["uri"])


@contextmanager
def _agent(product: Product, wire: Wire, place: Path) -> Iterator[None]:
    """An agent that shares no directory with the server."""
    settings = Settings(home=product.home)
    store = Store(settings.database_url)
    try:
        owner = store.read_now(lambda conn: people.user_by_name(conn, "admin"))
        if owner is None:
            raise RuntimeError("the server has no administrator")
        _, join = store.write_now(lambda tx: attach.create_resource(tx, settings, name="away", owner_id=owner.id))
    finally:
        store.close()
    place.mkdir()
    words = [sys.executable, "-m", "sirdar.agent", "--home", str(place / "home"), "--server", wire.url]
    with (place / "err").open("wb") as errors:
        process = subprocess.Popen([*words, "--join", join, "--slots", str(SLOTS)], stdout=errors, stderr=errors)
    try:
        yield
    finally:
        status = json.loads((place / "home/agent.json").read_text())
        process.send_signal(signal.SIGUSR1)  # programs end too; the porter would wait for another agent
        process.wait(60)
        with suppress(ProcessLookupError):
            os.kill(status["porter_pid"], signal.SIGTERM)


def _fill(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    piece = os.urandom(10_000_000)
    with path.open("wb") as file:
        for number in range(size // len(piece)):
            part = number.to_bytes(8, "big") + piece[8:]
            digest.update(part)
            file.write(part)
    return digest.hexdigest()
