"""A robot that runs elsewhere: its controller records into a folder, and that is all we see of it.

The run takes each of its episodes once, as files of its own. An episode is taken when its bag lies
in a folder of the run, so that there is no second account which a kill could leave behind, and
whatever the robot's folder loses later, to retention or with its network, the run goes on.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

from gac_ros.buffer.leases import HoldOnTheRest
from gac_ros.buffer.reader import read_episode
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.deployment.state import explore_with
from gac_ros.embodiment import Embodiment
from gac_ros.episode import Episode
from gac_ros.errors import GacError, OutputError
from gac_ros.online.request import Watch

_PERIOD = 1.0  # seconds between two looks, at least
_SHARE = 0.1  # of the time that looking may take, however many episodes there are
_REMINDER = 600.0  # seconds until it is said again what is waited for
_TAKING = ".taking"
_UNDER_WAY = ("recording", "unfinished")


class RobotEpisodes:
    """The folder that a robot's controller records into.

    Args:
        folder: as the controller's `record.directory`; it may be away for a while.
        embodiment: of the robot.
        out: folder of the run.
        known: names of bags that are never taken; asked when the first are looked for.
        watch: told what is skipped, and why.
        rest: pauses for so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        embodiment: Embodiment,
        out: Path,
        known: Callable[[], set[str]],
        watch: Watch,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = folder
        self.watch = watch
        self._embodiment = embodiment
        self._out = out
        self._ask_known = known
        self._rest = rest
        self._hold: HoldOnTheRest | None = None
        self._held_but: frozenset[str] | None = None
        self._told: set[tuple[str, str]] = set()
        # By the bag's content: a label that is added makes it another.
        self._judged: dict[str, tuple[Episode | None, str]] = {}

    @cached_property
    def _settled(self) -> set[str]:
        """Names of bags that are not to be taken, or were."""
        bags = [bag for kind in ("episodes", "live") for bag in self._out.glob(f"*/{kind}/*")]
        return self._ask_known() | {bag.name for bag in bags}

    def take(
        self, into: Path, most: int | None = None, wanted: Callable[[Episode], bool] | None = None
    ) -> list[Episode]:
        """Take new episodes into a folder of the run, the oldest first.

        Recovered, interrupted, unlabelled and unreadable ones are skipped, which is told; a label
        that comes later is noticed.

        Args:
            into: the folder.
            most: so many at most.
            wanted: others are left where they are.

        Raises:
            OutputError: the run's folder cannot be written.
        """
        taken: list[Episode] = []
        rows = self._rows()
        self._hold_the_rest()
        for row in rows:
            if most is not None and len(taken) >= most:
                break
            if row.state in _UNDER_WAY or self._settled & {row.path.name, row.episode_id}:
                continue
            episode, problem = self._judge(row)
            if episode is None:
                self.say_once(row.episode_id, f"{row.episode_id}: skipped: {problem}")
            elif (wanted is None or wanted(episode)) and self._copy(row.path, into):
                self._settled.update((row.path.name, row.episode_id))
                del self._judged[row.digest]
                taken.append(episode)
        if taken:
            self._hold_the_rest()
        return taken

    def release(self) -> None:
        """Let the robot's retention have what was not taken: the run needs no more."""
        self._hold_the_rest()  # replaces what a killed process left
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def say_once(self, topic: str, words: str) -> None:
        """Say something of an episode or the folder, once."""
        if (topic, words) not in self._told:
            self._told.add((topic, words))
            self.watch.say(words)

    def looks(self, what: Callable[[], str]) -> Iterator[None]:
        """Come back again and again, with a pause between.

        Args:
            what: is waited for; asked when it is said, before the first pause and then seldom.
        """
        said = -math.inf
        while True:
            began = time.monotonic()
            yield
            taken = time.monotonic() - began
            if time.monotonic() - said > _REMINDER:
                self.watch.say(f"waiting for {what()} in the robot's folder {self.folder}")
                said = time.monotonic()
            self._rest(max(_PERIOD, taken / _SHARE))

    def _hold_the_rest(self) -> None:
        """Have retention leave alone what was not taken yet, also while nobody looks."""
        settled = frozenset(self._settled)
        if settled == self._held_but or not self.folder.is_dir():
            return
        hold = self._hold or HoldOnTheRest(self.folder, self._out)
        try:
            hold.renew(settled)
        except OSError as error:
            self.say_once(
                "hold",
                f"{self.folder}: cannot be written ({error.strerror}), so that the controller's "
                "retention may remove episodes before they are taken",
            )
        else:
            self._hold, self._held_but = hold, settled

    def _rows(self) -> list[EpisodeSummaryRow]:
        if not self.folder.is_dir():
            self.say_once("folder", f"{self.folder}: is not there yet")
            return []
        try:
            return list_episodes(self.folder)
        except GacError as error:
            self.say_once("folder", str(error))
            return []

    def _judge(self, row: EpisodeSummaryRow) -> tuple[Episode | None, str]:
        """The episode, or why it cannot be used."""
        if row.state == "damaged":
            return None, row.problem
        if row.digest not in self._judged:
            self._judged[row.digest] = self._read(row)
        return self._judged[row.digest]

    def _read(self, row: EpisodeSummaryRow) -> tuple[Episode | None, str]:
        if row.state == "recovered":
            return None, "its recording was cut off, so that its return is not known to be whole"
        if row.outcome == "interrupted":
            return None, "it was interrupted"
        try:
            episode = read_episode(row.path, self._embodiment)
        except GacError as error:
            return None, str(error)
        if not episode.valid.any():
            return None, "no step can be learnt from (all took the safe action)"
        if episode.episode_return is None:
            return None, (
                "it has no return; give the robot a reward topic, the controller the parameter "
                "episode_return, or the episode a label (gac buffer label)"
            )
        return episode, ""

    def _copy(self, bag: Path, into: Path) -> bool:
        """Whether the bag now lies in the folder; it may have been removed meanwhile."""
        aside = into / _TAKING
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            shutil.copytree(bag, aside / bag.name, copy_function=_link_or_copy)
            (aside / bag.name).rename(into / bag.name)
            aside.rmdir()
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            if not bag.is_dir():
                self.say_once(bag.name, f"{bag.name}: was removed before it could be taken")
                return False
            # Of many files that could not be copied, the first says why.
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
            raise OutputError(
                f"{bag} cannot be copied to {into} ({reason}); check the disk's space and the "
                "permissions, then continue with --resume"
            ) from error
        return True


class RobotCollection:
    """The `Collect` of a robot that runs elsewhere.

    Args:
        robot: its episodes.
        deployment: says to its controller who acts and how it explores.
    """

    def __init__(self, robot: RobotEpisodes, deployment: DeploymentFolder) -> None:
        self._robot = robot
        self._deployment = deployment

    def collect(self, name: str, folder: Path, count: int, exploration: dict[str, float]) -> None:
        """See `Collect`."""
        self._deployment.change(partial(explore_with, settings=exploration))
        self._robot.say_once(
            "controller",
            f"parameters of the robot's controller: deployment:={self._deployment.directory} "
            f"mode:=auto record.directory:={self._robot.folder.absolute()}",
        )
        # A damaged copy is no episode, and another one takes its place.
        there = sum(row.usable for row in list_episodes(folder)) if folder.is_dir() else 0
        if there >= count:
            return
        taken: list[Episode] = []
        with self._robot.watch.stage(name, count - there) as advance:
            for _ in self._robot.looks(lambda: f"{count - there - len(taken)} more episodes"):
                for episode in self._robot.take(folder, count - there - len(taken)):
                    taken.append(episode)
                    advance(f"return {episode.episode_return:.1f}")
                if there + len(taken) >= count:
                    return


class RobotLive:
    """The `LiveRobot` that runs elsewhere, and follows the deployment by itself.

    Args:
        robot: its episodes.
    """

    def __init__(self, robot: RobotEpisodes) -> None:
        self._robot = robot

    def run(
        self, episodes: Path, seeds: Iterator[int], over: Callable[[], bool]
    ) -> Iterator[float]:
        """See `LiveRobot`; the robot has seeds of its own."""
        explored: set[str] = set()

        def exploits(episode: Episode) -> bool:
            metadata = episode.metadata
            assert metadata is not None
            if metadata.mode != "exploit":
                explored.add(metadata.episode_id)
            return metadata.mode == "exploit"

        def what() -> str:
            left = f" ({len(explored)} others are left for the next round)" if explored else ""
            return f"episodes of exploitation{left}, as the controller's mode auto makes them now,"

        for _ in self._robot.looks(what):
            last = over()  # before looking: whatever was recorded until then is seen
            for episode in self._robot.take(episodes, wanted=exploits):
                assert episode.episode_return is not None
                yield episode.episode_return
            if last:
                return


def _link_or_copy(source: str, target: str) -> None:
    """Bags' files never change, so on the same disk one copy is enough."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
