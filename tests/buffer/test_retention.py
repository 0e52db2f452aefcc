"""What retention removes, and what it never does."""

from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from episode_bags import TYPES, embodiment, record

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.leases import FOLDER, GRACE, held_bags, hold, holders_kept_out
from gac_ros.buffer.retention import REMOVED, RetentionPolicy, Verdict, prune
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError

BARE: dict[str, Any] = {"keep_best": 0, "keep_newest": 0}


def fill(directory: Path, returns: dict[str, float | None], **changes: Any) -> None:
    """Episodes a day apart, the first name the oldest."""
    for day, (name, episode_return) in enumerate(returns.items(), start=1):
        record(
            directory,
            name,
            roles=None if episode_return is not None else _unrewarded(),
            episode_return=episode_return,
            started=f"2026-01-{day:02d}T00:00:00Z",
            **changes,
        )


def _unrewarded() -> list[tuple[str, Any]]:
    from episode_bags import Trajectory, script

    return [each for each in script(Trajectory.random(5)) if each[0] != "reward"]


def left(directory: Path) -> str:
    return "".join(sorted(p.name for p in directory.iterdir() if not p.name.startswith(".")))


def gone(verdicts: list[Verdict]) -> str:
    return "".join(verdict.row.episode_id for verdict in verdicts if verdict.removed)


FIVE: dict[str, float | None] = {"a": 5.0, "b": 1.0, "c": 4.0, "d": 2.0, "e": 3.0}


@pytest.mark.parametrize(
    ("policy", "remaining"),
    [
        (RetentionPolicy(max_episodes=2, **BARE), "ac"),
        (RetentionPolicy(max_episodes=2, order="oldest", **BARE), "de"),
        (RetentionPolicy(max_episodes=2, keep_best=0, keep_newest=1), "ae"),
        (RetentionPolicy(max_episodes=2, order="oldest", keep_best=1, keep_newest=0), "ae"),
        (RetentionPolicy(max_episodes=0, keep_best=1, keep_newest=2), "ade"),
        (RetentionPolicy(max_episodes=9, **BARE), "abcde"),
        (RetentionPolicy(max_age=1.0, **BARE), ""),
        (RetentionPolicy(max_age=1.0, keep_best=2, keep_newest=0), "ac"),
        (RetentionPolicy(max_bytes=0, keep_best=1, keep_newest=0), "a"),
        (RetentionPolicy(keep_best=0, keep_newest=0), "abcde"),
    ],
)
def test_bounds_are_kept_and_the_best_and_the_newest_stay(
    tmp_path: Path, policy: RetentionPolicy, remaining: str
) -> None:
    fill(tmp_path, FIVE)

    planned = prune(tmp_path, policy, dry_run=True)
    assert left(tmp_path) == "abcde"
    done = prune(tmp_path, policy)

    assert left(tmp_path) == remaining
    assert done == planned
    assert sorted(gone(done) + remaining) == list("abcde")


def test_the_size_bound_counts_what_is_left(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    size = sum(f.stat().st_size for name in "ace" for f in (tmp_path / name).iterdir())

    prune(tmp_path, RetentionPolicy(max_bytes=size, **BARE))

    assert left(tmp_path) == "ace"


def test_episodes_without_a_label_go_before_those_with_one(tmp_path: Path) -> None:
    fill(tmp_path, {"a": -1.0, "b": None, "c": None, "d": 0.0})

    assert gone(prune(tmp_path, RetentionPolicy(max_episodes=2, **BARE))) == "bc"


def test_each_robot_keeps_its_best(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 1.0, "b": 2.0})
    other = embodiment(name="leg")
    fill(tmp_path, {"c": 1000.0, "d": 2000.0}, robot=other)

    prune(tmp_path, RetentionPolicy(max_episodes=0, keep_best=1, keep_newest=0))

    assert left(tmp_path) == "bd"


def test_what_is_not_complete_is_never_removed(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 1.0})
    damaged = record(tmp_path, "b") / "b_0.mcap"
    damaged.write_bytes(b"")
    EpisodeWriter(tmp_path, "c", TYPES).close()
    recording = EpisodeWriter(tmp_path, "d", TYPES)

    prune(tmp_path, RetentionPolicy(max_episodes=0, **BARE))

    assert left(tmp_path) == "b"
    assert sorted(path.name for path in (tmp_path / ".recording").iterdir()) == ["c", "d"]
    recording.discard()


def test_a_bag_disappears_at_once_and_leftovers_are_cleared(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    record(tmp_path / REMOVED, "x")  # of a prune that was killed

    prune(tmp_path, RetentionPolicy(max_episodes=1, **BARE))

    assert not (tmp_path / REMOVED).exists()


# --- runs ----------------------------------------------------------------------------------------


def _train(bags: list[Path], run: Path, told: Connection) -> None:
    with hold(bags, run):
        told.send("holding")
        told.recv()


@pytest.fixture
def trainer(tmp_path: Path) -> Any:
    """Another process that holds a and b."""
    fill(tmp_path / "buffer", FIVE)
    ours, theirs = multiprocessing.Pipe()
    bags = [tmp_path / "buffer" / name for name in "ab"]
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_train, args=(bags, tmp_path / "run", theirs))
    process.start()
    assert ours.recv() == "holding"
    yield process, ours
    process.kill()
    process.join()


NONE = RetentionPolicy(max_episodes=0, **BARE)


def test_what_a_run_holds_stays_until_it_ends(tmp_path: Path, trainer: Any) -> None:
    process, ours = trainer
    buffer = tmp_path / "buffer"

    verdicts = prune(buffer, NONE)
    assert left(buffer) == "ab"
    reasons = {verdict.row.episode_id: verdict.reason for verdict in verdicts}
    assert reasons["a"] == f"more than 0 episodes, but needed by the run {tmp_path / 'run'}"

    ours.send("go on")
    process.join()
    assert held_bags(buffer) == {}
    prune(buffer, NONE)
    assert left(buffer) == ""


def test_a_run_that_was_killed_keeps_its_hold_for_some_days(tmp_path: Path, trainer: Any) -> None:
    process, _ = trainer
    process.kill()
    process.join()
    buffer = tmp_path / "buffer"

    verdicts = prune(buffer, NONE)
    assert left(buffer) == "ab"
    assert any("which was cut off" in verdict.reason for verdict in verdicts)
    age(buffer, GRACE + 60)
    prune(buffer, NONE)
    assert left(buffer) == ""


def age(directory: Path, seconds: float) -> None:
    """As if the run had not been seen at work for so long."""
    for lease in (directory / FOLDER).glob("*.json"):
        os.utime(lease, (0, lease.stat().st_mtime - seconds))


def test_a_run_that_saved_lately_keeps_its_hold_although_no_prune_has_seen_it(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "buffer", FIVE)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), hold([tmp_path / "buffer" / "a"], run):
        raise KeyboardInterrupt
    age(tmp_path / "buffer", GRACE + 60)
    assert held_bags(tmp_path / "buffer") == {}

    (run / "step-1").mkdir(parents=True)

    assert set(held_bags(tmp_path / "buffer")) == {"a"}


def test_bags_that_are_links_are_held_where_they_lie(tmp_path: Path) -> None:
    fill(tmp_path / "real", FIVE)
    links = tmp_path / "links"
    links.mkdir()
    (links / "best").symlink_to(tmp_path / "real" / "a")
    (tmp_path / "whole").symlink_to(tmp_path / "real")

    with hold([links / "best", tmp_path / "whole" / "c"], tmp_path / "run"):
        prune(tmp_path / "real", NONE)
        prune(links, NONE)

    assert left(tmp_path / "real") == "ac"
    assert left(links) == "best"
    assert not list(tmp_path.glob(f"*/{FOLDER}/*.json"))


def test_a_folder_in_which_nothing_can_be_held_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, FIVE)
    (tmp_path / FOLDER).touch()  # no lease can be written, not even by root

    with hold([tmp_path / "a", tmp_path / "b"], tmp_path / "run"):
        pass

    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"warning: {tmp_path}: cannot be written" in told
    assert "2 of its episodes are not held" in told


def test_a_run_that_is_resumed_replaces_its_hold(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    bags = [tmp_path / name for name in "ab"]
    with pytest.raises(KeyboardInterrupt), hold(bags, tmp_path / "run"):
        raise KeyboardInterrupt
    assert not held_bags(tmp_path)["a"].running

    with hold(bags[:1], tmp_path / "run"):
        assert {name: each.running for name, each in held_bags(tmp_path).items()} == {"a": True}
    assert held_bags(tmp_path) == {}


def test_a_bag_that_was_removed_before_it_could_be_held_is_told(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)

    with (
        pytest.raises(EpisodeError, match="x: was removed meanwhile"),
        hold([tmp_path / "a", tmp_path / "x"], tmp_path / "run"),
    ):
        pass


def test_rubbish_among_the_leases_holds_nothing(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    (tmp_path / FOLDER).mkdir()
    for number, text in enumerate(["", "[]", "{}", json.dumps({"run": 1, "bags": 3}), "\0"]):
        (tmp_path / FOLDER / f"{number}.json").write_text(text)

    assert held_bags(tmp_path) == {}


def test_two_may_not_prune_at_once(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    with (
        holders_kept_out(tmp_path, wait=True),
        pytest.raises(OutputError, match="another process is at work"),
    ):
        prune(tmp_path, NONE)
    assert left(tmp_path) == "abcde"


def test_one_bag_is_no_buffer(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)

    with pytest.raises(ConfigurationError, match="is one bag"):
        prune(tmp_path / "a", NONE)


def test_a_buffer_opened_before_goes_on(tmp_path: Path) -> None:
    fill(tmp_path, FIVE)
    made = EpisodeBuffer.open(tmp_path)
    before = [episode.observations.copy() for episode in made]

    prune(tmp_path, NONE)

    for episode, known in zip(made, before, strict=True):
        assert (episode.observations == known).all()
