"""Minari data sets (https://minari.farama.org), by the `minari` package itself."""

from __future__ import annotations

import errno
import json
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from gac_ros.buffer.exchange.episodes import MESSAGES_LOST, Exchanged, from_arrays
from gac_ros.buffer.exchange.files import folder_digest
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError, EpisodeError

if TYPE_CHECKING:
    from minari.data_collector.episode_buffer import EpisodeBuffer

METADATA_FILE = "metadata.json"
_EMBODIMENT_KEY = "gac_embodiment"
_EPISODE_KEY = "gac_episode"
_VALID_KEY = "gac_valid"
# HDF5's library crashes when the disk is full, so that an export stops before.
_FREE_SPACE = 16 * 2**20
_ID = re.compile(r"([-\w]+/)*[-\w]+-v\d+")


def default_id(embodiment: Embodiment, out: Path) -> str:
    """`ROBOT/NAME-v0`, by the folder's name."""
    name = re.sub(r"[^-\w]", "_", out.name).strip("-_") or "episodes"
    return f"{embodiment.name}/{name if re.search(r'-v[0-9]+$', name) else f'{name}-v0'}"


def write_minari(
    folder: Path, embodiment: Embodiment, episodes: Iterator[Exchanged], *, dataset_id: str
) -> tuple[str, ...]:
    """Write a data set with HDF5 storage to `folder/data`, and say what is lost.

    Raises:
        ConfigurationError: minari is not installed, or the id is not one of Minari's.
    """
    storage_class = _storage()
    if not _ID.fullmatch(dataset_id):
        raise ConfigurationError(f"'{dataset_id}' is no Minari id; it reads (NAMESPACE/)NAME-vN")
    fields = [field for channel in embodiment.observation for field in channel.fields]
    clips = np.array([field.clip or (-np.inf, np.inf) for field in fields], dtype=np.float64)
    storage = storage_class.new(
        folder.resolve() / "data",  # Minari sums up the size of relative paths wrongly
        observation_space=spaces.Box(clips[:, 0], clips[:, 1], dtype=np.float64),
        action_space=spaces.Box(embodiment.action_low, embodiment.action_high, dtype=np.float64),
        data_format="hdf5",
    )
    storage.update_metadata(
        {
            "dataset_id": dataset_id,
            "minari_version": version("minari"),
            "algorithm_name": "see each episode's gac_episode",
            "description": f"Episodes of the robot {embodiment.name}, exported by gac_ros. "
            f"Observations: {', '.join(embodiment.observation_names)}. "
            f"Actions: {', '.join(embodiment.action_names)}.",
            _EMBODIMENT_KEY: embodiment.to_dict(),
        }
    )
    saved: list[dict[str, str]] = []
    storage.update_episodes(_buffers(_while_there_is_room(episodes, folder), saved))
    storage.update_episode_metadata(saved)
    return (MESSAGES_LOST,)


def _while_there_is_room(episodes: Iterator[Exchanged], folder: Path) -> Iterator[Exchanged]:
    for episode in episodes:
        size = episode.steps.observations.nbytes + episode.steps.actions.nbytes
        if shutil.disk_usage(folder).free < _FREE_SPACE + 2 * size:
            raise OSError(errno.ENOSPC, f"less than {_FREE_SPACE >> 20} MiB are left")
        yield episode


def _buffers(episodes: Iterator[Exchanged], saved: list[dict[str, str]]) -> Iterator[EpisodeBuffer]:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    for episode in episodes:
        steps = episode.steps
        flags = np.zeros((2, len(steps.actions)), dtype=bool)
        flags[:, -1] = steps.terminated, steps.truncated
        saved.append({_EPISODE_KEY: json.dumps(episode.own)})
        yield EpisodeBuffer(
            seed=episode.seed,
            observations=steps.observations,
            actions=steps.actions,
            rewards=episode.rewards,
            terminations=flags[0],
            truncations=flags[1],
            # Infos have a row for the last observation too.
            infos={_VALID_KEY: np.append(episode.valid, True)},
        )


def find_minari(path: Path) -> Path | None:
    """The folder with the data of a Minari data set; None when there is none."""
    for folder in (path, path / "data"):
        file = folder / METADATA_FILE
        if file.is_file():
            try:
                if "data_format" in json.loads(file.read_text(encoding="utf-8")):
                    return folder
            except (OSError, ValueError, TypeError):
                continue
    return None


class MinariDataset:
    """A Minari data set; see `episodes.Dataset`."""

    control_rate: float | None = None

    def __init__(self, path: Path, observation_keys: Sequence[str] = ()) -> None:
        """Open it.

        Args:
            path: its folder, or the folder `data` within it.
            observation_keys: of a dictionary of observations, the parts to take, in this order;
                `a/b` is b within a.

        Raises:
            EpisodeError: it cannot be read.
            ConfigurationError: minari is not installed, or the keys do not fit.
        """
        storage_class = _storage()
        self.path = Path(path)
        folder = find_minari(self.path)
        if folder is None:
            raise EpisodeError(f"{path}: no Minari data set here; check the path")
        self._folder = folder.resolve()
        try:
            self._storage = storage_class.read(self._folder)
            self._metadata = dict(self._storage.metadata)
            self._size = int(self._storage.total_episodes)
            self.name = str(self._metadata.get("dataset_id", path.name)).replace("/", "-")
        # It may need an environment that is not installed, and its files may break in any way.
        except Exception as error:
            raise _broken(path, error) from error
        self._keys = tuple(observation_keys)
        _check_keys(self.path, self._storage.observation_space, self._keys)
        embodiment = self._metadata.get(_EMBODIMENT_KEY)
        self.embodiment: Mapping[str, Any] | None = (
            embodiment if isinstance(embodiment, dict) else None
        )
        losses = ["infos and options of episodes are not imported"]
        if self.embodiment is not None:
            losses = ["messages are made anew from the arrays; their times are nominal"]
        self.losses: tuple[str, ...] = tuple(losses)

    def __len__(self) -> int:
        return self._size

    def digest(self) -> str:
        """SHA-256 of its files."""
        return folder_digest(self._folder)

    def episodes(self) -> Iterator[Exchanged]:
        """Its episodes, in order.

        Raises:
            EpisodeError: it is damaged, or an episode goes on after its end.
        """
        numbers = range(self._size)
        try:
            described = list(self._storage.get_episode_metadata(numbers))
            for number, content in zip(numbers, self._storage.get_episodes(numbers), strict=True):
                yield self._episode(number, content, described[number])
        except EpisodeError:
            raise
        except Exception as error:
            raise _broken(self.path, error) from error

    def _episode(
        self, number: int, content: Mapping[str, Any], described: Mapping[str, Any]
    ) -> Exchanged:
        origin = f"{self.path}: episode {number}"
        flags = {key: np.asarray(content[key]) for key in ("terminations", "truncations")}
        for key, values in flags.items():
            if values[:-1].any():
                raise EpisodeError(
                    f"{origin}: '{key}' says it ended at step {int(np.argmax(values))} of "
                    f"{len(values)}; cut it there"
                )
        own = json.loads(described[_EPISODE_KEY]) if _EPISODE_KEY in described else None
        infos = content.get("infos") or {}
        valid = infos.get(_VALID_KEY)
        seed = described.get("seed")
        rewards = np.asarray(content["rewards"])
        return from_arrays(
            origin,
            observations=_selected(content["observations"], self._keys),
            actions=np.asarray(content["actions"]),
            rewards=rewards,
            terminated=bool(flags["terminations"][-1]),
            truncated=bool(flags["truncations"][-1]),
            own=own,
            valid=None if valid is None else np.asarray(valid)[:-1].astype(bool),
            seed=None if seed is None else int(seed),
        )


def _check_keys(path: Path, space: spaces.Space[Any], keys: Sequence[str]) -> None:
    if isinstance(space, spaces.Dict) and not keys:
        raise ConfigurationError(
            f"{path}: observations are a dictionary of {', '.join(space.spaces)}; name what the "
            "robot observes with --observation, once for each part, in the embodiment's order"
        )
    for key in keys:
        part: Any = space
        for name in key.split("/"):
            if not isinstance(part, spaces.Dict) or name not in part.spaces:
                has = ", ".join(space.spaces) if isinstance(space, spaces.Dict) else "no parts"
                raise ConfigurationError(f"{path}: no observation '{key}'; it has {has}")
            part = part.spaces[name]


def _selected(observations: Any, keys: Sequence[str]) -> NDArray[Any]:
    if not keys:
        return np.asarray(observations)
    parts = []
    for key in keys:
        part = observations
        for name in key.split("/"):
            part = part[name]
        parts.append(np.asarray(part))
    return np.concatenate(parts, axis=1)


def _storage() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import h5py  # noqa: F401
            from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise ConfigurationError(
            "Minari data sets need the minari package; install gac_ros with its 'minari' extra"
        ) from error
    return MinariStorage


def _broken(path: Path, error: Exception) -> EpisodeError:
    what = " ".join(str(error).split()) or type(error).__name__
    return EpisodeError(f"{path}: not a readable Minari data set ({what}); copy it anew")
