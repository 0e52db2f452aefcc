"""Make the data sets of the locomotion benchmark from scratch, with stable-baselines3's SAC.

    python benchmarks/locomotion_data.py walker2d --steps 200000 --out data
    python benchmarks/locomotion_data.py hopper --steps 200000 --medium-at 175000 --out data

The first writes `walker2d_v5_medium_replay.npz`: everything that SAC did in its first 200,000
steps of learning. The second also writes `hopper_v5_medium.npz`: episodes of the stochastic policy
as it was after 175,000 steps. `gac buffer import` makes episode bags of either. The same seed gives
the same data on the same machine with the same versions.

What was done so far is saved every 10,000 steps, and when the run is interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import typer
from numpy.typing import NDArray

from gac_ros.cli.display import make_console, progress_bar
from gac_ros.errors import ConfigurationError, GacError, OutputError
from gac_ros.sim.locomotion import ENVIRONMENTS

SAVE_EVERY = 10_000
_LINES = 100  # of progress, where there is no terminal


@dataclass(frozen=True)
class Collected:
    """One complete episode: observations (T+1, O), actions (T, A), rewards (T,), float32."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: bool
    truncated: bool


@dataclass
class _Open:
    """The episode that is running."""

    observations: list[NDArray[np.floating]]
    actions: list[NDArray[np.floating]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


class RecordingWrapper(gymnasium.Wrapper):
    """Keeps every step that a learner takes, as the environment saw it.

    Attributes:
        episodes: the complete ones; one that a learner's end cuts off is not among them.
        steps: all steps taken, those of the running episode included.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.episodes: list[Collected] = []
        self.steps = 0
        self._open: _Open | None = None

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, information = self.env.reset(**arguments)
        self._open = _Open([observation])
        return observation, information

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step and keep it."""
        outcome = self.env.step(action)
        observation, reward, terminated, truncated, _ = outcome
        self.steps += 1
        if self._open is not None:
            self._open.observations.append(observation)
            self._open.actions.append(np.array(action))
            self._open.rewards.append(float(reward))
            if terminated or truncated:
                self.episodes.append(_complete(self._open, bool(terminated), bool(truncated)))
                self._open = None
        return outcome


def _complete(episode: _Open, terminated: bool, truncated: bool) -> Collected:
    return Collected(
        observations=np.array(episode.observations, dtype=np.float32),
        actions=np.array(episode.actions, dtype=np.float32),
        rewards=np.array(episode.rewards, dtype=np.float32),
        terminated=terminated,
        truncated=truncated,
    )


def save(path: Path, episodes: list[Collected], env_id: str, note: str) -> None:
    """Write episodes as step arrays; an older file of that name is replaced at once or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as stream:
            np.savez_compressed(
                stream,
                observations=np.concatenate([episode.observations for episode in episodes]),
                actions=np.concatenate([episode.actions for episode in episodes]),
                rewards=np.concatenate([episode.rewards for episode in episodes]),
                lengths=np.array([len(episode.actions) for episode in episodes], dtype=np.int32),
                terminated=np.array([episode.terminated for episode in episodes]),
                truncated=np.array([episode.truncated for episode in episodes]),
                env_id=np.array(env_id),
                note=np.array(note),
            )
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from error


def make_data(
    robot: str,
    steps: int,
    out: Path,
    *,
    seed: int = 0,
    medium_at: int | None = None,
    medium_steps: int = 200_000,
    save_every: int = SAVE_EVERY,
) -> list[Path]:
    """Train SAC and write its replay, and its policy's episodes when `medium_at` is given.

    Args:
        robot: hopper, halfcheetah or walker2d.
        steps: of learning.
        out: folder of the files, which must not be there yet.
        seed: of the networks, the environment and every random choice.
        medium_at: step of learning at which the policy rolls out.
        medium_steps: steps of those roll-outs, at least.
        save_every: steps between two saves of the replay.

    Returns:
        The files written.

    Raises:
        ConfigurationError: a wrong argument, or stable-baselines3 is missing.
        OutputError: a file is there already or cannot be written.
    """
    env_id = ENVIRONMENTS.get(robot)
    if env_id is None:
        raise ConfigurationError(f"unknown robot '{robot}'; known are {', '.join(ENVIRONMENTS)}")
    if medium_at is not None and not 0 < medium_at <= steps:
        raise ConfigurationError(f"--medium-at {medium_at} must lie within the {steps} steps")
    learner_class, callback_class = _stable_baselines()
    replay_file = _new_file(out, f"{robot}_v5_medium_replay.npz")
    medium_file = None if medium_at is None else _new_file(out, f"{robot}_v5_medium.npz")
    env = RecordingWrapper(gymnasium.make(env_id))
    learner = learner_class("MlpPolicy", env, seed=seed, device="cpu")
    medium: list[Collected] = []

    def save_replay() -> None:
        note = (
            f"replay buffer of the first {env.steps} steps of SAC (stable-baselines3 defaults, "
            f"seed {seed})"
        )
        if env.episodes:
            save(replay_file, env.episodes, env_id, note)

    class Progress(callback_class):  # type: ignore[misc, valid-type]
        def _on_step(self) -> bool:
            if env.steps % save_every == 0:
                save_replay()
            if env.steps == medium_at:
                medium.extend(roll_out(learner, env_id, medium_steps, seed))
            show(env.steps, env.episodes)
            return True

    with _progress(steps, robot) as show:
        try:
            learner.learn(steps, callback=Progress())
        finally:
            save_replay()
    if medium_file is None:
        return [replay_file]
    count = sum(len(episode.actions) for episode in medium)
    note = (
        f"{count} steps of a stochastic SAC policy stopped at {medium_at} training steps "
        f"(stable-baselines3 defaults, seed {seed})"
    )
    save(medium_file, medium, env_id, note)
    return [replay_file, medium_file]


def roll_out(learner: Any, env_id: str, steps: int, seed: int) -> list[Collected]:
    """Whole episodes of a learner's stochastic policy, until they have `steps` steps.

    torch's random state is put back, so that learning goes on as if nothing had happened.
    """
    import torch

    before = torch.get_rng_state()
    torch.manual_seed(seed + 1)
    env = RecordingWrapper(gymnasium.make(env_id))
    try:
        # Its starts are not those of learning.
        observation, _ = env.reset(seed=seed + 1)
        while True:
            action, _ = learner.predict(observation, deterministic=False)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                if env.steps >= steps:
                    return env.episodes
                observation, _ = env.reset()
    finally:
        env.close()
        torch.set_rng_state(before)


def _stable_baselines() -> tuple[Any, Any]:
    try:
        from stable_baselines3 import SAC
        from stable_baselines3.common.callbacks import BaseCallback
    except ImportError as error:
        raise ConfigurationError(
            f"learning needs stable-baselines3 ({error}); install it with: pip install -e '.[sb3]'"
        ) from error
    return SAC, BaseCallback


def _new_file(out: Path, name: str) -> Path:
    """Path of a file that can be written and is not there, before hours go into it."""
    path = out / name
    if path.exists():
        raise OutputError(f"{path}: is there already; move it away or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from error
    return path


@contextmanager
def _progress(steps: int, doing: str) -> Iterator[Callable[[int, list[Collected]], None]]:
    """Shows steps and the return of the last ten episodes: a bar, or lines without a terminal."""
    console = make_console(stderr=True)
    every = max(1, steps // _LINES)
    with progress_bar(console) if console.is_terminal else nullcontext() as progress:
        task = None if progress is None else progress.add_task(doing, total=steps, last="")

        def show(done: int, episodes: list[Collected]) -> None:
            if done % every and done != steps:
                return
            last = "no episode yet"
            if episodes:
                returns = [float(episode.rewards.sum()) for episode in episodes[-10:]]
                last = f"{len(episodes)} episodes, last return {np.mean(returns):.0f}"
            if progress is None or task is None:
                typer.echo(f"{doing}: step {done}/{steps}, {last}", err=True)
            else:
                progress.update(task, completed=done, last=last)

        yield show


def command(
    robot: Annotated[str, typer.Argument(help=f"{', '.join(ENVIRONMENTS)}.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of learning.")] = 200_000,
    out: Annotated[Path, typer.Option(help="Folder of the .npz files.")] = Path("data"),
    seed: Annotated[int, typer.Option(min=0, help="Decides everything.")] = 0,
    medium_at: Annotated[
        int | None, typer.Option(min=1, help="Also roll out the policy of this step.")
    ] = None,
    medium_steps: Annotated[int, typer.Option(min=1, help="Steps of the roll-outs.")] = 200_000,
) -> None:
    """Make the data sets of a locomotion robot with SAC."""
    for path in make_data(
        robot, steps, out, seed=seed, medium_at=medium_at, medium_steps=medium_steps
    ):
        typer.echo(path)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the command line and return the exit code: 2 for a user's mistake, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    try:
        app(standalone_mode=False)
    except GacError as error:
        print(f"locomotion_data: error: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        print(f"locomotion_data: error: {describe()}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
