"""What ``solve_all`` is given, judged before anything is written or sent."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_RETRIES = 100  # the server takes no more


def check_models(models: Any) -> None:
    """Raises TypeError for one model, or one path, in place of a list of them."""
    if callable(getattr(models, "component_data_objects", None)):
        raise TypeError("models is one model; give a list: solve_all([model])")
    if isinstance(models, str | bytes | Path):
        raise TypeError("models is one path; give a list: solve_all([path])")
    if not isinstance(models, Iterable):
        raise TypeError(f"models is a {type(models).__name__}; give a list of Pyomo models or paths of .nl files")


def check_limits(time_limit_s: Any, retries: Any) -> None:
    """Raises ValueError, which names the argument."""
    if time_limit_s is not None and not (_is_number(time_limit_s) and math.isfinite(time_limit_s) and time_limit_s > 0):
        raise ValueError(f"time_limit_s is {time_limit_s!r}; it takes seconds above 0, or None for no limit")
    whole = _is_number(retries) and float(retries).is_integer()
    if retries is not None and not (whole and 0 <= retries <= MOST_RETRIES):
        raise ValueError(f"retries is {retries!r}; it takes a whole number from 0 to {MOST_RETRIES}, or None")


def _is_number(value: Any) -> bool:
    """NumPy's numbers are some, too."""
    return hasattr(value, "__float__") and not isinstance(value, bool | str)
