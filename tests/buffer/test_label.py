"""Labels that come later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import episode_bags
import numpy as np
import pytest

from gac_ros.buffer.label import Label, find_bags, label_episode, read_labels
from gac_ros.buffer.locks import try_lock
from gac_ros.buffer.reader import read_episode, read_metadata, verify_content
from gac_ros.buffer.repair import repair_buffer
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import METADATA_FILE
from gac_ros.errors import ConfigurationError, EpisodeError, OutputError


def contents(bag: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bag.iterdir()}


def test_a_label_changes_the_metadata_and_nothing_else(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    before, episode = contents(bag), read_episode(bag)

    assert label_episode(bag, Label(12.5, "success"))

    after, labelled = contents(bag), read_episode(bag)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == {METADATA_FILE}
    assert labelled.episode_return == 12.5
    np.testing.assert_array_equal(labelled.observations, episode.observations)
    assert labelled.metadata is not None
    assert labelled.metadata.outcome == "success"
    assert verify_content(bag) > 0


def test_what_was_said_before_is_kept(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path, episode_return=1.0)
    label_episode(bag, Label(outcome="failure"))
    label_episode(bag, Label(episode_return=2.0))

    known = read_metadata(bag)
    assert (known.episode_return, known.outcome) == (2.0, "failure")
    said = [(each.episode_return, each.outcome) for each in known.earlier_labels]
    assert said == [(1.0, "unknown"), (1.0, "failure")]
    assert known.earlier_labels[0].until < known.earlier_labels[1].until
    assert not label_episode(bag, Label(2.0, "failure"))
    assert read_metadata(bag) == known


def test_a_label_is_seen_in_the_list_at_once(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    list_episodes(tmp_path)
    label_episode(bag, Label(7.0))
    (row,) = list_episodes(tmp_path)
    assert row.episode_return == 7.0


def test_what_was_said_outlives_a_repair(tmp_path: Path) -> None:
    bag = episode_bags.record(
        tmp_path, trajectory=episode_bags.Trajectory.random(300), episode_return=3.0
    )
    label_episode(bag, Label(7.0, "success"))
    mcap = bag / "episode_0.mcap"
    mcap.write_bytes(mcap.read_bytes()[:-40_000])

    (repaired,) = repair_buffer(tmp_path)

    # What is left is not the episode that succeeded.
    assert repaired.state == "recovered"
    known = read_metadata(bag)
    assert known.outcome == "interrupted"
    assert [each.episode_return for each in known.earlier_labels] == [3.0, 7.0]


def test_a_kill_leaves_the_old_label_or_the_new(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from gac_ros.buffer import writer\n"
        "from gac_ros.buffer.label import Label, label_episode\n"
        "write = writer._write_synced\n"
        "def killed(path, text):\n"
        "    write(path, text[: len(text) // 2]); os.kill(os.getpid(), 9)\n"
        "writer._write_synced = killed\n"
        "label_episode(Path(sys.argv[1]), Label(5.0))\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(bag)], check=False)

    assert died.returncode == -9
    assert read_metadata(bag).episode_return is None
    assert label_episode(bag, Label(6.0))
    assert read_metadata(bag).episode_return == 6.0
    assert not [path for path in bag.iterdir() if path.name.startswith(".")]


def test_two_at_once_do_not_lose_a_label(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    folder = os.open(bag, os.O_RDONLY)
    try:
        assert try_lock(folder)
        with pytest.raises(OutputError, match="being labelled by another process"):
            label_episode(bag, Label(1.0))
    finally:
        os.close(folder)


def test_what_is_no_sound_episode_is_refused(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    with pytest.raises(EpisodeError, match="cannot be read"):
        label_episode(tmp_path / "none", Label(1.0))
    with pytest.raises(EpisodeError, match="not a bag"):
        find_bags([bag, tmp_path])
    file = bag / METADATA_FILE
    file.write_text(file.read_text().replace("exploit", "explore"))
    with pytest.raises(EpisodeError, match="does not match its SHA-256"):
        label_episode(bag, Label(1.0))


def test_a_table_labels_many(tmp_path: Path) -> None:
    bags = [episode_bags.record(tmp_path / "buffer", name) for name in ("a", "b", "c")]
    table = tmp_path / "labels.csv"
    table.write_text("episode,return,success\nb,3.5,no\na,,yes\n")

    assert read_labels(table, tmp_path / "buffer") == [
        (bags[1], Label(3.5, "failure")),
        (bags[0], Label(None, "success")),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("episode,return\n", "holds no row"),
        ("return\n3\n", "row 1: 'episode' is missing"),
        ("episode,return\na,1\nx,2\n", "row 2: no episode x in"),
        ("episode,return\na,1\na,2\n", "row 2: a comes twice"),
        ("episode,return\na,nan\n", "'return' is nan"),
        ("episode,outcome\na,fine\n", "'outcome' is 'fine'"),
        ("episode,mark\na,1\n", "unknown column 'mark'"),
    ],
)
def test_a_wrong_table_changes_nothing(tmp_path: Path, text: str, problem: str) -> None:
    episode_bags.record(tmp_path, "a")
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_labels(table, tmp_path)
    assert problem in str(caught.value)
