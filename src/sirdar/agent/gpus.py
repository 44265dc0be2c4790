"""Which gpus which attempt has. A program sees its own alone, by ``CUDA_VISIBLE_DEVICES``; the journal keeps them."""

from collections.abc import Iterable

VARIABLE = "CUDA_VISIBLE_DEVICES"


class Gpus:
    """The machine's gpus, by the names that the variable takes. Until ``learn`` nobody knows which there are."""

    def __init__(self) -> None:
        self._all: tuple[str, ...] | None = None
        self._held: dict[str, tuple[str, ...]] = {}  # by attempt

    def learn(self, ids: Iterable[str]) -> None:
        """These are there."""
        self._all = tuple(ids)

    @property
    def known(self) -> bool:
        return self._all is not None

    def count(self) -> int:
        return len(self._all or ())

    def take(self, key: str, n: int) -> tuple[str, ...] | None:
        """``n`` gpus for an attempt, always the same ones; None where not so many are free now."""
        held = self._held.get(key)
        if held is not None:
            return held
        taken = {one for ids in self._held.values() for one in ids}
        free = [one for one in self._all or () if one not in taken]
        if len(free) < n:
            return None
        self._held[key] = tuple(free[:n])
        return self._held[key]

    def keep(self, key: str, ids: Iterable[str]) -> None:
        """An earlier agent has given it these."""
        self._held[key] = tuple(ids)

    def release(self, key: str) -> bool:
        """True where it had any."""
        return self._held.pop(key, None) is not None

    def environment(self, key: str) -> dict[str, str]:
        """What its program gets: the variable is empty for one that asked for none, on a machine that has some."""
        if not self._all and key not in self._held:
            return {}
        return {VARIABLE: ",".join(self._held.get(key, ()))}
