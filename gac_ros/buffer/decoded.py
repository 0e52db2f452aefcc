"""Decoded episodes kept beside their bags, as arrays that are mapped instead of read.

A table is a folder `.cache/tables/<key>/` of `.npy` files and a `manifest.json`. Its key stands for
the content of its episodes, in their order, and for the embodiment they were decoded by, so a table
is never out of date: with other episodes another table is needed, which takes over what older ones
hold. It appears by a rename, so that any number of processes may make one at the same time, and
every file is checked by its SHA-256 before it is used. What is deleted is only made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gac_ros import __version__
from gac_ros.buffer.locks import is_locked, try_lock
from gac_ros.episode import Episode
from gac_ros.errors import EpisodeError

FOLDER = "tables"
_MANIFEST = "manifest.json"
_LOCK = "lock"
_MAKING = ".making-"
_VERSION = 1
_KEPT = 3  # tables of a folder: of all its episodes, and of some choices among them
_BEGINNING = 60.0  # seconds that another process may take from making a folder to its lock
_BLOCK = 2**20


@dataclass(frozen=True)
class Source:
    """An episode to be decoded.

    Attributes:
        digest: SHA-256 of its content.
        read: decodes it; raises EpisodeError when it cannot be used.
        bag: where it is, for errors.
    """

    digest: str
    read: Callable[[], Episode]
    bag: Path


@dataclass(frozen=True, eq=False)
class Table:
    """Decoded episodes laid end to end; the arrays cannot be written to.

    Attributes:
        observations: float64 (sum(T + 1), O).
        actions: float64 (sum(T), A).
        rewards: float64 (sum(T),).
        valid: bool (sum(T),).
        lengths: int64 (N,), actions T of each source; 0 for one that cannot be used.
        returns: float64 (N,); NaN without one.
        problems: number of a source that cannot be used, and why.
    """

    observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    valid: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    returns: NDArray[np.float64]
    problems: dict[int, str]


def open_table(
    sources: Sequence[Source],
    embodiment_digest: str,
    caches: Sequence[Path],
    on_episode: Callable[[], None] | None = None,
) -> Table:
    """The table of these episodes; what no table holds yet is decoded.

    Args:
        sources: at least one, each content only once.
        embodiment_digest: of the contract that they are decoded by.
        caches: folders to look for tables; a new one is kept in the first of them that can be
            written. Without any it is made in memory.
        on_episode: called for each episode that had to be decoded.
    """
    content = [source.digest for source in sources]
    key = _digest(str(_VERSION), __version__, embodiment_digest, *content)
    folders = [cache / FOLDER for cache in caches]
    for folder in folders:
        found = _load(folder / key)
        if found is not None and found.sources == content:
            return found.table(sources)
    made = [each for folder in folders for each in _others(folder, embodiment_digest)]
    decoded = _Decoded(made, on_episode)
    for folder in folders:
        try:
            found = _write(folder, key, embodiment_digest, sources, decoded)
        except OSError:
            continue  # it cannot be written, or is full
        return found.table(sources)
    return _in_memory(sources, decoded)


# --- tables that are there -----------------------------------------------------------------------

_NAMES = ("observations", "actions", "rewards", "valid")


@dataclass(frozen=True, eq=False)
class _Stored:
    """A table as its folder holds it: arrays by their names, and a description of each episode."""

    arrays: dict[str, NDArray[Any]]
    episodes: list[dict[str, Any]]

    @property
    def sources(self) -> list[str]:
        return [each["digest"] for each in self.episodes]

    def table(self, sources: Sequence[Source]) -> Table:
        returns = [each.get("return") for each in self.episodes]
        return Table(
            **self.arrays,
            lengths=np.array([each.get("steps", 0) for each in self.episodes], dtype=np.int64),
            returns=np.array([np.nan if y is None else y for y in returns], dtype=np.float64),
            problems={
                number: each["problem"].replace(_BAG, str(sources[number].bag))
                for number, each in enumerate(self.episodes)
                if "problem" in each
            },
        )


# Stands for the bag in a problem's text: a buffer may be moved.
_BAG = "{bag}"


def _load(folder: Path, embodiment_digest: str | None = None) -> _Stored | None:
    """A table whose files are as they were written; None when there is none."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        content = manifest["content"]
        if manifest["sha256"] != _digest(json.dumps(content, sort_keys=True)):
            return None
        if embodiment_digest not in (None, content["embodiment"]):
            return None
        arrays: dict[str, NDArray[Any]] = {}
        for name in _NAMES:
            with (folder / f"{name}.npy").open("rb") as stream:
                if _stream_digest(stream) != content["sha256"][name]:
                    return None
            # A plain array upon the map: slices of np.memmap itself are slow to make.
            arrays[name] = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
        with suppress(OSError):
            os.utime(folder)  # the least used ones are deleted first
        return _Stored(arrays, content["episodes"])
    # Lost, damaged, or being deleted; damaged bytes break in more ways than can be listed.
    except Exception:
        return None


def _others(folder: Path, embodiment_digest: str) -> Iterator[_Stored]:
    """Sound tables of the same embodiment."""
    for each in _tables(folder):
        found = _load(each, embodiment_digest)
        if found is not None:
            yield found


def _tables(folder: Path) -> list[Path]:
    """Tables of a folder, the last used one first."""
    try:
        found = [(path.stat().st_mtime, path) for path in folder.iterdir() if path.name[0] != "."]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]


# --- new tables ----------------------------------------------------------------------------------


class _Decoded:
    """Episodes as arrays: from tables that are there, and else from their bags."""

    def __init__(self, made: Sequence[_Stored], on_episode: Callable[[], None] | None) -> None:
        self._on_episode = on_episode
        self._places: dict[str, tuple[_Stored, dict[str, Any], int, int]] = {}
        for stored in made:
            observation = action = 0
            for each in stored.episodes:
                self._places[each["digest"]] = (stored, each, observation, action)
                steps = each.get("steps", 0)
                action += steps
                observation += steps + ("steps" in each)

    def get(self, source: Source) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Description of an episode, and its arrays; none when it cannot be used."""
        if source.digest not in self._places:
            return self._read(source)
        stored, description, first, start = self._places[source.digest]
        steps = description.get("steps", 0)
        ends = {"observations": (first, first + steps + ("steps" in description))}
        return description, {
            name: array[slice(*ends.get(name, (start, start + steps)))]
            for name, array in stored.arrays.items()
            if "steps" in description
        }

    def _read(self, source: Source) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        try:
            episode = source.read()
        except EpisodeError as error:
            problem = str(error).replace(str(source.bag), _BAG)
            return {"digest": source.digest, "problem": problem}, {}
        finally:
            if self._on_episode is not None:
                self._on_episode()
        description = {
            "digest": source.digest,
            "steps": len(episode),
            "return": episode.episode_return,
        }
        return description, {name: getattr(episode, name) for name in _NAMES}


def _in_memory(sources: Sequence[Source], decoded: _Decoded) -> Table:
    descriptions, parts = zip(*map(decoded.get, sources), strict=True)
    arrays = {
        name: np.concatenate([part[name] for part in parts if part])
        if any(parts)
        else np.empty((0, 0) if name in _NAMES[:2] else 0)
        for name in _NAMES
    }
    return _Stored(arrays, list(descriptions)).table(sources)


def _write(
    folder: Path, key: str, embodiment_digest: str, sources: Sequence[Source], decoded: _Decoded
) -> _Stored:
    """Make a table beside the others, then rename it.

    Raises:
        OSError: it cannot be written, or cannot be read back.
    """
    with _workplace(folder) as making:
        descriptions = []
        with ExitStack() as stack:
            files = {name: stack.enter_context(_Growing(making / f"{name}.npy")) for name in _NAMES}
            for source in sources:
                description, arrays = decoded.get(source)
                descriptions.append(description)
                for name, array in arrays.items():
                    files[name].append(array)
        content = {
            "embodiment": embodiment_digest,
            "episodes": descriptions,
            "sha256": {name: _file_digest(making / f"{name}.npy") for name in _NAMES},
        }
        digest = _digest(json.dumps(content, sort_keys=True))
        (making / _MANIFEST).write_text(json.dumps({"content": content, "sha256": digest}))
        stored = _load(making)
        if stored is None:
            raise OSError("a table does not read back as it was written")
        _put(making, folder / key)
    for old in _tables(folder)[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return stored


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder of our own to make a table in; those that were left by others are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_MAKING}*"):
        if _left(left):
            shutil.rmtree(left, ignore_errors=True)
    making = folder / f"{_MAKING}{os.getpid()}-{secrets.token_hex(4)}"
    making.mkdir()
    try:
        with (making / _LOCK).open("wb") as lock:
            try_lock(lock)
            yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _left(making: Path) -> bool:
    """Whether a folder was left by a process that was killed, and not begun just now."""
    try:
        return not is_locked(making / _LOCK) and making.stat().st_mtime < time.time() - _BEGINNING
    except OSError:
        return False


def _put(made: Path, target: Path) -> None:
    """Rename a table to its place; one that another process has put there meanwhile is as good."""
    try:
        made.rename(target)
    except OSError:
        if _load(target) is None:  # damaged: it was not taken when we looked for one
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)


class _Growing:
    """An `.npy` file that arrays of equal rows are appended to."""

    def __init__(self, path: Path) -> None:
        self._stream: IO[bytes] = path.open("xb")
        self._rows = 0
        self._head: dict[str, Any] | None = None

    def __enter__(self) -> _Growing:
        return self

    def __exit__(self, *_: object) -> None:
        """Write down how many rows there are; the head has room for any number."""
        if self._head is None:
            self._start(np.empty((0, 0)))
        assert self._head is not None
        self._stream.seek(0)
        shape = (self._rows, *self._head["shape"][1:])
        npy.write_array_header_1_0(self._stream, {**self._head, "shape": shape})
        self._stream.close()

    def append(self, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        if self._head is None:
            self._start(array)
        self._stream.write(array.data)
        self._rows += len(array)

    def _start(self, array: NDArray[Any]) -> None:
        self._head = npy.header_data_from_array_1_0(array[:0])
        npy.write_array_header_1_0(self._stream, self._head)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return _stream_digest(stream)


def _stream_digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
