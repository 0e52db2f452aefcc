"""What a value-based online run is asked to do, and the file by which it is resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gac_ros.bench.learning.library import Library
from gac_ros.files import write_json
from gac_ros.online.config import round_sizes
from gac_ros.online.experience import Keep, choose_bags
from gac_ros.online.request import RUN_FILE, refuse_existing_run, resumed_run

Algorithm = Literal["cal_ql", "rlpd"]
# RLPD begins online, with the episodes in its batches.
_LEARN_OFFLINE = ("cal_ql",)


class ValueBasedConfig(BaseModel):
    """Settings of a run.

    Attributes:
        algorithm: Cal-QL (arXiv 2303.05479) or RLPD (arXiv 2302.02948).
        episodes, round_episodes, evaluation_episodes: as in `OnlineConfig`.
        steps: robot steps to collect in all, however many episodes that takes, in as many rounds
            as `episodes` would take; None: `episodes` alone count.
        updates_per_step: gradient steps after each episode, for each of its steps.
        offline_updates: gradient steps before the first episode, for methods that have such.
        cpu_seconds: processor time for gradient steps in all; None: as long as they take. Online
            it is shared out evenly among the episodes (or `steps`), and what they cannot afford is
            left out.
        offline_share: of that time, for the gradient steps before the first episode.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Algorithm
    episodes: int = Field(default=300, gt=0)
    round_episodes: int = Field(default=50, gt=0)
    evaluation_episodes: int = Field(default=50, ge=0)
    steps: int | None = Field(default=None, gt=0)
    updates_per_step: float = Field(default=1.0, gt=0.0)
    offline_updates: int = Field(default=10_000, ge=0)
    cpu_seconds: float | None = Field(default=None, gt=0.0)
    offline_share: float = Field(default=0.25, ge=0.0, lt=1.0)

    @property
    def rounds(self) -> int:
        """How many rounds; the last one may be shorter."""
        return len(round_sizes(self.episodes, self.round_episodes))

    def done(self, episodes: int, steps: int) -> float:
        """Share of the whole collection that these are, at most 1."""
        done = episodes / self.episodes if self.steps is None else steps / self.steps
        return min(1.0, done)

    def done_after(self, number: int) -> float:
        """Share of the whole collection at which round `number` ends."""
        return min(1.0, number * self.round_episodes / self.episodes)

    @property
    def first_updates(self) -> int:
        """Gradient steps before the first episode."""
        return self.offline_updates if self.algorithm in _LEARN_OFFLINE else 0

    def allowed_seconds(self, done: float) -> float:
        """Processor time that may be spent once so much of the collection is done."""
        if self.cpu_seconds is None:
            return float("inf")
        offline = self.offline_share * self.cpu_seconds if self.first_updates else 0.0
        return offline + (self.cpu_seconds - offline) * done


@dataclass(frozen=True)
class ValueBasedRequest:
    """What to run; as `OnlineRequest`, in this process only.

    Attributes:
        robot: packaged name or path of an embodiment file.
        out: folder of the run.
        config: see there.
        initial_data: folders of bags to begin with, or addresses of object storage.
        library: the worker.
        keep: which of the bags.
        seed: of starts, weights and sampled actions.
        resume: continue the run in `out`.
        command_line: what the user typed, for the record.
        commit: of the code that begins the run, for the record; None where it is not known.
    """

    robot: str
    out: Path
    config: ValueBasedConfig
    initial_data: tuple[Path | str, ...]
    library: Library
    keep: Keep = "all"
    seed: int = 0
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
            "config": self.config.model_dump(mode="json"),
        }


def open_run(request: ValueBasedRequest) -> tuple[list[Path], str]:
    """Write, or on resuming compare, `run.json`.

    Returns:
        The bags to begin with, and the command line that began the run.

    Raises:
        CheckpointError: there is nothing to resume.
        ConfigurationError: it was begun with other options.
        OutputError: `out` holds a run and `resume` is off, or cannot be written.
        EpisodeError: the data cannot be used.
    """
    if request.resume:
        content = resumed_run(request.out, request.identity())
        return [Path(bag) for bag in content["bags"]], str(content["command_line"])
    refuse_existing_run(request.out)
    bags = choose_bags(request.initial_data, request.keep)
    content = {
        "request": request.identity(),
        "bags": [str(bag) for bag in bags],
        "command_line": request.command_line,
        "commit": request.commit,
    }
    write_json(request.out / RUN_FILE, content)
    return bags, request.command_line
