"""Recorded against recomputed actions as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gac_ros.drawing import new_figure, save_figure
from gac_ros.evaluation.replay import TOLERANCE, ReplayReport

_SMALLEST = 1e-17  # differences of 0 have a place on a logarithmic axis too


def plot_replay(report: ReplayReport, out: Path) -> Path:
    """Draw each number of the command, as recorded and as recomputed, and their difference.

    Args:
        report: of an episode.
        out: picture to write; its suffix decides the format.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    rows = len(report.joints) + 1
    figure = new_figure(9.0, 1.6 * rows + 1.0)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    steps = np.arange(len(report.recorded))
    for number, joint in enumerate(report.joints):
        axes[number].step(steps, report.recorded[:, number], where="post", label="recorded")
        axes[number].step(
            steps, report.recomputed[:, number], where="post", label="recomputed", linestyle="--"
        )
        axes[number].set_ylabel(joint)
    axes[0].legend(loc="upper right")
    difference = np.abs(report.recomputed - report.recorded).max(axis=1)
    axes[-1].semilogy(steps, np.maximum(difference, _SMALLEST), label="largest difference")
    axes[-1].axhline(TOLERANCE, color="grey", linestyle=":", label="allowed")
    axes[-1].set(xlabel="step", ylabel="difference")
    axes[-1].legend(loc="upper right")
    figure.suptitle(report.bag.name)
    save_figure(figure, out, dpi=110)
    return out
