"""Run the table: each task, method and seed, in order, skipping what is there already."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gac_ros.bench.learning.library import Library, RewardedRobot, library_actor, train_library
from gac_ros.bench.learning.methods import (
    METHODS,
    DataMethod,
    LibraryMethod,
    Method,
    ModelMethod,
)
from gac_ros.bench.learning.models import train_model
from gac_ros.bench.learning.records import (
    DataSummary,
    EpisodeRecord,
    RunRecord,
    RunTimes,
    Starts,
    evaluated,
    is_stale,
    normalized,
    read_record,
    record_path,
    statistics,
    write_record,
)
from gac_ros.bench.learning.rollouts import ModelActor, Rollouts, roll_out, roll_out_model
from gac_ros.bench.learning.tasks import Task, TaskData, load_data, missing_data
from gac_ros.bench.provenance import commit, processor, versions
from gac_ros.bench.stopwatch import Times
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, GacError
from gac_ros.evaluation.rollout import ActorDescription
from gac_ros.evaluation.seeds import Purpose, episode_seed
from gac_ros.files import locked
from gac_ros.sim import make_robot
from gac_ros.training.config import TrainingConfig

Redo = Literal["nothing", "stale", "all"]
Status = Literal["there", "stale", "done", "elsewhere", "impossible", "failed"]
# Method whose training time is the budget of the library's.
_BUDGET_METHOD = "gac"


class Observer:
    """Told of the progress; this one keeps it to itself."""

    def cell(self, cell: Cell, index: int, total: int) -> None:
        """A cell begins; `index` from 0."""

    def stage(self, what: str, total: float) -> None:
        """A part of the cell begins: collecting, training, evaluating."""

    def progress(self, done: float, text: str) -> None:
        """How much of the part's total is done."""

    def finished(self, cell: Cell, outcome: Outcome) -> None:
        """A cell is over."""


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    task: Task
    method: Method
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.task.name}, {self.method.name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell; `reason` in words where it was not run."""

    status: Status
    reason: str = ""
    record: RunRecord | None = None


@dataclass(frozen=True)
class BenchmarkRequest:
    """What to run and where.

    Attributes:
        tasks: in the table's order.
        methods: in the table's order.
        seeds: of the trainings.
        results: folder of the runs' files.
        work: folder of collected data and trained models, which can be made again.
        data_folder: arrays of the locomotion tasks.
        library: the worker of the library's algorithms.
        episodes: evaluated ones of each run.
        base: training settings that methods change.
        starts: the benchmark's, or (`tuning`) those of `gac evaluate`, for ablations.
        processes: evaluated at the same time.
        redo: which runs to make again.
        command: that makes one run, up to its task, method and seed.
    """

    tasks: Sequence[Task]
    methods: Sequence[Method]
    seeds: Sequence[int]
    results: Path
    work: Path
    data_folder: Path
    library: Library
    episodes: int = 50
    base: TrainingConfig = field(default_factory=TrainingConfig)
    starts: Starts = "benchmark"
    processes: int = 1
    redo: Redo = "nothing"
    command: Sequence[str] = ("gac", "bench", "learning")


def cells(tasks: Sequence[Task], methods: Sequence[Method], seeds: Sequence[int]) -> list[Cell]:
    """Order of the table: the first tasks with every seed, then the others, one seed at a time.

    Methods without a training have one run a task, with the first seed.
    """
    ordered = [method for method in METHODS if method in methods]
    ordered += [method for method in methods if method not in ordered]

    def row(task: Task, seed: int) -> Iterator[Cell]:
        for method in ordered:
            if seed == seeds[0] or not isinstance(method, DataMethod):
                yield Cell(task, method, seed)

    table = [cell for task in tasks if task.first for seed in seeds for cell in row(task, seed)]
    later = [task for task in tasks if not task.first]
    return table + [cell for seed in seeds for task in later for cell in row(task, seed)]


def run_benchmark(
    request: BenchmarkRequest, observer: Observer | None = None
) -> list[tuple[Cell, Outcome]]:
    """Run every cell that is not there; one that fails does not stop the others.

    Raises:
        OutputError: a folder cannot be written.
    """
    observer = observer or Observer()
    table = cells(request.tasks, request.methods, request.seeds)
    bench = _Benchmark(request, observer)
    outcomes = []
    for index, cell in enumerate(table):
        observer.cell(cell, index, len(table))
        outcomes.append((cell, bench.run(cell)))
        observer.finished(*outcomes[-1])
    return outcomes


def cell_config(cell: Cell, base: TrainingConfig, episodes: int) -> dict[str, Any]:
    """What decides a run beside its data, seed and code: other values make it stale."""
    embodiment = find_embodiment(cell.task.robot)
    config = cell.method.config(base, embodiment)
    if not isinstance(cell.method, DataMethod):
        config["evaluated_episodes"] = episodes
    if cell.task.file is None:
        config["collected_episodes"] = cell.task.episodes
    return config


class _Benchmark:
    """One pass over the table; keeps a task's data in memory while its cells are run."""

    def __init__(self, request: BenchmarkRequest, observer: Observer) -> None:
        self._request = request
        self._observer = observer
        self._loaded: tuple[Task, TaskData] | None = None

    def run(self, cell: Cell) -> Outcome:
        request = self._request
        path = record_path(request.results, cell.task.name, cell.method.name, cell.seed)
        name = f"{cell.task.name}-{cell.method.name}-{cell.seed}.lock"
        with locked(request.work / "locks" / request.results.name / name, wait=False) as free:
            if not free:
                return Outcome("elsewhere", "another process is at it")
            try:
                config = cell_config(cell, request.base, request.episodes)
                if path.exists() and request.redo != "all":
                    record = read_record(path)
                    stale = is_stale(record, config)
                    if not stale or request.redo == "nothing":
                        return Outcome("stale" if stale else "there", record=record)
                problem = missing_data(cell.task, request.data_folder)
                if not problem and isinstance(cell.method, LibraryMethod):
                    problem = request.library.missing()
                if problem:
                    return Outcome("impossible", problem)
                return Outcome("done", record=self._run(cell, config))
            except GacError as error:
                return Outcome("failed", str(error))

    def _run(self, cell: Cell, config: dict[str, Any]) -> RunRecord:
        data = self._data(cell.task)
        run = _Run(self._request, self._observer, cell, data)
        # Asked before the work: the code that is at work was read then.
        revision = commit()
        episodes, times, training = run.execute()
        record = RunRecord(
            task=cell.task.name,
            method=cell.method.name,
            seed=cell.seed,
            starts=self._request.starts,
            **statistics([episode.score for episode in episodes]),
            return_mean=float(np.mean([episode.episode_return for episode in episodes])),
            episodes=tuple(episodes),
            data=DataSummary.of(data.buffer, cell.task.robot),
            times=times,
            config=config,
            training=training,
            commit=revision,
            command=self._command(cell),
            versions=versions(),
            processor=processor(),
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        write_record(self._request.results, record)
        return record

    def _command(self, cell: Cell) -> str:
        chosen = ["--tasks", cell.task.name, "--methods", cell.method.name]
        return shlex.join([*self._request.command, *chosen, "--seeds", str(cell.seed)])

    def _data(self, task: Task) -> TaskData:
        if self._loaded is None or self._loaded[0] != task:
            self._loaded = None  # before the next: two at a time may be too large
            self._observer.stage("collecting", task.episodes)
            done = 0

            def count(result: object) -> None:
                nonlocal done
                done += 1
                self._observer.progress(done, "")

            data = load_data(
                task,
                work=self._request.work,
                data_folder=self._request.data_folder,
                on_episode=count,
            )
            self._loaded = task, data
        return self._loaded[1]


Executed = tuple[list[EpisodeRecord], RunTimes, dict[str, Any]]


class _Run:
    """Train and evaluate one cell."""

    def __init__(
        self, request: BenchmarkRequest, observer: Observer, cell: Cell, data: TaskData
    ) -> None:
        self._request = request
        self._observer = observer
        self._cell = cell
        self._data = data
        self._done = 0

    def execute(self) -> Executed:
        method = self._cell.method
        if isinstance(method, DataMethod):
            return self._recorded()
        if isinstance(method, ModelMethod):
            return self._model(method)
        return self._library(method)

    def _recorded(self) -> Executed:
        robot = self._cell.task.robot
        episodes = [
            EpisodeRecord(
                episode_return=float(value),
                score=normalized(robot, float(value)),
                length=int(length),
            )
            for value, length in zip(
                self._data.buffer.returns, self._data.buffer.lengths, strict=True
            )
        ]
        return episodes, RunTimes(collection=self._data.collected), {}

    def _model(self, method: ModelMethod) -> Executed:
        request, cell = self._request, self._cell
        settings = method.recipe.settings(request.base)
        self._observer.stage("training", settings.iterations)
        checkpoint, times = train_model(
            request.work,
            cell.task.name,
            self._data,
            method.recipe,
            settings,
            cell.seed,
            lambda report: self._observer.progress(
                report.iteration, f"actions {report.log_actions:.2f}"
            ),
        )
        config = method.config(request.base, self._data.embodiment)
        actor = ModelActor(cell.task.robot, checkpoint, method.mode, config["planner"])
        self._observer.stage("evaluating", request.episodes)
        rollouts = roll_out_model(
            actor, self._seeds, processes=request.processes, on_episode=self._count
        )
        training = {"recipe": method.recipe.name, "iterations": settings.iterations}
        episodes, spent, facts = self._executed(rollouts, times, training)
        if settings.method == "behaviour_cloning":
            # It learns no returns, so it predicts none.
            episodes = [e.model_copy(update={"predicted_return": None}) for e in episodes]
        return episodes, spent, facts

    def _library(self, method: LibraryMethod) -> Executed:
        request, cell = self._request, self._cell
        budget = self._budget()
        digest = self._data.buffer.digest[:12]
        name = f"seed-{cell.seed}-{budget:.0f}s-{digest}"
        folder = request.work / "models" / cell.task.name / method.name / name
        self._observer.stage("training", budget)
        training = train_library(
            request.library,
            folder,
            method,
            self._data,
            cell.seed,
            budget,
            self._observer.progress,
        )
        self._observer.stage("evaluating", request.episodes)
        with library_actor(request.library, folder, self._data) as actor:
            robot = RewardedRobot(
                make_robot(cell.task.robot), actor, rewards=method.rewards == "steps"
            )
            description = ActorDescription(method.algorithm)
            rollouts = roll_out(robot, actor, self._seeds, description, self._count)
        times = Times(wall=training.pop("wall"), cpu=training.pop("cpu"))
        return self._executed(rollouts, times, {**training, "cpu_budget": budget})

    def _executed(self, rollouts: Rollouts, training: Times, facts: dict[str, Any]) -> Executed:
        times = RunTimes(
            collection=self._data.collected,
            training=training,
            planning=rollouts.planning,
            evaluation=rollouts.evaluation,
        )
        return [evaluated(result) for result in rollouts.results], times, facts

    @cached_property
    def _seeds(self) -> list[int]:
        """Seeds of the evaluated episodes: the same for every method."""
        purpose = Purpose.BENCHMARK if self._request.starts == "benchmark" else Purpose.EVALUATE
        return [
            episode_seed(self._cell.seed, index, purpose) for index in range(self._request.episodes)
        ]

    def _budget(self) -> float:
        """Processor seconds that GAC's training took on this task: this seed's, else the mean."""
        folder = record_path(
            self._request.results, self._cell.task.name, _BUDGET_METHOD, self._cell.seed
        )
        own = [folder] if folder.exists() else sorted(folder.parent.glob("seed-*.json"))
        spent = [read_record(path).times.training for path in own]
        seconds = [times.cpu for times in spent if times is not None]
        if not seconds:
            raise ConfigurationError(
                f"{self._cell.method.name} is given the processor time of GAC's training on "
                f"{self._cell.task.name}, which has not been run; run it with --methods gac first"
            )
        return float(np.mean(seconds))

    def _count(self, result: object) -> None:
        self._done += 1
        score = getattr(result, "normalized_score", None)
        self._observer.progress(self._done, "" if score is None else f"score {score:.1f}")
