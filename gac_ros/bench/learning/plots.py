"""Pictures of the table, small enough to be kept under version control."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gac_ros.bench.learning.methods import METHODS, LibraryMethod
from gac_ros.bench.learning.summary import Table, distinct
from gac_ros.drawing import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES_PLOT = "learning_scores.png"
COMPUTE_PLOT = "learning_compute.png"
_DPI = 90
_OURS, _LIBRARY, _OTHER = "#c44e52", "#8c8c8c", "#4c72b0"


def plot_learning(table: Table, folder: Path) -> list[str]:
    """Draw the table's plots into a folder and return their file names; none without runs.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    if not table:
        return []
    save_figure(_scores(table), folder / SCORES_PLOT, dpi=_DPI)
    save_figure(_compute(table), folder / COMPUTE_PLOT, dpi=_DPI)
    return [SCORES_PLOT, COMPUTE_PLOT]


def _colour(method: str) -> str:
    if method.startswith("gac"):
        return _OURS
    library = {m.name for m in METHODS if isinstance(m, LibraryMethod)}
    return _LIBRARY if method in library else _OTHER


def _scores(table: Table) -> Figure:
    """Bars of the mean scores with their 95 % intervals, a panel a task."""
    tasks = distinct(task for task, _ in table)
    titles = {method.name: method.title for method in METHODS}
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(4.2 * columns, 0.7 + 3.4 * rows)
    figure.subplots(rows, columns, squeeze=False)
    for axis, task in zip(figure.axes, tasks, strict=False):
        found = [(method, cell) for (name, method), cell in table.items() if name == task]
        found.reverse()  # barh draws from the bottom
        axis.barh(
            [titles.get(method, method) for method, _ in found],
            [cell.mean for _, cell in found],
            xerr=[cell.half_width for _, cell in found],
            color=[_colour(method) for method, _ in found],
            error_kw={"elinewidth": 1.0, "capsize": 2.0},
        )
        axis.axvline(0.0, color="black", linewidth=0.5)
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("score (0 random, 100 expert)", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(axis="x", linewidth=0.3)
    for axis in figure.axes[len(tasks) :]:
        axis.set_visible(False)
    return figure


def _compute(table: Table) -> Figure:
    """Score against the processor time of the training, a panel a task."""
    tasks = distinct(task for task, _ in table)
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(4.2 * columns, 0.7 + 3.0 * rows)
    figure.subplots(rows, columns, squeeze=False)
    for axis, task in zip(figure.axes, tasks, strict=False):
        for (name, method), cell in table.items():
            times = cell.mean_times("training")
            if name != task or times is None:
                continue
            minutes = max(times.cpu, 0.1) / 60.0
            axis.errorbar(
                minutes, cell.mean, yerr=cell.half_width, fmt="o", ms=4, color=_colour(method)
            )
            axis.annotate(
                method, (minutes, cell.mean), fontsize=6, xytext=(4, 3), textcoords="offset points"
            )
        axis.set_xscale("log")
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("processor time of the training (minutes)", fontsize=8)
        axis.set_ylabel("score", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(linewidth=0.3)
    for axis in figure.axes[len(tasks) :]:
        axis.set_visible(False)
    return figure
