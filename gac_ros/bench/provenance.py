"""Where a figure comes from: the code, the versions and the machine that made it."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import gac_ros

_PACKAGE = Path(gac_ros.__file__).resolve().parent
_LIBRARIES = ("gymnasium", "mujoco", "numpy", "torch")


def commit() -> str | None:
    """The checkout's commit, with `+changes` where the package differs from it; None without git.

    Only what a figure depends on counts: the package, its robots and its settings.
    """
    revision = _git("rev-parse", "--short=12", "HEAD")
    if revision is None:
        return None
    folders = ("gac_ros", "sim", "config")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *folders)
    return f"{revision}+changes" if changed else revision


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=_PACKAGE.parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code_digest(*names: str) -> str:
    """SHA-256 over source files of the package, or over all those below a folder of it."""
    digest = hashlib.sha256()
    for name in names:
        path = _PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(_PACKAGE)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that decide its numbers."""
    found = {"python": platform.python_version(), "gac_ros": gac_ros.__version__}
    return found | {name: metadata.version(name) for name in _LIBRARIES}


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
