"""Where episodes begin and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recordings as r

from gac_ros.buffer.importing.cut import Window, cut_by_events, cut_by_gap
from gac_ros.buffer.importing.table import cut_by_table
from gac_ros.buffer.reader import RecordedMessage
from gac_ros.errors import ConfigurationError, EpisodeError


def events(*told: r.Recorded) -> list[RecordedMessage]:
    return [RecordedMessage(each.topic, each.type, each.stamp, each.data) for each in told]


def flag(value: bool, stamp: int) -> r.Recorded:
    return r.recorded("/recording", r.bool_message(value), stamp)


def test_a_pause_cuts_in_its_middle() -> None:
    cut = cut_by_gap([10, 20, 60, 70, 71], 20, 0, 100)
    assert [(window.start, window.end) for window in cut.windows] == [(0, 40), (41, 100)]
    assert all(window.truncated and not window.terminated for window in cut.windows)


def test_starts_and_ends_leave_out_what_is_between() -> None:
    cut = cut_by_events(
        events(r.said("start", 10), r.said("Success ", 20), r.said("begin", 40), r.said("end", 50)),
        0,
        90,
    )
    assert cut.windows == (
        Window(10, 20, terminated=True, outcome="success"),
        Window(40, 50, truncated=True),
    )


def test_ends_alone_are_borders_and_the_rest_is_truncated() -> None:
    cut = cut_by_events(events(r.said("terminated", 20), r.said("truncated", 40)), 0, 90)
    assert cut.windows == (
        Window(0, 20, terminated=True),
        Window(21, 40, truncated=True),
        Window(41, 90, truncated=True, rest=True),
    )


def test_a_flag_is_true_while_an_episode_goes_on() -> None:
    flags = [flag(False, 1), flag(True, 10), flag(True, 15), flag(False, 20), flag(True, 30)]
    cut = cut_by_events(events(*flags), 0, 90)
    assert [(window.start, window.end) for window in cut.windows] == [(10, 20), (30, 90)]


def test_empty_messages_are_borders() -> None:
    cut = cut_by_events(events(r.recorded("/border", r.empty_message(), 30)), 0, 90)
    assert [(window.start, window.end) for window in cut.windows] == [(0, 30), (31, 90)]


def test_the_controllers_own_states_are_understood() -> None:
    states = ["idle", "planning", "ready", "running", "idle"]
    cut = cut_by_events(
        events(*(r.state(word, 10 * index) for index, word in enumerate(states))), 0, 90
    )
    assert cut.windows == (Window(30, 40, truncated=True),)
    assert cut.unknown_events == {}


def test_a_start_in_an_episode_begins_the_next() -> None:
    cut = cut_by_events(events(r.said("start", 10), r.said("start", 30)), 0, 90)
    assert [(window.start, window.end) for window in cut.windows] == [(10, 29), (30, 90)]


def test_a_verdict_may_come_after_the_end() -> None:
    told = [r.said("start", 10), r.said("end", 20), r.said("discard", 25)]
    (window,) = cut_by_events(events(*told), 0, 90).windows
    assert window == Window(10, 20, truncated=True, discarded=True)


def test_words_nobody_knows_are_counted_or_refused() -> None:
    cut = cut_by_events(events(r.said("hello", 5), r.said("end", 20), r.said("hello", 30)), 0, 90)
    assert cut.unknown_events == {"hello": 2}
    with pytest.raises(EpisodeError, match="says 'hello'; the words that are understood: start"):
        cut_by_events(events(r.said("hello", 5)), 0, 90)


def table(tmp_path: Path, text: str, name: str = "times.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


SECOND = 1_000_000_000


def test_a_csv_table_gives_times_and_labels(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "start, end, return, success, terminated\n5, 7.5, , no,\n1, 2, 3.5, yes, true\n",
    )
    assert cut_by_table(path, 100 * SECOND).windows == (
        Window(101 * SECOND, 102 * SECOND, True, False, "success", 3.5),
        Window(105 * SECOND, 107 * SECOND + SECOND // 2, False, True, "failure"),
    )


def test_a_yaml_table_may_give_dates(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "- {start: 2023-11-14T22:13:20Z, end: '2023-11-15T00:13:21.5+02:00', outcome: failure}\n",
        "times.yaml",
    )
    (window,) = cut_by_table(path, 0).windows
    assert (window.start, window.end) == (r.START, r.START + SECOND + SECOND // 2)
    assert (window.outcome, window.truncated) == ("failure", True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("start,end\n", "holds no row"),
        ("", "holds no row"),
        ("start,end\n1,2\n1.5,3\n", "rows 1 and 2 overlap"),
        ("start,end\n2,1\n", "row 1: the end 1 is not after the start 2"),
        ("start,end\n2,\n", "row 1: 'end' is missing"),
        ("start,end,colour\n1,2,red\n", "unknown column 'colour'"),
        ("start,end\n1,2,3\n", "unknown column"),
        ("start,end\n1,soon\n", "'end' is 'soon', neither seconds nor a date"),
        ("start,end\n1,nan\n", "'end' is nan"),
        ("start,end,return\n1,2,much\n", "'return' is 'much', not a number"),
        ("start,end,return\n1,2,inf\n", "'return' is inf"),
        ("start,end,success\n1,2,perhaps\n", "'success' is 'perhaps'"),
        ("start,end,outcome\n1,2,good\n", "'outcome' is 'good', not one of"),
        ('start,end\n"1,2\n', "not valid CSV"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cut_by_table(table(tmp_path, text), 0)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["{start: 1}", "- 5", "- {start: [", "- {start: {}, end: 2}"])
def test_a_wrong_yaml_table_is_refused(tmp_path: Path, text: Any) -> None:
    with pytest.raises(ConfigurationError):
        cut_by_table(table(tmp_path, text, "times.yaml"), 0)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        cut_by_table(tmp_path / "none.csv", 0)
