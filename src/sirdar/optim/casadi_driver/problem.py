"""One problem: CasADi reads and differentiates it, its Ipopt solves it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi

from sirdar.optim.casadi_driver.nl_text import NlText, NotForCasadi
from sirdar.optim.casadi_driver.words import Value

BUILD_THE_OTHER = "Where there is a C compiler, `sirdar optim install` builds a driver that can."


class CasadiRefused(RuntimeError):
    """CasADi or its Ipopt would not take the problem or an option; the message is theirs."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where Ipopt ended; signs are those of a minimisation. ``lower`` and ``upper``: multipliers of bounds, not negative."""

    status: str
    x: list[float]
    multipliers: list[float]
    lower: list[float]
    upper: list[float]


def solve(text: NlText, options: dict[str, Value]) -> Found:
    """Raises NotForCasadi, CasadiRefused."""
    if options.get("nlp_scaling_method") == "user-scaling":
        raise NotForCasadi(f"nlp_scaling_method=user-scaling is not to be had with CasADi. {BUILD_THE_OTHER}")
    read = _read(text.plain)
    x, g = casadi.vertcat(*read.x), casadi.vertcat(*read.g)
    solver_options: dict[str, Any] = {
        "ipopt": options,
        "print_time": False,
        "error_on_fail": False,
        "calc_multipliers": False,
        "record_time": False,
    }
    try:
        # Expanded: scalars are evaluated faster than the graph of matrices in which CasADi reads the file.
        solver = casadi.nlpsol("ipopt", "ipopt", {"x": x, "f": read.f, "g": g}, {**solver_options, "expand": True})
        end = solver(
            x0=_start(read, text),
            lbx=read.x_lb,
            ubx=read.x_ub,
            lbg=read.g_lb,
            ubg=read.g_ub,
            lam_g0=_multipliers(read, text),
            lam_x0=_bounds(text),
        )
    except RuntimeError as error:
        raise CasadiRefused(str(error)) from None
    of_bounds = _floats(end["lam_x"])
    return Found(
        status=str(solver.stats()["return_status"]),
        x=_floats(end["x"]),
        multipliers=_floats(end["lam_g"]),
        lower=[max(0.0, -value) for value in of_bounds],
        upper=[max(0.0, value) for value in of_bounds],
    )


def _read(plain: str) -> Any:
    builder = casadi.NlpBuilder()
    with tempfile.TemporaryDirectory(prefix="sirdar-nl-") as folder:
        path = Path(folder) / "problem.nl"
        path.write_text(plain, encoding="latin-1")
        try:
            builder.import_nl(str(path), {})
        except RuntimeError as error:
            why = str(error).rsplit(": ", 1)[-1].strip()
            raise NotForCasadi(f"CasADi cannot read this .nl file: {why}. {BUILD_THE_OTHER}") from None
    return builder


def _start(read: Any, text: NlText) -> list[float]:
    """A variable without a value starts where it is nearest to zero."""
    bounds = zip(read.x_init, read.x_lb, read.x_ub, strict=True)
    return [
        value if index in text.started else max(low, min(high, 0.0)) for index, (value, low, high) in enumerate(bounds)
    ]


def _multipliers(read: Any, text: NlText) -> list[float]:
    """AMPL's signs are those of the objective as the user wrote it; Ipopt's Lagrangian adds the constraints."""
    sign = 1.0 if text.maximize else -1.0
    return [sign * value for value in read.lambda_init]


def _bounds(text: NlText) -> list[float]:
    """CasADi holds one number for both bounds of a variable. Without suffixes, as Ipopt's command has it: all are one."""
    sign = -1.0 if text.maximize else 1.0
    low, high = text.suffixes.get(("x", "ipopt_zL_in")), text.suffixes.get(("x", "ipopt_zU_in"))
    if low is None and high is None:
        return [0.0] * text.n_vars
    return [-sign * ((low or {}).get(index, 0.0) + (high or {}).get(index, 0.0)) for index in range(text.n_vars)]


def _floats(vector: Any) -> list[float]:
    return [float(value) for value in vector.full().ravel()] if vector.numel() else []
