"""The cheapest production plan: capacitated lot sizing with set-up times, as a mixed-integer programme solved by HiGHS.

    python3 plan.py PLANT RESULTS --status status.txt --gap 0.01 --time-limit-s 60

PLANT holds products.csv (product, setup_cost, setup_hours, hours_per_unit, stock_cost, initial_stock), demand.csv (product
and a column for each week) and plant.csv (week, hours, overtime_hours). For product i and week t the plan chooses how much
to make x, whether to set the line up y, the stock s, what is late b, and for each week the overtime o:

    minimise   sum setup_cost y + stock_cost s + backlog_cost stock_cost b + overtime_cost o
    such that  s[t-1] - b[t-1] + x[t] = demand[t] + s[t] - b[t],   x <= M y,   b = 0 in the last week
               sum hours_per_unit x + setup_hours y <= hours + o,   o <= overtime_hours

The capacity with set-up times makes it hard (Trigeiro, Thomas and McClain, Management Science 35, 1989).
"""

import argparse
import csv
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highspy

NO_PLAN = 3
ENDED = {
    highspy.HighsModelStatus.kOptimal: "within the gap",
    highspy.HighsModelStatus.kTimeLimit: "out of time",
}


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    setup_cost: float
    setup_hours: float
    hours_per_unit: float
    stock_cost: float
    initial_stock: float


@dataclass(frozen=True, slots=True)
class Plant:
    """``demand[i][t]`` in units; ``hours`` and ``overtime_hours`` of each week."""

    products: list[Product]
    weeks: list[str]
    demand: list[list[float]]
    hours: list[float]
    overtime_hours: list[float]


def read_plant(folder: Path) -> Plant:
    """Ends the program with the file and the line where something is wrong."""
    products = [
        Product(row["product"], *(number(row, name) for name in Product.__slots__[1:]))
        for row in rows(folder / "products.csv", Product.__slots__[1:])
    ]
    weeks = rows(folder / "plant.csv", ("hours", "overtime_hours"))
    names = [week["week"] for week in weeks]
    orders = {row["product"]: row for row in rows(folder / "demand.csv", names)}
    if missing := [product.name for product in products if product.name not in orders]:
        sys.exit(f"demand.csv has no line for the product {missing[0]}")
    return Plant(
        products,
        names,
        [[number(orders[product.name], week) for week in names] for product in products],
        [number(week, "hours") for week in weeks],
        [number(week, "overtime_hours") for week in weeks],
    )


def rows(path: Path, needed: Any) -> list[dict[str, str]]:
    if not path.is_file():
        sys.exit(f"the plant's zip has no {path.name}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        found = list(reader)
    columns = reader.fieldnames or ()
    if missing := [name for name in needed if name not in columns]:
        sys.exit(f"{path.name} has no column {missing[0]}; it has: {', '.join(columns)}")
    return found


def number(row: dict[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        sys.exit(f"{name} of {next(iter(row.values()))} is {row[name]!r}; expected a number that is not negative")
    return value


class Model:
    """The programme in HiGHS, and its variables by what they mean."""

    def __init__(self, plant: Plant, asked: argparse.Namespace) -> None:
        self.plant = plant
        self.highs = h = highspy.Highs()
        h.silent()
        many, weeks = range(len(plant.products)), range(len(plant.weeks))
        self.make = [[h.addVariable() for _ in weeks] for _ in many]
        self.setup = [[h.addBinary(obj=p.setup_cost) for _ in weeks] for p in plant.products]
        self.stock = [[h.addVariable(obj=p.stock_cost) for _ in weeks] for p in plant.products]
        self.late = [
            [h.addVariable(ub=0 if t == weeks[-1] else math.inf, obj=asked.backlog_cost * p.stock_cost) for t in weeks]
            for p in plant.products
        ]
        self.overtime = [h.addVariable(ub=plant.overtime_hours[t], obj=asked.overtime_cost) for t in weeks]
        for i in many:
            self._balance(i)
        for t in weeks:
            used = sum(
                p.hours_per_unit * self.make[i][t] + p.setup_hours * self.setup[i][t]
                for i, p in enumerate(plant.products)
            )
            h.addConstr(used - self.overtime[t] <= plant.hours[t])

    def _balance(self, i: int) -> None:
        product, demand, h = self.plant.products[i], self.plant.demand[i], self.highs
        for t, wanted in enumerate(demand):
            before = self.stock[i][t - 1] - self.late[i][t - 1] if t else 0
            after = self.stock[i][t] - self.late[i][t]
            h.addConstr(before + self.make[i][t] - after == wanted - (0 if t else product.initial_stock))
            week_hours = self.plant.hours[t] + self.plant.overtime_hours[t] - product.setup_hours
            fits = max(0.0, week_hours / product.hours_per_unit) if product.hours_per_unit else sum(demand)
            h.addConstr(self.make[i][t] <= min(fits, sum(demand)) * self.setup[i][t])

    def values(self, grid: list[list[Any]]) -> list[list[float]]:
        return [[float(value) for value in self.highs.variableValues(line)] for line in grid]


class Status:
    """The line that people see while the model runs; it is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self.path)
        print(text)


def solve(model: Model, asked: argparse.Namespace, tell: Status) -> None:
    h = model.highs
    if asked.debug:
        h.writeModel(str(asked.debug / "model.mps"))
        h.setOptionValue("output_flag", True)
        h.setOptionValue("log_to_console", False)
        h.setOptionValue("log_file", str(asked.debug / "highs.log"))
    h.setOptionValue("mip_rel_gap", asked.gap)
    h.setOptionValue("time_limit", asked.time_limit_s)
    h.setOptionValue("random_seed", asked.seed)
    last = -1.0

    def progress(event: Any) -> None:
        nonlocal last
        state = event.data_out
        if state.running_time - last >= 0.25 and math.isfinite(state.mip_primal_bound):
            last = state.running_time
            tell(
                f"{state.running_time:.1f} s: {state.mip_primal_bound:,.0f} EUR found, {state.mip_dual_bound:,.0f} at least, "
                f"gap {100 * state.mip_gap:.2f} %"
            )

    h.cbMipInterrupt.subscribe(progress)  # asked often, whether anything is logged or not
    h.minimize()


def write_plan(model: Model, results: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """plan.csv, costs.csv and summary.json; the summary."""
    plant, info = model.plant, model.highs.getInfo()
    make, stock, late = (model.values(grid) for grid in (model.make, model.stock, model.late))
    setup, overtime = model.values(model.setup), model.values([model.overtime])[0]
    with (results / "plan.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["week", "product", "demand", "make", "stock", "late"])
        for t, week in enumerate(plant.weeks):
            for i, product in enumerate(plant.products):
                numbers = (abs(round(grid[i][t], 3)) for grid in (make, stock, late))
                out.writerow([week, product.name, plant.demand[i][t], *numbers])
    costs = {
        "setup": sum(p.setup_cost * round(y) for p, line in zip(plant.products, setup, strict=True) for y in line),
        "stock": sum(p.stock_cost * sum(line) for p, line in zip(plant.products, stock, strict=True)),
        "backlog": sum(
            asked.backlog_cost * p.stock_cost * sum(line) for p, line in zip(plant.products, late, strict=True)
        ),
        "overtime": asked.overtime_cost * sum(overtime),
    }
    with (results / "costs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["cost", "EUR"], *([name, round(value, 2)] for name, value in costs.items())])
    summary = {
        "cost": round(info.objective_function_value, 2),
        "lower_bound": round(info.mip_dual_bound, 2),
        "gap_percent": round(100 * info.mip_gap, 4),
        "nodes": info.mip_node_count,
        "ended": ENDED.get(model.highs.getModelStatus(), model.highs.modelStatusToString(model.highs.getModelStatus())),
    }
    (results / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def main() -> None:
    asked = arguments()
    tell = Status(asked.status)
    plant = read_plant(asked.plant)
    tell(f"{len(plant.products)} products, {len(plant.weeks)} weeks: building the model")
    model = Model(plant, asked)
    solve(model, asked, tell)
    if model.highs.getInfo().primal_solution_status != highspy.kSolutionStatusFeasible:
        why = model.highs.modelStatusToString(model.highs.getModelStatus())
        tell(f"no plan: {why}")
        print(f"no plan was found: {why}. More hours, overtime or time_limit_s may help.", file=sys.stderr)
        sys.exit(NO_PLAN)
    summary = write_plan(model, asked.results, asked)
    tell(f"{summary['ended']}: {summary['cost']:,.0f} EUR, gap {summary['gap_percent']:.2f} %")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The cheapest production plan.", allow_abbrev=False)
    parser.add_argument("plant", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--gap", type=float, default=0.01)
    parser.add_argument("--time-limit-s", type=float, default=60)
    parser.add_argument("--overtime-cost", type=float, default=40)
    parser.add_argument("--backlog-cost", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--debug", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
