"""Render the page of results from the runs' files.

Explanations that no file can give (why a goal was missed, what was tried) are prose in
`notes.md` of the results folder, which becomes the page's last section.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gac_ros.bench.calibration import plans_section
from gac_ros.bench.learning.page import learning_section, variants_section
from gac_ros.bench.learning.plots import plot_learning
from gac_ros.bench.learning.records import read_records
from gac_ros.bench.learning.summary import Table, summarize
from gac_ros.bench.training_page import training_section
from gac_ros.errors import ConfigurationError, OutputError
from gac_ros.files import write_text

LEARNING_FOLDER = "learning"
VARIANTS_FOLDER = "variants"
TRAINING_FILE = "training.json"
NOTES_FILE = "notes.md"
NOTES_TITLE = "What the figures say so far"
_HEAD = """\
# Results

Rendered by `gac bench report` from the JSON files in [{folder}]({folder}), one for each run; no
figure above the section "{notes}" was typed by hand. That section is prose,
written in [{folder}/{notes_file}]({folder}/{notes_file}). `make bench-learning` makes the runs
that are missing.
"""


def write_report(results: Path, page: Path) -> None:
    """Read every run below `results`, draw the plots there and write the page.

    Raises:
        ConfigurationError: there is no such folder, or matplotlib is missing.
        EpisodeError: a run's file is damaged.
        OutputError: the page or a plot cannot be written.
    """
    if not results.is_dir():
        raise ConfigurationError(
            f"{results}: no such folder; make runs with gac bench learning, or name another "
            "--results"
        )
    table = summarize(
        record for record in read_records(results / LEARNING_FOLDER) if record.starts == "benchmark"
    )
    try:
        plots = plot_learning(table, results)
    except OSError as error:
        raise OutputError(
            f"{results}: the plots cannot be written ({error}); check the permissions"
        ) from error
    folder = Path(os.path.relpath(results, page.parent)).as_posix()
    lines = [
        *_HEAD.format(folder=folder, notes=NOTES_TITLE, notes_file=NOTES_FILE).splitlines(),
        "",
        *learning_section(table, plots, folder),
        *variants_section(_variants(results / VARIANTS_FOLDER)),
        *plans_section(results, folder),
        *training_section(results / TRAINING_FILE),
        *_notes(results / NOTES_FILE),
    ]
    write_text(page, _joined(lines))


def _variants(folder: Path) -> dict[str, Table]:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    tables = {name: summarize(read_records(folder / name)) for name in names}
    return {name: table for name, table in tables.items() if table}


def _notes(path: Path) -> Iterator[str]:
    if path.is_file():
        yield from path.read_text(encoding="utf-8").splitlines()


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
