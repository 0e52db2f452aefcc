"""`gac buffer label` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.buffer.reader import read_metadata
from gac_ros.cli import main
from tests.buffer import episode_bags

pytestmark = pytest.mark.usefixtures("signals_as_before")


def test_bags_are_labelled_one_by_one_or_by_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = [episode_bags.record(tmp_path, name) for name in ("a", "b b")]
    table = tmp_path / "labels.yaml"
    table.write_text("- {episode: a, return: 4}\n- {episode: b b, outcome: interrupted}\n")

    assert main(["buffer", "label", *map(str, bags), "--return", "-2.5", "--success"]) == 0
    assert main(["buffer", "label", str(tmp_path), "--table", str(table)]) == 0
    assert main(["buffer", "label", str(tmp_path), "--table", str(table)]) == 0

    told = capsys.readouterr().out
    assert "2 episodes labelled" in told
    assert "0 episodes labelled, 2 said so already" in told
    known = [read_metadata(bag) for bag in bags]
    assert [each.episode_return for each in known] == [4.0, -2.5]
    assert [each.outcome for each in known] == ["success", "interrupted"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to say"),
        (["--return", "nan"], "'--return' is nan"),
        (["--outcome", "great"], "'outcome' is 'great', not one of"),
        (["--outcome", "success", "--failure"], "only one of them"),
        (["--table", "x.csv", "--return", "1"], "no other label"),
        (["--table", "x.csv"], "x.csv: cannot be read"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], problem: str
) -> None:
    bag = episode_bags.record(tmp_path)
    assert main(["buffer", "label", str(bag), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("gac: error: ")
    assert told.count("\n") == 1
    assert problem in told
