"""What every submission may say besides its inputs: options of ``run`` and ``sweep``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sirdar.cli.session import Session, UsageError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """Each is left to the server and the application where it is not given."""

    wait: Annotated[bool, Parameter(name="--wait", negative="--detach", help="follow the job to its end")] = False
    name: Annotated[str | None, Parameter(help="of the job")] = None
    resource: Annotated[
        list[str] | None,
        Parameter(help="run on this machine, by id or name; may be repeated", consume_multiple=False, negative=""),
    ] = None
    debug: Annotated[bool, Parameter(help="keep the whole working directory as an archive", negative="")] = False
    after: Annotated[
        list[str] | None,
        Parameter(help="wait for the success of this job; may be repeated", consume_multiple=False, negative=""),
    ] = None
    on_failure: Annotated[
        Literal["continue", "stop", "ignore"] | None,
        Parameter(
            help="of one task among many: continue (the job fails at its end), stop (at once) or ignore (it is done)"
        ),
    ] = None
    minimize: Annotated[
        str | None, Parameter(help="of many tasks: the best has the least value of this output, or of what they report")
    ] = None
    maximize: Annotated[str | None, Parameter(help="the same, with the greatest value")] = None
    stop_when: Annotated[str | None, Parameter(help="call off the rest when this holds for a task: 'loss < 0.01'")] = (
        None
    )
    cpus: Annotated[int | None, Parameter(help="where the application allows it")] = None
    memory: Annotated[str | None, Parameter(help="512 MiB; where the application allows it")] = None
    time: Annotated[str | None, Parameter(help="10 min; where the application allows it")] = None
    gpus: Annotated[int | None, Parameter(help="where the application allows it")] = None
    nodes: Annotated[int | None, Parameter(help="where the application allows it")] = None
    slurm: Annotated[
        list[str] | None,
        Parameter(
            help="partition=short, account, qos and so on, where it runs on Slurm and the application allows it; may be repeated",
            consume_multiple=False,
            negative="",
        ),
    ] = None
    retries: Annotated[int | None, Parameter(help="of tasks that fail by the platform's fault")] = None
    priority: Annotated[int | None, Parameter(help="higher goes first among your own")] = None
    notify: Annotated[
        list[str] | None,
        Parameter(
            help="an e-mail address, or the URL of a webhook; may be repeated", consume_multiple=False, negative=""
        ),
    ] = None
    download: Annotated[Path | None, Parameter(help="a folder for the output files; follows the job to its end")] = None

    def given(self, session: Session) -> dict[str, Any]:
        """As ``sirdar.client.app.App.submit`` takes them. Raises UsageError."""
        overrides = {
            "cpus": self.cpus,
            "memory": self.memory,
            "time": self.time,
            "gpus": self.gpus,
            "nodes": self.nodes,
            "slurm": dict(map(_slurm_option, self.slurm)) if self.slurm else None,
        }
        return {
            "name": self.name,
            "resources": self.resource,
            "debug": self.debug,
            "after": [session.job_id(one) for one in self.after] if self.after else None,
            "on_failure": self.on_failure,
            "criterion": _criterion(self.minimize, self.maximize),
            "stop_when": self.stop_when,
            "overrides": {key: value for key, value in overrides.items() if value is not None},
            "retries": self.retries,
            "priority": self.priority,
            "notify": [_notification(one) for one in self.notify] if self.notify else None,
        }


def _slurm_option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise UsageError(f"{text!r} is no option of Slurm", "--slurm partition=short")
    return name, value


def _criterion(minimize: str | None, maximize: str | None) -> dict[str, str] | None:
    if minimize is not None and maximize is not None:
        raise UsageError("take either --minimize or --maximize")
    if minimize is not None:
        return {"minimize": minimize}
    return {"maximize": maximize} if maximize is not None else None


def _notification(text: str) -> dict[str, str]:
    if text.startswith(("http://", "https://")):
        return {"webhook": text}
    if "@" in text:
        return {"email": text}
    raise UsageError(f"--notify {text!r} is neither an address of a webhook nor of e-mail")
