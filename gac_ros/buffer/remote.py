"""Buffers in object storage, through fsspec: read by way of a local copy.

Whatever fsspec knows can be read: `s3://`, `gs://`, `sftp://`, ... The complete bags below the
address are copied to the user's cache; later only those that are new or were changed. Nothing is
ever written there, and digests guard the copies as they guard any bag.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from gac_ros.buffer.folders import user_cache
from gac_ros.buffer.leases import held_bags
from gac_ros.buffer.writer import METADATA_FILE
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError

_STATE = ".remote.json"
_LOCK = ".lock"
_INCOMING = ".incoming"
_OLD = ".old"
# What tells a file's version, in the words of the various storages.
_VERSIONS = (
    "ETag", "etag", "md5Hash", "md5", "checksum", "version_id", "LastModified", "last_modified",
    "mtime", "updated", "created",
)  # fmt: skip
# Errors of this machine's disk, not of the storage.
_OWN_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


def is_address(place: Path | str) -> bool:
    """Whether this is an address of object storage, such as `s3://bucket/episodes`."""
    return isinstance(place, str) and "://" in place


def as_place(text: str) -> Path | str:
    """A folder's path, or an address as it is: a path would lose its slashes."""
    return text if is_address(text) else Path(text)


def local_folder(place: Path | str) -> Path:
    """The folder itself, or for an address its copy, brought up to date.

    Raises:
        ConfigurationError: fsspec, or its part for this kind of storage, is not installed.
        EpisodeError: the storage cannot be read.
        OutputError: the copy cannot be written.
    """
    if not is_address(place):
        return Path(place)
    address = str(place)
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    try:
        import fsspec

        storage, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{address}: cannot be opened ({error}); install fsspec and its package for this "
            "kind of storage (for s3:// that is s3fs)"
        ) from error
    name = PurePosixPath(root).name or "root"
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]
    copy = user_cache() / "remote" / f"{name}-{digest}"
    try:
        copy.mkdir(parents=True, exist_ok=True)
        with _alone(copy):
            _update(copy, storage, root, address)
    except OSError as error:
        raise OutputError(
            f"{copy}: the copy of {address} cannot be written ({error.strerror or error}); free "
            "some space, or set XDG_CACHE_HOME to another folder"
        ) from error
    return copy


def _update(copy: Path, storage: Any, root: str, address: str) -> None:
    found = _bags(storage, root, address)
    known = _known(copy)
    for leftover in (_INCOMING, _OLD):
        shutil.rmtree(copy / leftover, ignore_errors=True)
    for name, files in found.items():
        version = json.dumps(sorted((file, _version(info)) for file, info in files.items()))
        if known.get(name) == version and (copy / name).is_dir():
            continue
        _fetch(copy, storage, name, files, address)
        known[name] = version
        _write_state(copy, known)
    held = held_bags(copy)
    for name in sorted(set(known) - set(found)):
        if name not in held:
            _put_aside(copy, name)
            del known[name]
    _write_state(copy, known)


def _bags(storage: Any, root: str, address: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Complete bags below the address: name to files, each with what the storage tells of it."""
    try:
        storage.invalidate_cache()
        files = storage.find(root, maxdepth=2, detail=True)
        if not files and not storage.exists(root):
            raise FileNotFoundError("there is nothing")
    # Every storage has errors of its own.
    except Exception as error:
        raise EpisodeError(
            f"{address}: cannot be read ({error or type(error).__name__}); check the address, the "
            "network and the credentials"
        ) from error
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path, info in files.items():
        parts = PurePosixPath(path).parts[-2:]
        if len(parts) == 2 and not any(part.startswith(".") for part in parts):
            found.setdefault(parts[0], {})[parts[1]] = {**info, "path": path}
    # The metadata are what makes a bag complete: whoever copies bags there should do it last.
    return {name: files for name, files in found.items() if METADATA_FILE in files}


def _version(info: dict[str, Any]) -> str:
    told = [f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None]
    return " ".join([f"size={info.get('size')}", *told])


def _fetch(
    copy: Path, storage: Any, name: str, files: dict[str, dict[str, Any]], address: str
) -> None:
    """Copy a bag beside the others, then rename it."""
    incoming = copy / _INCOMING / name
    incoming.mkdir(parents=True)
    try:
        for file, info in files.items():
            storage.get_file(info["path"], str(incoming / file))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OWN_ERRORS:
            raise
        raise EpisodeError(
            f"{address}: {name} cannot be read ({error or type(error).__name__}); try again"
        ) from error
    _put_aside(copy, name)
    incoming.rename(copy / name)


def _put_aside(copy: Path, name: str) -> None:
    """Make a bag's copy disappear at once, then delete it."""
    old = copy / _OLD
    old.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        (copy / name).rename(old / name)
    shutil.rmtree(old, ignore_errors=True)


def _known(copy: Path) -> dict[str, str]:
    """Versions of the bags that were copied; none when that is lost."""
    try:
        content = json.loads((copy / _STATE).read_text())
        return {str(name): str(version) for name, version in content.items()}
    except (OSError, ValueError, AttributeError):
        return {path.name: "" for path in copy.iterdir() if not path.name.startswith(".")}


def _write_state(copy: Path, known: dict[str, str]) -> None:
    made = copy / f"{_STATE}.new"
    made.write_text(json.dumps(known))
    made.rename(copy / _STATE)


@contextmanager
def _alone(copy: Path) -> Iterator[None]:
    """Wait until no other process updates the copy."""
    with (copy / _LOCK).open("wb") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
