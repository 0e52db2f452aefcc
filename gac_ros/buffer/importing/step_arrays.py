"""Data sets of step arrays: the episodes of a Gymnasium environment end to end in one .npz file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.importing.step_bag import StepEpisode
from gac_ros.errors import EpisodeError

_REQUIRED = ("observations", "actions", "rewards", "lengths", "terminated", "truncated")
_TEXTS = ("env_id", "note")


@dataclass(frozen=True, eq=False)
class StepArrays:
    """N episodes laid end to end, checked: the sizes agree and every number is finite.

    Attributes:
        name: of the file, without its ending.
        digest: SHA-256 of the file.
        observations: float32 or float64 (sum(T + 1), O).
        actions: float32 or float64 (sum(T), A).
        rewards: float32 or float64 (sum(T),).
        lengths: int64 (N,), number of actions T of each episode, at least 1.
        terminated: bool (N,), ended by the task.
        truncated: bool (N,), ended by anything else.
        env_id: Gymnasium's name of the environment; empty when the file does not say.
        note: how the data were made; empty when the file does not say.
    """

    name: str
    digest: str
    observations: NDArray[np.floating]
    actions: NDArray[np.floating]
    rewards: NDArray[np.floating]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    env_id: str = ""
    note: str = ""

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each episode starts in `actions` and `rewards`, int64 (N,)."""
        return np.cumsum(self.lengths) - self.lengths

    def episode_rewards(self, index: int) -> NDArray[np.float64]:
        """Rewards of one episode in double precision."""
        start = int(self.starts[index])
        return self.rewards[start : start + int(self.lengths[index])].astype(np.float64)

    def episode(self, index: int) -> StepEpisode:
        """One episode in double precision."""
        length, start = int(self.lengths[index]), int(self.starts[index])
        first = start + index
        return StepEpisode(
            observations=self.observations[first : first + length + 1].astype(np.float64),
            actions=self.actions[start : start + length].astype(np.float64),
            rewards=self.episode_rewards(index),
            terminated=bool(self.terminated[index]),
            truncated=bool(self.truncated[index]),
        )


def load_step_arrays(path: Path) -> StepArrays:
    """Read and check an .npz file of step arrays; nothing in it is executed.

    Raises:
        EpisodeError: the file cannot be read, is broken, holds pickled objects, lacks an array,
            its sizes do not agree, or a number is not finite.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise EpisodeError(f"{path}: cannot be read ({reason}); check the path") from error
    arrays = _arrays(path, content)
    found = StepArrays(
        name=path.stem,
        digest=hashlib.sha256(content).hexdigest(),
        observations=_floats(path, arrays, "observations", 2),
        actions=_floats(path, arrays, "actions", 2),
        rewards=_floats(path, arrays, "rewards", 1),
        lengths=_lengths(path, arrays),
        terminated=_flags(path, arrays, "terminated"),
        truncated=_flags(path, arrays, "truncated"),
        **{name: str(arrays[name]) for name in _TEXTS if name in arrays},
    )
    _check_sizes(path, found)
    _check_finite(path, found)
    return found


def _arrays(path: Path, content: bytes) -> Mapping[str, NDArray[np.generic]]:
    """The arrays that are needed; others in the file are left alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            # numpy stops at an array's last number and so may miss the checksum behind it.
            damaged = archive.testzip()
        if damaged is not None:
            raise EpisodeError(f"{path}: '{damaged}' is damaged; copy the file anew")
        missing = [name for name in _REQUIRED if f"{name}.npy" not in names]
        if missing:
            raise EpisodeError(
                f"{path}: no array '{missing[0]}'; a data set of step arrays has "
                f"{', '.join(_REQUIRED)}"
            )
        wanted = [name for name in (*_REQUIRED, *_TEXTS) if f"{name}.npy" in names]
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in wanted}
    except EpisodeError:
        raise
    # A broken file breaks in more ways than can be listed (zip, zlib, header syntax, memory).
    except Exception as error:
        if "pickle" in str(error):
            raise EpisodeError(
                f"{path}: holds pickled objects, which could run any code; save plain numeric "
                "arrays with numpy.savez instead"
            ) from error
        what = " ".join(str(error).split()) or type(error).__name__
        raise EpisodeError(
            f"{path}: not a readable .npz file ({what}); copy it anew, or save it with numpy.savez"
        ) from error


def _floats(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], name: str, dimensions: int
) -> NDArray[np.floating]:
    array = arrays[name]
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise EpisodeError(f"{path}: '{name}' holds {array.dtype}, not real numbers; correct it")
    if array.ndim != dimensions:
        raise EpisodeError(
            f"{path}: '{name}' has shape {array.shape}; it needs {dimensions} dimension"
            f"{'s' if dimensions > 1 else ''}, all episodes end to end"
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)


def _lengths(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.int64]:
    lengths = arrays["lengths"]
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or len(lengths) == 0:
        raise EpisodeError(f"{path}: 'lengths' must hold one whole number for each episode")
    if lengths.min() < 1:
        number = int(np.argmin(lengths))
        raise EpisodeError(
            f"{path}: episode {number} has {int(lengths[number])} steps; leave out episodes "
            "without a step"
        )
    return lengths.astype(np.int64)


def _flags(path: Path, arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.bool_]:
    flags = arrays[name]
    if flags.ndim != 1 or flags.dtype.kind not in "biu" or not np.isin(flags, (0, 1)).all():
        raise EpisodeError(f"{path}: '{name}' must hold true or false for each episode")
    return flags.astype(np.bool_)


def _check_sizes(path: Path, arrays: StepArrays) -> None:
    steps = sum(map(int, arrays.lengths))  # Python's numbers: no sum of lengths overflows
    expected = {
        "observations": steps + len(arrays),
        "actions": steps,
        "rewards": steps,
        "terminated": len(arrays),
        "truncated": len(arrays),
    }
    for name, count in expected.items():
        found = len(getattr(arrays, name))
        if found != count:
            raise EpisodeError(
                f"{path}: '{name}' has {found} rows, but 'lengths' ({len(arrays)} episodes, "
                f"{steps} steps) promises {count}; observations have one row more than actions in "
                "each episode"
            )


def _check_finite(path: Path, arrays: StepArrays) -> None:
    for name in ("observations", "actions", "rewards"):
        array = getattr(arrays, name)
        finite = np.isfinite(array)
        if finite.all():
            continue
        row = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        starts = arrays.starts + (np.arange(len(arrays)) if name == "observations" else 0)
        number = int(np.searchsorted(starts, row, side="right")) - 1
        raise EpisodeError(
            f"{path}: '{name}' is not finite in episode {number}, step "
            f"{row - int(starts[number])}; leave that episode out"
        )
