"""The loop: collect with plans of the learner, fine-tune it on all bags, keep it if it is better.

Every round is a folder of the run. Whatever ends the process, the next one takes up the stage
that was on: episodes are bags that are complete or not there, trainings resume exactly, and a
round counts once its `round.json` is written.

    run.json                 what is run
    round-00/training/       the first model, unless the run was given one
    round-01/collector/      the learner with the planner that collects
    round-01/episodes/       the bags
    round-01/training/       the fine-tuning, child of the learner before
    round-01/round.json      figures
    results.json             all rounds
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gac_ros import __version__
from gac_ros.buffer.leases import hold
from gac_ros.checkpoint import find_checkpoint, load_checkpoint, resolve_device, save_checkpoint
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import CheckpointError, ConfigurationError, EpisodeError, OutputError
from gac_ros.evaluation.evaluate import (
    EvaluationRequest,
    evaluate,
    load_checkpoint_for,
    open_transport,
)
from gac_ros.evaluation.results import EpisodeResult, Transport
from gac_ros.evaluation.seeds import online_seed, tuning_seed
from gac_ros.online.config import OnlineConfig, collecting_planner
from gac_ros.online.experience import Experience, Keep, choose_bags, recorded_seeds
from gac_ros.online.gate import GateResult, judge
from gac_ros.online.results import (
    RESULTS_FILE,
    ROUND_FILE,
    Collection,
    Exploitation,
    RoundResult,
    read_round,
    write_json,
)
from gac_ros.online.target import Target, make_target, next_reach
from gac_ros.online.trainer import KnownPlansTrainer
from gac_ros.planning import Mode
from gac_ros.training.config import TrainingConfig
from gac_ros.training.rescale import rescale_returns
from gac_ros.training.run import run_training
from gac_ros.training.state import known_chains
from gac_ros.training.trainer import Trainer

RUN_FILE = "run.json"


@dataclass(frozen=True)
class OnlineRequest:
    """What to run.

    Attributes:
        robot: packaged name or path of an embodiment file.
        out: folder of the run.
        config: see there.
        seed: of starts, plans and trainings.
        initial_data: folders of bags to begin with.
        keep: which of them.
        checkpoint: model to begin with; None trains one on the initial data.
        transport: `inproc` or `ros`.
        mjcf: physics, for a robot that is not packaged.
        device: where the model runs and is trained.
        resume: continue the run in `out`.
        command_line: what the user typed, for the record.
    """

    robot: str
    out: Path
    config: OnlineConfig
    seed: int = 0
    initial_data: tuple[Path, ...] = ()
    keep: Keep = "all"
    checkpoint: Path | None = None
    transport: Transport = "inproc"
    mjcf: Path | None = None
    device: str = "cpu"
    resume: bool = False
    command_line: str = ""

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
            "config": self.config.model_dump(mode="json"),
        }


class Watch(Protocol):
    """Told of the progress."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """A stage of `total` parts begins; the callable is called after each, with a few words."""

    def round_done(self, result: RoundResult) -> None:
        """A round is complete; also told of those that an earlier process completed."""


def run_online(request: OnlineRequest, watch: Watch) -> list[RoundResult]:
    """Run or resume all rounds.

    Raises:
        ConfigurationError: an option or the robot is wrong.
        OutputError: `out` holds a run and `resume` is off, or cannot be written.
        CheckpointError: there is nothing to resume, or a checkpoint is unusable.
        EpisodeError: the data cannot be used.
        TransportError: a process of the ROS transport failed.
    """
    bags = _open_run(request)
    with hold(bags, request.out):
        return _Run(request, bags, watch).run()


def _open_run(request: OnlineRequest) -> list[Path]:
    """Write, or on resuming compare, `run.json`; returns the bags to begin with."""
    path = request.out / RUN_FILE
    if request.resume:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            identity, bags = content["request"], [Path(bag) for bag in content["bags"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{request.out}: no online run to resume ({RUN_FILE}); leave --resume out"
            ) from error
        for key, value in request.identity().items():
            if identity.get(key) != value:
                raise ConfigurationError(
                    f"{path}: the run was started with another {key}; resume it with the same "
                    "options, or start a new one with another --out"
                )
        return bags
    if path.exists():
        raise OutputError(
            f"{request.out} holds an online run already; add --resume to continue it, or choose "
            "another --out"
        )
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
        "command_line": request.command_line,
        "package_version": __version__,
    }
    write_json(path, content)
    return bags


class _Run:
    """One process's part of a run."""

    def __init__(self, request: OnlineRequest, bags: Sequence[Path], watch: Watch) -> None:
        self._request = request
        self._config = request.config
        self._out = request.out
        self._watch = watch
        self._embodiment = find_embodiment(request.robot)
        self._experience = Experience(self._embodiment, bags)
        self._results: list[RoundResult] = []
        self._seconds: dict[str, float] = {}

    def run(self) -> list[RoundResult]:
        self._finish(read_round(self._folder(0)) or self._begin())
        for number, count in enumerate(self._config.rounds(), start=1):
            done = read_round(self._folder(number))
            if done is not None:
                self._experience.add_collected(self._episodes(number), self._seeds(number, count))
            self._finish(done or self._round(number, count))
        return self._results

    def _finish(self, result: RoundResult) -> None:
        content = result.model_dump(mode="json")
        path = self._folder(result.round) / ROUND_FILE
        if not path.exists():
            write_json(path, content)
        self._results.append(result)
        run = {**self._request.identity(), "command_line": self._request.command_line}
        rounds = [entry.model_dump(mode="json") for entry in self._results]
        write_json(self._out / RESULTS_FILE, {"run": run, "rounds": rounds})
        self._watch.round_done(result)

    def _begin(self) -> RoundResult:
        """Round 0: the first model and how well it exploits."""
        self._seconds = {}
        if self._request.checkpoint is not None:
            first = find_checkpoint(self._request.checkpoint).absolute()
        else:
            with self._timed("train"):
                trainer = self._trainer(self._config.initial, None, 0)
                first = self._train(trainer, 0, "training the first model")
        return RoundResult(
            round=0,
            collection=None,
            episodes=0,
            steps=0,
            gate_steps=0,
            gate=None,
            learner=self._relative(first),
            incumbent=self._relative(first),
            incumbent_digest=load_checkpoint(first).digest,
            exploitation=self._exploitation(first, 0),
            next_reach=self._config.target.initial_reach,
            seconds=self._seconds,
        )

    def _round(self, number: int, count: int) -> RoundResult:
        self._seconds = {}
        before = self._results[-1]
        learner, incumbent = self._out / before.learner, self._out / before.incumbent
        target = self._target(learner, before.next_reach)
        collection = self._collect(number, count, learner, target)
        with self._timed("train"):
            trainer = self._trainer(self._config.finetune, learner, number)
            candidate = self._train(trainer, number, f"round {number}: fine-tuning")
        gate, gate_steps = self._gate(number, incumbent, candidate)
        accepted = gate is None or gate.accepted
        chosen = candidate if accepted else incumbent
        restart = not accepted and self._config.after_rejection == "restart"
        return RoundResult(
            round=number,
            collection=collection,
            episodes=before.episodes + count,
            steps=before.steps + collection.steps,
            gate_steps=before.gate_steps + gate_steps,
            gate=gate,
            learner=self._relative(incumbent if restart else candidate),
            incumbent=self._relative(chosen),
            incumbent_digest=load_checkpoint(chosen).digest,
            exploitation=self._exploitation(chosen, number) if accepted else before.exploitation,
            next_reach=next_reach(target, collection.reached_share, self._config.target),
            seconds=self._seconds,
        )

    def _target(self, learner: Path, reach: float) -> Target:
        """What the coming round asks for, from the returns so far."""
        collected = [r.collection.returns for r in self._results if r.collection is not None]
        initial = self._experience.returns[: self._experience.offline]
        if not initial:
            # Without the first data the checkpoint's own statistics stand for them.
            statistics = load_checkpoint(learner).normalizer
            mean, std = statistics.return_mean, statistics.return_std
            initial = [mean - std, mean + std]
        rounds = [initial, *collected]
        recent = [value for values in rounds[-2:] for value in values]
        everything = [value for values in rounds for value in values]
        return make_target(recent, max(everything), min(everything), reach, self._config.target)

    def _collect(self, number: int, count: int, learner: Path, target: Target) -> Collection:
        """Record the round's episodes that are not there yet."""
        mode, path = self._collector(number, learner, target)
        seeds = self._seeds(number, count)
        folder = self._episodes(number)
        done = recorded_seeds(folder, self._embodiment)
        missing = [seed for seed in seeds if seed not in done]
        request = replace(self._evaluation(path, self._folder(number)), mode=mode, record=True)
        with self._timed("collect"):
            self._perform(request, missing, f"round {number}: collecting")
        episodes = self._experience.add_collected(folder, seeds)
        returns = [e.episode_return for e in episodes if e.episode_return is not None]
        targets = [self._experience.targets.get(seed, target.fallback) for seed in seeds]
        return Collection(
            returns=returns,
            return_mean=float(np.mean(returns)),
            steps=sum(len(episode) for episode in episodes),
            targets=targets,
            target_mean=float(np.mean(targets)),
            increment=target.increment,
            reach=target.reach,
            reached_share=float(np.mean(np.array(returns) >= np.array(targets))),
        )

    def _collector(self, number: int, learner: Path, target: Target) -> tuple[Mode, Path]:
        """The learner with the planner that collects, as a checkpoint that nodes can load."""
        checkpoint = load_checkpoint(learner)
        mode, planner = collecting_planner(
            self._config.collect, checkpoint.planner, target, self._config.bursts
        )
        path = self._folder(number) / "collector"
        if not path.exists():
            save_checkpoint(replace(checkpoint, planner=planner), path)
        return mode, path

    def _trainer(self, config: TrainingConfig, learner: Path | None, number: int) -> Trainer:
        """A trainer on all episodes; with a learner, its child."""
        experience = self._experience
        parent, chains = None, {}
        if learner is not None:
            parent = load_checkpoint(learner, self._request.device)
            parent = rescale_returns(parent, experience.returns)
            chains = known_chains(learner)
        if self._config.new_chains == "plan":
            chains = {**experience.plans, **experience.interrupted, **chains}
        elif self._config.new_chains == "held":
            chains = {**experience.interrupted, **chains}
        return KnownPlansTrainer(
            experience.buffer(),
            self._embodiment,
            config,
            seed=self._request.seed + number,
            device=resolve_device(self._request.device),
            parent=parent,
            parent_chains=chains,
            emphasis=experience.emphasis(self._config.online_share),
            known=experience.plans if self._config.new_chains == "held" else {},
        )

    def _train(self, trainer: Trainer, number: int, name: str) -> Path:
        folder = self._folder(number) / "training"
        begun = any(folder.glob("step-*"))
        with self._watch.stage(name, trainer.config.iterations) as advance:
            checkpoint = run_training(
                trainer,
                folder,
                resume=begun,
                on_step=lambda report: advance(f"return {report.log_return:.2f}"),
            )
        assert checkpoint.path is not None
        return checkpoint.path

    def _gate(self, number: int, incumbent: Path, candidate: Path) -> tuple[GateResult | None, int]:
        """Compare on tuning starts that no other round has; returns the robot steps as well."""
        count = self._config.gate_episodes
        if not count:
            return None, 0
        seeds = [tuning_seed(self._request.seed, number * count + i) for i in range(count)]
        returns, steps = [], 0
        with self._timed("gate"):
            for path, whose in ((incumbent, "incumbent"), (candidate, "candidate")):
                request = self._evaluation(path, self._folder(number) / whose)
                episodes = self._perform(request, seeds, f"round {number}: testing the {whose}")
                returns.append(_returns(episodes))
                steps += sum(episode.length for episode in episodes)
        return judge(returns[0], returns[1], self._config.gate_confidence), steps

    def _exploitation(self, checkpoint: Path, number: int) -> Exploitation:
        """On the reporting starts."""
        count = self._config.evaluation_episodes
        request = replace(
            self._evaluation(checkpoint, self._folder(number) / "evaluation"),
            episodes=count,
            overwrite=True,
        )
        name = f"round {number}: exploiting"
        with self._timed("evaluate"), self._watch.stage(name, count) as advance:
            return Exploitation.of(evaluate(request, lambda result: advance(_words(result))))

    def _perform(
        self, request: EvaluationRequest, seeds: Sequence[int], name: str
    ) -> list[EpisodeResult]:
        if not seeds:
            return []
        assert request.checkpoint is not None
        checkpoint = load_checkpoint(request.checkpoint, request.device)
        results = []
        with (
            self._watch.stage(name, len(seeds)) as advance,
            open_transport(request, checkpoint) as run_one,
        ):
            for seed in seeds:
                results.append(run_one(seed))
                advance(_words(results[-1]))
        return results

    def _evaluation(self, checkpoint: Path, out: Path) -> EvaluationRequest:
        """What all episodes of the run have in common."""
        return EvaluationRequest(
            robot=self._request.robot,
            out=out,
            episodes=0,
            seed=self._request.seed,
            transport=self._request.transport,
            mode="exploit",
            checkpoint=checkpoint,
            mjcf=self._request.mjcf,
            device=self._request.device,
            record=False,
            command_line=self._request.command_line,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds[stage] = time.perf_counter() - started

    def _folder(self, number: int) -> Path:
        return self._out / f"round-{number:02d}"

    def _episodes(self, number: int) -> Path:
        return self._folder(number) / "episodes"

    def _seeds(self, number: int, count: int) -> list[int]:
        first = (number - 1) * self._config.round_episodes
        return [online_seed(self._request.seed, first + index) for index in range(count)]

    def _relative(self, path: Path) -> str:
        path, out = path.resolve(), self._out.resolve()
        return str(path.relative_to(out) if path.is_relative_to(out) else path)


def _returns(episodes: Sequence[EpisodeResult]) -> list[float]:
    returns = [e.episode_return for e in episodes if e.episode_return is not None]
    if len(returns) < len(episodes):
        raise EpisodeError(
            "the robot's episodes come without a return; online learning needs a reward topic or "
            "a scoring function in the embodiment"
        )
    return returns


def _words(result: EpisodeResult) -> str:
    return "" if result.episode_return is None else f"return {result.episode_return:.1f}"
