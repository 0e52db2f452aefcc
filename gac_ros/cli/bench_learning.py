"""`gac bench learning`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import make_console, progress_bar

if TYPE_CHECKING:
    from gac_ros.bench.learning.harness import Cell, Observer, Outcome


class RedoName(str, Enum):
    """Which runs to make again."""

    NOTHING = "nothing"
    STALE = "stale"
    ALL = "all"


Results = Annotated[
    Path, typer.Option("--results", help="Folder of the runs' JSON files, and of the plots.")
]
Tasks = Annotated[
    str, typer.Option("--tasks", help="Comma-separated, such as pointmaze_umaze. Default: all.")
]
Methods = Annotated[
    str, typer.Option("--methods", help="Comma-separated, such as gac,lpt_w1. Default: all.")
]
Seeds = Annotated[str, typer.Option("--seeds", help="Training seeds, comma-separated.")]
DataFolder = Annotated[
    Path,
    typer.Option("--data-folder", help="Folder of the locomotion tasks' arrays (*.npz)."),
]
Work = Annotated[
    Path,
    typer.Option(
        "--work", help="Folder of collected episodes and models, which can be made again."
    ),
]
ValueBased = Annotated[
    Path,
    typer.Option("--value-based", help="Folder of d3rlpy's worker; see its README.md."),
]
ValueBasedPython = Annotated[
    Path | None,
    typer.Option(
        "--value-based-python", help="Interpreter with d3rlpy, in place of the folder's .venv."
    ),
]
Episodes = Annotated[int, typer.Option("--episodes", min=2, help="Evaluated episodes of each run.")]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="Episodes evaluated at the same time.")
]
Redo = Annotated[
    RedoName,
    typer.Option(
        "--redo",
        help="nothing: keep every run that is there. stale: make those again that had another "
        "configuration. all: make all again (models of the same settings, data and code are "
        "kept in --work).",
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        help="Name of an ablation: kept apart from the table, and evaluated on the starts of gac "
        "evaluate, so that the table's own stay unseen.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Training settings (*.yaml) of a --variant."),
]


def learning(
    tasks: Tasks = "",
    methods: Methods = "",
    seeds: Seeds = "0,1,2",
    data_folder: DataFolder = Path("data"),
    results: Results = Path("docs/results"),
    work: Work = Path("runs/bench"),
    value_based: ValueBased = Path("benchmarks/value_based"),
    value_based_python: ValueBasedPython = None,
    episodes: Episodes = 50,
    processes: Processes = 1,
    redo: Redo = RedoName.NOTHING,
    variant: Variant = None,
    config: ConfigFile = None,
) -> None:
    """Train and evaluate every method on every task, as far as it has not been done.

    Writes one JSON file a run and can be interrupted at any time; the same command goes on where
    it stopped. Two of them at once share the work. `gac bench report` renders the results.

    Example: `gac bench learning --tasks pointmaze_umaze --methods gac,lpt_w1 --seeds 0`
    """
    from gac_ros.bench.learning.harness import BenchmarkRequest, run_benchmark
    from gac_ros.bench.learning.library import Library
    from gac_ros.bench.learning.methods import METHODS, find_method
    from gac_ros.bench.learning.tasks import TASKS, find_task
    from gac_ros.bench.report import LEARNING_FOLDER, VARIANTS_FOLDER
    from gac_ros.errors import ConfigurationError, GacError
    from gac_ros.training.config import TrainingConfig, load_training_config

    if config is not None and variant is None:
        raise ConfigurationError(
            "settings of one's own are an ablation: name it with --variant, so that it is not "
            "taken for the default"
        )
    command = ["gac", "bench", "learning"]
    if variant is not None:
        if not variant.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(
                f"--variant '{variant}' names a folder; use letters, digits, - and _"
            )
        command += ["--variant", variant]
    if config is not None:
        command += ["--config", str(config)]
    request = BenchmarkRequest(
        tasks=[find_task(name) for name in _names(tasks)] or TASKS,
        methods=[find_method(name) for name in _names(methods)] or METHODS,
        seeds=_numbers(seeds),
        results=results / (LEARNING_FOLDER if variant is None else f"{VARIANTS_FOLDER}/{variant}"),
        work=work,
        data_folder=data_folder,
        library=Library(value_based, value_based_python),
        episodes=episodes,
        base=TrainingConfig() if config is None else load_training_config(config),
        starts="benchmark" if variant is None else "tuning",
        processes=processes,
        redo=redo.value,
        command=command,
    )
    with _progress() as observer:
        outcomes = run_benchmark(request, observer)
    _tell_what_was_left_out(outcomes)
    failed = [outcome for _, outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise GacError(
            f"{len(failed)} of {len(outcomes)} runs failed; the first: {failed[0].reason}"
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    from gac_ros.errors import ConfigurationError

    names = _names(text)
    if not names or not all(name.isdecimal() for name in names):
        raise ConfigurationError(f"--seeds '{text}': give whole numbers, such as 0,1,2")
    return [int(name) for name in dict.fromkeys(names)]


def _tell_what_was_left_out(outcomes: list[tuple[Cell, Outcome]]) -> None:
    """One line a reason, however many runs it kept from being made."""
    console = make_console(stderr=True)
    reasons: dict[str, int] = {}
    for _, outcome in outcomes:
        if outcome.status in ("impossible", "elsewhere"):
            reasons[outcome.reason] = reasons.get(outcome.reason, 0) + 1
        if outcome.status == "stale":
            reason = "made with another configuration; make them again with --redo stale"
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in reasons.items():
        runs = "1 run" if count == 1 else f"{count} runs"
        console.print(f"{runs} left as before: {reason}", soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Observer]:
    """Two bars on stderr, the table's and the run's; a line a run where it is no terminal."""
    from gac_ros.bench.learning.harness import Observer

    console = make_console(stderr=True)

    def conclude(cell: Cell, outcome: Outcome) -> None:
        if outcome.status == "done" and outcome.record is not None:
            console.print(f"{cell.name}: score {outcome.record.score_mean:.1f}", soft_wrap=True)
        elif outcome.status == "failed":
            console.print(f"{cell.name}: failed: {outcome.reason}", soft_wrap=True)

    class Lines(Observer):
        def finished(self, cell: Cell, outcome: Outcome) -> None:
            conclude(cell, outcome)

    if not console.is_terminal:
        yield Lines()
        return
    with progress_bar(console) as progress:
        table = progress.add_task("runs", total=None, last="")
        current = progress.add_task("", total=None, last="", visible=False)

        class Bars(Observer):
            def cell(self, cell: Cell, index: int, total: int) -> None:
                progress.update(table, completed=index, total=total, last=cell.name)

            def stage(self, what: str, total: float) -> None:
                progress.reset(current, description=what, total=total, visible=True, last="")

            def progress(self, done: float, text: str) -> None:
                progress.update(current, completed=round(done), last=text)

            def finished(self, cell: Cell, outcome: Outcome) -> None:
                progress.advance(table)
                conclude(cell, outcome)

        yield Bars()
