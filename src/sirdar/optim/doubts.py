"""What a solver will do with a problem otherwise than its author may think. Pure."""

from collections.abc import Iterable, Sequence

from sirdar.optim.nl import Header, NlError, read_header

RELAXED = "Ipopt takes integer variables as continuous (highs, cbc and scip keep them whole)"
FIRST_OBJECTIVE = "it has {count} objectives, of which solvers take the first (another one by the option objno)"
REFUSE = ("ipopt", "scip")  # problems with several objectives
HEADER_BYTES = 8192
NAMES_TOLD = 3


def doubts_of(nl: bytes, solver: str, options: Sequence[str]) -> list[str]:
    """A sentence for each doubt of a .nl file; none for a file that is broken, which the solver will say."""
    try:
        header, _ = read_header(nl[:HEADER_BYTES])
    except NlError:
        return []
    found = [RELAXED] if solver == "ipopt" and any(header.integers) else []
    if _takes_the_first(header, solver, options):
        found.append(FIRST_OBJECTIVE.format(count=header.n_objectives))
    return found


def _takes_the_first(header: Header, solver: str, options: Sequence[str]) -> bool:
    chosen = any(word.partition("=")[0] == "objno" for word in options)
    return header.n_objectives > 1 and solver not in REFUSE and not chosen


def told_together(doubts: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Lines for a person, from names of problems and their doubts: each doubt once."""
    names: dict[str, list[str]] = {}
    for name, sentences in doubts:
        for sentence in sentences:
            names.setdefault(sentence, []).append(name)
    return [f"{_listed(of_it)}: {sentence}" for sentence, of_it in names.items()]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:NAMES_TOLD])} and {more} more"
