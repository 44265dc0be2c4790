"""A job as code: how one reads it, and submits the same again, from Python, a notebook, the command line and curl. Pure."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from sirdar.services.job_files import inputs_with_uris, job_prefix
from sirdar.store.job_views import JobView
from sirdar.web import words

LONGEST = 2000  # a value beyond this is named, not written out


def examples(job: JobView, url: str) -> dict[str, str]:
    """By the way's name. Secrets are never shown: they come from the environment of whoever runs it."""
    inputs = inputs_with_uris(job.inputs, job_prefix(job.id))
    again = f"{job.app_owner}/{job.app_alias}@{job.version}"
    return {
        words.gettext("Permalink"): f"{url}/jobs/{job.id}",
        "Python": _python(job, again, inputs, url),
        words.gettext("Notebook cell"): (
            f"import sirdar\n\njob = sirdar.connect({url!r}).job({job.id!r})\njob.wait()\njob.result()"
        ),
        "CLI": _shell(job, again, inputs),
        "curl": _curl(job, again, inputs, url),
    }


def _python(job: JobView, again: str, inputs: Mapping[str, Any], url: str) -> str:
    lines = ["import os", ""] if any(map(_is_secret, inputs.values())) and not job.many else []
    lines += ["import sirdar", "", f"client = sirdar.connect({url!r})", f"job = client.job({job.id!r})"]
    lines += ["print(job.result())", "", f"# {words.gettext('The same again')}"]
    if job.many:
        return "\n".join([*lines, "again = job.resubmit()"])
    given = "".join(f"    {name!r}: {_python_value(name, value)},\n" for name, value in inputs.items())
    call = f"again = client.app({again!r}).run(**{{\n{given}}})" if given else f"again = client.app({again!r}).run()"
    return "\n".join([*lines, call])


def _python_value(name: str, value: Any) -> str:
    if _is_secret(value):
        return f"os.environ[{name.upper()!r}]"
    if isinstance(value, str) and value.startswith("/api/files/"):
        return f"client.file({value!r})"
    text = repr(value)
    return text if len(text) <= LONGEST else "..."


def _shell(job: JobView, again: str, inputs: Mapping[str, Any]) -> str:
    lines = [f"sirdar job show {job.id}", f"sirdar job watch {job.id}", f"sirdar job download {job.id}"]
    lines += [f"sirdar explain {job.id}", "", f"# {words.gettext('The same again')}"]
    if job.many:
        return "\n".join([*lines, f"sirdar job resubmit {job.id}"])
    given = [f"-i {_shell_value(name, value)}" for name, value in inputs.items()]
    return "\n".join([*lines, " \\\n  ".join([f"sirdar run {again}", *given, "--wait"])])


def _shell_value(name: str, value: Any) -> str:
    if _is_secret(value):
        return f'{name}="${name.upper()}"'
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shlex.quote(f"{name}={text if len(text) <= LONGEST else '...'}")


def _curl(job: JobView, again: str, inputs: Mapping[str, Any], url: str) -> str:
    bearer = '-H "Authorization: Bearer $SIRDAR_TOKEN"'
    show = f"curl {bearer} {url}/api/jobs/{job.id}"
    if job.many:
        return f"{show}\n\n# {words.gettext('The same again')}\ncurl -X POST {bearer} {url}/api/jobs/{job.id}/resubmit"
    shown = {name: "..." if _is_secret(value) else value for name, value in inputs.items()}
    body = json.dumps({"inputs": shown}, ensure_ascii=False)
    body = body if len(body) <= 4 * LONGEST else '{"inputs": {...}}'
    return (
        f"{show}\n\n# {words.gettext('The same again')}\n"
        f"curl {bearer} -H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)} \\\n  {url}/api/apps/{again}"
    )


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and "$secret" in value
