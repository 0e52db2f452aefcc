"""Write the episodes of a data set of step arrays as bags, as if a controller had recorded them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.importing.imported import ImportReport, all_present, id_prefix
from gac_ros.buffer.importing.step_arrays import StepArrays
from gac_ros.buffer.importing.step_bag import StepBagWriter, StepEpisode
from gac_ros.buffer.writer import check_writable
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import EmbodimentError

# Single precision may put an action at its limit a little beyond it.
_TOLERANCE = 1e-6


def check_environment(embodiment: Embodiment, env_id: str, *, origin: str) -> None:
    """Refuse the data of another environment than the robot's, such as Walker2d-v5 for `hopper`.

    Names are compared without case, punctuation and version. Data that do not name their
    environment pass: their sizes are all there is to check.

    Raises:
        EmbodimentError: the names differ.
    """
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"-v\d+$", "", env_id.lower()))
    if plain and plain != embodiment.name.replace("_", ""):
        raise EmbodimentError(
            f"{origin}: holds episodes of {env_id}, not of the robot '{embodiment.name}'; give the "
            "robot they are of, or an embodiment file of your own (*.yaml) for them"
        )


def check_fit(embodiment: Embodiment, arrays: StepArrays) -> None:
    """Refuse arrays that are not those of the embodiment.

    Raises:
        EmbodimentError: the number of fields differs, an observation is beyond its clip or an
            action beyond its limits.
    """
    sizes = {
        "observations": (arrays.observations.shape[1], embodiment.observation_names),
        "actions": (arrays.actions.shape[1], embodiment.action_names),
    }
    for name, (found, expected) in sizes.items():
        if found != len(expected):
            raise EmbodimentError(
                f"{arrays.name}: '{name}' has {found} numbers a step, the embodiment "
                f"'{embodiment.name}' has {len(expected)} ({', '.join(expected)}); give the robot "
                "that the data are of"
            )
    fields = [field for channel in embodiment.observation for field in channel.fields]
    clips = np.array([field.clip or (-np.inf, np.inf) for field in fields])
    limits = np.array([field.limits for field in embodiment.action.fields])
    _check_range(arrays, "observations", clips, embodiment.observation_names, "clip")
    _check_range(arrays, "actions", limits, embodiment.action_names, "limits")


def _check_range(
    arrays: StepArrays,
    name: str,
    bounds: NDArray[np.float64],
    fields: tuple[str, ...],
    what: str,
) -> None:
    """Refuse an array (n, F) that leaves its fields' bounds (F, 2)."""
    values = getattr(arrays, name)
    low, high = bounds.T
    low_slack, high_slack = (_TOLERANCE * np.maximum(1.0, np.abs(bound)) for bound in (low, high))
    beyond = (values.min(axis=0) < low - low_slack) | (values.max(axis=0) > high + high_slack)
    if beyond.any():
        column = int(np.argmax(beyond))
        extreme = values[:, column].min(), values[:, column].max()
        raise EmbodimentError(
            f"{arrays.name}: '{name}' reach at {fields[column]} from {extreme[0]:g} to "
            f"{extreme[1]:g}, beyond the embodiment's {what} [{low[column]:g}, {high[column]:g}]; "
            f"give the robot that the data are of, or correct its {what}"
        )


def import_step_arrays(
    arrays: StepArrays,
    embodiment: Embodiment,
    out: Path,
    *,
    limit: int | None = None,
    policy: str = "imported",
    on_episode: Callable[[], None] | None = None,
) -> ImportReport:
    """Write each episode as a bag; those that an earlier import has written are left alone.

    Log times are those of the simulation: the first observation is at 0. The metadata's `started`
    is the time of the import, as the data do not tell theirs.

    Args:
        arrays: the data.
        embodiment: the robot they are of.
        out: buffer directory; episodes are added to those it holds.
        limit: the first so many episodes only.
        policy: who acted, for the metadata.
        on_episode: called after each episode, for a progress display.

    Raises:
        EmbodimentError: the data are not of that robot.
        OutputError: `out` cannot be written, or every episode is there already.
    """
    check_fit(embodiment, arrays)
    check_writable(out)
    ids = episode_ids(arrays, embodiment)[:limit]
    new = [index for index, name in enumerate(ids) if not (Path(out) / name).exists()]
    if not new:
        raise all_present(out, len(ids), arrays.name)
    importer = _Importer(arrays, embodiment, Path(out), policy)
    for index in new:
        importer.write(index, ids[index])
        if on_episode is not None:
            on_episode()
    return ImportReport(
        imported=len(new),
        present=len(ids) - len(new),
        steps=int(arrays.lengths[new].sum()),
        returns=np.add.reduceat(arrays.rewards.astype(np.float64), arrays.starts)[new],
        terminated=int(arrays.terminated[new].sum()),
        truncated=int(arrays.truncated[new].sum()),
    )


def episode_ids(arrays: StepArrays, embodiment: Embodiment) -> list[str]:
    """An id for every episode, always the same for the same file and embodiment."""
    prefix = id_prefix(arrays.name, arrays.digest, embodiment)
    width = max(5, len(str(len(arrays))))
    return [f"{prefix}-{index:0{width}d}" for index in range(len(arrays))]


class _Importer:
    def __init__(self, arrays: StepArrays, embodiment: Embodiment, out: Path, policy: str) -> None:
        self._arrays = arrays
        self._embodiment = embodiment
        self._policy = policy
        self._writer = StepBagWriter(embodiment, out)
        self._started = datetime.now(timezone.utc).isoformat()

    def write(self, index: int, episode_id: str) -> None:
        episode = self._arrays.episode(index)
        self._writer.write(episode, self._metadata(index, episode_id, episode))

    def _metadata(self, index: int, episode_id: str, episode: StepEpisode) -> EpisodeMetadata:
        arrays, embodiment = self._arrays, self._embodiment
        # A scoring function's return is computed by whoever reads the bag.
        scored = embodiment.episode_return.source == "function"
        return EpisodeMetadata(
            episode_id=episode_id,
            robot=embodiment.name,
            embodiment=embodiment.to_dict(),
            embodiment_digest=embodiment.digest,
            policy=self._policy,
            steps=len(episode.actions),
            episode_return=None if scored else float(sum(arrays.episode_rewards(index))),
            terminated=episode.terminated,
            truncated=episode.truncated,
            started=self._started,
            lock_step=True,
            source={
                "file": arrays.name,
                "sha256": arrays.digest,
                "episode": index,
                "env_id": arrays.env_id,
                "note": arrays.note,
            },
            topics=self._writer.topics(episode),
        )
