"""``sirdar/solve`` and ``sirdar/solve-kept``: the same door, but for who keeps the solver's process."""

from sirdar.domain.keep_alive import KeepAlive
from sirdar.services.builtin import DESCRIPTION, PLACE
from sirdar.wire.description import parse_yaml


def test_the_two_differ_in_nothing_but_the_process_and_the_machine() -> None:
    cold, warm = (parse_yaml((PLACE / name / DESCRIPTION).read_bytes()) for name in ("solve", "solve-kept"))
    assert (cold.keep_alive, warm.keep_alive) == (None, KeepAlive())
    assert cold.resources.labels == {"solver-${solver}": "*"} and warm.resources.labels == {"kept-${solver}": "*"}
    assert (cold.command, cold.outputs, cold.retries) == (warm.command, warm.outputs, warm.retries)
    assert [(one.name, one.type, one.default, one.pattern, one.path) for one in cold.inputs] == [
        (one.name, one.type, one.default, one.pattern, one.path) for one in warm.inputs
    ]
    assert cold.resources.override == warm.resources.override
