"""The rounds of a value-based method: as `gac online` has them, with another learner.

Starts, robot, control loop, bags and reports are those of `gac online` with the same seed. The
method learns after each episode, as its papers have it learn while it acts, and there is no gate:
what is reported is the policy as it is.

    run.json                what is run
    round-00/               after the offline phase
    round-01/episodes/      the bags
    round-01/model.pt       weights and optimisers
    round-01/training.json  gradient steps and their processor time since the run began
    round-01/round.json     figures; the round is done when it is there
    results.json            all rounds
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.value_based.learner import Learner, LearnerActor, running_learner
from gac_ros.bench.value_based.request import ValueBasedRequest, open_run
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.leases import hold
from gac_ros.buffer.reader import read_episode
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError
from gac_ros.evaluation.results import EpisodeResult, EvaluationResult, RunDescription
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.evaluation.seeds import episode_seed, online_seed
from gac_ros.files import locked, write_json
from gac_ros.online.experience import Experience
from gac_ros.online.loop import LOCK_FILE
from gac_ros.online.request import Watch, recorded_commit
from gac_ros.online.results import (
    RESULTS_FILE,
    ROUND_FILE,
    Collection,
    Exploitation,
    RoundResult,
    read_round,
)
from gac_ros.online.stages import returns_of, words
from gac_ros.sim import make_robot

MODEL_FILE = "model.pt"
TRAINING_FILE = "training.json"
# Gradient steps between two looks at the clock.
_SLICE = 10


class Spent(BaseModel):
    """What learning has taken since the run began.

    Attributes:
        updates: gradient steps.
        cpu: their processor time in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    updates: int = 0
    cpu: float = 0.0


def run_value_based(request: ValueBasedRequest, watch: Watch) -> list[RoundResult]:
    """Run or resume all rounds.

    Args:
        request: what to run.
        watch: told of the progress.

    Raises:
        CheckpointError: there is nothing to resume.
        ConfigurationError: an option or the robot is wrong, or the worker's environment is missing.
        EpisodeError: the data cannot be used.
        OutputError: `out` holds a run and `resume` is off, or cannot be written.
        WorkerError: the worker failed; its log says why.
    """
    # A mistake must not leave a run behind that could only be resumed.
    embodiment = find_embodiment(request.robot)
    if request.library.missing():
        raise ConfigurationError(request.library.missing())
    with locked(request.out / LOCK_FILE, wait=False) as alone:
        if not alone:
            raise OutputError(f"{request.out}: another process is at work on this run; let it end")
        bags, command_line = open_run(request)
        with hold(bags, request.out):
            episodes = EpisodeBuffer.open(bags, embodiment=embodiment)
            if np.isnan(episodes.returns).any():
                raise EpisodeError(
                    "the initial data hold episodes without a return; label them first"
                )
            with running_learner(
                request.library,
                request.out,
                request.config.algorithm,
                request.seed,
                embodiment,
                list(episodes),
            ) as learner:
                return _Run(request, command_line, watch, learner).run()


class _Run:
    """One process's part of a run."""

    def __init__(
        self, request: ValueBasedRequest, command_line: str, watch: Watch, learner: Learner
    ) -> None:
        self._request = request
        self._config = request.config
        self._command_line = command_line
        self._watch = watch
        self._learner = learner
        self._robot = make_robot(request.robot)
        self._library = learner.describe()
        self._results: list[RoundResult] = []
        self._spent = [Spent()]
        self._seconds: dict[str, float] = {}

    def run(self) -> list[RoundResult]:
        rounds = range(1 + self._config.rounds)
        done = [read_round(self._folder(number)) for number in rounds]
        if None in done:
            done = done[: done.index(None)]
        for result in done:
            assert result is not None
            self._take_up(result)
            self._finish(result)
        if done and len(done) < len(rounds):
            self._learner.load(self._folder(len(done) - 1) / MODEL_FILE)
        for number in rounds[len(done) :]:
            self._finish(self._round(number))
        return self._results

    def _take_up(self, result: RoundResult) -> None:
        """Take in what an earlier process has done."""
        folder = self._folder(result.round)
        if result.collection is not None:
            first = result.episodes - len(result.collection.returns)
            seeds = [self._seed(index) for index in range(first, result.episodes)]
            known = Experience(self._robot.embodiment, [])
            for episode in known.add_collected(folder / "episodes", seeds):
                self._learner.add(episode)
        path = folder / TRAINING_FILE
        try:
            spent = Spent.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EpisodeError(f"{path}: is damaged; start the run anew") from error
        self._spent.append(spent)

    def _finish(self, result: RoundResult) -> None:
        path = self._folder(result.round) / ROUND_FILE
        if not path.exists():
            write_json(path, result.model_dump(mode="json"))
        self._results.append(result)
        run: dict[str, Any] = {
            **self._request.identity(),
            "command_line": self._command_line,
            "commit": recorded_commit(self._request.out),
            "training": [spent.model_dump() for spent in self._spent[1:]],
            "library": self._library,
        }
        rounds = [entry.model_dump(mode="json") for entry in self._results]
        write_json(self._request.out / RESULTS_FILE, {"run": run, "rounds": rounds})
        self._watch.round_done(result)

    def _round(self, number: int) -> RoundResult:
        self._seconds = {}
        folder = self._folder(number)
        # What an interrupted process left of the round was made with weights that are lost.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._spent.append(self._spent[-1])
        before = self._results[-1] if self._results else None
        collection, episodes, steps = None, 0, 0
        if before is None:
            self._begin()
        else:
            collection = self._collect(number, before)
            episodes = before.episodes + len(collection.returns)
            steps = before.steps + collection.steps
        self._learner.save(folder / MODEL_FILE)
        write_json(folder / TRAINING_FILE, self._spent[-1].model_dump())
        return RoundResult(
            round=number,
            collection=collection,
            episodes=episodes,
            steps=steps,
            gate_steps=0,
            gate=None,
            learner="",
            accepted_learner="",
            incumbent="",
            incumbent_digest="",
            exploitation=self._report(number),
            next_reach=None,
            seconds=self._seconds,
        )

    def _begin(self) -> None:
        """Learn from the initial episodes alone."""
        self._learner.seed(self._request.seed)
        updates = self._config.first_updates
        with self._watch.stage("learning offline", -(-updates // _SLICE)) as advance:
            self._learn(updates, 0.0, lambda: advance(f"{self._spent[-1].updates} updates"))

    def _collect(self, number: int, before: RoundResult) -> Collection:
        """Act and learn in turns."""
        config, folder = self._config, self._folder(number) / "episodes"
        actor = LearnerActor(self._learner, explore=True)
        description = ActorDescription(config.algorithm, "explore")
        results: list[EpisodeResult] = []
        done, end = config.done(before.episodes, before.steps), config.done_after(number)
        # Progress is told in episodes, or in as many parts where steps count.
        shown, last = (round(share * config.episodes) for share in (done, end))
        steps, stage = before.steps, f"round {number}: collecting and learning"
        with self._watch.stage(stage, max(0, last - shown)) as advance:
            while done < end or not results:
                started = time.perf_counter()
                seed = self._seed(before.episodes + len(results))
                result = run_episode(self._robot, actor, seed, description, directory=folder)
                assert result.bag is not None
                self._learner.add(read_episode(result.bag, self._robot.embodiment))
                self._count("collect", started)
                results.append(result)
                steps += result.length
                done = config.done(before.episodes + len(results), steps)
                self._learn(round(config.updates_per_step * result.length), done)
                while shown < min(last, round(done * config.episodes)):
                    shown += 1
                    advance(words(result))
        returns = returns_of(results)
        return Collection(
            returns=returns,
            return_mean=float(np.mean(returns)),
            steps=steps - before.steps,
        )

    def _learn(self, updates: int, done: float, on_slice: Any = lambda: None) -> None:
        """Make gradient steps as far as the processor time allows."""
        started, left = time.perf_counter(), updates
        while left and self._spent[-1].cpu < self._config.allowed_seconds(done):
            count = min(_SLICE, left)
            left -= count
            cpu = self._learner.learn(count)
            spent = self._spent[-1]
            self._spent[-1] = Spent(updates=spent.updates + count, cpu=spent.cpu + cpu)
            on_slice()
        self._count("train", started)

    def _report(self, number: int) -> Exploitation | None:
        """The policy's mode on the reporting starts."""
        count = self._config.evaluation_episodes
        if not count:
            return None
        started = time.perf_counter()
        actor = LearnerActor(self._learner, explore=False)
        who = ActorDescription(self._config.algorithm, "exploit")
        results = []
        with self._watch.stage(f"round {number}: exploiting", count) as advance:
            for index in range(count):
                seed = episode_seed(self._request.seed, index)
                results.append(run_episode(self._robot, actor, seed, who))
                advance(words(results[-1]))
        self._count("evaluate", started)
        described = RunDescription(
            robot=self._robot.embodiment.name,
            policy=who.policy,
            mode=who.mode,
            checkpoint=None,
            checkpoint_digest=None,
            transport="inproc",
            seed=self._request.seed,
            lock_step=True,
            command_line=self._command_line,
        )
        return Exploitation.of(EvaluationResult(described, tuple(results)))

    def _count(self, stage: str, started: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started

    def _folder(self, number: int) -> Path:
        return self._request.out / f"round-{number:02d}"

    def _seed(self, episode: int) -> int:
        return online_seed(self._request.seed, episode)
