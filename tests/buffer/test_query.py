"""Choosing and sorting episodes."""

from __future__ import annotations

import pytest
from episode_bags import record

from gac_ros.buffer.query import COLUMNS, choose
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.errors import ConfigurationError


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeSummaryRow]:
    folder = tmp_path_factory.mktemp("episodes")
    record(folder, "a", episode_return=3.0, mode="explore", safe_actions=2, overruns=1)
    record(folder, "b", episode_return=5.0, outcome="success", recovered=True)
    record(folder, "c", episode_return=4.0, mode=None, checkpoint="runs/one")
    record(folder, "d", episode_return=None)
    EpisodeWriter(folder, "e", {}).close()
    return list_episodes(folder)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, "abcde"),
        ("return > 3.5", "bc"),
        ("mode = 'explore'", "a"),
        ("state = 'recovered'", "b"),
        ("state = 'unfinished'", "e"),
        ("faults > 0", "a"),
        ("overruns > 0", "a"),
        ("return is null", "de"),
        ("outcome = 'success' or checkpoint like 'runs/%'", "bc"),
        ("steps = 5 and robot = 'arm' and embodiment is not null", "abcd"),
        ("terminated", ""),
    ],
)
def test_a_condition_chooses(
    rows: list[EpisodeSummaryRow], where: str | None, expected: str
) -> None:
    assert [row.episode_id for row in choose(rows, where=where)] == list(expected)


def test_rows_are_sorted_with_the_unknown_last(rows: list[EpisodeSummaryRow]) -> None:
    def order(**options: bool | int) -> str:
        return "".join(row.episode_id for row in choose(rows, sort="return", **options))

    assert order() == "acbde"
    assert order(descending=True) == "bcade"
    assert order(descending=True, limit=1) == "b"


@pytest.mark.parametrize("where", ["retrun > 3", "return >", "1; drop table episodes", ")"])
def test_a_wrong_condition_is_told_with_the_columns(
    rows: list[EpisodeSummaryRow], where: str
) -> None:
    with pytest.raises(ConfigurationError, match="episode_id, state, robot"):
        choose(rows, where=where)


def test_every_column_can_be_asked_for(rows: list[EpisodeSummaryRow]) -> None:
    for column in COLUMNS:
        assert len(choose(rows, where=f"{column} is null or {column} is not null")) == len(rows)
