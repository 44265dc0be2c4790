"""The shapes of plots, for the OpenAPI document, as in ``shapes.py``."""

from typing import Any, Literal

from pydantic import Field

from sirdar.api.shapes import Column, Shape


class Points(Shape):
    """Points of a plot: number of the task, x, y, colour. ``sampled``: they are some, evenly, of those ``of`` which there are."""

    x: Column
    y: Column
    color: Column | None
    points: list[list[Any]]
    sampled: bool
    of: int
    ended: bool = Field(description="the job has, so that no more come")
    best: int | None = Field(description="number of the best task, where an axis shows what the job seeks")


class PlotSeries(Shape):
    label: Any = Field(description="the value of by; null where there is none")
    no: list[int]
    x: list[Any]
    y: list[float]


class PlotGrid(Shape):
    x: list[Any]
    y: list[Any]
    values: list[list[float | None]] = Field(description="a row for each y; the mean of the tasks there")


class PlotLine(Shape):
    """A task: its values in the order of the dimensions, and y."""

    no: int
    values: list[Any]
    y: float


class PlotLeftOut(Shape):
    failed: int
    cancelled: int
    not_ended: int
    without_value: int = Field(description="done, and without one of the values")


class Plot(Shape):
    """A picture of a job's done tasks: ``series`` of a line or scatter plot, the ``grid`` of a heat map, or ``lines`` of parallel
    coordinates."""

    kind: Literal["line", "scatter", "heatmap", "parallel"]
    y: Column = Field(description="the value")
    dimensions: list[Column] = Field(description="what it is shown over: x; x and by; or all of a parallel plot")
    series: list[PlotSeries]
    grid: PlotGrid | None
    lines: list[PlotLine]
    best: PlotLine | None
    sense: Literal["min", "max"] | None = Field(description="which value is the best")
    total: int = Field(description="tasks of the job")
    shown: int
    sampled: bool = Field(description="of the done tasks only some are shown, evenly")
    repeated: bool = Field(description="a cell of the grid is the mean of several tasks")
    left_out: PlotLeftOut
