"""Write the episodes of a data set of another format as bags."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from gac_ros.buffer.exchange.episodes import Dataset, Exchanged
from gac_ros.buffer.importing.import_steps import check_fit
from gac_ros.buffer.importing.imported import ImportReport, all_present, id_prefix
from gac_ros.buffer.importing.step_arrays import StepArrays
from gac_ros.buffer.importing.step_bag import StepBagWriter
from gac_ros.buffer.writer import check_writable
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import EmbodimentError, EpisodeError

_RATE_TOLERANCE = 0.01


def import_dataset(
    dataset: Dataset,
    embodiment: Embodiment,
    out: Path,
    *,
    limit: int | None = None,
    policy: str = "imported",
    on_episode: Callable[[], None] | None = None,
) -> ImportReport:
    """Write each episode as a bag; those that are there already are left alone.

    Episodes that this package exported get their id and metadata back, unless their numbers were
    changed since: those are new ones. The data are read twice, so
    that nothing is written of a data set that does not fit.

    Args:
        dataset: to be read.
        embodiment: the robot it is of.
        out: buffer directory; episodes are added to those it holds.
        limit: the first so many episodes only.
        policy: who acted, where the data do not tell.
        on_episode: called after each episode.

    Raises:
        EpisodeError: the data are damaged.
        EmbodimentError: they are not of that robot.
        OutputError: `out` cannot be written, or every episode is there already.
    """
    _check_robot(dataset, embodiment)
    for number, episode in enumerate(_first(dataset, limit)):
        _check_episode(f"{dataset.path}: episode {number}", episode, embodiment)
    check_writable(out)
    importer = _Importer(dataset, embodiment, Path(out), policy)
    for number, episode in enumerate(_first(dataset, limit)):
        importer.take(number, episode)
        if on_episode is not None:
            on_episode()
    return importer.report()


def _first(dataset: Dataset, limit: int | None) -> Iterator[Exchanged]:
    for number, episode in enumerate(dataset.episodes()):
        if number == limit:
            return
        yield episode


def _check_robot(dataset: Dataset, embodiment: Embodiment) -> None:
    if len(dataset) == 0:
        raise EpisodeError(f"{dataset.path}: holds no episode")
    if dataset.embodiment is not None:
        theirs = embodiment_from_dict(dict(dataset.embodiment), origin=str(dataset.path))
        differences = embodiment.differences(theirs)
        if differences:
            raise EmbodimentError(
                f"{dataset.path}: was exported from another embodiment than '{embodiment.name}': "
                f"{'; '.join(differences)}; give the robot that it is of"
            )
    rate = dataset.control_rate
    if rate is not None and not math.isclose(
        rate, embodiment.control_rate, rel_tol=_RATE_TOLERANCE
    ):
        raise EmbodimentError(
            f"{dataset.path}: has {rate:g} frames a second, the embodiment '{embodiment.name}' "
            f"acts {embodiment.control_rate:g} times a second; give an embodiment of that rate"
        )


def _check_episode(origin: str, episode: Exchanged, embodiment: Embodiment) -> None:
    steps = episode.steps
    # What taught nothing when it was recorded may lie outside.
    actions = steps.actions[episode.valid]
    none = np.zeros(0)
    check_fit(
        embodiment,
        StepArrays(
            name=origin,
            digest="",
            observations=steps.observations,
            actions=actions if len(actions) else embodiment.safe_action[None],
            rewards=none,
            lengths=np.zeros(0, dtype=np.int64),
            terminated=none.astype(bool),
            truncated=none.astype(bool),
        ),
    )
    saved = episode.saved
    if saved is None:
        return
    found = {
        "steps": len(steps.actions),
        "terminated": steps.terminated,
        "truncated": steps.truncated,
    }
    for key, value in found.items():
        if saved.get(key) != value:
            raise EpisodeError(
                f"{origin}: its arrays say {key} {value}, its metadata of gac_ros "
                f"{saved.get(key)}; somebody changed one of the two"
            )


class _Importer:
    def __init__(self, dataset: Dataset, embodiment: Embodiment, out: Path, policy: str) -> None:
        self._dataset = dataset
        self._embodiment = embodiment
        self._out = out
        self._policy = policy
        self._writer = StepBagWriter(embodiment, out)
        self._digest = dataset.digest()
        self._started = datetime.now(timezone.utc).isoformat()
        self._prefix = id_prefix(dataset.name, self._digest, embodiment)
        self._steps: list[int] = []
        self._returns: list[float] = []
        self._terminated = 0
        self._truncated = 0
        self._present = 0
        self._rewards_lost = False
        self._changed = 0

    def take(self, number: int, episode: Exchanged) -> None:
        metadata = self._metadata(number, episode)
        if (self._out / metadata.episode_id).exists():
            self._present += 1
            return
        self._writer.write(episode.steps, metadata)
        self._changed += episode.changed
        self._steps.append(len(episode.steps.actions))
        self._terminated += episode.steps.terminated
        self._truncated += episode.steps.truncated
        if metadata.episode_return is not None:
            self._returns.append(metadata.episode_return)
        if self._embodiment.episode_return.topic is None and episode.rewards.any():
            self._rewards_lost = True

    def report(self) -> ImportReport:
        if not self._steps:
            raise all_present(self._out, self._present, self._dataset.path)
        return ImportReport(
            imported=len(self._steps),
            present=self._present,
            steps=sum(self._steps),
            returns=np.array(self._returns),
            terminated=self._terminated,
            truncated=self._truncated,
            losses=(*self._dataset.losses, *self._losses()),
        )

    def _losses(self) -> Iterator[str]:
        if self._dataset.control_rate is None and self._dataset.embodiment is None:
            yield (
                "the data set does not tell its control rate: the embodiment's "
                f"{self._embodiment.control_rate:g} Hz are taken for it, unchecked"
            )
        if self._rewards_lost:
            yield "rewards are summed up: the embodiment has no topic for them"
        if self._changed:
            yield (
                f"{self._changed} episodes were changed since gac_ros wrote them: they come as new "
                "ones, without their ids, metadata and plans"
            )

    def _metadata(self, number: int, episode: Exchanged) -> EpisodeMetadata:
        origin: dict[str, str | int] = {
            "file": self._dataset.name,
            "sha256": self._digest,
            "episode": number,
        }
        contract: dict[str, Any] = {
            "embodiment": self._embodiment.to_dict(),
            "embodiment_digest": self._embodiment.digest,
            "topics": self._writer.topics(episode.steps),
        }
        if episode.saved is not None:
            saved = {**episode.saved, **contract}
            saved["source"] = saved.get("source") or origin
            return self._validated(number, saved)
        return EpisodeMetadata(
            episode_id=f"{self._prefix}-{number:05d}",
            robot=self._embodiment.name,
            policy=episode.policy or self._policy,
            seed=episode.seed,
            steps=len(episode.steps.actions),
            episode_return=self._return(episode),
            terminated=episode.steps.terminated,
            truncated=episode.steps.truncated,
            outcome=episode.outcome,
            started=self._started,
            lock_step=True,
            safe_actions=int((~episode.valid).sum()),
            source=origin,
            **contract,
        )

    def _validated(self, number: int, content: Mapping[str, Any]) -> EpisodeMetadata:
        try:
            return EpisodeMetadata.model_validate(content)
        except ValueError as error:
            raise EpisodeError(
                f"{self._dataset.path}: episode {number}: its metadata is not of this version of "
                "gac_ros; export it again"
            ) from error

    def _return(self, episode: Exchanged) -> float | None:
        if episode.episode_return is not None or episode.steps.rewards is None:
            return episode.episode_return
        # A scoring function's return is computed by whoever reads the bag.
        if self._embodiment.episode_return.source == "function":
            return None
        return float(sum(episode.steps.rewards))
