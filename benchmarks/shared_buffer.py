"""Two controllers record into one buffer at once, and a trainer reads it meanwhile.

    python benchmarks/shared_buffer.py --episodes 10

Each controller is the real node with its simulator over DDS, on a domain of its own. The trainer
opens the buffer again and again, with the index and the decoded tables that all three share, and
trains a few steps each time. In the end every episode that a controller has reported must be in the
buffer, sound, with the return that was reported, and every episode that the trainer saw must have
been the one that is there.
"""

from __future__ import annotations

import json
import math
import os
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from gac_ros.bench.goals import at_least, at_most, write_measurement

ROBOT = "pointmaze_umaze"


def control(buffer: Path, logs: Path, episodes: int, first_seed: int) -> None:
    """Record episodes with a controller; leave what it reported in `logs`."""
    from gac_ros.evaluation.over_ros.session import SessionRequest, open_session
    from gac_ros.resources import packaged_checkpoint

    # The shell's domain would be that of both, whose topics have the same names.
    os.environ.pop("ROS_DOMAIN_ID", None)
    request = SessionRequest(
        robot=ROBOT,
        checkpoint=packaged_checkpoint(ROBOT),
        mode="explore",
        device="cpu",
        logs=logs,
        episodes=buffer,
    )
    reported = []
    with open_session(request) as runner:
        for seed in range(first_seed, first_seed + episodes):
            result = runner.run_episode(seed)
            reported.append((str(result.bag), result.episode_return, result.length))
    (logs / "reported.json").write_text(json.dumps(reported))


def train(buffer: Path, notes: Path, ended: Event) -> None:
    """Train on what is there until the controllers have ended, and once more; note what it saw."""
    from gac_ros.buffer.dataset import EpisodeBuffer
    from gac_ros.embodiment import find_embodiment
    from gac_ros.errors import EpisodeError
    from gac_ros.training.config import TrainingConfig
    from gac_ros.training.trainer import Trainer

    seen: list[dict[str, str]] = []
    problems: list[str] = []
    steps = 0
    last = False
    while not last:
        last = ended.is_set()
        try:
            opened = EpisodeBuffer.open(buffer)
        except EpisodeError as error:
            if buffer.exists() and "no usable episode;" not in str(error):
                problems.append(str(error))
            time.sleep(0.2)
            continue
        problems += [problem.reason for problem in opened.problems]
        seen.append({name: e.content_digest() for name, e in zip(opened.ids, opened, strict=True)})
        trainer = Trainer(opened, find_embodiment(ROBOT), TrainingConfig(), seed=0)
        for _ in range(3):
            steps += math.isfinite(trainer.step().log_actions)
    notes.write_text(json.dumps({"seen": seen, "problems": problems, "steps": steps}))


def share(place: Path, episodes: int) -> dict[str, Any]:
    """Run all three; returns what was counted."""
    from gac_ros.buffer.dataset import EpisodeBuffer
    from gac_ros.buffer.reader import verify_content
    from gac_ros.buffer.summary import list_episodes

    context = get_context("spawn")
    buffer, ended = place / "episodes", context.Event()
    controllers = []
    for number in (1, 2):
        logs = place / f"controller-{number}"
        logs.mkdir()
        arguments = (buffer, logs, episodes, 1000 * number)
        controllers.append(context.Process(target=control, args=arguments))
    trainer = context.Process(target=train, args=(buffer, place / "trainer.json", ended))
    start = time.monotonic()
    for process in (*controllers, trainer):
        process.start()
    for process in controllers:
        process.join()
    ended.set()
    trainer.join()
    codes = [process.exitcode for process in (*controllers, trainer)]
    if any(codes):
        raise SystemExit(f"a process failed, exit codes {codes}; see above and {place}")
    reported = {
        Path(bag).name: (episode_return, length)
        for number in (1, 2)
        for bag, episode_return, length in json.loads(
            (place / f"controller-{number}" / "reported.json").read_text()
        )
    }
    rows = {row.episode_id: row for row in list_episodes(buffer)}
    opened = EpisodeBuffer.open(buffer)
    digests = {name: e.content_digest() for name, e in zip(opened.ids, opened, strict=True)}
    notes = json.loads((place / "trainer.json").read_text())
    return {
        "seconds": time.monotonic() - start,
        "reported": len(reported),
        "present": sum(
            name in rows
            and rows[name].state == "complete"
            and (rows[name].episode_return, rows[name].steps) == known
            and rows[name].metadata is not None
            and rows[name].metadata.dropped_messages == 0
            for name, known in reported.items()
        ),
        "others": len(set(rows) - set(reported)),
        "messages": sum(verify_content(row.path) for row in rows.values()),
        "times_opened": len(notes["seen"]),
        "episodes_seen": [len(each) for each in notes["seen"]],
        "seen_otherwise": sum(
            digests.get(name) != digest for each in notes["seen"] for name, digest in each.items()
        ),
        "forgotten": sum(
            len(set(earlier) - set(later))
            for earlier, later in zip(notes["seen"], notes["seen"][1:], strict=False)
        ),
        "trainer_problems": notes["problems"],
        "training_steps": notes["steps"],
    }


def benchmark(
    episodes: Annotated[int, typer.Option(min=1, help="Of each controller.")] = 10,
    json_file: Annotated[Path | None, typer.Option("--json", help="Figures.")] = None,
) -> None:
    """Record and train at once, and count what was lost."""
    with TemporaryDirectory(prefix="gac-shared-") as name:
        found = share(Path(name), episodes)
    print(json.dumps(found, indent=1))
    wrong = found["seen_otherwise"] + found["forgotten"] + len(found["trainer_problems"])
    goals = [
        at_least("reported episodes that are in the buffer, sound", found["present"], 2 * episodes),
        at_most("episodes that nobody reported", found["others"], 0),
        at_most("what the trainer saw wrongly", wrong, 0),
    ]
    print("met" if all(goal.met for goal in goals) else "NOT MET")
    if json_file is not None:
        write_measurement(
            json_file, goals, {"cores": os.cpu_count(), "load": os.getloadavg(), **found}
        )


if __name__ == "__main__":
    typer.run(benchmark)
