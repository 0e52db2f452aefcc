"""Files that appear complete or not at all, and locks between processes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gac_ros.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it.

    Raises:
        OutputError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); check the permissions and "
            "the disk's space, or choose another folder"
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """As `write_text`, as JSON.

    Raises:
        OutputError: it cannot be written.
        ValueError: a number is not finite; no strict JSON parser could read the file.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def sync_directory(path: Path) -> None:
    """Without this a rename may be forgotten by a power cut even though the file is not.

    Raises:
        OSError: the system cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file; without `wait`, say False when another process holds it.

    The system frees it when the process ends, however that happens.

    Raises:
        OutputError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be locked ({error.strerror or error}); check the permissions, or "
            "choose another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be locked ({error.strerror or error}); choose a folder on a file "
                "system that has locks"
            ) from error
        yield True
