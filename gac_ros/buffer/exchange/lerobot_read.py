"""Read LeRobot data sets, version 3, with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.exchange import lerobot_layout as layout
from gac_ros.buffer.exchange.episodes import Exchanged, from_arrays
from gac_ros.buffer.exchange.files import folder_digest
from gac_ros.episode import Outcome
from gac_ros.errors import ConfigurationError, EpisodeError

_NO_FINAL = "the data set has no observation after the last action: the last one stands in for it"
_NO_ENDING = (
    "the data set does not tell terminated from truncated: an episode whose last frame is a "
    "success counts as terminated, any other as truncated"
)
_NO_REWARD = "the data set has no rewards: say the returns with gac buffer label"
# What says nothing more of an episode, or what is said otherwise.
_BOOKKEEPING = (layout.DONE, "timestamp", "index", "task_index")
_SHOWN = 5
_MESSAGES = "messages are made anew from the arrays; their times are nominal"


def is_lerobot(path: Path) -> bool:
    """Whether a folder is a LeRobot data set, of whatever version."""
    return (Path(path) / layout.INFO_FILE).is_file()


class LeRobotDataset:
    """A LeRobot data set; see `episodes.Dataset`."""

    def __init__(self, path: Path, observation_keys: Sequence[str] = ()) -> None:
        """Open it.

        Args:
            path: its folder.
            observation_keys: features to observe, in this order; `observation.state` when empty.

        Raises:
            EpisodeError: it cannot be read, or is of another version.
            ConfigurationError: pyarrow is not installed, or a feature is not there.
        """
        self._arrow, self._parquet = layout.require_pyarrow()
        self.path = Path(path)
        self.name = self.path.resolve().name
        info = self._json(layout.INFO_FILE)
        version = str(info.get("codebase_version"))
        if not version.startswith("v3."):
            raise EpisodeError(
                f"{path}: is of LeRobot's version {version}; versions v3.* can be read: convert it "
                "with LeRobot's convert_dataset_v21_to_v30"
            )
        try:
            self._features = dict(info["features"])
            self._data_path = str(info["data_path"])
            self.control_rate: float | None = float(info["fps"])
            self._size, self._frames = int(info["total_episodes"]), int(info["total_frames"])
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeError(
                f"{path}: {layout.INFO_FILE} lacks {error}; copy the data set anew"
            ) from error
        self._keys = tuple(observation_keys) or (layout.STATE,)
        for key in (*self._keys, layout.ACTION):
            self._check_feature(key)
        own = (self.path / layout.OWN_FILE).is_file() and self._json(layout.OWN_FILE)
        self.embodiment: Mapping[str, Any] | None = own["embodiment"] if own else None
        self._rows = self._episode_rows()
        self.losses: tuple[str, ...] = tuple(self._losses())

    def __len__(self) -> int:
        return self._size

    def digest(self) -> str:
        """SHA-256 of its description and its numbers."""
        return folder_digest(self.path)

    def episodes(self) -> Iterator[Exchanged]:
        """Its episodes, in order.

        Raises:
            EpisodeError: it is damaged, or holds fewer frames than it says.
        """
        name, table, first = "", None, 0
        for row in self._rows:
            wanted = self._data_path.format(
                chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
            )
            if wanted != name:
                name, table = wanted, self._table(wanted)
                first = int(table["index"][0].as_py()) if len(table) else 0
            assert table is not None
            start = int(row["dataset_from_index"]) - first
            yield self._episode(row, table.slice(max(0, start), int(row["length"])))

    def _episode(self, row: Mapping[str, Any], table: Any) -> Exchanged:
        number = int(row["episode_index"])
        origin = f"{self.path}: episode {number}"
        columns = {name: self._column(table, name) for name in table.column_names if self._is(name)}
        in_order = np.array_equal(columns["frame_index"], np.arange(int(row["length"])))
        if not in_order or not (columns["episode_index"] == number).all():
            raise EpisodeError(f"{origin}: its frames are missing or out of order; copy it anew")
        state = np.concatenate(
            [self._matrix(columns[key], key) for key in self._keys], axis=1, dtype=np.float64
        )
        final = row.get(layout.FINAL_OBSERVATION) if self._keys == (layout.STATE,) else None
        last = state[-1] if final is None else np.asarray(final, dtype=np.float64)
        success = columns.get(layout.SUCCESS)
        succeeded = success is not None and bool(success[-1])
        _refuse_early_ends(origin, columns)
        terminated, truncated = self._ending(columns, succeeded)
        own = json.loads(row[layout.OWN_EPISODE]) if row.get(layout.OWN_EPISODE) else None
        valid = columns.get(layout.VALID)
        outcome: Outcome = "success" if succeeded else "unknown"
        return from_arrays(
            origin,
            observations=np.concatenate([state, last[None]]),
            actions=self._matrix(columns[layout.ACTION], layout.ACTION),
            rewards=columns.get(layout.REWARD),
            terminated=terminated,
            truncated=truncated,
            own=own,
            valid=None if valid is None else valid.astype(bool),
            outcome=outcome,
        )

    def _ending(self, columns: Mapping[str, NDArray[Any]], succeeded: bool) -> tuple[bool, bool]:
        if layout.TERMINATED in columns and layout.TRUNCATED in columns:
            return bool(columns[layout.TERMINATED][-1]), bool(columns[layout.TRUNCATED][-1])
        return succeeded, not succeeded

    def _is(self, name: str) -> bool:
        """Whether a column is one that is read."""
        known = (layout.ACTION, layout.REWARD, layout.SUCCESS, layout.TERMINATED, layout.TRUNCATED)
        return name in (*self._keys, *known, layout.VALID, "frame_index", "episode_index")

    def _column(self, table: Any, name: str) -> NDArray[Any]:
        column = table[name].combine_chunks()
        if column.null_count:
            raise EpisodeError(f"{self.path}: '{name}' has gaps; fill them or leave it out")
        kind = column.type
        lists = self._arrow.types
        if lists.is_fixed_size_list(kind) or lists.is_list(kind) or lists.is_large_list(kind):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            if len(table) == 0 or len(flat) % len(table):
                raise EpisodeError(f"{self.path}: rows of '{name}' differ in length")
            return np.asarray(flat).reshape(len(table), -1)
        return np.asarray(column.to_numpy(zero_copy_only=False))

    def _matrix(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        (size,) = self._features[name]["shape"]
        if values.size != size * len(values):
            raise EpisodeError(
                f"{self.path}: '{name}' has {values.size // max(1, len(values))} numbers a frame, "
                f"{layout.INFO_FILE} says {size}"
            )
        return values.reshape(len(values), size)

    def _check_feature(self, key: str) -> None:
        feature = self._features.get(key)
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if feature is None or shape is None or len(shape) != 1 or feature["dtype"] == "string":
            vectors = [
                name
                for name, each in self._features.items()
                if len(each.get("shape") or ()) == 1 and name.startswith("observation")
            ]
            raise ConfigurationError(
                f"{self.path}: has no numbers '{key}'; name what the robot observes with "
                f"--observation: {', '.join(vectors) or 'there is nothing'}"
            )

    def _losses(self) -> Iterator[str]:
        cameras = [
            name
            for name, feature in self._features.items()
            if feature.get("dtype") in ("image", "video")
        ]
        if cameras:
            yield f"pictures are not imported: {', '.join(cameras)}"
        others = [
            name
            for name in self._features
            if not self._is(name) and name not in (*cameras, *_BOOKKEEPING)
        ]
        if others:
            yield f"features are not imported: {', '.join(others)}"
        if self.embodiment is not None:
            yield _MESSAGES
            return
        tasks = dict.fromkeys(task for row in self._rows for task in row.get("tasks") or ())
        if tasks:
            more = ", ..." if len(tasks) > _SHOWN else ""
            yield f"tasks are not imported: {', '.join(list(tasks)[:_SHOWN])}{more}"
        yield _NO_FINAL
        if not {layout.TERMINATED, layout.TRUNCATED} <= set(self._features):
            yield _NO_ENDING
        if layout.REWARD not in self._features:
            yield _NO_REWARD

    def _episode_rows(self) -> list[dict[str, Any]]:
        folder = self.path / layout.EPISODES_FOLDER
        rows: list[dict[str, Any]] = []
        for file in sorted(folder.glob("*/*.parquet")):
            table = self._table(str(file.relative_to(self.path)))
            wanted = [name for name in table.column_names if not name.startswith("stats/")]
            rows += table.select(wanted).to_pylist()
        needed = {"episode_index", "length", "data/chunk_index", "data/file_index"}
        needed |= {"dataset_from_index"}
        if any(not needed <= set(row) for row in rows):
            raise EpisodeError(f"{self.path}: {layout.EPISODES_FOLDER} lacks a column")
        rows.sort(key=lambda row: int(row["episode_index"]))
        frames = sum(int(row["length"]) for row in rows)
        if len(rows) != self._size or frames != self._frames:
            raise EpisodeError(
                f"{self.path}: {layout.EPISODES_FOLDER} lists {len(rows)} episodes of {frames} "
                f"frames, {layout.INFO_FILE} says {self._size} of {self._frames}; copy it anew"
            )
        return rows

    def _table(self, name: str) -> Any:
        try:
            return self._parquet.read_table(self.path / name, partitioning=None)
        except Exception as error:  # pyarrow raises what its libraries do
            what = " ".join(str(error).split())
            raise EpisodeError(f"{self.path}: {name} cannot be read ({what})") from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EpisodeError(f"{self.path}: {name} cannot be read ({error})") from error
        if not isinstance(content, dict):
            raise EpisodeError(f"{self.path}: {name} is no JSON object")
        return content


def _refuse_early_ends(origin: str, columns: Mapping[str, NDArray[Any]]) -> None:
    for name in (layout.TERMINATED, layout.TRUNCATED):
        flags = columns.get(name)
        if flags is not None and flags[:-1].any():
            raise EpisodeError(
                f"{origin}: '{name}' says it ended at step {int(np.argmax(flags))} of "
                f"{len(flags)}; cut it there"
            )
