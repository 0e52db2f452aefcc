"""The stages of a round that run the robot: collecting, comparing, reporting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gac_ros.checkpoint import load_checkpoint
from gac_ros.errors import EpisodeError
from gac_ros.evaluation.evaluate import EvaluationRequest, evaluate, open_transport
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.online.gate import GateResult, judge
from gac_ros.online.request import OnlineRequest, Watch
from gac_ros.online.results import Exploitation


class Stages:
    """Runs episodes for a request, and tells a watch of them."""

    def __init__(self, request: OnlineRequest, watch: Watch) -> None:
        self._request = request
        self._watch = watch

    def compare(
        self, incumbent: Path, candidate: Path, seeds: Sequence[int], out: Path, name: str
    ) -> tuple[GateResult, int]:
        """Both on the same starts; returns the robot steps as well."""
        returns, steps = [], 0
        for path, whose in ((incumbent, "incumbent"), (candidate, "candidate")):
            request = self.evaluation(path, out / whose)
            episodes = self.perform(request, seeds, f"{name}: testing the {whose}")
            returns.append(returns_of(episodes))
            steps += sum(episode.length for episode in episodes)
        return judge(returns[0], returns[1], self._request.config.gate_confidence), steps

    def exploitation(self, checkpoint: Path, out: Path, name: str) -> Exploitation:
        """On the reporting starts."""
        count = self._request.config.evaluation_episodes
        request = replace(self.evaluation(checkpoint, out), episodes=count, overwrite=True)
        with self._watch.stage(f"{name}: exploiting", count) as advance:
            return Exploitation.of(evaluate(request, lambda result: advance(words(result))))

    def perform(
        self, request: EvaluationRequest, seeds: Sequence[int], name: str
    ) -> list[EpisodeResult]:
        """One episode for each seed, as a stage of its own."""
        with self._watch.stage(name, len(seeds)) as advance:
            return self.run(request, seeds, advance)

    def run(
        self, request: EvaluationRequest, seeds: Sequence[int], advance: Callable[[str], None]
    ) -> list[EpisodeResult]:
        """One episode for each seed."""
        if not seeds:
            return []
        assert request.checkpoint is not None
        checkpoint = load_checkpoint(request.checkpoint, request.device)
        results = []
        with open_transport(request, checkpoint) as run_one:
            for seed in seeds:
                results.append(run_one(seed))
                advance(words(results[-1]))
        return results

    def evaluation(self, checkpoint: Path, out: Path) -> EvaluationRequest:
        """What all episodes of a run have in common."""
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


def returns_of(episodes: Sequence[EpisodeResult]) -> list[float]:
    """Returns of episodes, all of which must have one.

    Raises:
        EpisodeError: one has none.
    """
    returns = [e.episode_return for e in episodes if e.episode_return is not None]
    if len(returns) < len(episodes):
        raise EpisodeError(
            "the robot's episodes come without a return; online learning needs a reward topic or "
            "a scoring function in the embodiment"
        )
    return returns


def words(result: EpisodeResult) -> str:
    """An episode in a few words."""
    return "" if result.episode_return is None else f"return {result.episode_return:.1f}"
