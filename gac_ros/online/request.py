"""What an online run is asked to do, and the file by which it is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gac_ros import __version__
from gac_ros.buffer.folders import bags_in
from gac_ros.checkpoint import resolve_device
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import CheckpointError, ConfigurationError, OutputError
from gac_ros.evaluation.evaluate import load_checkpoint_for
from gac_ros.evaluation.results import Transport
from gac_ros.files import write_json
from gac_ros.online.config import OnlineConfig
from gac_ros.online.experience import Keep, choose_bags
from gac_ros.online.results import LiveResult, RoundResult

RUN_FILE = "run.json"


@dataclass(frozen=True)
class OnlineRequest:
    """What to run.

    Attributes:
        robot: packaged name or path of an embodiment file.
        out: folder of the run.
        config: see there.
        seed: of starts, plans and trainings.
        initial_data: folders of bags to begin with, or addresses of object storage.
        keep: which of them.
        checkpoint: model to begin with; None trains one on the initial data.
        transport: `inproc` or `ros`.
        mjcf: physics, for a robot that is not packaged.
        robot_episodes: folder that a running robot's controller records into, and whose new
            episodes are collected; None: they are run in the simulator.
        device: where the model runs and is trained.
        resume: continue the run in `out`.
        command_line: what the user typed, for the record.
        commit: of the code that begins the run, for the record; None where it is not known.
    """

    robot: str
    out: Path
    config: OnlineConfig
    seed: int = 0
    initial_data: tuple[Path | str, ...] = ()
    keep: Keep = "all"
    checkpoint: Path | None = None
    transport: Transport = "inproc"
    mjcf: Path | None = None
    robot_episodes: Path | None = None
    device: str = "cpu"
    resume: bool = False
    command_line: str = ""
    commit: str | None = None

    def identity(self) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        return {
            "robot": self.robot,
            "seed": self.seed,
            "initial_data": [str(path) for path in self.initial_data],
            "keep": self.keep,
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "transport": self.transport,
            "mjcf": None if self.mjcf is None else str(self.mjcf),
            "robot_episodes": None if self.robot_episodes is None else str(self.robot_episodes),
            "config": self.config.model_dump(mode="json"),
        }


class Watch(Protocol):
    """Told of the progress."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """A stage of `total` parts begins; the callable is called after each, with a few words."""

    def say(self, words: str) -> None:
        """A line that a person should see."""

    def round_done(self, result: RoundResult) -> None:
        """A round is complete; also told of those that an earlier process completed."""


class Collect(Protocol):
    """Where a round's episodes come from, if not from the simulator."""

    def collect(self, name: str, folder: Path, count: int, exploration: dict[str, float]) -> None:
        """Fill a folder until it holds so many bags; those that are there count.

        Args:
            name: of the stage.
            folder: of the round's bags.
            count: how many.
            exploration: settings of the planner that the episodes should be made with.
        """


class Deploy(Protocol):
    """What becomes of a candidate once the gate has judged it."""

    def begin(self, first: Path) -> None:
        """The run's first incumbent is known; called in every process of the run."""

    def acting(self) -> str:
        """Digest of the checkpoint that acts; it may have been brought back since its time."""

    def refused(self, candidate: Path, why: str) -> None:
        """The gate refused it."""

    def take_over(self, number: int, candidate: Path, why: str) -> LiveResult:
        """The gate accepted it; returns what came of it on the running robot.

        A process that resumes the round calls it again.
        """


def recorded_checkpoint(out: Path) -> Path | None:
    """The checkpoint that a run began with, when it was given one; None without a run."""
    try:
        content = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        path = content["request"]["checkpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # `open_run` says what is wrong
    return None if path is None else Path(path)


def recorded_commit(out: Path) -> str | None:
    """The commit at which a run began; None where its `run.json` does not say so."""
    try:
        commit = json.loads((out / RUN_FILE).read_text(encoding="utf-8")).get("commit")
    except (OSError, ValueError, AttributeError):
        return None  # `open_run` says what is wrong
    return None if commit is None else str(commit)


def present_episodes(folder: Path | None) -> list[str]:
    """Names of the bags that a robot has recorded so far."""
    return [] if folder is None or not folder.is_dir() else [bag.name for bag in bags_in(folder)]


def known_episodes(out: Path) -> set[str]:
    """Names of the robot's bags that a run never collects: older ones, and those it began with.

    Raises:
        CheckpointError: there is no run.
    """
    try:
        content = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        return {*content["known_episodes"], *(Path(bag).name for bag in content["bags"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{out}: no run that collects on a robot ({RUN_FILE})") from error


def resumed_run(out: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """What `run.json` says of a run that is to go on with the same request.

    Raises:
        CheckpointError: there is no run.
        ConfigurationError: it was asked for otherwise.
    """
    path = out / RUN_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        begun, _ = content["request"], content["bags"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{out}: no online run to resume ({RUN_FILE}); leave --resume out"
        ) from error
    for key, value in identity.items():
        if begun.get(key) != value:
            raise ConfigurationError(
                f"{path}: the run was started with another {key}; resume it with the same "
                "options, or start a new one with another --out"
            )
    return content


def refuse_existing_run(out: Path) -> None:
    """Do not begin a run where there is one.

    Raises:
        OutputError: there is one.
    """
    if (out / RUN_FILE).exists():
        raise OutputError(
            f"{out} holds an online run already; add --resume to continue it, or choose "
            "another --out"
        )


def open_run(request: OnlineRequest) -> list[Path]:
    """Write, or on resuming compare, `run.json`; returns the bags to begin with."""
    path = request.out / RUN_FILE
    if request.resume:
        return [Path(bag) for bag in resumed_run(request.out, request.identity())["bags"]]
    refuse_existing_run(request.out)
    if not request.initial_data and request.checkpoint is None:
        raise ConfigurationError(
            "online learning needs something to begin with: --initial-data, --checkpoint or both"
        )
    # A mistake must not leave a run behind that could only be resumed.
    embodiment = find_embodiment(request.robot)
    resolve_device(request.device)
    if request.checkpoint is not None:
        load_checkpoint_for(embodiment, request.checkpoint)
    bags = choose_bags(request.initial_data, request.keep) if request.initial_data else []
    content = {
        "request": request.identity(),
        "bags": [str(bag) for bag in bags],
        "known_episodes": present_episodes(request.robot_episodes),
        "command_line": request.command_line,
        "commit": request.commit,
        "package_version": __version__,
    }
    write_json(path, content)
    return bags
