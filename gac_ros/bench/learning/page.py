"""The part of the results page that is about learning offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gac_ros.bench.learning.goals import goals
from gac_ros.bench.learning.harness import Cell, cell_config
from gac_ros.bench.learning.methods import METHODS, find_method
from gac_ros.bench.learning.summary import (
    CellSummary,
    Table,
    bracketed,
    config_differences,
    distinct,
)
from gac_ros.bench.learning.tasks import TASKS, find_task
from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.score_goals import goal_table
from gac_ros.errors import ConfigurationError
from gac_ros.training.config import TrainingConfig

_STALE = "†"
_DATA = "data_mean"
_HOW = """\
Every method learns from the same episodes and is evaluated on the same starts, by the same control
loop that drives a robot. A score is normalised: 0 is the random policy, 100 the expert (the mazes'
waypoint controller that knows the map; D4RL's reference for the locomotion robots). The training
seed also picks the starts; they belong to the benchmark alone, no setting was chosen on them, and
no data were collected from them. ± is half of the 95 % interval (Student's t) over all episodes of
all seeds. It takes the starts of one training to be independent and says nothing of other
trainings; the interval over the seeds' means (Student's t, one value a seed; empty with one) stands
beside it in the goals and in the tables of each task.

- **GAC** is the package with its default settings. *exploit* follows a plan that
  promises what those of the best episodes do, *explore* asks for more than the data's best.
- **LPT** is the same network trained as the Latent Plan Transformer is: episodes drawn uniformly,
  three Langevin moves an iteration, a return that depends on the plan alone; a plan is a sample of
  p(z0) p(y | z)^w, y being the data's best return. One training serves both w.
- **Behaviour cloning** is the same network with a plan that is always zero, on all episodes or on
  the best 10 %, drawn uniformly.
- **TD3+BC, IQL, CQL** and the **Decision Transformer** are d3rlpy's, with its defaults and what its
  own reproduction scripts add to them (standardised observations for TD3+BC and the Decision
  Transformer, IQL's return scaling, CQL's larger networks), without learning-rate schedules that
  are made for 100,000 steps and more. Each is given the processor time that GAC's training took on
  the task, on one core as well; how many gradient steps that was is in the tables. *step rewards*:
  they see each step's reward. *end*: they see the return with the last action and nothing before,
  as GAC does. The Decision Transformer asks for the data's best return.

Methods of the package train for the same number of iterations; LPT's three Langevin moves make each
of them longer. Other work may have shared the machine: compare processor times, not wall-clock
times.
"""


def learning_section(table: Table, plots: list[str], folder: str) -> Iterator[str]:
    """Lines of the section.

    Args:
        table: the runs on the benchmark's starts.
        plots: their file names.
        folder: of the plots, relative to the page.
    """
    yield "## Learning offline"
    yield ""
    if not table:
        yield "No run yet."
        yield ""
        return
    yield from _HOW.splitlines()
    yield ""
    yield "### Scores"
    yield ""
    yield (
        "Mean score ± half of the 95 % interval over all episodes, and the number of training "
        "seeds in brackets. Bold is the method of the highest mean over those training seeds that "
        "all methods with a run on the task have in common. An empty cell was not run."
    )
    yield ""
    yield from score_table(table)
    if any(cell.stale for cell in table.values()):
        yield (
            f"{_STALE} Made with settings that are no longer the defaults; the tables of the tasks "
            "name the commit."
        )
        yield ""
    for plot in plots:
        yield f"![{plot.removesuffix('.png').replace('_', ' ')}]({folder}/{plot})"
        yield ""
    yield "### Goals"
    yield ""
    yield (
        "Differences are paired: the same training seed and the same start; their intervals, in "
        "square brackets, and ± are over all episodes, and decide. *met over the starts only*: the "
        "interval over the seeds includes zero."
    )
    yield ""
    yield from goal_table(goals(table), "task")
    yield "### Data"
    yield ""
    yield from _data_table(table)
    for task in distinct(task for task, _ in table):
        yield from _task_section(task, table)
    yield from _provenance(table)


def score_table(table: Table) -> Iterator[str]:
    """Methods by tasks."""
    tasks = [task.name for task in TASKS]
    best = {task: _best_method(task, table) for task in tasks}
    rows = []
    for method in METHODS:
        row = [method.title]
        for task in tasks:
            cell = table.get((task, method.name))
            bold = method.name == best[task]
            row.append("" if cell is None else _score(cell, bold=bold))
        rows.append(row)
    yield from markdown_table(["", *tasks], rows)


def _best_method(task: str, table: Table) -> str | None:
    """Who has the highest mean over the seeds that all have; None where they share no seed."""
    cells = {
        method: cell for (name, method), cell in table.items() if name == task and method != _DATA
    }
    if not cells:
        return None
    shared = frozenset.intersection(*(cell.seeds for cell in cells.values()))
    return max(cells, key=lambda method: cells[method].mean_over(shared)) if shared else None


def _score(cell: CellSummary, *, bold: bool = False) -> str:
    mean = f"**{cell.mean:.1f}**" if bold else f"{cell.mean:.1f}"
    seeds = "" if cell.records[0].method == _DATA else f" ({len(cell.records)})"
    return f"{mean} ± {cell.half_width:.1f}{seeds}{_STALE if cell.stale else ''}"


def _data_table(table: Table) -> Iterator[str]:
    rows = []
    for task in distinct(task for task, _ in table):
        cell = next(cell for (name, _), cell in table.items() if name == task)
        data = cell.records[0].data
        collected = cell.mean_times("collection")
        rows.append(
            [
                task,
                f"{data.episodes}",
                f"{data.steps}",
                f"{data.score_mean:.1f}",
                f"{data.score_best_5_percent:.1f}",
                f"{data.score_best:.1f}",
                "given" if collected is None else f"{collected.cpu / 60.0:.1f} min",
            ]
        )
    headings = ["task", "episodes", "steps", "mean score", "best 5 %", "best", "collected in"]
    yield from markdown_table(headings, rows)


def _task_section(task: str, table: Table) -> Iterator[str]:
    """Everything about the cells of one task."""
    yield f"### {task}"
    yield ""
    titles = {method.name: method.title for method in METHODS}
    rows = []
    for (name, method), cell in table.items():
        if name != task or method == _DATA:
            continue
        error = cell.statistics["score_standard_error"]
        rows.append(
            [
                titles.get(method, method) + (_STALE if cell.stale else ""),
                f"{cell.mean:.1f}",
                "" if error is None else f"{error:.1f}",
                bracketed(cell.statistics["score_interval"] or (cell.mean, cell.mean)),
                bracketed(cell.interval_over_seeds),
                ", ".join(f"{mean:.1f}" for mean in cell.seed_means),
                f"{len(cell.scores)}",
                _minutes(cell, "training"),
                _steps(cell),
                _milliseconds_a_plan(cell),
                _minutes(cell, "evaluation"),
                ", ".join(f"`{c}`" for c in distinct(r.commit for r in cell.records)),
            ]
        )
    headings = [
        "method",
        "score",
        "standard error",
        "95 % over episodes",
        "95 % over seeds",
        "each seed",
        "episodes",
        "training, wall / CPU (min)",
        "steps",
        "planning, wall / CPU (ms a plan)",
        "evaluation, wall / CPU (min)",
        "commit",
    ]
    yield from markdown_table(headings, rows)


def _minutes(cell: CellSummary, part: str) -> str:
    times = cell.mean_times(part)
    return "" if times is None else f"{times.wall / 60.0:.1f} / {times.cpu / 60.0:.1f}"


def _steps(cell: CellSummary) -> str:
    facts = [record.training for record in cell.records]
    found = [fact.get("steps", fact.get("iterations")) for fact in facts]
    return ", ".join(str(value) for value in dict.fromkeys(found) if value is not None)


def _milliseconds_a_plan(cell: CellSummary) -> str:
    times = cell.mean_times("planning")
    if times is None or not any(e.predicted_return is not None for e in cell.records[0].episodes):
        return ""
    plans = cell.plans / len(cell.records)
    return f"{1e3 * times.wall / plans:.0f} / {1e3 * times.cpu / plans:.0f}"


def _provenance(table: Table) -> Iterator[str]:
    records = [record for cell in table.values() for record in cell.records]
    yield "### How these runs were made"
    yield ""
    yield "`make bench-learning`, or for a single run the `command` in its JSON file, such as"
    yield f"`{records[-1].command}` (the locomotion tasks also need `--data-folder`;"
    yield "`benchmarks/locomotion_data.py` makes their data)."
    yield ""
    for processor in distinct(record.processor for record in records):
        yield f"- Processor: {processor}"
    seen = distinct(
        ", ".join(f"{name} {version}" for name, version in record.versions.items())
        for record in records
    )
    for versions in seen:
        yield f"- {versions}"
    library = distinct(
        ", ".join(f"{k} {v}" for k, v in record.training.get("versions", {}).items()) or None
        for record in records
    )
    for versions in library:
        yield f"- in the environment of the value-based methods: {versions}"
    yield ""


def variants_section(variants: Mapping[str, Table]) -> Iterator[str]:
    """Lines about the ablations: what differs from the present defaults, and what it scores.

    Args:
        variants: runs on the starts of `gac evaluate`, by the ablation's name.
    """
    if not variants:
        return
    yield "## Ablations"
    yield ""
    yield (
        "Evaluated on the starts of `gac evaluate`, never on the benchmark's; no default was "
        "chosen by these runs. Mean score ± half of the 95 % interval over all episodes, and the "
        "number of training seeds in brackets."
    )
    yield ""
    tasks = distinct(task for table in variants.values() for task, _ in table)
    rows = []
    for name, table in variants.items():
        for method in distinct(method for _, method in table):
            cells = [table.get((task, method)) for task in tasks]
            changed = next(_changes(cell) for cell in cells if cell is not None)
            # Every variant differs somewhere; the mark of stale runs would say nothing here.
            scores = ["" if cell is None else _score(cell).removesuffix(_STALE) for cell in cells]
            rows.append([name, method, "; ".join(changed) or "the defaults", *scores])
    yield from markdown_table(["variant", "method", "changed", *tasks], rows)


def _changes(cell: CellSummary) -> list[str]:
    record = cell.records[0]
    try:
        task, method = find_task(record.task), find_method(record.method)
    except ConfigurationError:
        return ["(no longer known)"]
    default = cell_config(Cell(task, method, record.seed), TrainingConfig(), len(record.episodes))
    return config_differences(record.config, default)
