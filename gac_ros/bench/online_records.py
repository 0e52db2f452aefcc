"""Runs of `gac online`, `gac improve` and value-based methods as files: one for each run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac_ros.bench.provenance import commit, processor, versions
from gac_ros.errors import EpisodeError
from gac_ros.files import write_text
from gac_ros.online.results import RESULTS_FILE, RoundResult

# Where the files of a run's folder lie is nobody else's business.
_PATHS = ("learner", "accepted_learner", "collector", "incumbent")


@dataclass(frozen=True)
class OnlineRecord:
    """A run as it is kept.

    Attributes:
        name: of the file.
        command: what the user typed.
        config: settings.
        seed: of its starts, plans and trainings.
        robot: its name.
        data: the folders' names and which of their episodes it began with; None in older files.
        rounds: those that are complete.
        training: gradient steps and their processor time since the run began, by round; empty
            where the run did not count them.
        commit: of the code that began it; None in older files, which only know the commit that
            they were kept at.
    """

    name: str
    command: str
    config: dict[str, Any]
    seed: int
    robot: str
    data: tuple[Any, ...] | None
    rounds: tuple[RoundResult, ...]
    training: tuple[dict[str, float], ...] = ()
    commit: str | None = None

    @property
    def wanted(self) -> int:
        """Episodes that it was to collect."""
        return int(self.config["episodes"])

    @property
    def collected(self) -> int:
        """Episodes that it has collected; live ones are not among them."""
        return sum(len(r.collection.returns) for r in self.rounds if r.collection is not None)

    @property
    def wanted_steps(self) -> int | None:
        """Robot steps that it was to collect, where these count and not the episodes."""
        steps = self.config.get("steps")
        return None if steps is None else int(steps)

    @property
    def complete(self) -> bool:
        """Whether it has collected all."""
        if self.wanted_steps is not None:
            return self.rounds[-1].steps >= self.wanted_steps
        return self.collected == self.wanted

    @property
    def improves(self) -> bool:
        """Whether it is a run of `gac improve`, around a running robot."""
        return "deployment" in self.config

    @property
    def strategy(self) -> str:
        """How it collects, or the value-based method that learns."""
        return str(self.config.get("algorithm", self.config.get("collect")))

    @property
    def method(self) -> str:
        """The strategy, marked in runs of `gac improve`."""
        return f"{self.strategy} (gac improve)" if self.improves else self.strategy


def keep_run(folder: Path, results: Path) -> Path:
    """Copy a run's figures to a file named after its folder.

    Raises:
        EpisodeError: the folder holds no run, or no complete round.
        OutputError: the file cannot be written.
    """
    try:
        content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        run, rounds = content["run"], content["rounds"]
        for entry in rounds:
            RoundResult.model_validate(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpisodeError(
            f"{folder}: holds no run of gac online or gac improve with a complete round "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    kept = {
        "command": run["command_line"],
        "commit": run.get("commit"),
        "seed": run["seed"],
        "robot": run["robot"],
        "keep": run["keep"],
        "initial_data": [Path(path).name for path in run.get("initial_data", ())],
        **{key: run[key] for key in ("training", "library") if key in run},
        "config": run["config"],
        "rounds": [{k: v for k, v in entry.items() if k not in _PATHS} for entry in rounds],
        "kept_at_commit": commit(),
        "versions": versions(),
        "processor": processor(),
    }
    path = results / f"{folder.resolve().name}.json"
    write_text(path, json.dumps(kept, indent=1) + "\n")
    return path


def read_records(results: Path) -> list[OnlineRecord]:
    """All runs that are kept, by name.

    Raises:
        EpisodeError: a file is damaged.
    """
    records = []
    for path in sorted(results.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rounds = [
                RoundResult.model_validate({**dict.fromkeys(_PATHS, ""), **entry})
                for entry in content["rounds"]
            ]
            records.append(
                OnlineRecord(
                    path.stem,
                    content["command"],
                    content["config"],
                    int(content["seed"]),
                    content["robot"],
                    _data(content),
                    tuple(rounds),
                    tuple(content.get("training", ())),
                    content.get("commit"),
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EpisodeError(f"{path}: is damaged; make it again or remove it") from error
    return records


def _data(content: dict[str, Any]) -> tuple[Any, ...] | None:
    if "initial_data" not in content:
        return None
    return (*content["initial_data"], content["keep"])
