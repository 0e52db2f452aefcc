"""Write LeRobot data sets, version 3, with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import __version__
from gac_ros.buffer.exchange import lerobot_layout as layout
from gac_ros.buffer.exchange.episodes import MESSAGES_LOST, Exchanged
from gac_ros.buffer.exchange.statistics import FeatureStatistics
from gac_ros.embodiment import Embodiment

_FINAL_LOST = (
    "LeRobot knows no observation after the last action; it is kept in the column "
    f"{layout.FINAL_OBSERVATION} of {layout.EPISODES_FOLDER}, which only gac_ros reads"
)
_SINGLE = "numbers are rounded to single precision, as LeRobot's own recordings are"


def write_lerobot(
    folder: Path,
    embodiment: Embodiment,
    episodes: Iterator[Exchanged],
    *,
    task: str,
    single_precision: bool = False,
) -> tuple[str, ...]:
    """Write a data set, and say what is lost.

    Args:
        folder: empty.
        embodiment: the robot.
        episodes: of it.
        task: what it does, in words; LeRobot wants one.
        single_precision: observations and actions as float32.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    layout.require_pyarrow()
    writer = _Writer(folder, embodiment, task, "float32" if single_precision else "float64")
    with writer:
        for episode in episodes:
            writer.add(episode)
    losses = [MESSAGES_LOST, _FINAL_LOST]
    if single_precision:
        losses.append(_SINGLE)
    if not embodiment.control_rate.is_integer():
        losses.append(
            f"LeRobot wants a whole number of frames a second; {embodiment.control_rate:g} is "
            "written, and its tools may refuse it"
        )
    return tuple(losses)


class _Writer:
    def __init__(self, folder: Path, embodiment: Embodiment, task: str, precision: str) -> None:
        self._arrow, self._parquet = layout.require_pyarrow()
        self._folder = folder
        self._embodiment = embodiment
        self._task = task
        self._precision = precision
        rate = embodiment.control_rate
        self._fps = int(rate) if rate.is_integer() else rate
        self._features = _features(embodiment, precision)
        self._schema = self._arrow.schema(
            [(name, self._column_type(feature)) for name, feature in self._features.items()]
        )
        self._statistics: dict[str, FeatureStatistics] = {}
        self._rows: list[dict[str, Any]] = []
        self._frames = 0
        self._file = -1
        self._bytes = 0
        self._stream: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        if kind is None:
            self._finish()

    def add(self, episode: Exchanged) -> None:
        episode = episode.rounded(self._precision)
        columns = self._columns(episode)
        table = self._arrow.table(
            [self._array(name, values) for name, values in columns.items()], schema=self._schema
        )
        if self._stream is None or self._bytes > layout.MEGABYTES_IN_A_FILE * 2**20:
            self._next_file()
        # A row group an episode: LeRobot's readers pick single ones.
        self._stream.write_table(table)
        self._bytes += table.nbytes
        length = len(episode.steps.actions)
        chunk, file = divmod(self._file, layout.FILES_IN_A_CHUNK)
        row: dict[str, Any] = {
            "episode_index": len(self._rows),
            "tasks": [self._task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
            layout.FINAL_OBSERVATION: episode.steps.observations[-1].tolist(),
            layout.OWN_EPISODE: json.dumps(episode.own),
        }
        for name, values in columns.items():
            found = FeatureStatistics.of(values)
            row |= {f"stats/{name}/{key}": each for key, each in found.to_dict().items()}
            known = self._statistics.get(name)
            self._statistics[name] = found if known is None else known.joined(found)
        self._rows.append(row)
        self._frames += length

    def _columns(self, episode: Exchanged) -> dict[str, NDArray[Any]]:
        steps = episode.steps
        length = len(steps.actions)
        last = np.arange(length) == length - 1
        index = np.arange(length)
        columns: dict[str, NDArray[Any]] = {
            layout.STATE: steps.observations[:-1],
            layout.ACTION: steps.actions,
            layout.REWARD: episode.rewards,
            layout.DONE: last & (steps.terminated or steps.truncated),
            layout.TERMINATED: last & steps.terminated,
            layout.TRUNCATED: last & steps.truncated,
            layout.SUCCESS: last & (episode.outcome == "success"),
            layout.VALID: episode.valid,
            "timestamp": index / self._fps,
            "frame_index": index,
            "episode_index": np.full(length, len(self._rows)),
            "index": index + self._frames,
            "task_index": np.zeros(length, dtype=np.int64),
        }
        return {
            name: values.astype(self._features[name]["dtype"]) for name, values in columns.items()
        }

    def _column_type(self, feature: Mapping[str, Any]) -> Any:
        kind = self._arrow.from_numpy_dtype(np.dtype(feature["dtype"]))
        (size,) = feature["shape"]
        # A feature of one number is a plain column.
        return kind if size == 1 else self._arrow.list_(kind, size)

    def _array(self, name: str, values: NDArray[Any]) -> Any:
        kind = self._schema.field(name).type
        flat = self._arrow.array(values.reshape(-1))
        if not self._arrow.types.is_fixed_size_list(kind):
            return flat
        return self._arrow.FixedSizeListArray.from_arrays(flat, kind.list_size)

    def _next_file(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._file += 1
        self._bytes = 0
        chunk, file = divmod(self._file, layout.FILES_IN_A_CHUNK)
        path = self._folder / layout.DATA_PATH.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._parquet.ParquetWriter(path, self._schema, compression="snappy")

    def _finish(self) -> None:
        self._write_table(
            self._arrow.Table.from_pylist(self._rows),
            layout.EPISODES_PATH.format(chunk_index=0, file_index=0),
        )
        self._write_tasks()
        statistics = {name: found.to_dict() for name, found in self._statistics.items()}
        self._write_json(statistics, layout.STATISTICS_FILE)
        self._write_json(self._info(), layout.INFO_FILE)
        own = {"gac_ros": __version__, "embodiment": self._embodiment.to_dict()}
        self._write_json(own, layout.OWN_FILE)

    def _write_tasks(self) -> None:
        # LeRobot reads this table with pandas, and the task must be its index.
        column = {"field_name": "task", "name": "task", "pandas_type": "unicode"}
        number = {"field_name": "task_index", "name": "task_index", "pandas_type": "int64"}
        described = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                {**number, "numpy_type": "int64", "metadata": None},
                {**column, "numpy_type": "object", "metadata": None},
            ],
            "creator": {"library": "gac_ros", "version": __version__},
            "pandas_version": "2.0.0",
        }
        table = self._arrow.table({"task_index": [0], "task": [self._task]})
        self._write_table(
            table.replace_schema_metadata({"pandas": json.dumps(described)}), layout.TASKS_FILE
        )

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self._embodiment.name,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": layout.FILES_IN_A_CHUNK,
            "data_files_size_in_mb": layout.MEGABYTES_IN_A_FILE,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": layout.DATA_PATH,
            "video_path": None,
            "features": self._features,
        }

    def _write_table(self, table: Any, name: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._parquet.write_table(table, path, compression="snappy")

    def _write_json(self, content: Mapping[str, Any], name: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _features(embodiment: Embodiment, precision: str) -> dict[str, dict[str, Any]]:
    def vector(names: tuple[str, ...]) -> dict[str, Any]:
        # LeRobot keeps '/' for its own columns.
        return {"dtype": precision, "shape": [len(names)], "names": list(names)}

    def scalar(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [1], "names": None}

    flags = (layout.DONE, layout.TERMINATED, layout.TRUNCATED, layout.SUCCESS, layout.VALID)
    return {
        layout.STATE: vector(embodiment.observation_names),
        layout.ACTION: vector(embodiment.action_names),
        layout.REWARD: scalar(precision),
        **dict.fromkeys(flags, scalar("bool")),
        "timestamp": scalar("float32"),
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), scalar("int64")),
    }
