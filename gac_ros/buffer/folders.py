"""Where a buffer directory keeps what: its bags, and what can be made again from them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gac_ros.buffer.writer import METADATA_FILE
from gac_ros.errors import EpisodeError

CACHE = ".cache"


def is_bag(path: Path) -> bool:
    """Whether a folder is a bag, or was one: without its metadata it is a problem to tell."""
    try:
        return (path / METADATA_FILE).exists() or any(path.glob("*.mcap"))
    except OSError:
        return False


def bags_in(directory: Path) -> list[Path]:
    """Bags of a buffer directory by name; hidden entries, `.recording` among them, are none.

    Raises:
        EpisodeError: the directory cannot be read.
    """
    try:
        entries = list(directory.iterdir())
    except OSError as error:
        raise EpisodeError(
            f"{directory}: cannot be read ({error.strerror}); give a folder of episodes"
        ) from error
    bags = [e for e in entries if not e.name.startswith(".") and e.is_dir() and is_bag(e)]
    return sorted(bags, key=lambda bag: bag.name)


def user_cache() -> Path:
    """The user's folder for what can be made again; `XDG_CACHE_HOME` moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gac_ros"


def cache_folder(directory: Path) -> Path | None:
    """Where a buffer directory's index and cache are: beside the bags, if that can be written.

    For a directory that is read-only it is in the user's cache. None where neither can be written:
    then everything works, slowly.
    """
    elsewhere = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    for folder, above in (
        (directory / CACHE, directory),
        (user_cache() / "buffers" / elsewhere, None),
    ):
        try:
            if above is not None and not os.access(above, os.W_OK):
                continue
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # RuntimeError: no home
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None
