"""Returns over rounds as a picture, from `results.json` alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gac_ros.drawing import new_figure, save_figure
from gac_ros.errors import EpisodeError
from gac_ros.online.results import RESULTS_FILE, RoundResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_FILE = "returns.png"
_STEPS = "collected robot steps"


def plot_runs(folders: dict[str, Path], out: Path) -> Path:
    """As `plot_rounds`, of the runs in these folders, by the name in the legend.

    Raises:
        EpisodeError: a folder has no results.
    """
    return plot_rounds([(name, read_rounds(folder)) for name, folder in folders.items()], out)


def plot_rounds(runs: Sequence[tuple[str, Sequence[RoundResult]]], out: Path) -> Path:
    """Draw exploitation (with its 95 % interval), collected returns and y+ over robot steps.

    Args:
        runs: name in the legend, which several may share, and rounds of each.
        out: picture to write; its suffix decides the format.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2, sharex=True)
    colours: dict[str, str] = {}
    for name, rounds in runs:
        label = "_" if name in colours else name  # an underscore keeps it out of the legend
        colour = colours.setdefault(name, f"C{len(colours)}")
        _draw_exploitation(left, rounds, label, colour)
        _draw_collection(right, rounds, label, colour)
    left.set(title="exploitation (95 % interval)", xlabel=_STEPS, ylabel="return")
    right.set(title="collected episodes, mean; dashed: y+", xlabel=_STEPS)
    left.legend()
    for axes in (left, right):
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    save_figure(figure, out, dpi=120)
    return out


def read_rounds(folder: Path) -> list[RoundResult]:
    """Rounds of a run's `results.json`.

    Raises:
        EpisodeError: there is none, or it is damaged.
    """
    path = folder / RESULTS_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return [RoundResult.model_validate(entry) for entry in content["rounds"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpisodeError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:200]}); give the folder of an "
            "online run"
        ) from error


def _draw_exploitation(axes: Axes, rounds: Sequence[RoundResult], name: str, colour: str) -> None:
    known = [(r.steps, r.exploitation) for r in rounds if r.exploitation is not None]
    steps = [count for count, _ in known]
    means = [exploitation.return_mean for _, exploitation in known]
    intervals = [e.return_ci95 or (e.return_mean, e.return_mean) for _, e in known]
    low, high = zip(*intervals, strict=True) if intervals else ((), ())
    axes.plot(steps, means, marker="o", markersize=3, color=colour, label=name)
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_collection(axes: Axes, rounds: Sequence[RoundResult], name: str, colour: str) -> None:
    collected = [(r.steps, r.collection) for r in rounds if r.collection is not None]
    steps = [count for count, _ in collected]
    means = [collection.return_mean for _, collection in collected]
    axes.plot(steps, means, marker="o", markersize=3, color=colour, label=name)
    targets = [(count, c.target_mean) for count, c in collected if c.target_mean is not None]
    if targets:
        axes.plot(*zip(*targets, strict=True), linestyle="--", linewidth=1, color=colour)
