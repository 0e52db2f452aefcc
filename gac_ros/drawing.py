"""Figures that are drawn into files, without a window or any state shared between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gac_ros.errors import ConfigurationError, OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            f"plots need matplotlib ({error}); install it with: pip install 'gac_ros[bench]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a figure; the suffix of `path` decides the format.

    Equal PNG figures are equal files, as neither matplotlib's name nor its version is in them.

    Raises:
        OutputError: it cannot be written, or no such format is known.
    """
    metadata = {"Software": None} if path.suffix.lower() == ".png" else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi, metadata=metadata)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); choose another place for it"
        ) from error
