"""Runs of `gac online`, `gac improve` and value-based methods: files, a table and a picture.

The page keeps its prose: what stands between the two markers is rendered from the files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.provenance import commit, processor, versions
from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.files import write_text
from gac_ros.online.plot import plot_rounds
from gac_ros.online.report import COLUMNS, row, with_interval
from gac_ros.online.results import RESULTS_FILE, RoundResult

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
# Where the files of a run's folder lie is nobody else's business.
_PATHS = ("learner", "accepted_learner", "collector", "incumbent")


@dataclass(frozen=True)
class OnlineRecord:
    """A run as it is kept.

    Attributes:
        name: of the file.
        command: what the user typed.
        config: settings.
        seed: of its starts, plans and trainings.
        robot: its name.
        data: the folders' names and which of their episodes it began with; None in older files.
        rounds: those that are complete.
        training: gradient steps and their processor time since the run began, by round; empty
            where the run did not count them.
    """

    name: str
    command: str
    config: dict[str, Any]
    seed: int
    robot: str
    data: tuple[Any, ...] | None
    rounds: tuple[RoundResult, ...]
    training: tuple[dict[str, float], ...] = ()

    @property
    def wanted(self) -> int:
        """Episodes that it was to collect."""
        return int(self.config["episodes"])

    @property
    def collected(self) -> int:
        """Episodes that it has collected; live ones are not among them."""
        return sum(len(r.collection.returns) for r in self.rounds if r.collection is not None)


def keep_run(folder: Path, results: Path) -> Path:
    """Copy a run's figures to a file named after its folder.

    Raises:
        EpisodeError: the folder holds no run, or no complete round.
        OutputError: the file cannot be written.
    """
    try:
        content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        run, rounds = content["run"], content["rounds"]
        for entry in rounds:
            RoundResult.model_validate(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpisodeError(
            f"{folder}: holds no run of gac online or gac improve with a complete round "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    kept = {
        "command": run["command_line"],
        "seed": run["seed"],
        "robot": run["robot"],
        "keep": run["keep"],
        "initial_data": [Path(path).name for path in run.get("initial_data", ())],
        **{key: run[key] for key in ("training", "library") if key in run},
        "config": run["config"],
        "rounds": [{k: v for k, v in entry.items() if k not in _PATHS} for entry in rounds],
        "kept_at_commit": commit(),
        "versions": versions(),
        "processor": processor(),
    }
    path = results / f"{folder.resolve().name}.json"
    write_text(path, json.dumps(kept, indent=1) + "\n")
    return path


def read_records(results: Path) -> list[OnlineRecord]:
    """All runs that are kept, by name.

    Raises:
        EpisodeError: a file is damaged.
    """
    records = []
    for path in sorted(results.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rounds = [
                RoundResult.model_validate({**dict.fromkeys(_PATHS, ""), **entry})
                for entry in content["rounds"]
            ]
            records.append(
                OnlineRecord(
                    path.stem,
                    content["command"],
                    content["config"],
                    int(content["seed"]),
                    content["robot"],
                    _data(content),
                    tuple(rounds),
                    tuple(content.get("training", ())),
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EpisodeError(f"{path}: is damaged; make it again or remove it") from error
    return records


def _data(content: dict[str, Any]) -> tuple[Any, ...] | None:
    if "initial_data" not in content:
        return None
    return (*content["initial_data"], content["keep"])


def write_figures(results: Path, page: Path) -> None:
    """Draw the picture and put the tables between the page's markers.

    Raises:
        ConfigurationError: no run is kept, the page has no markers, or matplotlib is missing.
        OutputError: a file cannot be written.
    """
    records = read_records(results)
    if not records:
        raise ConfigurationError(f"{results}: no run is kept there; name some with --runs")
    try:
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{page}: must have a line '{BEGIN}' and a line '{END}', between which the figures go"
        ) from error
    pictures = _draw(records, results)
    folder = results.relative_to(page.parent) if results.is_relative_to(page.parent) else results
    tables = [*_summary(records), *_comparisons(records), *_over_seeds(records)]
    lines = [BEGIN, "", *tables, *_details(records, [folder / name for name in pictures]), END]
    write_text(page, before + "\n".join(lines) + after)


def _draw(records: Sequence[OnlineRecord], results: Path) -> list[str]:
    """A picture a robot, as their returns have nothing in common; a colour for each method."""
    names = []
    for robot in dict.fromkeys(record.robot for record in records):
        names.append(f"returns_{Path(robot).stem}.png")
        runs = [(_method(record), record.rounds) for record in records if record.robot == robot]
        plot_rounds(runs, results / names[-1])
    return names


def _summary(records: Sequence[OnlineRecord]) -> Iterator[str]:
    headings = (
        "run",
        "collected",
        "of",
        "at first",
        "at last",
        "rise (95 %)",
        "best round",
        "collected mean",
    )
    rows = []
    for record in records:
        first, last = record.rounds[0], record.rounds[-1]
        best = max(record.rounds, key=_exploited)
        returns = [v for r in record.rounds if r.collection for v in r.collection.returns]
        mean = f"{sum(returns) / len(returns):.1f}" if returns else "–"
        cells = [record.name, str(record.collected), str(record.wanted)]
        exploited = [with_interval(r.exploitation) for r in (first, last, best)]
        rows.append([*cells, *exploited[:2], _difference((first, last)), exploited[2], mean])
    yield from markdown_table(headings, rows)


def _comparisons(records: Sequence[OnlineRecord]) -> Iterator[str]:
    rows = [
        [
            one.name,
            other.name,
            " / ".join(dict.fromkeys(str(result.episodes) for result in (mine, theirs))),
            *(with_interval(r.exploitation) for r in (mine, theirs)),
            _difference((theirs, mine)),
        ]
        for one, other, mine, theirs in _compared(records)
    ]
    if rows:
        headings = (
            "exploring",
            "against",
            "episodes",
            "exploring's",
            "the other's",
            "ahead (95 %)",
        )
        yield from markdown_table(headings, rows)


def _compared(
    records: Sequence[OnlineRecord],
) -> Iterator[tuple[OnlineRecord, OnlineRecord, RoundResult, RoundResult]]:
    """Exploring and the other strategies, where nothing but the strategy differs, at their end.

    Value-based methods differ in all they do; robot, data, starts and episodes are the same. Where
    live episodes make the rounds of one longer, the other strategy has had the more episodes.
    """
    for record in records:
        if record.config.get("collect") != "explore":
            continue
        for other in records:
            if other.config.get("collect") == "explore" or not _comparable(record, other):
                continue
            most = other.rounds[-1].episodes
            mine = [result for result in record.rounds if 0 < result.episodes <= most]
            if mine:
                had = mine[-1].episodes
                theirs = next(result for result in other.rounds if result.episodes >= had)
                yield record, other, mine[-1], theirs


def _over_seeds(records: Sequence[OnlineRecord]) -> Iterator[str]:
    """Runs that differ in their seed alone, all reporting starts of all of them taken together."""
    groups: dict[tuple[str, ...], list[OnlineRecord]] = {}
    for record in records:
        if record.collected == record.wanted:
            groups.setdefault(_but_for_the_seed(record), []).append(record)
    compared = list(_compared(records))
    rows = []
    for group in groups.values():
        if len(group) < 2:
            continue
        group.sort(key=lambda record: record.seed)
        ends = [(record.rounds[0], record.rounds[-1]) for record in group]
        pairs = [
            (theirs, mine)
            for one, other, mine, theirs in compared
            if other in group and one.collected == one.wanted
        ]
        rows.append(
            [
                f"`{group[0].robot}`, {_method(group[0])}",
                ", ".join(str(record.seed) for record in group),
                str(group[0].wanted),
                *(_means([end[i] for end in ends]) for i in (0, 1)),
                _difference(*ends),
                _difference(*pairs) if pairs else "–",
            ]
        )
    if rows:
        headings = (
            "over seeds",
            "seeds",
            "episodes",
            "at first, each",
            "at last, each",
            "rise (95 %)",
            "exploring is ahead by (95 %)",
        )
        yield from markdown_table(headings, rows)


def _but_for_the_seed(record: OnlineRecord) -> tuple[str, ...]:
    return str(record.robot), str(record.data), json.dumps(record.config, sort_keys=True)


def _method(record: OnlineRecord) -> str:
    return str(record.config.get("algorithm", record.config.get("collect")))


def _means(results: Sequence[RoundResult]) -> str:
    return ", ".join(f"{_exploited(result):.1f}" for result in results)


def _comparable(one: OnlineRecord, other: OnlineRecord) -> bool:
    if "algorithm" in other.config:
        return _circumstances(one) == _circumstances(other) and one.data in (None, other.data)

    def begin(record: OnlineRecord) -> tuple[Any, ...]:
        config = {k: v for k, v in record.config.items() if k not in ("collect", "episodes")}
        return record.seed, record.rounds[0].incumbent_digest, config

    return begin(one) == begin(other)


def _circumstances(record: OnlineRecord) -> tuple[Any, ...]:
    return record.seed, record.robot, record.config.get("evaluation_episodes")


def _difference(*pairs: tuple[RoundResult, RoundResult]) -> str:
    """Mean of the second less the first on the same reporting starts, and its 95 % interval."""
    differences: list[float] = []
    for before, after in pairs:
        if before.exploitation is None or after.exploitation is None:
            return "–"
        starts = zip(before.exploitation.returns, after.exploitation.returns, strict=True)
        differences += [later - earlier for earlier, later in starts]
    mean, interval = sum(differences) / len(differences), mean_interval(differences)
    if interval is None:
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ({interval[0]:.1f} to {interval[1]:.1f})"


def _exploited(result: RoundResult) -> float:
    return -math.inf if result.exploitation is None else result.exploitation.return_mean


def _details(records: Sequence[OnlineRecord], pictures: Sequence[Path]) -> Iterator[str]:
    for picture in pictures:
        yield f"![returns over collected episodes]({picture.as_posix()})"
        yield ""
    for record in records:
        yield f"**{record.name}**, `{record.command}`"
        yield ""
        yield from markdown_table(
            (*COLUMNS, "live"), [[*row(result), _live(result)] for result in record.rounds]
        )
        if record.training:
            done = record.training[-1]
            yield f"{done['updates']:.0f} gradient steps, {done['cpu']:.0f} s of processor time."
            yield ""


def _live(result: RoundResult) -> str:
    if result.live is None:
        return "–"
    return "confirmed" if result.live.kept else "rolled back"
