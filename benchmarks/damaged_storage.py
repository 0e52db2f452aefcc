"""Cut bags, flip bits, fill disks, forbid writing: count what the commands make of it.

    python benchmarks/damaged_storage.py --flips 100

Everything goes through the command line: `gac buffer ls`, `verify`, `repair` and `info`. An episode
counts as wrong when any of its valid steps, or its return, is not what was recorded; anything but
the documented exit codes 0, 1 and 2 counts as a traceback. The episode was labelled: a label that
a repair loses without a word counts as untold. On full disks time counts as lost that lies between
the last message that is kept and the moment at which the recorder said that the disk is full. Full
and read-only disks need root, for a small tmpfs.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from gac_ros.bench.buffer.recordings import record_random_episodes
from gac_ros.bench.goals import SpeedGoal, at_least, at_most, write_measurement
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.label import Label, label_episode
from gac_ros.buffer.reader import read_messages, read_metadata
from gac_ros.buffer.recorder import EpisodeRecorder
from gac_ros.buffer.salvage import salvage
from gac_ros.buffer.writer import METADATA_FILE, RECORDING, EpisodeWriter
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment
from gac_ros.episode import Episode, Outcome
from gac_ros.errors import EpisodeError, OutputError

NAME = "random-000000"
MCAP = f"{NAME}_0.mcap"
STEPS = 400
ROOM = range(40, 210, 10)  # KiB that the full disks have for the episode, which wants more
RATE = 4000.0  # messages a second, on full disks
LABEL: Outcome = "success"


@dataclass
class Count:
    """What became of a kind of harm.

    Attributes:
        tried: how often it was done.
        tracebacks: commands that ended with one.
        wrong: episodes with a wrong number.
        states: how the repair ended.
        kept_steps: of the repaired episodes.
        unnoticed: harmed bags that were opened without a complaint, with the right numbers.
        unlabelled: repaired episodes whose label was lost, or does not hold for what is left.
        untold: those of them of which the repair said nothing.
        lost_seconds: on full disks.
    """

    tried: int = 0
    tracebacks: int = 0
    wrong: int = 0
    states: Counter[str] = field(default_factory=Counter)
    kept_steps: list[int] = field(default_factory=list)
    unnoticed: int = 0
    unlabelled: int = 0
    untold: int = 0
    lost_seconds: list[float] = field(default_factory=list)

    def run(self, *command: str, allowed: tuple[int, ...] = (0, 1, 2)) -> str:
        """Run a command of `gac buffer` in this process; returns what it prints."""
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = main(["buffer", *command])
        except BaseException:
            traceback.print_exc()
            code = -1
        if code not in allowed or "Traceback" in out.getvalue():
            self.tracebacks += 1
        return out.getvalue()

    def look(self, folder: Path, truth: Episode) -> bool:
        """Open the folder as a training does; returns whether there is an episode."""
        try:
            (episode,) = EpisodeBuffer.open(folder)
        except EpisodeError:
            return False
        self.wrong += not _right(episode, truth)
        return True


def _right(episode: Episode, truth: Episode) -> bool:
    """Whether what an episode calls valid is what was recorded, and its return as well."""
    steps, valid = len(episode), episode.valid
    if steps > len(truth):
        return False
    expected = float(truth.rewards[:steps].sum())
    return (
        np.array_equal(episode.observations[:-1][valid], truth.observations[:steps][valid])
        and np.array_equal(episode.actions[valid], truth.actions[:steps][valid])
        and (episode.episode_return is None or abs(episode.episode_return - expected) < 1e-9)
    )


@dataclass(frozen=True)
class Sample:
    """The episode that is harmed, complete and as a recording without an end."""

    truth: Episode
    files: dict[str, bytes]
    unfinished: bytes

    def lay(
        self, folder: Path, *, finished: bool, changed: Mapping[str, bytes] | None = None
    ) -> None:
        """Put the episode into an empty folder, perhaps with other content of a file."""
        shutil.rmtree(folder, ignore_errors=True)
        bag = folder / NAME if finished else folder / RECORDING / NAME
        bag.mkdir(parents=True)
        for name, content in {**self.of(finished=finished), **(changed or {})}.items():
            (bag / name).write_bytes(content)
        os.utime(bag, (0, 0))  # long ago: not a recording that just begins

    def of(self, *, finished: bool) -> dict[str, bytes]:
        """Content of its files."""
        return self.files if finished else {MCAP: self.unfinished}


def make_sample(folder: Path) -> Sample:
    """Record an episode twice, once without an end."""
    record_random_episodes(folder, find_embodiment("hopper"), steps=STEPS, episode_steps=STEPS)
    bag = folder / NAME
    metadata = read_metadata(bag)
    known = list(read_messages(bag))
    draft = metadata.model_copy(update={"steps": 0, "episode_return": None, "truncated": False})
    types = {message.topic: message.type for message in known}
    writer = EpisodeWriter(folder / "again", NAME, types, draft=draft)
    for message in known:
        writer.write(message.topic, message.data, message.stamp)
    writer.flush()
    unfinished = (writer.path / MCAP).read_bytes()
    writer.discard()
    label_episode(bag, Label(outcome=LABEL))
    (truth,) = EpisodeBuffer.open(folder)
    return Sample(truth, {path.name: path.read_bytes() for path in bag.iterdir()}, unfinished)


def harm(
    sample: Sample, folder: Path, changed: Mapping[str, bytes], count: Count, *, finished: bool
) -> None:
    """Harm the episode, look at it, repair it, and look again."""
    count.tried += 1
    sample.lay(folder, finished=finished, changed=changed)
    count.run("ls", str(folder))
    count.run("info", str(folder))
    count.run("verify", str(folder))
    count.unnoticed += count.look(folder, sample.truth)
    text = count.run("repair", str(folder))
    found = count.look(folder, sample.truth)
    words = (
        "recovered",
        "completed",
        "empty",
        "failed",
        "foreign",
        "nothing to repair",
        "was whole",
    )
    count.states[next((word for word in words if word in text), "other")] += 1
    if found:
        (episode,) = EpisodeBuffer.open(folder)
        count.kept_steps.append(len(episode))
        lost = finished and (episode.metadata is None or episode.metadata.outcome != LABEL)
        count.unlabelled += lost
        count.untold += lost and "label" not in text


def cut(sample: Sample, folder: Path, name: str, *, finished: bool) -> Count:
    """Cut a file at every hundredth of its length."""
    count = Count()
    whole = sample.of(finished=finished)[name]
    for percent in range(100):
        changed = {name: whole[: len(whole) * percent // 100]}
        harm(sample, folder, changed, count, finished=finished)
    return count


def flip(sample: Sample, folder: Path, name: str, flips: int, *, finished: bool) -> Count:
    """Flip one to four random bits of a file, `flips` times."""
    count = Count()
    rng = np.random.default_rng(int(finished))
    whole = sample.of(finished=finished)[name]
    for _ in range(flips):
        hurt = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 5)):
            hurt[place] ^= 1 << int(rng.integers(8))
        harm(sample, folder, {name: bytes(hurt)}, count, finished=finished)
    return count


def fill(sample: Sample, disk: Path, place: Path, room: int, count: Count) -> None:
    """Record in real time until a disk of 1 MiB is full, then give it room and repair.

    Args:
        sample: the episode.
        disk: empty.
        place: for a copy of the episode.
        room: bytes that the disk has for it.
        count: is added to.
    """
    count.tried += 1
    sample.lay(place, finished=True)
    metadata = read_metadata(place / NAME)
    (disk / "something else").write_bytes(bytes(2**20 - room))
    with EpisodeRecorder(min_free=0) as recorder:
        handed = record_until_full(recorder, disk, place / NAME)
        kept = salvage((disk / RECORDING / NAME / MCAP).read_bytes()).messages
        count.lost_seconds.append((handed - (kept[-1].stamp if kept else 0)) / 1e9)
        try:
            recorder.commit(metadata).result()
            count.states["recorded"] += 1
        except OutputError as error:
            count.states["refused: " + str(error).partition("(")[2].partition(")")[0]] += 1
    for command in ("ls", "info", "verify", "repair"):
        count.run(command, str(disk))
    (disk / "something else").unlink()
    count.run("repair", str(disk))
    if count.look(disk, sample.truth):
        count.states["recovered"] += 1
        (episode,) = EpisodeBuffer.open(disk)
        count.kept_steps.append(len(episode))


def record_until_full(recorder: EpisodeRecorder, disk: Path, bag: Path) -> int:
    """Record an episode's messages again, one after the other at their rate, as long as it goes.

    Returns:
        When the recorder said that it failed, in nanoseconds from the start as the stamps are.
    """
    metadata, known = read_metadata(bag), list(read_messages(bag))
    draft = metadata.model_copy(update={"steps": 0, "episode_return": None, "outcome": "unknown"})
    types = {message.topic: message.type for message in known}
    recorder.begin(disk, NAME, types, draft).result()
    start = time.monotonic()
    for number, message in enumerate(known):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        if recorder.failure:
            break
        now = int(1e9 * (time.monotonic() - start))
        recorder.write(message.topic, message.data, now)
    return int(1e9 * (time.monotonic() - start))


def forbid(sample: Sample, disk: Path) -> Count:
    """Work on a read-only disk that holds a bag and a recording without an end."""
    count = Count(tried=1)
    sample.lay(disk / "buffer", finished=True)
    recording = disk / "buffer" / ".recording" / "cut"
    recording.mkdir(parents=True)
    (recording / "cut_0.mcap").write_bytes(sample.unfinished)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in (["ls"], ["info"], ["verify"], ["repair"], ["prune", "--max-episodes", "0"]):
        count.run(*command, str(disk / "buffer"))
    if count.look(disk / "buffer", sample.truth) and count.look(disk / "buffer", sample.truth):
        count.states["opened twice"] += 1
    with EpisodeRecorder(min_free=0) as recorder:
        begun = recorder.begin(disk / "buffer", "new", {}).exception()
        count.states["recording refused"] += isinstance(begun, OutputError)
    return count


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def benchmark(
    flips: Annotated[int, typer.Option(min=1, help="Harmed bags of each kind.")] = 100,
    disks: Annotated[
        bool, typer.Option(help="Try full and read-only disks too; needs root.")
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Figures.")] = None,
) -> None:
    """Harm bags in many ways, and count."""
    counts: dict[str, Count] = {}
    with TemporaryDirectory(prefix="gac-damage-") as name:
        place, folder = Path(name), Path(name) / "harmed"
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        sample = make_sample(place / "sample")
        for kind, file, finished in (
            ("complete bag", MCAP, True),
            ("metadata.yaml of a complete bag", METADATA_FILE, True),
            ("unfinished recording", MCAP, False),
        ):
            counts[f"{kind}, cut at every 1 %"] = cut(sample, folder, file, finished=finished)
            counts[f"{kind}, bits flipped"] = flip(sample, folder, file, flips, finished=finished)
        if disks:
            full = counts["full disk"] = Count()
            for room in ROOM:
                with small_disk(place) as disk:
                    fill(sample, disk, place / "template", 1024 * room, full)
            with small_disk(place) as disk:
                counts["read-only folder"] = forbid(sample, disk)
    goals: list[SpeedGoal] = []
    for kind, count in counts.items():
        print(summary(kind, count))
        goals.append(at_most(f"{kind}: tracebacks", count.tracebacks, 0))
        goals.append(at_most(f"{kind}: episodes with a wrong number", count.wrong, 0))
        goals.append(at_most(f"{kind}: labels lost without a word", count.untold, 0))
    if disks:
        recovered, lost = full.states["recovered"], max(full.lost_seconds)
        goals.append(at_least("full disk: episodes recovered", recovered, full.tried))
        goals.append(at_most("full disk: longest time lost, seconds", lost, 0.2))
    print("met" if all(goal.met for goal in goals) else "NOT MET")
    if json_file is not None:
        found = {
            kind: {
                "tried": count.tried,
                "tracebacks": count.tracebacks,
                "wrong": count.wrong,
                "states": dict(count.states),
                "opened_as_they_were": count.unnoticed,
                "labels_lost": count.unlabelled,
                "labels_lost_untold": count.untold,
                "kept_steps": count.kept_steps,
                "lost_seconds": count.lost_seconds,
            }
            for kind, count in counts.items()
        }
        write_measurement(
            json_file, goals, {"steps": STEPS, "load": os.getloadavg(), "kinds": found}
        )


def summary(kind: str, count: Count) -> str:
    """A line of what became of a kind of harm."""
    text = (
        f"{kind}: {count.tried} tried, {count.tracebacks} tracebacks, {count.wrong} wrong, "
        f"{count.unlabelled} labels lost, {count.untold} of them untold, "
        f"{dict(count.states)}, {count.unnoticed} opened as they were"
    )
    if count.kept_steps:
        text += f", median {np.median(count.kept_steps):.0f} steps kept"
    if count.lost_seconds:
        lost = count.lost_seconds
        text += f", lost {np.median(lost):.3f} s at the median and {max(lost):.3f} s at most"
    return text


if __name__ == "__main__":
    typer.run(benchmark)
