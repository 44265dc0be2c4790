"""States of jobs, tasks and attempts. Few, and the same in the API, the store and here."""

from enum import StrEnum


class State(StrEnum):
    """State of a job and of a task.

    SUBMITTED: accepted; its files are being fetched, its code resolved, or it waits for another job. The server acts.
    READY: waits for a resource. The scheduler acts; ``explain`` says what is missing.
    RUNNING: its program has started (a job of many tasks: from the first start to the last end). The agent acts.
    DONE: ended well; its outputs are on the server.
    FAILED: ended badly; the outcome says whose fault it was.
    CANCELLED: somebody called it off before all of it had ended, whatever had failed by then.
    """

    SUBMITTED = "SUBMITTED"
    READY = "READY"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in ENDED


# Text to member: asked for every row, and several times quicker than calling the class.
STATES: dict[str, State] = {state.value: state for state in State}

ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


class AttemptState(StrEnum):
    """State of one try at a task.

    OFFERED: given to an agent that has not accepted it yet; returns to the queue when it does not in time.
    ACCEPTED: written to the agent's journal; waits there for free slots.
    STAGING_IN: the agent brings files to the task's directory.
    RUNNING: the program runs.
    STAGING_OUT: the program has ended; outputs are read, hashed and uploaded.
    ENDED: over; the outcome says how.
    """

    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    STAGING_IN = "STAGING_IN"
    RUNNING = "RUNNING"
    STAGING_OUT = "STAGING_OUT"
    ENDED = "ENDED"


ATTEMPT_STATES: dict[str, AttemptState] = {state.value: state for state in AttemptState}
ATTEMPT_ORDER = {state: place for place, state in enumerate(AttemptState)}


class OnFailure(StrEnum):
    """What a job of many tasks does when one of them fails.

    CONTINUE: the others run on; the job is FAILED at the end.
    STOP: what has not started is cancelled, what runs is ended; the job is FAILED.
    IGNORE: the others run on; the job is DONE when all have ended, also where it was a list of one.
    """

    CONTINUE = "continue"
    STOP = "stop"
    IGNORE = "ignore"


ON_FAILURE: dict[str, OnFailure] = {choice.value: choice for choice in OnFailure}
