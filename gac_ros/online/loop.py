"""The loop: collect with plans of the learner, fine-tune it on all bags, keep it if it is better.

Every round is a folder of the run. Whatever ends the process, the next one takes up the stage
that was on: episodes are bags that are complete or not there, trainings resume exactly, and a
round counts once its `round.json` is written.

    run.json                 what is run
    round-00/training/       the first model, unless the run was given one
    round-01/collector/      the candidate before, with the planner that collects
    round-01/episodes/       the bags
    round-01/training/       the fine-tuning, child of the learner before
    round-01/round.json      figures
    results.json             all rounds
    run.lock                 held by the process that works on it
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from gac_ros.buffer.leases import hold
from gac_ros.checkpoint import find_checkpoint, load_checkpoint, resolve_device, save_checkpoint
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import OutputError
from gac_ros.evaluation.seeds import online_seed, tuning_seed
from gac_ros.files import locked, write_json
from gac_ros.lineage import Score, add_score
from gac_ros.online.config import collecting_planner, exploring_settings
from gac_ros.online.experience import Experience, recorded_seeds
from gac_ros.online.gate import GateResult, note_gate
from gac_ros.online.mixture import Mixture, adapt
from gac_ros.online.plans import PlanTrials, candidate_plans, following, rank_plans, trial_count
from gac_ros.online.request import (
    Collect,
    Deploy,
    OnlineRequest,
    Watch,
    open_run,
    recorded_commit,
)
from gac_ros.online.results import (
    RESULTS_FILE,
    ROUND_FILE,
    Collection,
    Exploitation,
    LiveResult,
    RoundResult,
    read_round,
)
from gac_ros.online.stages import Stages
from gac_ros.online.target import Target, make_target, next_reach
from gac_ros.online.trainer import KnownPlansTrainer
from gac_ros.planning import Mode
from gac_ros.training.config import TrainingConfig
from gac_ros.training.rescale import rescale_returns
from gac_ros.training.run import run_training
from gac_ros.training.state import known_chains
from gac_ros.training.trainer import Trainer

LOCK_FILE = "run.lock"
# Tuning starts on which plans are tried, beyond those of any gate; so many a round.
_FIRST_TRIAL = 200_000
_TRIAL_STARTS = 1000


def run_online(
    request: OnlineRequest,
    watch: Watch,
    deploy: Deploy | None = None,
    collect: Collect | None = None,
) -> list[RoundResult]:
    """Run or resume all rounds.

    Args:
        request: what to run.
        watch: told of the progress.
        deploy: brings accepted candidates to a running robot, whose verdict counts; None takes
            them as they are.
        collect: brings the episodes of a robot that runs elsewhere; None runs the simulator.

    Raises:
        ConfigurationError: an option or the robot is wrong.
        OutputError: `out` holds a run and `resume` is off, or cannot be written.
        CheckpointError: there is nothing to resume, or a checkpoint is unusable.
        EpisodeError: the data cannot be used.
        TransportError: a process of the ROS transport failed.
    """
    with locked(request.out / LOCK_FILE, wait=False) as alone:
        if not alone:
            raise OutputError(f"{request.out}: another process is at work on this run; let it end")
        bags = open_run(request)
        with hold(bags, request.out):
            return _Run(request, bags, watch, deploy, collect).run()


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        request: OnlineRequest,
        bags: Sequence[Path],
        watch: Watch,
        deploy: Deploy | None,
        collect: Collect | None,
    ) -> None:
        self._request = request
        self._config = request.config
        self._out = request.out
        self._watch = watch
        self._deploy = deploy
        self._elsewhere = collect
        self._stages = Stages(request, watch)
        self._embodiment = find_embodiment(request.robot)
        self._experience = Experience(self._embodiment, bags)
        self._results: list[RoundResult] = []
        self._seconds: dict[str, float] = {}

    def run(self) -> list[RoundResult]:
        self._finish(read_round(self._folder(0)) or self._begin())
        if self._deploy is not None:
            self._deploy.begin(self._out / self._results[0].incumbent)
        for number, count in enumerate(self._config.rounds(), start=1):
            done = read_round(self._folder(number))
            if done is not None:
                self._experience.add_collected(self._episodes(number), self._seeds(number, count))
                self._remember_live(done.live)
            self._finish(done or self._round(number, count))
        return self._results

    def _finish(self, result: RoundResult) -> None:
        content = result.model_dump(mode="json")
        path = self._folder(result.round) / ROUND_FILE
        if not path.exists():
            write_json(path, content)
        self._results.append(result)
        run = {
            **self._request.identity(),
            "command_line": self._request.command_line,
            "commit": recorded_commit(self._out),
        }
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
            accepted_learner=self._relative(first),
            collector=self._relative(first),
            incumbent=self._relative(first),
            incumbent_digest=load_checkpoint(first).digest,
            exploitation=self._report(first, 0),
            next_reach=self._config.target.initial_reach,
            seconds=self._seconds,
        )

    def _round(self, number: int, count: int) -> RoundResult:
        self._seconds = {}
        before = self._results[-1]
        learner = self._out / before.learner
        assert before.next_reach is not None
        target = self._target(learner, before.next_reach)
        acts = self._out / (before.collector or before.learner)
        collection = self._collect(number, count, acts, target)
        assert collection.reached_share is not None
        with self._timed("train"):
            trainer = self._trainer(self._config.finetune, learner, number)
            trained = self._train(trainer, number, f"round {number}: fine-tuning")
        candidate, trial_steps = self._choose_plan(number, trained, acts)
        gate, gate_steps = self._gate(number, self._out / self._standing.incumbent, candidate)
        accepted, live = self._take_over(number, candidate, gate)
        standing = self._standing
        chosen = candidate if accepted else self._out / standing.incumbent
        restart = not accepted and self._config.after_rejection == "restart"
        collects = chosen if restart or self._config.collector == "incumbent" else candidate
        live_seeds = [] if live is None else live.seeds
        return RoundResult(
            round=number,
            collection=collection,
            episodes=before.episodes + count + len(live_seeds),
            steps=before.steps + collection.steps + (0 if live is None else live.steps),
            gate_steps=before.gate_steps + trial_steps + gate_steps,
            gate=gate,
            live=live,
            learner=standing.accepted_learner if restart else self._relative(trained),
            accepted_learner=self._relative(trained) if accepted else standing.accepted_learner,
            collector=self._relative(collects),
            incumbent=self._relative(chosen),
            incumbent_digest=load_checkpoint(chosen).digest,
            exploitation=self._report(chosen, number) if accepted else standing.exploitation,
            next_reach=next_reach(target, collection.reached_share, self._config.target),
            seconds=self._seconds,
        )

    @property
    def _standing(self) -> RoundResult:
        """The round whose incumbent acts: the last one, unless the robot went back to a former."""
        if self._deploy is not None:
            acting = self._deploy.acting()
            for result in reversed(self._results):
                if result.incumbent_digest == acting:
                    return result
        return self._results[-1]

    def _take_over(
        self, number: int, candidate: Path, gate: GateResult | None
    ) -> tuple[bool, LiveResult | None]:
        """Whether the candidate is the new incumbent, and how it did on the running robot."""
        accepted = gate is None or gate.accepted
        if self._deploy is None:
            return accepted, None
        why = "no gate" if gate is None else gate.words
        if not accepted:
            self._deploy.refused(candidate, why)
            return False, None
        with self._timed("live"):
            live = self._deploy.take_over(number, candidate, why)
        self._remember_live(live)
        return live.kept, live

    def _remember_live(self, live: LiveResult | None) -> None:
        if live is not None and live.seeds:
            seeds = live.seeds if self._elsewhere is None else None
            self._experience.add_collected(self._out / live.episodes, seeds)

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

    def _collect(self, number: int, count: int, acts: Path, target: Target) -> Collection:
        """Have the round's episodes recorded that are not there yet."""
        name, folder = f"round {number}: collecting", self._episodes(number)
        seeds = self._seeds(number, count)
        mixture = self._mixture(number)
        with self._timed("collect"):
            if self._elsewhere is not None:
                settings = exploring_settings(self._config, target, mixture)
                self._elsewhere.collect(name, folder, count, settings)
            else:
                mode, path = self._collector(number, acts, target, mixture)
                done = recorded_seeds(folder, self._embodiment)
                missing = [seed for seed in seeds or () if seed not in done]
                request = self._stages.evaluation(path, self._folder(number))
                self._stages.perform(replace(request, mode=mode, record=True), missing, name)
        episodes = self._experience.add_collected(folder, seeds)
        returns = [e.episode_return for e in episodes if e.episode_return is not None]
        known = self._experience.targets
        ids = [e.metadata.episode_id for e in episodes if e.metadata is not None]
        targets = [known.get(episode_id, target.fallback) for episode_id in ids]
        return Collection(
            returns=returns,
            return_mean=float(np.mean(returns)),
            steps=sum(len(episode) for episode in episodes),
            targets=targets,
            target_mean=float(np.mean(targets)),
            increment=target.increment,
            reach=target.reach,
            reached_share=float(np.mean(np.array(returns) >= np.array(targets))),
            shares=asdict(mixture) if self._config.collect == "explore" else None,
        )

    def _mixture(self, number: int) -> Mixture:
        """What a round's exploring plans are made of."""
        first = self._config.mixture
        if not self._config.adapt_shares or not self._experience.trials:
            return first
        mixture = adapt(first, self._experience.trials)
        self._watch.say(f"round {number}: {mixture.words}")
        return mixture

    def _collector(
        self, number: int, acts: Path, target: Target, mixture: Mixture
    ) -> tuple[Mode, Path]:
        """Who acts with the planner that collects, as a checkpoint that nodes can load."""
        checkpoint = load_checkpoint(acts)
        mode, planner = collecting_planner(self._config, checkpoint.planner, target, mixture)
        path = self._folder(number) / "collector"
        if not path.exists():
            save_checkpoint(checkpoint.with_planner(planner), path)
        return mode, path

    def _trainer(self, config: TrainingConfig, learner: Path | None, number: int) -> Trainer:
        """A trainer on all episodes; with a learner, its child."""
        experience = self._experience
        parent, chains = None, {}
        merit = experience.merit()
        known = experience.plans if self._config.new_chains == "held" else {}
        if learner is not None:
            parent = load_checkpoint(learner, self._request.device)
            parent = rescale_returns(parent, experience.returns)
            chains = known_chains(learner)
            model = parent.model.config
            experience.forget_plans((model.plan_tokens, model.plan_token_size))
        if self._config.new_chains == "plan":
            chains = {**experience.plans, **experience.interrupted, **chains}
        elif self._config.new_chains == "held":
            chains = {**experience.interrupted, **chains}
        elif self._config.new_chains == "proven":
            chains = {**experience.proven(experience.interrupted, merit), **chains}
            known = experience.proven(experience.plans, merit)
        return KnownPlansTrainer(
            experience.buffer(),
            self._embodiment,
            config,
            seed=self._request.seed + number,
            device=resolve_device(self._request.device),
            parent=parent,
            parent_chains=chains,
            emphasis=experience.emphasis(self._config.online_share),
            known=known,
            credit=experience.credit() if self._config.by_credit else None,
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

    def _choose_plan(self, number: int, trained: Path, acted: Path) -> tuple[Path, int]:
        """The trained model with the plan that did best in a few rollouts, and their steps.

        The plan of who `acted` before is tried as well, once it was chosen so itself.
        """
        checkpoint = load_checkpoint(trained)
        if self._config.plan_trials < 2:
            return trained, 0
        former = load_checkpoint(acted).best_plans[0] if number > 1 else None
        plans = candidate_plans(checkpoint.best_plans, self._config.plan_trials, former)
        path = self._folder(number) / "candidate"
        heat = self._config.plan_trial_starts
        count = trial_count(len(plans), heat)
        seeds = [
            tuning_seed(self._request.seed, _FIRST_TRIAL + number * _TRIAL_STARTS + i)
            for i in range(len(plans).bit_length() * heat)
        ]
        name = f"round {number}: trying plans"
        with self._timed("plans"), self._watch.stage(name, count) as advance:
            folder = self._folder(number) / "plans"
            tried = PlanTrials(self._stages, checkpoint, plans, folder, advance)
            order = rank_plans(len(plans), heat, seeds, tried.run)
        if not path.exists():
            save_checkpoint(following(checkpoint, plans[order]), path)
        return path, tried.steps

    def _gate(self, number: int, incumbent: Path, candidate: Path) -> tuple[GateResult | None, int]:
        """Compare on tuning starts that no other round has; returns the robot steps as well."""
        count = self._config.gate_episodes
        if not count:
            return None, 0
        seeds = [tuning_seed(self._request.seed, number * count + i) for i in range(count)]
        with self._timed("gate"):
            gate, steps = self._stages.compare(
                incumbent, candidate, seeds, self._folder(number) / "gate", f"round {number}"
            )
        note_gate(gate, incumbent, candidate)
        return gate, steps

    def _report(self, checkpoint: Path, number: int) -> Exploitation | None:
        """On the reporting starts."""
        if not self._config.evaluation_episodes:
            return None
        with self._timed("evaluate"):
            out = self._folder(number) / "evaluation"
            exploitation = self._stages.exploitation(checkpoint, out, f"round {number}")
        score = Score(
            purpose="report",
            episodes=len(exploitation.returns),
            return_mean=exploitation.return_mean,
            return_ci95=exploitation.return_ci95,
        )
        add_score(checkpoint, score)
        return exploitation

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds[stage] = time.perf_counter() - started

    def _folder(self, number: int) -> Path:
        return self._out / f"round-{number:02d}"

    def _episodes(self, number: int) -> Path:
        return self._folder(number) / "episodes"

    def _seeds(self, number: int, count: int) -> list[int] | None:
        """None where a robot makes its own."""
        if self._elsewhere is not None:
            return None
        first = (number - 1) * self._config.round_episodes
        return [online_seed(self._request.seed, first + index) for index in range(count)]

    def _relative(self, path: Path) -> str:
        path, out = path.resolve(), self._out.resolve()
        return str(path.relative_to(out) if path.is_relative_to(out) else path)
