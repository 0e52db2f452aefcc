"""What plans promise and what they achieve: calibration of the critic, and pictures of plans.

Plans are rolled out on tuning starts: this is a look into a model, not a score of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros.bench.calibration import calibrate
from gac_ros.checkpoint import Checkpoint
from gac_ros.drawing import new_figure, save_figure
from gac_ros.evaluation.seeds import tuning_seed
from gac_ros.limiter import Limiter
from gac_ros.policy import Policy
from gac_ros.sim import make_env
from gac_ros.sim.environment import RobotEnvironment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["exploit", "best", "chain", "prior"]
_COLOURS: Mapping[Kind, str] = {
    "exploit": "#c44e52",
    "best": "#dd8452",
    "chain": "#4c72b0",
    "prior": "#8c8c8c",
}
_DPI = 90


@dataclass(frozen=True, eq=False)
class PlanTrial:
    """A plan and its roll-outs.

    Attributes:
        kind: the exploited plan, one of the best plans that it starts from, an episode's chain, or
            a sample of the prior.
        z0: (N, D).
        predicted: predicted return, mean over the data's starts.
        returns: achieved from each start, (S,).
        paths: observations from each start, (T + 1, O) each.
    """

    kind: Kind
    z0: NDArray[np.float32]
    predicted: float
    returns: NDArray[np.float64]
    paths: tuple[NDArray[np.float64], ...]

    @property
    def achieved(self) -> float:
        """Mean return over the starts."""
        return float(self.returns.mean())


def try_plans(
    checkpoint: Checkpoint,
    chains: Mapping[str, Tensor],
    *,
    count: int,
    starts: int,
    seed: int = 0,
    on_plan: Callable[[], None] = lambda: None,
) -> list[PlanTrial]:
    """Roll out the exploited plan, the best plans, and `count` chains and prior samples.

    Args:
        checkpoint: of a packaged robot.
        chains: z0 (N, D) of the training's episodes by id; may be empty.
        count: of each kind.
        starts: roll-outs of each plan.
        seed: chooses chains and samples, and the starts.
        on_plan: called after each plan.
    """
    generator = torch.Generator().manual_seed(seed)
    planner = checkpoint.make_planner()
    config = checkpoint.model.config
    exploited = torch.from_numpy(planner.plan("exploit", seed).z0)
    plans: list[tuple[Kind, Tensor]] = [("exploit", exploited)]
    plans += [("best", z0) for z0 in checkpoint.best_plans[:count].cpu()]
    names = sorted(chains)
    for index in torch.randperm(len(names), generator=generator)[:count].tolist():
        plans.append(("chain", chains[names[index]]))
    shape = (count, config.plan_tokens, config.plan_token_size)
    plans += [("prior", z0) for z0 in torch.randn(shape, generator=generator)]
    env = make_env(checkpoint.embodiment.name)
    policy = checkpoint.make_policy()
    trials = []
    for kind, z0 in plans:
        plan = planner.plan_of(z0.to(checkpoint.starts.device))
        rolled = []
        for start in range(starts):
            policy.follow(plan)
            rolled.append(_roll_out(env, policy, tuning_seed(seed, start)))
        returns = np.array([total for total, _ in rolled])
        paths = tuple(path for _, path in rolled)
        trials.append(PlanTrial(kind, plan.z0, plan.predicted_return, returns, paths))
        on_plan()
    return trials


def _roll_out(
    env: RobotEnvironment, policy: Policy, seed: int
) -> tuple[float, NDArray[np.float64]]:
    """Return and observations (T + 1, O) of one episode."""
    embodiment = env.robot.embodiment
    observation, _ = env.reset(seed=seed)
    path, total, ended, limiter = [observation], 0.0, False, Limiter(embodiment)
    while not ended:
        action = limiter.limit(policy.act(observation))
        limiter.move(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        path.append(observation)
        total += reward
        ended = terminated or truncated
    return total, np.array(path)


def summarize(trials: list[PlanTrial]) -> dict[str, Any]:
    """Figures of the calibration: per kind and over all, as JSON; see `Calibration`."""

    def figures(some: list[PlanTrial]) -> dict[str, Any]:
        return asdict(calibrate([t.predicted for t in some], [t.achieved for t in some]))

    kinds = {trial.kind for trial in trials}
    return {
        "all": figures(trials),
        **{kind: figures([t for t in trials if t.kind == kind]) for kind in sorted(kinds)},
        "plans": [
            {"kind": t.kind, "predicted": t.predicted, "returns": t.returns.tolist()}
            for t in trials
        ],
    }


def draw_plans(
    trials: list[PlanTrial],
    checkpoint: Checkpoint,
    chains: Mapping[str, Tensor],
    returns: Mapping[str, float],
    folder: Path,
) -> list[Path]:
    """Pictures of calibration, of the plan space and, in a maze, of the plans' trajectories.

    Args:
        trials: rolled out.
        checkpoint: of the robot.
        chains: by episode id.
        returns: by episode id, as far as they are known.
        folder: made if it is missing.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    name = checkpoint.embodiment.name
    files = [folder / f"plans_{name}_calibration.png"]
    save_figure(_calibration(trials), files[0], dpi=_DPI)
    known = sorted(chains.keys() & returns.keys())
    if len(known) > 2:
        files.append(folder / f"plans_{name}_space.png")
        save_figure(_space(trials, chains, returns, known), files[-1], dpi=_DPI)
    if name.startswith("pointmaze"):
        files.append(folder / f"plans_{name}_paths.png")
        save_figure(_paths(trials, name), files[-1], dpi=_DPI)
    return files


def _calibration(trials: list[PlanTrial]) -> Figure:
    figure, axis = _axes(5.2, 4.6)
    for kind, colour in _COLOURS.items():
        some = [trial for trial in trials if trial.kind == kind]
        axis.errorbar(
            [trial.predicted for trial in some],
            [trial.achieved for trial in some],
            yerr=[trial.returns.std() / len(trial.returns) ** 0.5 for trial in some],
            fmt="*" if kind == "exploit" else "o",
            markersize=13 if kind == "exploit" else 5,
            color=colour,
            label=kind,
            alpha=0.8,
        )
    ends = [*axis.get_xlim(), *axis.get_ylim()]
    axis.plot([min(ends), max(ends)], [min(ends), max(ends)], color="black", linewidth=0.6)
    axis.set(xlabel="predicted return", ylabel="achieved return (standard error)")
    axis.legend()
    return figure


def _space(
    trials: list[PlanTrial],
    chains: Mapping[str, Tensor],
    returns: Mapping[str, float],
    known: list[str],
) -> Figure:
    """The chains' first two principal components, and where the tried plans lie among them."""
    points = np.array([chains[name].flatten().numpy() for name in known])
    centre = points.mean(axis=0)
    axes = np.linalg.svd(points - centre, full_matrices=False)[2][:2]
    figure, axis = _axes(5.8, 4.6)
    flat = (points - centre) @ axes.T
    shown = axis.scatter(
        flat[:, 0], flat[:, 1], c=[returns[name] for name in known], s=9, cmap="viridis"
    )
    figure.colorbar(shown, label="return of the episode")
    for kind in ("prior", "best", "exploit"):
        some = [t.z0.reshape(-1) for t in trials if t.kind == kind]
        where = (np.array(some) - centre) @ axes.T
        marker = "*" if kind == "exploit" else "x"
        size = 190 if kind == "exploit" else 34
        axis.scatter(
            where[:, 0], where[:, 1], marker=marker, s=size, color=_COLOURS[kind], label=kind
        )
    # A few chains may have run far away; the others would be a dot.
    low, high = np.percentile(flat, [2, 98], axis=0)
    margin = 0.6 * (high - low) + 1e-6
    low, high = low - margin, high + margin
    outside = int(((flat < low) | (flat > high)).any(axis=1).sum())
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.set(xlabel="first principal component of z0", ylabel="second")
    axis.set_title(f"{len(flat)} episodes, {outside} of them outside the picture", fontsize=9)
    axis.legend()
    return figure


def _paths(trials: list[PlanTrial], robot: str) -> Figure:
    from gac_ros.sim.maze import WALL_OFFSET, find_maze

    maze = find_maze(robot)
    kinds = [kind for kind in _COLOURS if any(trial.kind == kind for trial in trials)]
    figure = new_figure(3.1 * len(kinds) + 0.8, 3.4)
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    scale = Normalize(0.0, max(float(trial.returns.max()) for trial in trials) or 1.0)
    for axis, kind in zip(panels, kinds, strict=True):
        for row, column in maze.walls:
            corner = (column + WALL_OFFSET - 0.5, row + WALL_OFFSET - 0.5)
            axis.add_patch(Rectangle(corner, 1.0, 1.0, color="0.8"))
        for trial in (trial for trial in trials if trial.kind == kind):
            for total, path in zip(trial.returns, trial.paths, strict=True):
                colour = colormaps["viridis"](scale(total))
                axis.plot(path[:, 1], path[:, 0], color=colour, linewidth=0.8, alpha=0.8)
        axis.plot(*maze.goal_position[::-1], marker="*", markersize=11, color="#c44e52")
        axis.set(title=kind, aspect="equal", xticks=[], yticks=[])
        axis.invert_yaxis()
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=panels[-1], label="return")
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = new_figure(width, height)
    return figure, figure.subplots()
