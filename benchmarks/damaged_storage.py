"""Cut bags, flip bits, fill a disk, forbid writing: count what the commands make of it.

    python benchmarks/damaged_storage.py --flips 100

Everything goes through the command line: `gac buffer ls`, `verify`, `repair` and `info`. An episode
counts as wrong when any of its valid steps, or its return, is not what was recorded; anything but
the documented exit codes 0, 1 and 2 counts as a traceback. Full and read-only disks need root, for
a small tmpfs.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import traceback
from collections import Counter
from collections.abc import Iterator
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
from gac_ros.buffer.reader import read_messages, read_metadata
from gac_ros.buffer.recorder import EpisodeRecorder
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment
from gac_ros.episode import Episode
from gac_ros.errors import EpisodeError, OutputError

NAME = "random-000000"
STEPS = 400


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
    """

    tried: int = 0
    tracebacks: int = 0
    wrong: int = 0
    states: Counter[str] = field(default_factory=Counter)
    kept_steps: list[int] = field(default_factory=list)
    unnoticed: int = 0

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

    def lay(self, folder: Path, *, finished: bool, mcap: bytes | None = None) -> None:
        """Put the episode into an empty folder, perhaps with another MCAP file."""
        shutil.rmtree(folder, ignore_errors=True)
        bag = folder / NAME if finished else folder / ".recording" / NAME
        bag.mkdir(parents=True)
        files = dict(self.files) if finished else {f"{NAME}_0.mcap": self.unfinished}
        if mcap is not None:
            files[f"{NAME}_0.mcap"] = mcap
        for name, content in files.items():
            (bag / name).write_bytes(content)
        os.utime(bag, (0, 0))  # long ago: not a recording that just begins

    def mcap(self, *, finished: bool) -> bytes:
        """Content of the MCAP file."""
        return self.files[f"{NAME}_0.mcap"] if finished else self.unfinished


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
    unfinished = (writer.path / f"{NAME}_0.mcap").read_bytes()
    writer.discard()
    (truth,) = EpisodeBuffer.open(folder)
    return Sample(truth, {path.name: path.read_bytes() for path in bag.iterdir()}, unfinished)


def harm(sample: Sample, folder: Path, mcap: bytes, count: Count, *, finished: bool) -> None:
    """Harm the episode, look at it, repair it, and look again."""
    count.tried += 1
    sample.lay(folder, finished=finished, mcap=mcap)
    count.run("ls", str(folder))
    count.run("info", str(folder))
    count.run("verify", str(folder))
    count.unnoticed += count.look(folder, sample.truth)
    text = count.run("repair", str(folder))
    found = count.look(folder, sample.truth)
    words = ("recovered", "completed", "empty", "failed", "nothing to repair", "was whole")
    count.states[next((word for word in words if word in text), "other")] += 1
    if found:
        (episode,) = EpisodeBuffer.open(folder)
        count.kept_steps.append(len(episode))


def cut(sample: Sample, folder: Path, *, finished: bool) -> Count:
    """Cut the bag at every hundredth of its length."""
    count = Count()
    whole = sample.mcap(finished=finished)
    for percent in range(100):
        harm(sample, folder, whole[: len(whole) * percent // 100], count, finished=finished)
    return count


def flip(sample: Sample, folder: Path, flips: int, *, finished: bool) -> Count:
    """Flip one to four random bits, `flips` times."""
    count = Count()
    rng = np.random.default_rng(int(finished))
    whole = sample.mcap(finished=finished)
    for _ in range(flips):
        hurt = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 5)):
            hurt[place] ^= 1 << int(rng.integers(8))
        harm(sample, folder, bytes(hurt), count, finished=finished)
    return count


def fill(sample: Sample, disk: Path, place: Path) -> Count:
    """Record until a disk of 1 MiB is full, then give it room and repair."""
    count = Count(tried=1)
    sample.lay(place, finished=True)
    known = list(read_messages(place / NAME))
    metadata = read_metadata(place / NAME)
    draft = metadata.model_copy(update={"steps": 0, "episode_return": None})
    types = {message.topic: message.type for message in known}
    (disk / "something else").write_bytes(bytes(2**20 - 200 * 1024))
    with EpisodeRecorder(sync_period=0.01, min_free=0) as recorder:
        recorder.begin(disk, NAME, types, draft).result()
        for message in known:
            recorder.write(message.topic, message.data, message.stamp)
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
    return count


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
        for finished, kind in ((True, "complete bag"), (False, "unfinished recording")):
            counts[f"{kind}, cut at every 1 %"] = cut(sample, folder, finished=finished)
            counts[f"{kind}, bits flipped"] = flip(sample, folder, flips, finished=finished)
        if disks:
            with small_disk(place) as disk:
                counts["full disk"] = fill(sample, disk, place / "template")
            with small_disk(place) as disk:
                counts["read-only folder"] = forbid(sample, disk)
    goals: list[SpeedGoal] = []
    for kind, count in counts.items():
        print(
            f"{kind}: {count.tried} tried, {count.tracebacks} tracebacks, {count.wrong} wrong, "
            f"{dict(count.states)}, {count.unnoticed} opened as they were"
            + (f", median {np.median(count.kept_steps):.0f} steps kept" if count.kept_steps else "")
        )
        goals.append(at_most(f"{kind}: tracebacks", count.tracebacks, 0))
        goals.append(at_most(f"{kind}: episodes with a wrong number", count.wrong, 0))
    if disks:
        recovered = counts["full disk"].states["recovered"]
        goals.append(at_least("full disk: episode recovered", recovered, 1))
    print("met" if all(goal.met for goal in goals) else "NOT MET")
    if json_file is not None:
        found = {
            kind: {
                "tried": count.tried,
                "tracebacks": count.tracebacks,
                "wrong": count.wrong,
                "states": dict(count.states),
                "opened_as_they_were": count.unnoticed,
                "kept_steps": count.kept_steps,
            }
            for kind, count in counts.items()
        }
        write_measurement(json_file, goals, {"steps": STEPS, "kinds": found})


if __name__ == "__main__":
    typer.run(benchmark)
