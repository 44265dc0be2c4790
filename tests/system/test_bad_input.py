# ruff: noqa: E501  (rows of tables)
"""Bad input, through the real product: each case is a clear problem, nothing is half-created, nothing is executed.

The cases are tables. A row says what is wrong, what is sent, and what must be answered: status, code, and field where one
is to blame. In what is sent, ``<name>`` stands for something of the world below. After each row the numbers of jobs,
applications, files and blobs are as before, the canary is not there, and the server answers.
"""

import dataclasses
import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.system.bad_world import World
from tests.system.product import problem

LONG = "x" * 100_000
HALF = "\ud800"
SHA = hashlib.sha256(b"nothing of this server").hexdigest()


@dataclass(frozen=True)
class Bad:
    """One row: what is wrong, what is sent, what must come back."""

    what: str
    method: str
    path: str
    status: int
    code: str
    field: str | None = None
    sent: dict[str, Any] = dataclasses.field(default_factory=dict)
    who: str = "admin"
    says: str = ""


def call(
    what: str, method: str, path: str, status: int, code: str, field: str | None = None, *,
    who: str = "admin", says: str = "", **sent: Any,
) -> Bad:  # fmt: skip
    return Bad(what, method, path, status, code, field, sent, who, says)


def described(what: str, text: str, field: str | None = None, says: str = "") -> Bad:
    """A description that is refused, already when it is planned."""
    body = {"description": text, "files": []}
    return Bad(what, "POST", "/api/apps/publish", 422, "invalid_description", field, {"json": body}, says=says)


def submitted(
    what: str, body: Any, code: str = "invalid_input", field: str | None = None, *,
    app: str = "me/kinds", status: int = 422, says: str = "", **sent: Any,
) -> Bad:  # fmt: skip
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    sent = {"content": content, "headers": {"content-type": "application/json"}, **sent}
    return Bad(what, "POST", f"/api/apps/{app}", status, code, field, sent, says=says)


def given(what: str, inputs: dict[str, Any], field: str, says: str = "") -> Bad:
    """Inputs that the application does not take."""
    return submitted(what, {"inputs": inputs}, "invalid_input", field, says=says)


# ---------------------------------------------------------------- the tables

HEAD = "sirdar: 1\nalias: bad\n"
DESCRIPTIONS = [
    described("no YAML", "sirdar: 1\n  alias: [", says="line"),
    described("a tab for indentation", "sirdar: 1\ninputs:\n\tx: string\n", says="line 3"),
    described("two documents", "sirdar: 1\nalias: bad\ncommand: true\n---\nsirdar: 1\n"),
    described("an alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", says="line"),
    described("a tag that would make an object", HEAD + "command: !!python/object/apply:os.system ['touch <canary>']\n"),
    described("nested too deeply", HEAD + "inputs: " + "[" * 5000 + "]" * 5000),
    described("larger than a description may be", HEAD + "command: true\ndescription: " + "x" * 300_000),
    described("a list at the top", "- sirdar: 1\n"),
    described("empty", ""),
    described("a zero byte", HEAD + 'command: "a\\0b"\n'),
    described("a key twice", HEAD + "command: true\nalias: other\n", "alias", "line"),
    described("an unknown key", HEAD + "command: true\ncomand: x\n", "comand", "did you mean command"),
    described("no command", HEAD, "command"),
    described("both command and shell", HEAD + "command: true\nshell: true\n"),
    described("no alias", "sirdar: 1\ncommand: true\n", "alias"),
    described("a reserved alias", "sirdar: 1\nalias: search\ncommand: true\n", "alias", "search"),
    described("an alias that is a path", "sirdar: 1\nalias: ../etc\ncommand: true\n", "alias"),
    described("an alias with SQL", "sirdar: 1\nalias: \"x'; DROP TABLE apps;--\"\ncommand: true\n", "alias"),
    described("another version of the language", "sirdar: 99\nalias: bad\ncommand: true\n", "sirdar"),
    described("an unknown input in the command", HEAD + "command: echo ${nothing}\n", "command", "nothing"),
    described("an unclosed reference", HEAD + "command: echo ${x\ninputs: {x: string}\n", "command"),
    described("an unclosed quote", HEAD + "command: echo 'x\n", "command"),
    described("an unknown type", HEAD + "command: true\ninputs:\n  x: {type: complex}\n", "inputs.x.type", "line 5"),
    described("a default of another type", HEAD + "command: true\ninputs: {n: {type: integer, default: many}}\n", "inputs.n"),
    described("bounds that exclude everything", HEAD + "command: true\ninputs: {n: {type: integer, minimum: 5, maximum: 1}}\n", "inputs.n"),
    described("a pattern that is none", HEAD + "command: true\ninputs: {s: {type: string, pattern: '('}}\n", "inputs.s.pattern"),
    described("an enum without choices", HEAD + "command: true\ninputs: {e: {type: enum}}\n", "inputs.e"),
    described("an input with a bad name", HEAD + "command: true\ninputs: {'a b': string}\n", "inputs.a b"),
    described("an environment variable of the platform", HEAD + "command: true\nenv: {SIRDAR_TOKEN: x}\n", "env.SIRDAR_TOKEN"),
    described("an input that would become LD_PRELOAD", HEAD + "command: true\ninputs: {s: {type: string, env: LD_PRELOAD}}\n", "inputs.s"),
    described("a template that is not there", HEAD + "command: true\ntemplates: {model.txt: out.txt}\n", "templates", "model.txt"),
    described("an output outside the directory", HEAD + "command: true\noutputs: {o: {type: file, from: ../../etc/passwd}}\n", "outputs.o"),
    described("an absolute output", HEAD + "command: true\noutputs: {o: {type: file, from: /etc/passwd}}\n", "outputs.o"),
    described("an input at a path outside", HEAD + "command: true\ninputs: {f: {type: file, path: ../x}}\n", "inputs.f"),
    described("a negative amount of memory", HEAD + "command: true\nresources: {memory: -1 GiB}\n", "resources.memory"),
    described("an endless time", HEAD + "command: true\nresources: {time: .inf}\n", "resources.time"),
    described("cpus in words", HEAD + "command: true\nresources: {cpus: many}\n", "resources.cpus"),
    described("code from a local path of git", HEAD + "command: true\ncode: {git: /etc, ref: main}\n", "code"),
    described("code from an ext:: address", HEAD + "command: true\ncode: {git: 'ext::sh -c touch% <canary>', ref: main}\n", "code"),
    described("a ref that is an option", HEAD + "command: true\ncode: {git: 'https://h.example/r.git', ref: '--upload-pack=x'}\n", "code"),
]  # fmt: skip

PUBLISHING = [
    call("the description is no text", "POST", "/api/apps/publish", 422, "invalid_field", "description", json={"description": 5}),
    call("no description at all", "POST", "/api/apps/publish", 422, "invalid_field", "description", json={"files": []}),
    call("a file outside the folder", "POST", "/api/apps/publish/plan", 422, "invalid_field", "files",
         json={"description": HEAD + "command: true", "files": [{"path": "../x", "sha256": SHA, "size": 1}]}),
    call("an absolute file", "POST", "/api/apps/publish", 422, "invalid_field", "files",
         json={"description": HEAD + "command: true", "files": [{"path": "/etc/cron.d/x", "sha256": SHA, "size": 1}]}),
    call("a file twice", "POST", "/api/apps/publish", 422, "invalid_field", "files",
         json={"description": HEAD + "command: true", "files": [{"path": "a", "sha256": SHA, "size": 1}] * 2}),
    call("a file and a folder of one name", "POST", "/api/apps/publish", 422, "invalid_field", "files",
         json={"description": HEAD + "command: true",
               "files": [{"path": "a", "sha256": SHA, "size": 1}, {"path": "a/b", "sha256": SHA, "size": 1}]}),
    call("a digest that is none", "POST", "/api/apps/publish", 422, "invalid_field", "files",
         json={"description": HEAD + "command: true", "files": [{"path": "a", "sha256": "../../x", "size": 1}]}),
    call("bytes that were not brought", "POST", "/api/apps/publish", 409, "conflict", "files",
         json={"description": HEAD + "command: true", "files": [{"path": "a", "sha256": SHA, "size": 1}]}),
    call("a negative size", "POST", "/api/apps/publish", 422, "invalid_field", "size",
         json={"description": HEAD + "command: true", "files": [{"path": "a", "sha256": SHA, "size": -1}]}),
    call("other bytes than the digest says", "PUT", f"/api/apps/publish/blobs/{SHA}", 422, "invalid_field", "sha256", content=b"other"),
    call("a digest that is a path", "PUT", "/api/apps/publish/blobs/..%2f..%2fetc%2fpasswd", 405, "method_not_allowed", content=b"x"),
    call("a digest in capitals", "PUT", f"/api/apps/publish/blobs/{SHA.upper()}", 422, "invalid_field", "sha256", content=b"x"),
    call("a blob over the limit", "PUT", f"/api/apps/publish/blobs/{SHA}", 413, "too_large", content=b"x" * 9_000_000),
    call("somebody who may not publish", "POST", "/api/apps/publish", 403, "forbidden", who="boris", json={"description": "x"}),
    call("somebody else's application", "POST", "/api/apps/admin/kinds/archive", 404, "not_found", who="anna", json={"archived": True}),
    call("a share with nobody", "PUT", "/api/apps/me/kinds/share/user:nobody-here", 404, "not_found", json={"permission": "run"}),
    call("an unknown permission", "PUT", "/api/apps/me/kinds/share/everyone", 422, "invalid_field", "permission", json={"permission": "own"}),
    call("a secret with a name of the shell's", "PUT", "/api/apps/me/kinds/secrets/a;b", 422, "invalid_field", json={"value": "x"}),
    call("a version that is not there", "GET", "/api/apps/me/kinds@99", 404, "not_found"),
    call("a version that is no number", "GET", "/api/apps/me/kinds@latest", 404, "not_found"),
    call("a version beyond every integer", "GET", f"/api/apps/me/kinds@{'9' * 40}", 404, "not_found"),
]  # fmt: skip

SUBMISSIONS = [
    submitted("an unknown application", {}, "not_found", app="me/nothing", status=404),
    submitted("an application of another user", {}, "not_found", app="anna/private", status=404, headers={"authorization": "Bearer <boris>"}),
    submitted("an archived application", {"inputs": {}}, "conflict", app="me/gone", status=409),
    submitted("no JSON", b'{"inputs": ', "invalid_request", status=400),
    submitted("a list instead of an object", b"[]", "invalid_request", "body", status=400),
    submitted("a number instead of an object", b"5", "invalid_request", "body", status=400),
    submitted("text of another encoding", b'{"name": "\xff\xfe"}', "invalid_request", status=400),
    submitted("JSON of 100,000 levels", b'{"inputs": {"j": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "invalid_request", status=400),
    submitted("JSON over the limit of a body", b'{"name": "' + b"x" * 4_100_000 + b'"}', "too_large", status=413),
    submitted("a field that is unknown", {"inputz": {}}, "invalid_field", "inputz"),
    submitted("inputs that are a list", {"inputs": []}, "invalid_field", "inputs"),
    submitted("a name with control characters", {"name": "a\r\nSet-Cookie: x"}, "invalid_field", "name"),
    submitted("a name that is too long", {"name": LONG}, "invalid_field", "name"),
    submitted("half a character as a name", '{"name": "\\ud800"}', "invalid_request", status=400),
    given("a missing input", {}, "s"),
    given("an input that is not declared", {"s": "a", "zz": 1}, "zz"),
    given("a misspelt input", {"s": "a", "nn": 1}, "nn"),
    given("a number for a string", {"s": 5}, "s"),
    given("null for a required string", {"s": None}, "s"),
    given("a string that does not match", {"s": "UPPER"}, "s"),
    given("a string of two lines", {"s": "a\nb"}, "s"),
    given("a zero byte in a string", {"s": "a\0b"}, "s"),
    given("a string for an integer", {"s": "a", "n": "5"}, "n", "quotes"),
    given("true for an integer", {"s": "a", "n": True}, "n"),
    given("a fraction for an integer", {"s": "a", "n": 1.5}, "n"),
    given("an integer of 2,000 digits", {"s": "a", "n": 10**2000}, "n"),
    given("a number out of bounds", {"s": "a", "x": 11}, "x"),
    submitted("NaN for a number", '{"inputs": {"s": "a", "x": NaN}}', "invalid_input", "x"),
    submitted("infinity for a number", '{"inputs": {"s": "a", "x": 1e999}}', "invalid_input", "x"),
    given("one for a boolean", {"s": "a", "b": 1}, "b"),
    given("a choice that is none", {"s": "a", "e": "blue"}, "e"),
    given("an object for a choice", {"s": "a", "e": {"red": 1}}, "e"),
    given("a string for a JSON object", {"s": "a", "j": "{}"}, "j"),
    given("JSON that is nested too deeply", {"s": "a", "j": json.loads("[" * 100 + "]" * 100)}, "j"),
    given("a list that is too long", {"s": "a", "l": list(range(11))}, "l"),
    given("a wrong element of a list", {"s": "a", "l": [1, "two"]}, "l"),
    given("a number for a secret", {"s": "a", "k": 5}, "k"),
    given("a file that is a path of the server", {"s": "a", "f": "/etc/passwd"}, "f"),
    given("a file that is a path of an agent", {"s": "a", "f": "file:///etc/passwd"}, "f"),
    submitted("a file of another user", {"inputs": {"s": "a", "f": "<annas uri>"}}, "invalid_input", "f", app="admin/kinds", headers={"authorization": "Bearer <boris>"}),
    submitted("a file of another user's job", {"inputs": {"s": "a", "fs": ["/api/files/jobs/<annas job>/stdout"]}}, "invalid_input", "fs", app="admin/kinds", headers={"authorization": "Bearer <boris>"}),
    given("a file that is not there", {"s": "a", "f": "/api/files/temp/aaaaaaaaaaaaaaaa/x.csv"}, "f"),
    given("a file's uri that climbs", {"s": "a", "f": "/api/files/temp/../../../etc/passwd"}, "f"),
    given("a file with another suffix", {"s": "a", "f": "<exe uri>"}, "f"),
    given("a file over its limit", {"s": "a", "f": "<large uri>"}, "f"),
    given("a smuggled $file", {"s": "a", "f": {"$file": {"name": "x.csv", "sha256": "<annas sha>", "size": 7}}}, "f"),
    given("a smuggled $file in a list of files", {"s": "a", "fs": [{"$file": {"name": "x", "sha256": "<annas sha>", "size": 7}}]}, "fs"),
    given("a smuggled $file in JSON", {"s": "a", "j": {"x": {"$file": {"name": "x", "sha256": "<annas sha>", "size": 7}}}}, "j"),
    given("a smuggled $secret", {"s": "a", "k": {"$secret": "AAAA"}}, "k"),
    given("a smuggled $secret for a string", {"s": {"$secret": "AAAA"}}, "s"),
    given("a smuggled $secret in JSON", {"s": "a", "j": {"$secret": "AAAA"}}, "j"),
    given("a smuggled $url", {"s": "a", "f": {"$url": "http://127.0.0.1:1/"}}, "f"),
    given("a smuggled $url in a list", {"s": "a", "fs": [{"$url": "http://127.0.0.1:1/"}]}, "fs"),
    given("a smuggled $url in JSON", {"s": "a", "j": {"$url": "http://127.0.0.1:1/"}}, "j"),
    submitted("foreach is no list", {"foreach": 5}, "invalid_field", "foreach"),
    submitted("foreach is empty", {"inputs": {"s": "a"}, "foreach": []}, "invalid_field", "foreach"),
    submitted("a set of foreach is no object", {"inputs": {"s": "a"}, "foreach": [1]}, "invalid_field", "foreach[0]"),
    submitted("a wrong value in a set", {"inputs": {"s": "a"}, "foreach": [{"n": 1}, {"n": "x"}]}, "invalid_input", "foreach[1]"),
    submitted("a smuggled $file in a set", {"inputs": {"s": "a"}, "foreach": [{"f": {"$file": {"name": "x.csv", "sha256": "<annas sha>", "size": 7}}}]}, "invalid_input", "foreach[0]"),
    submitted("a smuggled $url in a set", {"inputs": {"s": "a"}, "foreach": [{"f": {"$url": "http://127.0.0.1:1/"}}]}, "invalid_input", "foreach[0]"),
    submitted("a line of a file of sets is no JSON", {"inputs": {"s": "a"}, "foreach": {"uri": "<bad lines>"}}, "invalid_input", "foreach", says="2"),
    submitted("a file of sets of another user", {"foreach": {"uri": "<annas uri>"}}, "not_found", "foreach.uri", app="admin/kinds", status=404, headers={"authorization": "Bearer <boris>"}),
    submitted("a file of sets at an address elsewhere", {"foreach": {"uri": "http://127.0.0.1:1/x"}}, "not_found", "foreach.uri", status=404),
    submitted("more sets than a job may have", {"inputs": {"s": "a"}, "foreach": [{}] * 20_001}, "too_large", "foreach", status=413),
    submitted("an override that is not allowed", {"inputs": {"s": "a"}, "overrides": {"memory": "64 GiB"}}, "invalid_field", "overrides"),
    submitted("an override that is no time", {"inputs": {"s": "a"}, "overrides": {"time": "soon"}}, "invalid_field", "overrides.time"),
    submitted("an endless override", {"inputs": {"s": "a"}, "overrides": {"time": 1e300}}, "invalid_field", "overrides.time"),
    submitted("retries below zero", {"retries": -1}, "invalid_field", "retries"),
    submitted("a priority out of range", {"priority": 101}, "invalid_field", "priority"),
    submitted("an unknown way with failures", {"onFailure": "explode"}, "invalid_field", "onFailure"),
    submitted("a job to wait for that is not there", {"inputs": {"s": "a"}, "after": "aaaaaaaaaaaaaaaa"}, "not_found", status=404),
    submitted("another user's job to wait for", {"inputs": {"s": "a"}, "after": ["<annas job>"]}, "not_found", app="admin/kinds", status=404, headers={"authorization": "Bearer <boris>"}),
    submitted("a resource that is not there", {"inputs": {"s": "a"}, "resources": ["cloud"]}, "invalid_field", "resources"),
    submitted("resources that are a word", {"inputs": {"s": "a"}, "resources": "local"}, "invalid_field", "resources"),
    submitted("a notification to nobody", {"inputs": {"s": "a"}, "notify": [{}]}, "invalid_field", "notify"),
    submitted("a notification by two ways", {"inputs": {"s": "a"}, "notify": [{"email": "a@b.example", "webhook": "https://h.example/"}]}, "invalid_field", "notify"),
    submitted("an e-mail address with a second header", {"inputs": {"s": "a"}, "notify": [{"email": "a@b.example\r\nBcc: x@y.example"}]}, "invalid_field", "email"),
    submitted("an e-mail address without a domain", {"inputs": {"s": "a"}, "notify": [{"email": "anna"}]}, "invalid_field", "email"),
    submitted("a webhook that is no address", {"inputs": {"s": "a"}, "notify": [{"webhook": "nowhere"}]}, "address_not_allowed", "webhook"),
    submitted("a webhook of gopher", {"inputs": {"s": "a"}, "notify": [{"webhook": "gopher://127.0.0.1/"}]}, "address_not_allowed", "webhook"),
    submitted("a webhook with a password", {"inputs": {"s": "a"}, "notify": [{"webhook": "https://u:p@h.example/"}]}, "address_not_allowed", "webhook"),
    submitted("a webhook with a line break", {"inputs": {"s": "a"}, "notify": [{"webhook": "https://h.example/\r\nX: y"}]}, "address_not_allowed", "webhook"),
    submitted("a negative retention", {"inputs": {"s": "a"}, "retentionS": -1}, "invalid_field", "retentionS"),
    submitted("a retention of infinity", '{"inputs": {"s": "a"}, "retentionS": 1e999}', "invalid_field", "retentionS"),
    submitted("a wait that is no time", {"inputs": {"s": "a"}}, "invalid_field", "wait", params={"wait": "soon"}),
    submitted("a wait that never ends", {"inputs": {"s": "a"}}, "invalid_field", "wait", params={"wait": "inf"}),
    submitted("a wait of a day", {"inputs": {"s": "a"}}, "invalid_field", "wait", params={"wait": "86400"}),
    submitted("a key that is too long", {"inputs": {"s": "a"}}, "invalid_field", "Idempotency-Key", headers={"idempotency-key": "k" * 300}),
    submitted("a body that is gzip", gzip.compress(b'{"inputs": {"s": "a"}}'), "invalid_request", status=400, headers={"content-encoding": "gzip"}),
    call("a resubmission with a smuggled $file", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_input", "f",
         json={"inputs": {"f": {"$file": {"name": "x.csv", "sha256": "<annas sha>", "size": 7}}}}),
    call("a resubmission with a smuggled $secret", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_input", "k",
         json={"inputs": {"k": {"$secret": "AAAA"}}}),
    call("a resubmission with a smuggled $url", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_input", "f",
         json={"inputs": {"f": {"$url": "http://127.0.0.1:1/"}}}),
    call("a resubmission with an input that is not declared", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_input", "zz",
         json={"inputs": {"zz": 1}}),
    call("a resubmission of a version that is neither", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_field", "version",
         json={"version": "@3"}),
    call("a resubmission of another user's job", "POST", "/api/jobs/<annas job>/resubmit", 404, "not_found", json={}, who="boris"),
    call("a resubmission with a name of control characters", "POST", "/api/jobs/<job>/resubmit", 422, "invalid_field", "name",
         json={"name": "a\x1b[2J\0"}),
]  # fmt: skip

FILES = [
    call("a name that climbs", "POST", "/api/files/temp", 422, "invalid_field", "filename", files={"file": ("../../etc/passwd", b"x")}),
    call("a name of two dots", "PUT", "/api/files/temp/%2e%2e", 422, "invalid_field", "filename", content=b"x"),
    call("a name with a slash", "PUT", "/api/files/temp/a%2Fb", 422, "invalid_field", "filename", content=b"x"),
    call("a name with a backslash", "PUT", "/api/files/temp/a%5Cb", 422, "invalid_field", "filename", content=b"x"),
    call("a name with a line break", "PUT", "/api/files/temp/a%0d%0aX-Evil:%201", 404, "not_found", content=b"x"),
    call("a name with a zero byte", "PUT", "/api/files/temp/a%00.csv", 422, "invalid_field", "filename", content=b"x"),
    call("a name that is no UTF-8", "PUT", "/api/files/temp/%ff%fe", 422, "invalid_field", "filename", content=b"x"),
    call("a name of 300 bytes", "PUT", "/api/files/temp/" + "n" * 300, 422, "invalid_field", "filename", content=b"x"),
    call("another digest than announced", "PUT", f"/api/files/temp/x.csv?sha256={SHA}", 422, "invalid_field", "sha256", content=b"x"),
    call("a digest that is none", "PUT", "/api/files/temp/x.csv?sha256=xyz", 422, "invalid_field", "sha256", content=b"x"),
    call("larger than a file may be", "PUT", "/api/files/temp/x.csv", 413, "too_large", content=b"x" * 64_000_001),
    call("a form without a file", "POST", "/api/files/temp", 400, "invalid_request", "file", files={"other": (None, b"x")}),
    call("a form that is JSON", "POST", "/api/files/temp", 400, "invalid_request", json={"file": "x"}),
    call("a form that ends in the middle", "POST", "/api/files/temp", 400, "invalid_request",
         content=b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nab', headers={"content-type": "multipart/form-data; boundary=b"}),
    call("an upload of negative length", "POST", "/api/files/uploads", 422, "invalid_field", "length", json={"filename": "x", "length": -1}),
    call("an upload of a huge announced length", "POST", "/api/files/uploads", 413, "too_large", json={"filename": "x", "length": 2**50}),
    call("an upload beyond every integer", "POST", "/api/files/uploads", 422, "invalid_field", "length", json={"filename": "x", "length": 10**30}),
    call("an upload that does not exist", "PATCH", "/api/files/uploads/aaaaaaaaaaaaaaaa?offset=0", 404, "not_found", content=b"x"),
    call("an upload id that climbs", "GET", "/api/files/uploads/..%2f..%2fserver.key", 404, "not_found"),
    call("an offset elsewhere", "PATCH", "/api/files/uploads/<upload>?offset=3", 409, "offset_mismatch", content=b"x"),
    call("an offset below zero", "PATCH", "/api/files/uploads/<upload>?offset=-1", 422, "invalid_field", "offset", content=b"x"),
    call("more than was announced", "PATCH", "/api/files/uploads/<upload>?offset=0", 413, "too_large", content=b"x" * 100),
    call("an upload that is not complete", "POST", "/api/files/uploads/<upload>/complete", 409, "offset_mismatch", "offset"),
    call("another user's upload", "GET", "/api/files/uploads/<upload>", 404, "not_found", who="anna"),
    call("another user's file", "GET", "<annas uri>", 404, "not_found", who="boris"),
    call("another user's file removed", "DELETE", "<uri>", 404, "not_found", who="anna"),
    call("a file's uri with another name", "GET", "<uri>x", 404, "not_found"),
    call("a job's file that climbs", "GET", "/api/files/jobs/<job>/..%2f..%2fserver.key", 404, "not_found"),
    call("a job's file that is absolute", "GET", "/api/files/jobs/<job>/%2fetc%2fpasswd", 404, "not_found"),
    call("a range outside", "GET", "<uri>", 416, "range_not_satisfiable", headers={"range": "bytes=100000-"}),
    call("the listing of what is no archive", "GET", "<uri>?list=1", 422, "invalid_archive"),
]  # fmt: skip

# Everything that takes words from outside, with the words of an attack: none of them means anything.
SQL = "x' OR '1'='1'; DROP TABLE jobs;--"
METACHARACTERS = [
    call("SQL as a cursor of jobs", "GET", "/api/jobs", 422, "invalid_field", "after", params={"after": SQL}),
    call("SQL as a state", "GET", "/api/jobs", 422, "invalid_field", "state", params={"state": SQL}),
    call("SQL as a time", "GET", "/api/jobs", 422, "invalid_field", "since", params={"since": SQL}),
    call("SQL as a limit", "GET", "/api/jobs", 422, "invalid_field", "limit", params={"limit": SQL}),
    call("a limit of a million", "GET", "/api/jobs", 422, "invalid_field", "limit", params={"limit": 10**6}),
    call("a limit of zero", "GET", "/api/jobs", 422, "invalid_field", "limit", params={"limit": 0}),
    call("a cursor beyond every integer", "GET", "/api/jobs", 422, "invalid_field", "after", params={"after": "9" * 30}),
    call("a cursor of other digits", "GET", "/api/jobs", 422, "invalid_field", "after", params={"after": "٣"}),
    call("SQL as a job", "GET", f"/api/jobs/{SQL}", 404, "not_found"),
    call("SQL as an application", "GET", f"/api/apps/me/{SQL}", 404, "not_found"),
    call("SQL as a cursor of applications", "GET", "/api/apps", 422, "invalid_field", "after", params={"after": SQL}),
    call("not a number as a cursor of applications", "GET", "/api/apps", 422, "invalid_field", "after", params={"after": "nan_x"}),
    call("SQL as a user", "GET", f"/api/users/{SQL}", 404, "not_found"),
    call("SQL as a group", "GET", f"/api/groups/{SQL}", 404, "not_found"),
    call("SQL as a new group", "POST", "/api/groups", 422, "invalid_field", "name", json={"name": SQL}),
    call("SQL as a new user", "POST", "/api/users", 422, "invalid_field", "name", json={"name": SQL, "password": "long enough"}),
    call("a user of lookalike letters", "POST", "/api/users", 422, "invalid_field", "name", json={"name": "аdmin"}),
    call("SQL as a token's id", "DELETE", f"/api/tokens/{SQL}", 404, "not_found"),
    call("SQL as an actor of the audit log", "GET", "/api/audit", 422, "invalid_field", "actor", params={"actor": SQL}),
    call("SQL as an upload", "GET", f"/api/files/uploads/{SQL}", 404, "not_found"),
    call("SQL as a task", "GET", f"/api/jobs/<job>/tasks/{SQL}", 422, "invalid_field", "no"),
    call("a task beyond every integer", "GET", f"/api/jobs/<job>/tasks/{10**30}", 404, "not_found"),
    call("a stream of a task beyond every integer", "GET", f"/api/jobs/<job>/stdout?task={10**30}", 404, "not_found", "task"),
    call("an offset beyond every integer", "GET", f"/api/jobs/<job>/stdout?offset={10**30}", 422, "invalid_field", "offset"),
    call("a number of an event that is none", "GET", "/api/jobs/<job>/events", 422, "invalid_field", "Last-Event-ID", headers={"last-event-id": "1; DROP"}),
    call("SQL as a share", "PUT", f"/api/jobs/<job>/share/user:{SQL}", 404, "not_found"),
    call("a share with nothing", "PUT", "/api/jobs/<job>/share/user:", 422, "invalid_field", "subject"),
    call("a time that is none", "GET", "/api/jobs", 422, "invalid_field", "until", params={"until": "2026-13-45T99:00:00Z"}),
    call("a zero byte in a query", "GET", "/api/jobs?text=%00", 422, "invalid_field", "text"),
    call("a zero byte in a path", "GET", "/api/jobs/%00", 404, "not_found"),
]  # fmt: skip

HTTP = [
    call("no token", "GET", "/api/jobs", 401, "unauthenticated", who=""),
    call("a token that is none", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Bearer nonsense"}),
    call("a token of other letters", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Bearer да".encode()}),
    call("a token of 50,000 characters", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Bearer " + "x" * 50_000}),
    call("a scheme that is not ours", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Basic YWRtaW46YWRtaW4="}),
    call("a revoked token", "GET", "/api/jobs", 401, "token_expired", who="", headers={"authorization": "Bearer <revoked>"}),
    call("an expired token", "GET", "/api/jobs", 401, "token_expired", who="", headers={"authorization": "Bearer <expired>"}),
    call("an ended task's token", "GET", "/api/jobs", 401, "token_expired", who="", headers={"authorization": "Bearer <task>"}),
    call("a task's token with another task's name", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Bearer <forged>"}),
    call("a cookie that is none", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"cookie": "access_token=nonsense"}),
    call("an agent's token on the users' API", "GET", "/api/jobs", 401, "unauthenticated", who="", headers={"authorization": "Bearer <agent>"}),
    call("a user's token on the agents' API", "POST", "/agent/v1/sync", 401, "unauthenticated", json={"session": "x"}),
    call("a token for reading that submits", "POST", "/api/apps/me/kinds", 403, "forbidden", who="", json={"inputs": {"s": "a"}}, headers={"authorization": "Bearer <reader>"}),
    call("a token for reading that deletes", "DELETE", "/api/jobs/<job>", 403, "forbidden", who="", headers={"authorization": "Bearer <reader>"}),
    call("a token for reading that makes tokens", "POST", "/api/tokens", 403, "forbidden", who="", json={"label": "x"}, headers={"authorization": "Bearer <reader>"}),
    call("a user as an administrator", "GET", "/api/users", 403, "forbidden", who="boris"),
    call("a wrong password", "POST", "/api/auth/access_token", 401, "wrong_credentials", who="", json={"username": "boris", "password": "wrong"}),
    call("an unknown user", "POST", "/api/auth/access_token", 401, "wrong_credentials", who="", json={"username": "nobody-here", "password": "wrong"}),
    call("a password that is an object", "POST", "/api/auth/access_token", 422, "invalid_field", "password", who="", json={"username": "a", "password": {"$ne": 1}}),
    call("a lifetime of infinity", "POST", "/api/tokens", 422, "invalid_field", "lifetime", content=b'{"label": "x", "lifetime": 1e999}', headers={"content-type": "application/json"}),
    call("a scope that is unknown", "POST", "/api/tokens", 422, "invalid_field", "scopes", json={"label": "x", "scopes": ["root"]}),
    call("a quota below zero", "PATCH", "/api/users/boris", 422, "invalid_field", "jobsInFlight", json={"quotas": {"jobsInFlight": -1}}),
    call("an address that is not there", "GET", "/api/nothing", 404, "not_found"),
    call("a method that is not taken", "PUT", "/api/jobs", 405, "method_not_allowed", json={}),
    call("a method of another protocol", "PROPFIND", "/api/jobs", 405, "method_not_allowed"),
    call("TRACE", "TRACE", "/api/jobs", 405, "method_not_allowed"),
    call("a form where JSON is taken", "POST", "/api/tokens", 400, "invalid_request", data={"label": "x"}),
    call("XML where JSON is taken", "POST", "/api/tokens", 400, "invalid_request", content=b"<x/>", headers={"content-type": "application/xml"}),
    call("an empty body", "POST", "/api/tokens", 400, "invalid_request"),
    call("half a character in JSON", "POST", "/api/groups", 422, "invalid_field", "name", content=b'{"name": "\\ud800"}', headers={"content-type": "application/json"}),
    call("a body that is gzip", "POST", "/api/tokens", 400, "invalid_request", content=gzip.compress(b'{"label": "x"}'), headers={"content-type": "application/json", "content-encoding": "gzip"}),
    call("an agent joins with a token that is none", "POST", "/agent/v1/join", 401, "unauthenticated", who="", json={"token": "x", "public_key": "A" * 43}),
    call("an agent joins with a key that is none", "POST", "/agent/v1/join", 422, "invalid_field", "public_key", who="", json={"token": "x", "public_key": "short"}),
    call("an agent's message that is no JSON", "POST", "/agent/v1/join", 400, "invalid_request", who="", content=b"{"),
    call("an agent's message without its fields", "POST", "/agent/v1/token", 400, "invalid_request", who="", json={}),
    call("an agent's token for a signature of another", "POST", "/agent/v1/token", 401, "unauthenticated", who="",
         json={"resource_id": "<resource>", "at": 1.0, "nonce": "n", "signature": "A" * 86}),
    call("an agent's signature of no letters", "POST", "/agent/v1/token", 401, "unauthenticated", who="",
         json={"resource_id": "<resource>", "at": 1e308, "nonce": "n", "signature": "%%%"}),
]  # fmt: skip

AGENT = [
    call("a session that is unknown", "POST", "/agent/v1/sync", 409, "unknown_session", json={"session": "another"}),
    call("a message that is a list", "POST", "/agent/v1/sync", 400, "invalid_request", json=[]),
    call("a hello without capabilities", "POST", "/agent/v1/hello", 400, "invalid_request", json={"protocols": [1]}),
    call("a log of an attempt that is none", "PUT", "/agent/v1/attempts/nonsense/log/stdout?offset=0", 404, "not_found", content=b"x"),
    call("a log of an attempt that has ended", "PUT", "/agent/v1/attempts/<job>-0-0/log/stdout?offset=0", 410, "gone", content=b"x"),
    call("a log of another stream", "PUT", "/agent/v1/attempts/<job>-0-0/log/passwd?offset=0", 422, "invalid_field", "stream", content=b"x"),
    call("a log that climbs", "PUT", "/agent/v1/attempts/..%2f..%2fx-0-0/log/stdout?offset=0", 404, "not_found", content=b"x"),
    call("a log at an offset below zero", "PUT", "/agent/v1/attempts/<job>-0-0/log/stdout?offset=-5", 422, "invalid_field", content=b"x"),
    call("a blob that is not there", "GET", f"/agent/v1/blobs/{SHA}", 404, "not_found"),
    call("a blob whose bytes are others", "PUT", f"/agent/v1/blobs/{SHA}", 422, "invalid_field", "sha256", content=b"x"),
    call("a blob that is a path", "GET", "/agent/v1/blobs/..%2fx", 404, "not_found"),
    call("a blob that is not in the shared directory", "POST", f"/agent/v1/blobs/{SHA}/local", 404, "not_found", json={"size": 5}),
    call("variables of a job that it does not run", "POST", "/agent/v1/vars", 404, "not_found", json={"job": "<job>", "ops": [["get", "x", None]]}),
    call("an operation that is unknown", "POST", "/agent/v1/vars", 400, "invalid_request", json={"job": "<job>", "ops": [["drop", "x", None]]}),
]  # fmt: skip
AGENT = [dataclasses.replace(row, who="agent") for row in AGENT]
TABLES = {
    "description": DESCRIPTIONS,
    "publish": PUBLISHING,
    "submission": SUBMISSIONS,
    "files": FILES,
    "metacharacters": METACHARACTERS,
    "http": HTTP,
    "agent": AGENT,
}
ROWS = [pytest.param(row, id=f"{table}: {row.what}") for table, rows in TABLES.items() for row in rows]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("row", ROWS)
def test_bad_input(world: World, row: Bad) -> None:
    sent = world.fill(row.sent)
    reply = world.clients[row.who].request(row.method, world.fill(row.path), **sent)
    body = problem(reply, row.status, row.code, row.field)
    if row.says:
        assert row.says in json.dumps(body, ensure_ascii=False), body
    if row.code in {"invalid_request", "invalid_field", "invalid_input", "invalid_description"}:
        assert (
            body.get("field")
            or body.get("errors")
            or body.get("expected")
            or body.get("try")
            or len(body["detail"]) > 30
        )
