"""Sentences that scripts of the pages say (``ui/src``), so that they are in the page's language. A test compares both."""

from sirdar.web import words
from sirdar.web.words import N_

SENTENCES = (
    N_("Copied"),
    N_("Errors: {count}"),
    N_("Find in the log"),
    N_("Follow"),
    N_("Left out in the middle while it runs: {size}, lines: {count}"),
    N_("Lines found: {count}"),
    N_("Lines: {count}"),
    N_("Next"),
    N_("Not found"),
    N_("Not kept in the middle: {size}, lines: {count}"),
    N_("Previous"),
    N_("Times"),
    N_("To the next error"),
    N_("When each line came, by the clock of the machine where it ran"),
    N_("left out in the middle: {size}"),
    N_("no times are known"),
    N_("{count} bytes in the middle were left out"),
    N_("{number} of {count}"),
    N_("… a line of {count} bytes; raw has all of it"),
    # units
    N_("B"),
    N_("KB"),
    N_("MB"),
    N_("GB"),
    N_("TB"),
    N_("PB"),
    N_("h"),
    N_("min"),
    N_("s"),
    # files on their way
    N_("Cancel"),
    N_("Drop files here, as many as you like"),
    N_("It could not be sent."),
    N_("It has another suffix than {suffixes}."),
    N_("It has {size}, and at most {most} are taken."),
    N_("Or drop a file here"),
    N_("Remove"),
    N_("Try again"),
    N_("{count} files to send, {sent} of {whole}"),
    N_("{sent} of {whole}"),
    N_("{sent}, about {span} left"),
    N_("{sent}, waiting for the line"),
    # the form is sent
    N_("It is sent as soon as the files are there."),
    N_("Some files could not be sent; nothing was submitted."),
    N_("Needs a look: {names}."),
    N_("Submitting …"),
    # an application is written
    N_("Go to line {line}"),
    N_("The server did not answer; what you typed is still here."),
    N_("You are signed out: sign in in another window, then go on here."),
    N_("{count} chosen"),
    N_("{count} of {of} tasks, taken evenly."),
    N_("{y} over {x}, {count} points. Arrow keys go from point to point, Enter opens the task."),
    N_("No task gave both values."),
    N_("No task has both values yet."),
    N_("Not above zero, and so not on a logarithmic axis: {count}."),
    N_("Task"),
    N_("Task {no}"),
    N_("The points could not be fetched."),
    N_("others"),
    N_("the best: task {no}"),
)


def catalogue() -> dict[str, str]:
    """Sentence -> in the page's language; empty in English."""
    if words.language() == "en":
        return {}
    return {sentence: words.gettext(sentence) for sentence in SENTENCES}
