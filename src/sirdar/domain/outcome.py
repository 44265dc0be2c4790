"""How something ended: a reason, a sentence, an exit code. The reason says whose fault it was."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Who has to act: NOBODY, the PROGRAM's author, the USER who asked, or the PLATFORM (retried by itself)."""

    NOBODY = "nobody"
    PROGRAM = "program"
    USER = "user"
    PLATFORM = "platform"


class Reason(StrEnum):
    """Why a task or a job ended. ``MEANING`` has one sentence for each, ``FAULT`` says who acts on it."""

    OK = "ok"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    OUTPUT_LIMIT = "output_limit"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_INVALID = "output_invalid"
    INPUT_CHANGED = "input_changed"
    WORKER_PROTOCOL = "worker_protocol"
    CANCELLED = "cancelled"
    TASKS_FAILED = "tasks_failed"
    DEPENDENCY_FAILED = "dependency_failed"
    INPUT_INVALID = "input_invalid"
    INPUT_UNREACHABLE = "input_unreachable"
    CODE_UNRESOLVED = "code_unresolved"
    COMMAND_NOT_FOUND = "command_not_found"
    REFUSED = "refused"
    START = "start"
    ENVIRONMENT = "environment"
    STAGE_IN = "stage_in"
    STAGE_OUT = "stage_out"
    OFFER_EXPIRED = "offer_expired"
    AGENT_LOST = "agent_lost"
    PORTER_LOST = "porter_lost"
    PREEMPTED = "preempted"
    NODE_FAILED = "node_failed"
    MOVED = "moved"
    SUPERSEDED = "superseded"

    @property
    def fault(self) -> Fault:
        return FAULT[self]

    @property
    def retryable(self) -> bool:
        """True for faults of the platform: they are tried again without being asked, up to the app's ``retries``."""
        return FAULT[self] is Fault.PLATFORM


REASONS: dict[str, Reason] = {reason.value: reason for reason in Reason}

MEANING: dict[Reason, str] = {
    Reason.OK: "The program ended with exit code 0 and its required outputs are on the server.",
    Reason.EXIT_CODE: "The program ended by itself with an exit code that is not 0.",
    Reason.SIGNAL: "The program was ended by a signal that Sirdar did not send.",
    Reason.OUT_OF_MEMORY: "The program used more memory than the task's limit.",
    Reason.TIME_LIMIT: "The program ran longer than the task's time limit and was ended.",
    Reason.OUTPUT_LIMIT: "The program wrote more than the task's limit on its directory or one output.",
    Reason.OUTPUT_MISSING: "The program ended well but did not write an output that the application requires.",
    Reason.OUTPUT_INVALID: "An output was written but its value could not be read as the application declares it.",
    Reason.INPUT_CHANGED: "The program changed an input file that it shares with others; mark the input writable.",
    Reason.WORKER_PROTOCOL: "The program, which is to serve many tasks from one process, did not answer as it must.",
    Reason.CANCELLED: "Somebody with the right to do so cancelled it.",
    Reason.TASKS_FAILED: "At least one task of the job failed; the job's message has the counts, its tasks say why.",
    Reason.DEPENDENCY_FAILED: "The job that it waited for did not end DONE.",
    Reason.INPUT_INVALID: "An input file is not what the application takes, such as an archive that cannot be unpacked safely.",
    Reason.INPUT_UNREACHABLE: "A file named by address could not be fetched, or the address is not allowed.",
    Reason.CODE_UNRESOLVED: "The commit, branch, tag or artifact that holds the program could not be fetched.",
    Reason.COMMAND_NOT_FOUND: "The command's program is not on the resource, or it may not be executed.",
    Reason.REFUSED: "The resource does not take it: its owner's policy does not allow it, or its batch system refuses it.",
    Reason.START: "The program could not be started, for a reason that is not its own.",
    Reason.ENVIRONMENT: "The image or the packages that the application asks for could not be made or found.",
    Reason.STAGE_IN: "The input files could not be brought to the task's directory.",
    Reason.STAGE_OUT: "The outputs could not be read or uploaded.",
    Reason.OFFER_EXPIRED: "The agent did not accept the task in time; it went back to the queue.",
    Reason.AGENT_LOST: "The agent was silent for longer than the resource's policy allows, or it has no access any more.",
    Reason.PORTER_LOST: "The process that carries the tasks on the machine died, and exit codes with it.",
    Reason.PREEMPTED: "The resource took the machine back, or its agent was ended with its programs.",
    Reason.NODE_FAILED: "The cluster's node that it ran on failed, or could not be started.",
    Reason.MOVED: "The agent gave it back before it started, so that a resource with a free slot could take it.",
    Reason.SUPERSEDED: "A newer attempt had been accepted when this one reported; it changed nothing.",
}

FAULT: dict[Reason, Fault] = {
    **dict.fromkeys([Reason.OK, Reason.MOVED, Reason.SUPERSEDED], Fault.NOBODY),
    **dict.fromkeys(
        [
            Reason.EXIT_CODE,
            Reason.SIGNAL,
            Reason.OUT_OF_MEMORY,
            Reason.TIME_LIMIT,
            Reason.OUTPUT_LIMIT,
            Reason.OUTPUT_MISSING,
            Reason.OUTPUT_INVALID,
            Reason.INPUT_CHANGED,
            Reason.WORKER_PROTOCOL,
            Reason.TASKS_FAILED,
            Reason.COMMAND_NOT_FOUND,
            Reason.ENVIRONMENT,
        ],
        Fault.PROGRAM,
    ),
    **dict.fromkeys(
        [
            Reason.CANCELLED,
            Reason.DEPENDENCY_FAILED,
            Reason.INPUT_INVALID,
            Reason.INPUT_UNREACHABLE,
            Reason.CODE_UNRESOLVED,
            Reason.REFUSED,
        ],
        Fault.USER,
    ),
    **dict.fromkeys(
        [
            Reason.START,
            Reason.STAGE_IN,
            Reason.STAGE_OUT,
            Reason.OFFER_EXPIRED,
            Reason.AGENT_LOST,
            Reason.PORTER_LOST,
            Reason.PREEMPTED,
            Reason.NODE_FAILED,
        ],
        Fault.PLATFORM,
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt, a task or a job ended.

    ``message`` is one sentence for a person; ``exit_code`` is the program's (negative: minus the signal's number), or
    None where no program ended.
    """

    reason: Reason
    message: str
    exit_code: int | None = None

    @property
    def ok(self) -> bool:
        return self.reason is Reason.OK
