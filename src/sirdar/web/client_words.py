"""Sentences that scripts of the pages say (``ui/src``), so that they are in the page's language. A test compares both."""

from sirdar.web import words
from sirdar.web.words import N_

SENTENCES = (N_("Copied"),)


def catalogue() -> dict[str, str]:
    """Sentence -> in the page's language; empty in English."""
    if words.language() == "en":
        return {}
    return {sentence: words.gettext(sentence) for sentence in SENTENCES}
