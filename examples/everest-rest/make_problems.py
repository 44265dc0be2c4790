"""Writes problems/mix_*.nl with Pyomo: the best mix of two products on three machines, at several prices. They are kept beside it.

maximise PRICE x + 2 y  subject to  x + y <= 4,  x + 3 y <= 6,  x <= 3,  x, y >= 0.
The last one asks for x >= 5 besides, which no mix can be.
"""

from pathlib import Path

import pyomo.environ as pyo


def mix(price: float, at_least: float = 0) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, None))
    model.y = pyo.Var(bounds=(0, None))
    model.profit = pyo.Objective(expr=price * model.x + 2 * model.y, sense=pyo.maximize)
    model.cutting = pyo.Constraint(expr=model.x + model.y <= 4)
    model.drying = pyo.Constraint(expr=model.x + 3 * model.y <= 6)
    model.packing = pyo.Constraint(expr=model.x <= 3)
    if at_least:
        model.ordered = pyo.Constraint(expr=model.x >= at_least)
    return model


folder = Path(__file__).parent / "problems"
for number, price in enumerate((0.25, 0.5, 1, 2, 4)):
    mix(price).write(str(folder / f"mix_{number}.nl"))
mix(1, at_least=5).write(str(folder / "mix_5.nl"))
