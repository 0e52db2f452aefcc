"""Find the package's own files (config, checkpoints) in a checkout, a wheel or an install space.

The ament index is not needed: the files travel inside the Python package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE_DIRECTORY = Path(__file__).resolve().parent


def config_directory() -> Path:
    """Directory of the packaged configuration files (`embodiments/`, `train/`, ...)."""
    return PACKAGE_DIRECTORY / "config"


def packaged_checkpoint(robot: str) -> Path:
    """Directory of the packaged checkpoint for `robot`; it may not exist."""
    return PACKAGE_DIRECTORY / "checkpoints" / robot


def is_packaged(checkpoint: Path) -> bool:
    """Whether a checkpoint's directory is one of the package's."""
    return checkpoint.resolve().parent == (PACKAGE_DIRECTORY / "checkpoints").resolve()
