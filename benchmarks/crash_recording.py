"""Kill a recording process at random moments and count what the repair brings back.

    python benchmarks/crash_recording.py --kills 100

Each time a process records an episode at 1 kHz over four topics as the controller does, and gets
SIGKILL at a random moment. The repair must make a valid bag of what is left, with exactly the
numbers that were recorded. What counts as lost is the time between the last message handed to the
recorder and the last one in the recording.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import time
from collections import Counter
from dataclasses import asdict, dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.bench.goals import at_least, at_most, write_measurement
from gac_ros.buffer.importing.encode import ObservationEncoder
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.reader import DECISION, read_episode
from gac_ros.buffer.recorder import SYNC_PERIOD, EpisodeRecorder
from gac_ros.buffer.repair import repair_buffer
from gac_ros.buffer.salvage import salvage
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.episode import EpisodeMetadata

RATE = 1000.0  # steps a second, each a message on four topics
EPISODE = "killed"
# Messages handed to the recorder, and the stamps of the first and the last of them.
_HANDED = struct.Struct("<QQQ")


def numbers(robot: Embodiment, step: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Observation, action and reward that belong to a step."""
    observation = np.sin(step + np.arange(robot.observation_size))
    action = 0.9 * np.cos(step + np.arange(robot.action_size))
    return observation, action, step % 7 - 2.5


def record_until_killed(
    directory: Path, shared: Path, sync_period: float, told: Connection
) -> None:
    """Record an episode without an end; tell each step, and in `shared` what was handed over."""
    robot = find_embodiment("hopper")
    encoder = ObservationEncoder(robot)
    kinds = recorded_roles(robot, with_plan=False)
    topics = {role: topic_name(role) for role in kinds}
    draft = EpisodeMetadata(
        episode_id=EPISODE,
        robot=robot.name,
        embodiment=robot.to_dict(),
        embodiment_digest=robot.digest,
        policy="benchmark",
        steps=0,
        started="2026-01-01T00:00:00Z",
        topics=topics,
    )
    recorder = EpisodeRecorder(sync_period=sync_period, min_free=0)
    types = {topics[role]: kind for role, kind in kinds.items()}
    recorder.begin(directory, EPISODE, types, draft).result()
    with shared.open("r+b") as stream, mmap.mmap(stream.fileno(), _HANDED.size) as memory:
        told.send_bytes(b"the recording has begun")
        count, first, start = 0, time.time_ns(), time.monotonic()
        for step in range(10**9):
            time.sleep(max(0.0, start + step / RATE - time.monotonic()))
            observation, action, reward = numbers(robot, step)
            observed = encoder.messages(observation, 0)["joint_states"]
            for role, message in (
                ("joint_states", observed),
                (robot.action.topic, encode_action(robot, action, 0)),
                (DECISION, messages.float64_multi_array((step, 0, 1e-4, 0.0))),
                ("reward", messages.float64(reward)),
            ):
                stamp = time.time_ns()
                recorder.write(topics[role], messages.serialize(message), stamp)
                count += 1
                # The memory is shared with a file: it outlives the process.
                _HANDED.pack_into(memory, 0, count, first, stamp)
            told.send_bytes(b"a step")


@dataclass(frozen=True)
class Kill:
    """What one killed recording was worth.

    Attributes:
        state: as in `Repaired`.
        handed: messages given to the recorder.
        kept: messages that could be read of the recording.
        lost_seconds: from the last kept message to the last one given.
        steps: of the recovered episode.
        wrong: what differs from what was recorded; empty when nothing does.
    """

    state: str
    handed: int
    kept: int
    lost_seconds: float
    steps: int
    wrong: str


def kill_once(directory: Path, after: float | int, sync_period: float = SYNC_PERIOD) -> Kill:
    """Start a recording, kill it, and repair what it left.

    Args:
        directory: empty; receives the buffer.
        after: seconds from the episode's start to the kill; or, a whole number, steps.
        sync_period: of the recorder.
    """
    shared = directory / "handed"
    shared.write_bytes(bytes(_HANDED.size))
    buffer = directory / "buffer"
    told, telling = Pipe(duplex=False)
    # Forked, so that a hundred of them need not import everything anew.
    process = get_context("fork").Process(
        target=record_until_killed, args=(buffer, shared, sync_period, telling)
    )
    process.start()
    told.recv_bytes()
    if isinstance(after, int):
        for _ in range(after):
            told.recv_bytes()
    else:
        end = time.monotonic() + after
        while told.poll(max(0.0, end - time.monotonic())):
            told.recv_bytes()  # a full pipe would hold it up
    process.kill()
    process.join()
    return _count(buffer, *_HANDED.unpack(shared.read_bytes()))


def _count(buffer: Path, handed: int, first_stamp: int, last_stamp: int) -> Kill:
    left = salvage((buffer / ".recording" / EPISODE / f"{EPISODE}_0.mcap").read_bytes())
    stamps = [message.stamp for message in left.messages]
    (repaired,) = repair_buffer(buffer, damaged=False)
    return Kill(
        state=repaired.state,
        handed=handed,
        kept=len(left.messages),
        lost_seconds=max(0.0, (last_stamp - (stamps[-1] if stamps else first_stamp)) / 1e9),
        steps=repaired.steps,
        wrong="" if repaired.bag is None else differences(repaired.bag),
    )


def differences(bag: Path) -> str:
    """What of a recovered episode is not what was recorded; empty when all of it is."""
    robot = find_embodiment("hopper")
    episode = read_episode(bag)
    expected = [numbers(robot, step) for step in range(len(episode) + 1)]
    problems = []
    if not np.array_equal(episode.observations, [each[0] for each in expected]):
        problems.append("observations")
    if not np.array_equal(episode.actions, [each[1] for each in expected[:-1]]):
        problems.append("actions")
    if not np.array_equal(episode.rewards, [each[2] for each in expected[:-1]]):
        problems.append("rewards")
    if not episode.valid.all():
        problems.append("valid")
    if episode.metadata is None or not episode.metadata.recovered:
        problems.append("recovered mark")
    return ", ".join(problems)


def benchmark(
    kills: Annotated[int, typer.Option(min=1)] = 100,
    longest: Annotated[float, typer.Option(help="Latest moment of a kill, seconds.")] = 3.0,
    sync_period: Annotated[float, typer.Option(help="Of the recorder, seconds.")] = SYNC_PERIOD,
    seed: int = 0,
    directory: Annotated[Path | None, typer.Option(help="Whose disk to use.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Figures of each kill.")] = None,
) -> None:
    """Kill recordings at random moments and print what was lost."""
    moments = random.Random(seed)
    results = []
    for number in range(kills):
        with TemporaryDirectory(dir=directory) as name:
            result = kill_once(Path(name), moments.uniform(0.0, longest), sync_period)
        results.append(result)
        print(
            f"{number + 1}/{kills}: {result.state}, {result.steps} steps, {result.kept} of "
            f"{result.handed} messages, {result.lost_seconds:.3f} s lost"
            + (f", WRONG: {result.wrong}" if result.wrong else ""),
            flush=True,
        )
    lost = np.array([result.lost_seconds for result in results])
    states = Counter(result.state for result in results)
    print(f"load: {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    print(f"states: {dict(states)}; wrong: {sum(bool(result.wrong) for result in results)}")
    print(
        f"lost: median {np.median(lost):.3f} s, largest {lost.max():.3f} s, "
        f"above 0.2 s: {int((lost > 0.2).sum())}"
    )
    if json_file is not None:
        wrong = sum(bool(result.wrong) for result in results)
        goals = [
            # Empty are those that were killed before their first step was complete.
            at_least("salvaged of the kills", states["recovered"] + states["empty"], kills),
            at_most("recovered episodes with a wrong number", wrong, 0),
            at_most("longest time lost, seconds", float(lost.max()), 0.2),
        ]
        figures = {
            "load": os.getloadavg(),
            "cores": os.cpu_count(),
            "median_lost_seconds": float(np.median(lost)),
            "kills": [asdict(result) for result in results],
        }
        write_measurement(json_file, goals, figures)


if __name__ == "__main__":
    typer.run(benchmark)
