"""The tasks: a robot and the episodes that every method learns from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gac_ros.bench.stopwatch import Stopwatch, Times
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.episode import Episode
from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.files import locked, write_text

COLLECTED_EPISODES = 800
_COLLECTION_SEED = 0
_TIMES_FILE = "collected.json"
_KEYS = ("observations", "actions", "rewards", "lengths", "terminated", "truncated")


@dataclass(frozen=True)
class Task:
    """A robot and where its data come from.

    Attributes:
        name: in options, folders and tables.
        robot: packaged robot; also the scale of its scores.
        file: arrays in the data folder; None for data that the waypoint behaviour collects.
        made_with: options of `benchmarks/locomotion_data.py` that its arrays were made with.
        first: belongs to the tasks that get all their seeds before the others get any.
        several_behaviours: whether the data hold more than one behaviour, so that a plan has
            something to choose.
        episodes: how many are collected.
    """

    name: str
    robot: str
    file: str | None = None
    made_with: str = ""
    first: bool = False
    several_behaviours: bool = True
    episodes: int = COLLECTED_EPISODES


TASKS: tuple[Task, ...] = (
    Task("pointmaze_umaze", "pointmaze_umaze", first=True),
    Task("hopper_medium_replay", "hopper", "hopper_v5_medium_replay.npz", first=True),
    # The larger the maze, the fewer of the random goals are its own.
    Task("pointmaze_medium", "pointmaze_medium", first=True, episodes=1600),
    Task("pointmaze_large", "pointmaze_large", episodes=5000),
    Task(
        "hopper_medium",
        "hopper",
        "hopper_v5_medium.npz",
        made_with="--medium-at 175000",
        several_behaviours=False,
    ),
    Task(
        "halfcheetah_medium_replay",
        "halfcheetah",
        "halfcheetah_v5_medium_replay.npz",
        made_with="--steps 125000 --seed 1",
    ),
    Task("walker2d_medium_replay", "walker2d", "walker2d_v5_medium_replay.npz"),
)


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task's episodes in memory.

    Attributes:
        buffer: the episodes.
        embodiment: the robot's contract.
        collected: time that collecting them took; None for data that were given.
        read: time that reading them took.
    """

    buffer: EpisodeBuffer
    embodiment: Embodiment
    collected: Times | None
    read: Times


def find_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigurationError: there is none.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise ConfigurationError(
        f"unknown task '{name}'; choose among {', '.join(task.name for task in TASKS)}"
    )


def missing_data(task: Task, data_folder: Path) -> str:
    """Why a task cannot be run; empty when it can."""
    if task.file is None or (data_folder / task.file).is_file():
        return ""
    options = " ".join(filter(None, (task.robot, task.made_with, f"--out {data_folder}")))
    return (
        f"{data_folder / task.file} is missing; name its folder with --data-folder, or make it: "
        f"python benchmarks/locomotion_data.py {options}"
    )


def load_data(
    task: Task,
    *,
    work: Path,
    data_folder: Path,
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> TaskData:
    """Read a task's episodes; a maze's are collected first if `work` does not hold them yet.

    Args:
        task: which.
        work: folder of what can be made again.
        data_folder: folder of the arrays of the locomotion tasks.
        on_episode: told of each collected episode.

    Raises:
        ConfigurationError: the arrays are missing.
        EpisodeError: they are damaged.
        OutputError: `work` cannot be written.
    """
    embodiment = find_embodiment(task.robot)
    if task.file is None:
        folder = work / "data" / f"{task.name}-{task.episodes}"
        with locked(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                _collect(task, folder, on_episode)
        watch = Stopwatch()
        buffer = EpisodeBuffer.open(folder, embodiment=embodiment)
        collected = Times.model_validate_json((folder / _TIMES_FILE).read_text(encoding="utf-8"))
        return TaskData(buffer, embodiment, collected, watch.read())
    problem = missing_data(task, data_folder)
    if problem:
        raise ConfigurationError(problem)
    watch = Stopwatch()
    buffer = read_arrays(data_folder / task.file, embodiment)
    return TaskData(buffer, embodiment, None, watch.read())


def _collect(task: Task, folder: Path, on_episode: Callable[[EpisodeResult], None] | None) -> None:
    """Collect into a hidden folder first: one that was interrupted is never taken for the data."""
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    request = CollectionRequest(
        robot=task.robot,
        behaviour="waypoint",
        episodes=task.episodes,
        out=aside,
        seed=_COLLECTION_SEED,
    )
    watch = Stopwatch()
    collect(request, on_episode)
    write_text(aside / _TIMES_FILE, watch.read().model_dump_json())
    aside.rename(folder)


def read_arrays(path: Path, embodiment: Embodiment) -> EpisodeBuffer:
    """Episodes of an .npz file: every episode end to end, T+1 observations, T actions, rewards.

    Args:
        path: the file, with `observations`, `actions`, `rewards`, `lengths`, `terminated` and
            `truncated`.
        embodiment: of the robot; its observation is the environment's own.

    Raises:
        EpisodeError: the file cannot be read or does not fit the robot.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in _KEYS}
    except (OSError, ValueError, KeyError) as error:
        raise EpisodeError(
            f"{path}: cannot be read ({error}); it needs the arrays {', '.join(_KEYS)}"
        ) from error
    lengths = arrays["lengths"].astype(np.int64)
    steps, count = int(lengths.sum()), len(lengths)
    expected = {
        "observations": (steps + count, embodiment.observation_size),
        "actions": (steps, embodiment.action_size),
        "rewards": (steps,),
        "terminated": (count,),
        "truncated": (count,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise EpisodeError(
                f"{path}: {name} has the shape {arrays[name].shape}, not {shape}, which its "
                f"lengths and the robot '{embodiment.name}' ask for; it belongs to another robot"
            )
    ends = np.cumsum(lengths)
    episodes = []
    for index, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        taken = slice(end - length, end)
        rewards = arrays["rewards"][taken].astype(np.float64)
        seen = slice(end - length + index, end + index + 1)
        episodes.append(
            Episode(
                observations=arrays["observations"][seen].astype(np.float64),
                actions=arrays["actions"][taken].astype(np.float64),
                rewards=rewards,
                valid=np.ones(length, dtype=bool),
                terminated=bool(arrays["terminated"][index]),
                truncated=bool(arrays["truncated"][index]),
                episode_return=float(rewards.sum()),
            )
        )
    return EpisodeBuffer(episodes, [f"{path.stem}-{index:05d}" for index in range(count)])


def best_share(buffer: EpisodeBuffer, share: float) -> EpisodeBuffer:
    """The episodes with the highest returns: this share of them, at least one."""
    count = max(1, round(share * len(buffer)))
    best = np.sort(np.argsort(-buffer.returns, kind="stable")[:count])
    return EpisodeBuffer([buffer[i] for i in best], [buffer.ids[i] for i in best])
