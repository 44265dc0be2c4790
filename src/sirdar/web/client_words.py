"""Sentences that scripts of the pages say (``ui/src``), so that they are in the page's language. A test compares both."""

from sirdar.web import words
from sirdar.web.words import N_

SENTENCES = (
    N_("Copied"),
    N_("Errors: {count}"),
    N_("Find in the log"),
    N_("Follow"),
    N_("Lines found: {count}"),
    N_("Lines: {count}"),
    N_("Next"),
    N_("Not found"),
    N_("Previous"),
    N_("To the next error"),
    N_("{count} bytes in the middle were left out"),
    N_("{number} of {count}"),
    N_("… a line of {count} bytes; raw has all of it"),
)


def catalogue() -> dict[str, str]:
    """Sentence -> in the page's language; empty in English."""
    if words.language() == "en":
        return {}
    return {sentence: words.gettext(sentence) for sentence in SENTENCES}
