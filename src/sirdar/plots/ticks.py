"""Round numbers for an axis, and how they are written: as many digits as tell one from the next, and no more."""

from collections.abc import Sequence
from itertools import pairwise
from math import floor, log10

from matplotlib.ticker import MaxNLocator

STEPS = [1, 2, 2.5, 5, 10]
PLAIN_UNTIL, PLAIN_FROM = 1e6, 1e-4  # beyond these, powers of ten


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in equal steps, from below ``low`` to above ``high``."""
    return [float(tick) for tick in MaxNLocator(most, steps=STEPS).tick_values(low, high)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten between two positive numbers; 1, 2 and 5 of each where there are few powers."""
    first, last = floor(log10(low)), floor(log10(high)) + 1
    powers = [exponent for exponent in range(first, last + 1) if low <= 10.0**exponent <= high]
    if len(powers) >= 3:
        step = -(-len(powers) // most)
        return [10.0**exponent for exponent in powers[::step]]
    parts = [part * 10.0**exponent for exponent in range(first, last + 1) for part in (1, 2, 5)]
    return [part for part in parts if low <= part <= high] or [low, high]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """All with the same number of decimals, as far as these tell them apart."""
    if len(ticks) < 2:
        return [number_text(tick) for tick in ticks]
    step = min(abs(b - a) for a, b in pairwise(ticks))
    largest = max(abs(tick) for tick in ticks)
    if not step or largest >= PLAIN_UNTIL or largest < PLAIN_FROM:
        digits = 1 + max(0, floor(log10(largest)) - floor(log10(step))) if step else 3
        return [number_text(tick, digits + 1) for tick in ticks]
    decimals = next((places for places in range(9) if _told(ticks, places, step)), 9)
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _told(ticks: Sequence[float], decimals: int, step: float) -> bool:
    return all(abs(round(tick, decimals) - tick) < step / 1000 for tick in ticks)


def number_text(value: float, digits: int = 4) -> str:
    """``0.05``, ``12345``, ``1.4e6``: a number in few digits; whole ones below a million in full."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < PLAIN_FROM or size >= PLAIN_UNTIL:
        mantissa, _, exponent = f"{value:.{max(0, digits - 1)}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    if value == int(value):
        return str(int(value))
    text = f"{value:.{max(digits, floor(log10(size)) + 1)}g}"
    return text if "e" not in text else f"{value:.0f}"
