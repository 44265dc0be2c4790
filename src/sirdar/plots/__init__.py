"""Pictures of a job's tasks, from what ``GET /api/jobs/ID/plot`` answers; needs the extra ``plots`` (matplotlib, NumPy).

``draw`` makes a figure, ``save`` writes it as PNG, SVG or PDF: the same bytes for the same job.
"""

from sirdar.plots.figure import CannotPlot, draw, save

__all__ = ["CannotPlot", "draw", "save"]
