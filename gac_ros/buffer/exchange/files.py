"""Files of data sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gac_ros.errors import EpisodeError

_BLOCK = 1 << 20


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of a folder's files.

    Raises:
        EpisodeError: a file cannot be read.
    """
    whole = hashlib.sha256()
    try:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            part = hashlib.sha256()
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    part.update(block)
            whole.update(f"{file.relative_to(folder)}\0{part.hexdigest()}\n".encode())
    except OSError as error:
        raise EpisodeError(f"{folder}: cannot be read ({error.strerror})") from error
    return whole.hexdigest()
