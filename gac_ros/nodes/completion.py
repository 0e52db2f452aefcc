"""Completes the bags of ended episodes, away from the control loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gac_ros.buffer.reader import read_episode
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import GacError
from gac_ros.nodes.inbox import Inbox
from gac_ros.nodes.recorded_link import RecordedLink

# Longest wait for the disk when the node must stop.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Completed:
    """What became of an ended episode.

    Attributes:
        metadata: of the episode.
        bag: its directory; None when it was not recorded or could not be completed.
        episode_return: None without one.
        error: why there is no bag, or no return, where one should be; else empty.
    """

    metadata: EpisodeMetadata
    bag: Path | None
    episode_return: float | None
    error: str = ""

    def summary(self) -> dict[str, Any]:
        """The metadata but for the contract and the topics, with the bag and the error."""
        return {
            **self.metadata.model_dump(mode="json", exclude={"format", "embodiment", "topics"}),
            "episode_return": self.episode_return,
            "bag": str(self.bag) if self.bag else None,
            "error": self.error or None,
        }


def complete(
    commit: Future[Path] | None, metadata: EpisodeMetadata, embodiment: Embodiment, dropped: int
) -> Completed:
    """Wait for the bag, and let the embodiment's scoring function see it. Never raises.

    Args:
        commit: the recorder's promise; None when nothing was recorded.
        metadata: of the episode.
        embodiment: whose `return` counts.
        dropped: messages that the recorder lost.
    """
    metadata = metadata.model_copy(update={"dropped_messages": dropped})
    if commit is None:
        return Completed(metadata, None, metadata.episode_return)
    bag = None
    try:
        bag = commit.result()
        if embodiment.episode_return.source == "function":
            return Completed(metadata, bag, read_episode(bag, embodiment).episode_return)
        return Completed(metadata, bag, metadata.episode_return)
    except GacError as error:
        return Completed(metadata, bag, metadata.episode_return, str(error))
    # A defect, or a recorder closed under us: the episode's fate must be told all the same.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Completed(metadata, bag, metadata.episode_return, reason)


class Completion:
    """Has one bag at a time completed by another thread.

    Args:
        link: whose bag is completed.
        embodiment: whose `return` counts.
        pool: where the waiting is done.
        inbox: brings the result back to the executor's thread.
        tell: called with the result on that other thread.
        then: called with it on the executor's.
        logger: of the node.
    """

    def __init__(
        self,
        link: RecordedLink,
        embodiment: Embodiment,
        pool: Executor,
        inbox: Inbox,
        tell: Callable[[Completed], None],
        then: Callable[[Completed], None],
        logger: Any,
    ) -> None:
        self._link = link
        self._embodiment = embodiment
        self._pool = pool
        self._inbox = inbox
        self._tell = tell
        self._then = then
        self._logger = logger
        self._future: Future[Completed] | None = None

    @property
    def busy(self) -> bool:
        """Whether a bag is being completed."""
        return self._future is not None

    def begin(self, metadata: EpisodeMetadata) -> None:
        """Complete the link's bag."""
        commit = self._link.commit(metadata)
        # After it: what is handed over last may find the queue full, too.
        future = self._pool.submit(self._complete, commit, metadata, self._link.dropped)
        self._future = future
        self._inbox.when_done(future, partial(self._done, future))

    def _complete(
        self, commit: Future[Path] | None, metadata: EpisodeMetadata, dropped: int
    ) -> Completed:
        completed = complete(commit, metadata, self._embodiment, dropped)
        self._tell(completed)
        return completed

    def wait(self) -> None:
        """Wait for the bag and hand over the result now, without the inbox."""
        future = self._future
        if future is None:
            return
        try:
            future.result(timeout=_PATIENCE)
        except FutureTimeoutError:
            self._logger.error(f"the bag is not complete after {_PATIENCE:.0f} s")
        else:
            self._done(future, future)

    def _done(self, expected: Future[Completed], future: Future[Completed]) -> None:
        if self._future is expected:  # else `wait` was faster than the inbox
            self._future = None
            self._then(future.result())
