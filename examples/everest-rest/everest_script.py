"""A script that drives Everest's REST interface with nothing but Python's standard library: python3 everest_script.py URL USER

The password stands in the variable EVEREST_PASSWORD. Signs in; solves the problems in problems/ as one set by vladimirv/SSOP; runs
a plain parameter sweep by its id; starts one that takes too long and cancels it; deletes the three jobs and its uploads, and gives
the token back. Nothing in it is Sirdar's own.
"""

import argparse
import io
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SSOP = "vladimirv/SSOP"
PARAMETER_SWEEP = "530f36d73d00002d04548b0e"
HERE = Path(__file__).parent
ENDED = ("DONE", "FAILED", "CANCELLED")


class Refused(Exception):
    """The server did not do as it was asked; the text is its own."""


class Server:
    """The few calls that this needs."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.token = ""
        self.uploads: list[str] = []

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> bytes:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} if content is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(f"{method} {path}: {error.code}: {error.read().decode(errors='replace')}") from None

    def sign_in(self, user: str, password: str) -> None:
        asked = {"username": user, "password": password, "label": "everest_script.py"}
        self.token = json.loads(self.call("POST", "/api/auth/access_token", asked))["access_token"]

    def sign_out(self) -> None:
        self.call("DELETE", "/api/auth/access_token")
        self.token = ""

    def upload(self, name: str, content: bytes) -> str:
        """The uri of the file, which inputs name."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        uri = json.loads(self.call("POST", "/api/files/temp", body, f"multipart/form-data; boundary={mark}"))["uri"]
        self.uploads.append(uri)
        return str(uri)

    def submit(self, app: str, name: str, inputs: Mapping[str, str]) -> str:
        return str(json.loads(self.call("POST", f"/api/apps/{app}", {"name": name, "inputs": inputs}))["id"])

    def job(self, job: str) -> dict[str, Any]:
        return dict(json.loads(self.call("GET", f"/api/jobs/{job}")))

    def wait(self, job: str, patience_s: float = 600) -> dict[str, Any]:
        """Asks until the job has ended, more and more seldom."""
        last, pause = time.monotonic() + patience_s, 0.1
        while (found := self.job(job))["state"] not in ENDED:
            if time.monotonic() > last:
                raise Refused(f"job {job} is still {found['state']} after {patience_s:.0f} s: {found.get('info', '')}")
            time.sleep(pause)
            pause = min(pause * 1.5, 2)
        return found

    def archive(self, uri: str) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.call("GET", uri))) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def read_sol(text: str) -> dict[str, Any]:
    """What AMPL's solution file says: the solver's message, its code, and the values of the variables."""
    said, _, rest = text.partition("\nOptions\n")
    lines = rest.split()
    n_options = int(lines[0])
    _, n_duals, _, n_values = map(int, lines[1 + n_options : 5 + n_options])
    first = 5 + n_options + n_duals
    code = lines[lines.index("objno") + 2]
    values = [float(word) for word in lines[first : first + n_values]]
    return {"message": " ".join(said.split()), "code": int(code), "x": values}


def solve_set(server: Server, solver: str) -> dict[str, Any]:
    """The problems of a folder as one job; what became of each."""
    files = {path.name: path.read_bytes() for path in sorted((HERE / "problems").glob("*.nl"))}
    names = [name.removesuffix(".nl") for name in files]
    plan = (
        f"parameter nlname {' '.join(names)}\n"
        f"parameter options solver.opt\n"
        f"parameter solver {solver}\n"
        "input_files ${nlname}.nl ${options}\n"
        f"command run-{solver}.sh ${{nlname}} ${{options}}\n"
        "output_files ${nlname}.sol ${nlname}.log.txt ${nlname}.err.txt stderr\n"
    )
    files["solver.opt"] = b""
    inputs = {"plan": server.upload("mix.plan", plan.encode()), "files": server.upload("mix.zip", packed(files))}
    job = server.submit(SSOP, f"mix-{solver}", inputs)
    ended = server.wait(job)
    found = server.archive(ended["result"]["results"]) if "results" in (ended.get("result") or {}) else {}
    solutions = {
        name.rpartition("/")[2].removesuffix(".sol"): read_sol(content.decode())
        for name, content in found.items()
        if name.endswith(".sol")
    }
    server.call("DELETE", f"/api/jobs/{job}")
    return {"job": job, "state": ended["state"], "info": ended.get("info"), "solutions": solutions}


def sweep(server: Server) -> dict[str, Any]:
    """A command for each of several values, and a template."""
    plan = (
        "parameter x from 1 to 5 step 1\n"
        "constraint $x != 3\n"
        "input_files @square.sh\ncommand sh square.sh\n"
        "output_files @values.txt stdout\n"
    )
    script = b'echo "x is ${x}"\necho "square = $((${x} * ${x}))" > values.txt\n'
    inputs = {
        "plan": server.upload("squares.plan", plan.encode()),
        "files": server.upload("squares.zip", packed({"square.sh": script})),
    }
    job = server.submit(PARAMETER_SWEEP, "squares", inputs)
    ended = server.wait(job)
    found = server.archive(ended["result"]["results"])
    server.call("DELETE", f"/api/jobs/{job}")
    squares = {name: content.decode().strip() for name, content in found.items() if name.endswith("values.txt")}
    return {"job": job, "state": ended["state"], "squares": squares}


def cancel_one(server: Server) -> dict[str, Any]:
    """A sweep that would take an hour."""
    plan = server.upload("long.plan", b"parameter x 1 2\ncommand sleep 3600\noutput_files stdout\n")
    job = server.submit(PARAMETER_SWEEP, "long", {"plan": plan})
    server.call("POST", f"/api/jobs/{job}/cancel")
    ended = server.wait(job)
    server.call("DELETE", f"/api/jobs/{job}")
    return {"job": job, "state": ended["state"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Sets of problems and sweeps by REST alone.")
    parser.add_argument("url", help="the server's address, such as https://everest.example.org")
    parser.add_argument("user")
    parser.add_argument(
        "--solver", default="ipopt", help="ipopt, highs, or another whose script run-NAME.sh machines have"
    )
    asked = parser.parse_args()
    password = os.environ.get("EVEREST_PASSWORD") or sys.exit("set EVEREST_PASSWORD to your password")
    server = Server(asked.url)
    try:
        server.sign_in(asked.user, password)
        told = {"set": solve_set(server, asked.solver), "sweep": sweep(server), "cancelled": cancel_one(server)}
        for uri in server.uploads:
            server.call("DELETE", uri)
        server.sign_out()
    except (Refused, OSError) as error:
        sys.exit(str(error))
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
