"""Bring back episodes whose recording was cut off, and those that a disk has damaged.

What is left of an episode is written as a new bag beside the others, read back and counted; only
then is the original moved to `<directory>/.salvaged/`, where it stays, and the new bag put in its
place. A repair that is itself cut off leaves either the original or the new bag, never neither.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from gac_ros import messages
from gac_ros.buffer.course import Course, follow
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.locks import in_use, try_lock
from gac_ros.buffer.reader import (
    ForeignRecordingError,
    read_messages,
    read_metadata,
    read_promise,
    verify_content,
)
from gac_ros.buffer.salvage import Salvaged, salvage
from gac_ros.buffer.writer import MCAP_RECORD, METADATA_FILE, RECORDING, EpisodeWriter
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import EpisodeMetadata, Labels
from gac_ros.errors import EpisodeError, GacError, OutputError
from gac_ros.files import sync_directory

SALVAGED = ".salvaged"
REPAIR = ".repair"
# A recording without content that is younger than this may be one that is just being opened.
_OPENING = 60.0
# Bytes at the start of an MCAP file of ours within which it says so.
_START = 1 << 20

RepairState = Literal["recovered", "completed", "empty", "failed", "foreign"]


@dataclass(frozen=True)
class Repaired:
    """What became of one episode.

    Attributes:
        episode_id: its name.
        state: `recovered`: a new bag holds what was left; `completed`: the bag was whole and only
            had to be put in its place; `empty`: no step of it had been recorded; `failed`: it was
            left where it is; `foreign`: a recording of another tool, left as it is.
        bag: the episode's bag now; None when there is none.
        original: where the original is now.
        steps: of the new bag.
        messages: of the new bag.
        lost: messages that are missing between those of the new bag.
        problem: why there is no bag, one line; else empty.
        note: what may be lost beside messages, one line; else empty.
    """

    episode_id: str
    state: RepairState
    bag: Path | None
    original: Path
    steps: int = 0
    messages: int = 0
    lost: int = 0
    problem: str = ""
    note: str = ""


def repair_buffer(
    directory: Path,
    *,
    damaged: bool = True,
    embodiment: Embodiment | None = None,
    on_episode: Callable[[Repaired], None] | None = None,
) -> list[Repaired]:
    """Repair every episode of a buffer directory that is not complete.

    Recordings that are going on are left alone, also those of other processes.

    Args:
        directory: the buffer directory.
        damaged: whether to check and repair the visible bags as well, which reads all of them.
        embodiment: the robot of recordings that do not tell; None leaves those where they are.
        on_episode: called after each episode.

    Returns:
        What became of each one, in the order of their names; complete bags are not listed.

    Raises:
        EpisodeError: the directory cannot be read.
        OutputError: it cannot be written, or another repair is at work there.
    """
    directory = Path(directory)
    bags = [*_unfinished(directory), *(_damaged(directory) if damaged else [])]
    if not bags and not (directory / REPAIR).exists():
        return []
    done: list[Repaired] = []
    with _only_repair(directory):
        for bag in sorted(bags, key=lambda path: path.name):
            result = _repair(directory, bag, embodiment)
            if result is not None:
                done.append(result)
                if on_episode is not None:
                    on_episode(result)
    return done


def _unfinished(directory: Path) -> list[Path]:
    recording = directory / RECORDING
    try:
        list(directory.iterdir())
        return [path for path in recording.iterdir() if path.is_dir()] if recording.is_dir() else []
    except OSError as error:
        raise EpisodeError(
            f"{directory}: cannot be read ({error.strerror}); give a folder of episodes"
        ) from error


def _damaged(directory: Path) -> list[Path]:
    bags = [
        path
        for path in directory.iterdir()
        if not path.name.startswith(".") and path.is_dir() and any(path.glob("*.mcap"))
    ]
    return [path for path in bags if not _sound(path)]


def _sound(bag: Path) -> bool:
    """Whether a bag's digests hold, and the counts of messages, which no digest covers."""
    try:
        read_messages(bag)
    except EpisodeError:
        return False
    return True


@contextmanager
def _only_repair(directory: Path) -> Iterator[None]:
    """Hold off other repairs of the directory, and make a work area for this one."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            raise OutputError(f"{directory}: another repair is at work there; wait for it")
        area = directory / REPAIR
        area.mkdir(exist_ok=True)
        _finish_earlier_repair(directory)
        yield
        shutil.rmtree(area)
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be repaired ({error.strerror or error}); check its permissions "
            "and free some space"
        ) from error
    finally:
        os.close(descriptor)


def _finish_earlier_repair(directory: Path) -> None:
    """A new bag whose original was moved aside already only lacks its place."""
    for bag in (directory / REPAIR).iterdir():
        taken = (directory / bag.name).exists() or (directory / RECORDING / bag.name).exists()
        if (bag / METADATA_FILE).exists() and not taken and _sound(bag):
            bag.rename(directory / bag.name)
            sync_directory(directory)
        elif bag.is_dir():
            shutil.rmtree(bag)


def _repair(directory: Path, bag: Path, embodiment: Embodiment | None) -> Repaired | None:
    """Repair one bag; None when nothing is wrong with it but that it is not finished yet."""
    recordings = sorted(bag.glob("*.mcap"))
    foreign = _foreign(bag, recordings)
    if foreign:
        return Repaired(bag.name, "foreign", None, bag, problem=foreign)
    if not any(path.stat().st_size for path in recordings):
        return _give_up_empty(directory, bag)
    if len(recordings) > 1:
        several = f"{bag}: holds {len(recordings)} MCAP files; leave only the episode's there"
        return Repaired(bag.name, "failed", None, bag, problem=several)
    with recordings[0].open("rb") as stream:
        if bag.parent.name == RECORDING and in_use(stream):
            return None  # it is being recorded
        try:
            return _bring_back(directory, bag, stream.read(), embodiment)
        except (GacError, OSError) as error:
            return Repaired(bag.name, "failed", None, bag, problem=" ".join(str(error).split()))


def _foreign(bag: Path, recordings: Sequence[Path]) -> str:
    """Why a recording is none of ours; empty when it is, or when nobody can tell."""
    try:
        read_metadata(bag)
    except ForeignRecordingError as error:
        return "" if any(map(_says_it_is_ours, recordings)) else str(error)
    except EpisodeError:
        pass
    return ""


def _says_it_is_ours(recording: Path) -> bool:
    with recording.open("rb") as stream:
        return MCAP_RECORD.encode() in stream.read(_START)


def _give_up_empty(directory: Path, bag: Path) -> Repaired | None:
    if time.time() - bag.stat().st_mtime < _OPENING:
        return None
    aside = _move_aside(directory, bag)
    return Repaired(bag.name, "empty", None, aside, problem="nothing of it was written")


def _bring_back(
    directory: Path, bag: Path, content: bytes, embodiment: Embodiment | None
) -> Repaired:
    target = directory / bag.name
    if target != bag and target.exists():
        raise EpisodeError(f"{target} exists as well; move one of the two away")
    if target != bag and _sound(bag):
        bag.rename(target)
        sync_directory(directory)
        known = read_metadata(target)
        return Repaired(bag.name, "completed", target, target, steps=known.steps)
    left = salvage(content)
    known, total, described = _known(bag, left, embodiment)
    contract = embodiment_from_dict(known.embodiment, origin=str(bag))
    try:
        course = follow(left.messages, known, contract, total=total)
    except EpisodeError as error:
        if known.steps:
            raise EpisodeError(f"{bag}: {error}") from error
        aside = _move_aside(directory, bag)
        return Repaired(bag.name, "empty", None, aside, problem=str(error))
    note = _void_labels(known, course.metadata)
    if note:
        course = replace(course, metadata=_with_earlier_labels(course.metadata, known))
    staged = _write_verified(directory / REPAIR, bag.name, left, course)
    aside = _move_aside(directory, bag)
    staged.rename(target)
    sync_directory(directory)
    return Repaired(
        bag.name,
        "recovered",
        target,
        aside,
        steps=course.metadata.steps,
        messages=len(course.messages),
        lost=course.lost,
        note=note if described or target != bag else _labels_lost(aside),
    )


def _void_labels(known: EpisodeMetadata, found: EpisodeMetadata) -> str:
    """Why labels of the whole episode are not those of what is left of it; empty if they are."""
    same = (found.episode_return, found.outcome) == (known.episode_return, known.outcome)
    if same or not known.earlier_labels:
        return ""
    return (
        f"its labels (return {known.episode_return}, outcome {known.outcome}) were of the whole "
        "episode and are now among its earlier ones: label what is left of it"
    )


def _with_earlier_labels(found: EpisodeMetadata, known: EpisodeMetadata) -> EpisodeMetadata:
    void = Labels(
        until=datetime.now(timezone.utc).isoformat(),
        episode_return=known.episode_return,
        outcome=known.outcome,
    )
    return found.model_copy(update={"earlier_labels": (*known.earlier_labels, void)})


def _labels_lost(aside: Path) -> str:
    """Labels of an episode are in its metadata.yaml alone."""
    text = "labels given after the recording, if there were any, are lost"
    file = aside / METADATA_FILE
    return f"{text}; look for them in {file}" if file.exists() else f"{text} with {METADATA_FILE}"


def _known(
    bag: Path, left: Salvaged, embodiment: Embodiment | None
) -> tuple[EpisodeMetadata, int | None, bool]:
    """The best description of the episode that there is, and how many messages it had.

    The last value says whether it is that of metadata.yaml.
    """
    try:
        described, promised = read_promise(bag)
        # No digest covers the count in metadata.yaml.
        return described, promised if left.total is None else left.total, True
    except EpisodeError:
        known = left.metadata
    if known is None and embodiment is not None:
        known = _guessed(bag, left, embodiment)
    if known is None:
        raise EpisodeError(
            f"{bag}: does not tell its robot; give --robot (or repeat the import it comes from)"
        )
    return known, left.total, False


def _guessed(bag: Path, left: Salvaged, embodiment: Embodiment) -> EpisodeMetadata:
    """What the topics tell of an episode, given its robot."""
    topics: dict[str, str] = {}
    for role, kind in recorded_roles(embodiment, with_plan=True, with_faults=True).items():
        fitting = [
            topic
            for topic, found in left.types.items()
            if found == kind and topic.endswith("/" + topic_name(role).rsplit("/", 1)[-1])
        ]
        if len(fitting) == 1:
            topics[role] = fitting[0]
    needed = {*(channel.topic for channel in embodiment.observation), embodiment.action.topic}
    missing = sorted(needed - set(topics))
    if missing:
        raise EpisodeError(
            f"{bag}: no topic for '{missing[0]}' of the robot '{embodiment.name}'; give the robot "
            "that it was recorded with"
        )
    first = min((message.stamp for message in left.messages), default=0)
    started = datetime.fromtimestamp(first / messages.NANOSECONDS, timezone.utc)
    return EpisodeMetadata(
        episode_id=bag.name,
        robot=embodiment.name,
        embodiment=embodiment.to_dict(),
        embodiment_digest=embodiment.digest,
        policy="unknown",
        steps=0,
        started=started.isoformat(),
        topics=topics,
    )


def _write_verified(area: Path, name: str, left: Salvaged, course: Course) -> Path:
    """Write a bag, read it back and count.

    Raises:
        EpisodeError: it does not read back as it was written.
    """
    writer = EpisodeWriter(area, name, left.types)
    try:
        for message in course.messages:
            writer.write(message.topic, message.data, message.stamp, message.sequence)
        staged = writer.commit(course.metadata)
    except BaseException:
        writer.discard()
        raise
    try:
        counted = verify_content(staged)
    except EpisodeError:
        shutil.rmtree(staged)
        raise
    if counted != len(course.messages):
        raise EpisodeError(
            f"{staged}: {counted} messages were read back of {len(course.messages)} written"
        )
    return staged


def _move_aside(directory: Path, bag: Path) -> Path:
    """Move an original to `.salvaged`, under a name that is free there."""
    shelf = directory / SALVAGED
    shelf.mkdir(exist_ok=True)
    aside, number = shelf / bag.name, 1
    while aside.exists():
        number += 1
        aside = shelf / f"{bag.name}-{number}"
    bag.rename(aside)
    sync_directory(shelf)
    return aside
