"""The names of reasons as pages say them; a program reads ``exit_code``, a person 'exit code'."""

from sirdar.web.words import N_, gettext

REASON_WORDS = {
    "ok": N_("went well"),
    "exit_code": N_("exit code"),
    "signal": N_("ended by a signal"),
    "out_of_memory": N_("out of memory"),
    "time_limit": N_("over its time limit"),
    "output_limit": N_("wrote too much"),
    "output_missing": N_("an output is missing"),
    "output_invalid": N_("an output is invalid"),
    "input_changed": N_("changed an input"),
    "worker_protocol": N_("did not answer as a kept program must"),
    "cancelled": N_("cancelled"),
    "tasks_failed": N_("tasks failed"),
    "dependency_failed": N_("the job before it failed"),
    "input_invalid": N_("an input is invalid"),
    "input_unreachable": N_("an input cannot be fetched"),
    "code_unresolved": N_("its code cannot be fetched"),
    "command_not_found": N_("command not found"),
    "environment": N_("its environment could not be made"),
    "refused": N_("refused by the machine's owner"),
    "start": N_("could not be started"),
    "stage_in": N_("inputs could not be brought"),
    "stage_out": N_("outputs could not be collected"),
    "offer_expired": N_("the offer expired"),
    "agent_lost": N_("its agent was lost"),
    "porter_lost": N_("the machine's porter was lost"),
    "preempted": N_("the machine was taken back"),
    "node_failed": N_("the cluster's node failed"),
    "moved": N_("moved to another machine"),
    "superseded": N_("a newer attempt counts"),
}


def reason_word(reason: str) -> str:
    """Of ``domain/outcome.py``'s reasons; one that is not known is shown as it is."""
    known = REASON_WORDS.get(reason)
    return gettext(known) if known else reason.replace("_", " ")
