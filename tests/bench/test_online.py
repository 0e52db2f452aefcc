"""Online runs as files, and the page that is rendered from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gac_ros.bench.online_comparison import groups
from gac_ros.bench.online_goals import online_goals
from gac_ros.bench.online_records import keep_run, read_records
from gac_ros.cli.app import main

pytestmark = pytest.mark.usefixtures("signals_as_before")
EXPLOITATION = {
    "returns": [1.0, 3.0],
    "return_mean": 2.0,
    "return_ci95": [0.0, 4.0],
    "normalized_score_mean": None,
    "normalized_score_ci95": None,
}


def write_run(
    folder: Path, *, mean: float, collect: str = "explore", run_changes: Mapping[str, Any] = {}
) -> Path:
    first = {
        "round": 0,
        "collection": None,
        "episodes": 0,
        "steps": 0,
        "gate_steps": 0,
        "gate": None,
        "learner": "/home/somebody/first",
        "accepted_learner": "/home/somebody/first",
        "incumbent": "/home/somebody/first",
        "incumbent_digest": "abc",
        "exploitation": EXPLOITATION,
        "next_reach": 1.0,
        "seconds": {},
    }
    collection = {
        "returns": [5.0, 7.0],
        "return_mean": 6.0,
        "steps": 10,
        "targets": [8.0, 8.0],
        "target_mean": 8.0,
        "increment": 1.0,
        "reach": 1.0,
        "reached_share": 0.0,
    }
    returns = [mean - 2.0, mean + 1.0]
    better = {
        **EXPLOITATION,
        "returns": returns,
        "return_mean": mean,
        "return_ci95": [mean - 3.0, mean + 3.0],
    }
    second = {
        **first,
        "round": 1,
        "collection": collection,
        "exploitation": better,
        "episodes": 2,
        "steps": 10,
        "gate_steps": 1200,
    }
    run = {
        "command_line": "gac online --out run",
        "seed": 0,
        "robot": "toy",
        "keep": "all",
        "config": {"episodes": 4, "collect": collect},
        **run_changes,
    }
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"run": run, "rounds": [first, second]}))
    return folder


def test_figures_go_between_the_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    runs = [write_run(tmp_path / "runs" / name, mean=9.5) for name in ("one", "two")]
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- figures: end -->\nafter\n")
    assert "old" not in text
    assert text.count("9.5 ± 3.0") == 2 * 3  # at last, best, and in the run's own table
    assert "`gac online --out run`" in text
    assert (results / "returns_toy.png").stat().st_size > 0
    assert "somebody" not in (results / "one.json").read_text()
    # From the files alone the same page comes out.
    assert main(["bench", "online", *options]) == 0
    assert page.read_text() == text


def test_exploring_is_compared_with_runs_that_differ_in_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    runs = [
        write_run(tmp_path / name, mean=mean, collect=name)
        for name, mean in (("explore", 9.5), ("exploit", 4.5), ("prior", 3.5))
    ]
    content = (runs[2] / "results.json").read_text()
    (runs[2] / "results.json").write_text(content.replace('"seed": 0', '"seed": 1'))
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().split("\n")
    ]
    compared = [row for row in rows if row[:2] == ["explore", "exploit"]]
    # Two starts; exploring is five ahead on either.
    figures = ["10", "1,200 / 1,200", "9.5 ± 3.0", "4.5 ± 3.0", *["+5.0 (5.0 to 5.0)"] * 2]
    assert compared == [["explore", "exploit", *figures]]
    assert not any(row[:2] == ["explore", "prior"] for row in rows)
    (run,) = [row for row in rows if len(row) == 10 and row[0] == "explore"]
    assert run[3:8] == ["10", "1,200", "2.0 ± 2.0", "9.5 ± 3.0", "+7.0 (0.6 to 13.4)"]


def test_runs_are_compared_where_the_other_has_had_as_many_robot_steps_or_a_few_more(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    runs = [
        write_run(tmp_path / name, mean=mean, collect=name)
        for name, mean in (("explore", 9.5), ("exploit", 4.5))
    ]
    for run, at_last in zip(runs, ((30, 70), (40, 60)), strict=True):
        content = json.loads((run / "results.json").read_text())
        last = content["rounds"].pop()
        # An episode is half as long in the run that exploits.
        length = 10 if run == runs[0] else 5
        content["rounds"] += [
            {**last, "steps": steps, "episodes": steps // length} for steps in at_last
        ]
        (run / "results.json").write_text(json.dumps(content))
    content = json.loads((runs[0] / "results.json").read_text())
    content["rounds"][-1]["exploitation"] = {**EXPLOITATION, "returns": [8.5, 11.5]}
    (runs[0] / "results.json").write_text(json.dumps(content))
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().split("\n")
    ]
    # Exploring's last round has no match in steps, of which the other never had seventy; in
    # episodes, seven, the other's first round is one.
    (row,) = [row for row in rows if row[:2] == ["explore", "exploit"]]
    assert [row[2], *row[-2:]] == ["30 / 40", "+5.0 (5.0 to 5.0)", "+6.0 (6.0 to 6.0)"]


def test_a_run_that_counts_steps_is_complete_when_it_has_them(tmp_path: Path) -> None:
    found = []
    for steps in (10, 11):
        config = {"episodes": 9, "steps": steps, "algorithm": "rlpd"}
        run = write_run(tmp_path / f"rlpd-{steps}", mean=1.0, run_changes={"config": config})
        keep_run(run, tmp_path / "results")
    for record in read_records(tmp_path / "results"):
        found.append((record.wanted_steps, record.complete))
    assert found == [(10, True), (11, False)]


def test_exploring_is_compared_with_value_based_methods_on_the_same_data_and_starts(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    config = {"episodes": 4, "algorithm": "rlpd"}
    same = {"initial_data": ["/home/somebody/worst"]}
    others = {
        "rlpd": {**same, "config": config, "training": [{"updates": 0, "cpu": 0.0}] * 2},
        "rlpd-other-seed": {**same, "config": config, "seed": 1},
        "rlpd-other-data": {"initial_data": ["all"], "config": config},
        "rlpd-other-half": {**same, "config": config, "keep": "worst-half"},
    }
    runs = [write_run(tmp_path / "explore", mean=9.5, run_changes=same)]
    runs += [write_run(tmp_path / k, mean=4.5, run_changes=v) for k, v in others.items()]
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().split("\n")
    ]
    compared = [row[1:] for row in rows if row[:1] == ["explore"] and row[1].startswith("rlpd")]
    figures = ["10", "1,200 / 1,200", "9.5 ± 3.0", "4.5 ± 3.0", *["+5.0 (5.0 to 5.0)"] * 2]
    assert compared == [["rlpd", *figures]]
    assert "0 gradient steps, 0 s of processor time." in page.read_text()
    assert "somebody" not in (results / "rlpd.json").read_text()


def test_runs_that_differ_in_the_seed_alone_are_summed_up(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    means = {"explore": (9.5, 7.5), "exploit": (4.5, 3.5)}
    runs = [
        write_run(
            tmp_path / f"{collect}-{seed}",
            mean=mean,
            run_changes={"seed": seed, "config": {"episodes": 2, "collect": collect}},
        )
        for collect, pair in means.items()
        for seed, mean in enumerate(pair)
    ]
    # A run that was stopped is not one of them.
    stopped = {"seed": 2, "config": {"episodes": 9, "collect": "explore"}}
    runs.append(write_run(tmp_path / "explore-2", mean=1.0, run_changes=stopped))
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().split("\n")
    ]
    summed = [row for row in rows if len(row) in (7, 8) and row[0].startswith("`toy`")]
    rises = {row[0]: row[1:] for row in summed if row[1] != "exploit"}
    assert rises.keys() == {"`toy`, explore", "`toy`, exploit"}
    assert rises["`toy`, explore"][:4] == ["0, 1", "2 episodes", "2.0, 2.0", "9.5, 7.5"]
    # Over the seeds it is two values, 7 and 5, and a t of one degree of freedom.
    assert rises["`toy`, explore"][5] == "-6.7 to 18.7"
    (lead,) = [row for row in summed if row[1] == "exploit"]
    # Five ahead on both starts of one seed, four on both of the other.
    assert lead[0] == "`toy`, explore"
    ahead = ["+4.5 (3.6 to 5.4)", "-1.9 to 10.9", "+4.5 (3.6 to 5.4)"]
    assert lead[2:] == ["0, 1", "10", "1,200 / 1,200", *ahead]


def test_a_value_based_run_counts_once_beside_each_loop_that_it_is_compared_with(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    shared = {"initial_data": ["worst"]}
    configs = {
        "explore": {"episodes": 2, "collect": "explore"},
        "improve": {"episodes": 2, "collect": "explore", "deployment": {}},
        "rlpd": {"episodes": 2, "algorithm": "rlpd"},
    }
    means = {"explore": 9.5, "improve": 6.5, "rlpd": 4.5}
    runs = [
        write_run(
            tmp_path / f"{name}-{seed}",
            mean=means[name] + seed,
            run_changes={**shared, "seed": seed, "config": config},
        )
        for name, config in configs.items()
        for seed in range(2)
    ]
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", *map(str, runs), *options]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().split("\n")
    ]
    leads = [[row[0], *row[2:-1]] for row in rows if len(row) == 8 and row[1] == "rlpd"]
    common = ["0, 1", "10", "1,200 / 1,200"]
    assert leads == [
        ["`toy`, explore", *common, "+5.0 (5.0 to 5.0)", "5.0 to 5.0"],
        ["`toy`, explore (gac improve)", *common, "+2.0 (2.0 to 2.0)", "2.0 to 2.0"],
    ]


def test_goals_are_told_from_the_runs_that_are_kept(tmp_path: Path) -> None:
    means = {"explore": (9.5, 19.5), "exploit": (4.5, 3.5)}
    for collect, pair in means.items():
        for seed, mean in enumerate(pair):
            config = {"episodes": 2, "collect": collect}
            changes = {"seed": seed, "robot": "pointmaze_umaze", "config": config}
            run = write_run(tmp_path / f"{collect}-{seed}", mean=mean, run_changes=changes)
            keep_run(run, tmp_path / "results")
    found = {
        (goal.task, goal.text): goal for goal in online_goals(read_records(tmp_path / "results"))
    }
    umaze = "pointmaze_umaze"
    rise = found[umaze, "exploitation rises by more than its interval within 300 episodes"]
    assert rise.measured == "+12.0 [+2.8, +21.2] (2 seeds)"
    # The seeds rise by 7 and 17: too different for two of them to say so.
    assert rise.met is True
    assert rise.words == "met over the starts only"
    ahead = found[umaze, "ahead of exploit by more than the interval"]
    assert ahead.measured.startswith("+10.5 [")
    assert found[umaze, "no run that explores ends below where it began"].words == "met"
    assert found[umaze, "ahead of rlpd by more than the interval"].words == "not run"
    assert found["hopper", "ahead of exploit by more than the interval"].words == "not run"
    missing = found["hopper", "exploitation rises by more than its interval within 300 episodes"]
    assert missing.met is None


def test_a_setting_that_older_runs_do_not_know_and_that_is_off_makes_no_difference(
    tmp_path: Path,
) -> None:
    complete = {"config": {"episodes": 2, "collect": "explore"}}
    run = write_run(tmp_path / "explore-0", mean=9.5, run_changes=complete)
    keep_run(run, tmp_path / "results")
    (older,) = read_records(tmp_path / "results")
    off, on = (
        replace(older, seed=1, config={**older.config, "finetune": {"compile": compiled}})
        for compiled in (False, True)
    )
    older = replace(older, config={**older.config, "finetune": {}})
    assert [len(group) for group in groups([older, off])] == [2]
    assert [len(group) for group in groups([older, on])] == [1, 1]


def test_a_kept_run_names_the_commit_that_began_it_and_older_files_none(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name, changes in (("new", {"commit": "0123456789ab"}), ("old", {})):
        keep_run(write_run(tmp_path / name, mean=1.0, run_changes=changes), results)
    content = json.loads((results / "old.json").read_text())
    del content["commit"]
    (results / "old.json").write_text(json.dumps(content))
    assert [record.commit for record in read_records(results)] == ["0123456789ab", None]


def test_a_page_without_markers_and_a_folder_without_a_run_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("prose")
    run = write_run(tmp_path / "run", mean=1.0)
    options = ["--results", str(results), "--page", str(page)]
    assert main(["bench", "online", str(tmp_path / "none"), *options]) == 2
    assert main(["bench", "online", *options]) == 2
    assert main(["bench", "online", str(run), *options]) == 2
    assert page.read_text() == "prose"
    errors = capsys.readouterr().err
    assert "no run is kept there" in errors
    assert "figures: begin" in errors
