"""Render the page on control at rate from the files of `gac bench`: control, soak, replanning.

The prose is about what is measured and how; every figure comes from the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gac_ros.bench import control_tables as tables
from gac_ros.bench.control import DecisionReport, DecisionTime
from gac_ros.bench.goals import SpeedGoal, damaged_measurement, measurement_origin, read_measurement
from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.over_ros.jitter import JitterReport, MissedReport
from gac_ros.bench.over_ros.latency import LatencyReport
from gac_ros.bench.over_ros.limits import (
    decision_limits,
    latency_limits,
    missed_limits,
    soak_limits,
)
from gac_ros.bench.over_ros.soak import SoakReport
from gac_ros.bench.planning import PlanReport
from gac_ros.bench.replanning_table import replanning_section
from gac_ros.files import write_text

CONTROL_FILE = "control.json"
PRIORITY_FILE = "control_priority.json"
RUNTIMES_FILE = "decision_runtimes.json"
SOAK_FILES = ("soak_lock_step.json", "soak_real_time.json")
REPLANNING_FILES = "replanning*.json"
NOTES_FILE = "rate_notes.md"
_HEAD = """\
# Control at rate

Rendered by `gac bench report` from the JSON files of `gac bench control` (`make bench`, sixteen
minutes), `gac bench soak` and `gac bench replanning`; no figure in a table was typed by hand. The
ratios are measured side by side, in turns within one run; the other times are those of the machine
named below and of what else it did at the time.

- The model has the default sizes and random weights; what it has learned changes no time.
- *State to action* is measured from outside: from a robot's publish call to the arrival of the
  command at the robot, through DDS, each node in a process of its own. *echo* is an ordinary rclpy
  node that copies three numbers from the state to a command; *echo of raw bytes* is the least that
  rclpy can do. The controller records four topics (state, reward, command, decision). *own part* is
  the median time inside the controller, from the callback with the state to the end of the publish
  call; *first* that of the first actions of the episodes.
- *invalid*: states that were never answered (*unanswered*), commands that answered none
  (*unasked*), commands that were the safe action and not the policy's (*safe*), and messages that
  the recorder lost (*not recorded*); 0 where all that was measured is the policy's and recorded.
- *ran* and *waited*: how long the answering process's threads, all together, had a processor in a
  tick, and how long they were ready but had none; on average, from the kernel's account of them.
- *others*: the processors' worth of time that went to processes outside of the measurement and to
  other machines of the hypervisor meanwhile. Where it is not near 0, the machine was busy, and
  everybody's tail is longer, the echo's too.
- *periods missed*: those that late commands overran. One command may overrun several, so that they
  may be more than the late commands and even than the ticks (the states sent). All of them count
  for the goals (in older files: *ticks missed*), whoever's fault they are. A late command is put
  down to a *standstill* if it would have been in time without the times during it at which all
  processors stood still at once: a watcher on each, which sleeps for a millisecond at a time with a
  real-time priority that no ordinary process can hold up, woke late then, so that nothing could
  have run. Beside it, how common that is: the share of the commands *in time* in whose period there
  was *as long a* standstill as the shortest that excuses a late one. Where it says *of any one*, a
  standstill of one processor excused a command, too, though it may have been made on another: the
  file is from before they were told apart. A late command is put down to having *waited* if it
  would have been in time had the main thread of the answering process, or of the stand that plays
  the robot, not been ready without a processor during it, as the kernel tells. *Else*: neither
  explains it alone, as when a thread of DDS waited; these count as the controller's own.
- *p50 / as it is*, *p99 / as it is*: over those with the planner as it is.
- *Beside other work*: `chrt -f 20 gac bench control --latency --missed` while trainings load the
  machine; all processes but the planner's have that priority. *others* says how loaded it was.
- *Periods of the commands* are those that a subscriber of them sees. *Real-time priority*: as with
  `chrt` ([controller.md](controller.md), Priority); only where it is permitted.
- *Other ways to compute a decision*: the decoding step alone, without normalisation, by
  `benchmarks/decision_runtimes.py`; each gives the same actions.
"""
_REPORTS: tuple[tuple[str, type[Any], Any], ...] = (
    ("decision", DecisionReport, tables.decision_table),
    ("latency", LatencyReport, tables.latency_table),
    ("plans", PlanReport, tables.plan_table),
    ("missed", MissedReport, tables.missed_table),
    ("jitter", JitterReport, tables.jitter_table),
)


def write_rate_page(results: Path, page: Path) -> bool:
    """Write the page if there is a file to make it of; returns whether there is.

    Raises:
        EpisodeError: a file is damaged.
        OutputError: the page cannot be written.
    """
    lines = [
        *_control(results / CONTROL_FILE, "Speed"),
        *_control(results / PRIORITY_FILE, "Speed at a real-time priority, beside other work"),
        *_runtimes(results / RUNTIMES_FILE),
        *_soaks(results),
        *replanning_section(sorted(results.glob(REPLANNING_FILES))),
    ]
    if not lines:
        return False
    notes = results / NOTES_FILE
    if notes.is_file():
        lines += notes.read_text(encoding="utf-8").splitlines()
    write_text(page, "\n".join([*_HEAD.splitlines(), "", *lines]).rstrip("\n") + "\n")
    return True


def _control(path: Path, title: str) -> Iterator[str]:
    if not path.is_file():
        return
    content = read_measurement(path)
    yield from (f"## {title}", "", _origin(path, content), "")
    try:
        goals = [SpeedGoal.model_validate(goal) for goal in content["goals"]]
        if goals:
            yield from _section(tables.goal_table(goals))
        yield from _limits(_control_limits(content))
        for key, kind, make_table in _REPORTS:
            if key in content:
                yield from _section(make_table(kind.model_validate(content[key])))
    except (KeyError, ValidationError) as error:
        raise damaged_measurement(path, error) from error


def _runtimes(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    content = read_measurement(path)
    yield from ("## Other ways to compute a decision", "", measurement_origin(path, content), "")
    try:
        times = [DecisionTime.model_validate(entry) for entry in content["runtimes"]]
    except (KeyError, ValidationError) as error:
        raise damaged_measurement(path, error) from error
    yield from _section(tables.runtimes_table(times))


def _soaks(results: Path) -> Iterator[str]:
    found = [results / name for name in SOAK_FILES if (results / name).is_file()]
    if not found:
        return
    reports: list[SoakReport] = []
    goals: list[SpeedGoal] = []
    yield from ("## Soak", "")
    for path in found:
        content = read_measurement(path)
        yield from (_origin(path, content), "")
        try:
            reports += [
                SoakReport.model_validate(content[key])
                for key in ("lock_step", "real_time")
                if key in content
            ]
            goals += [SpeedGoal.model_validate(goal) for goal in content["goals"]]
        except (KeyError, ValidationError) as error:
            raise damaged_measurement(path, error) from error
    yield from _section(tables.soak_table(reports))
    yield from _section(tables.goal_table(goals))
    yield from _limits(line for report in reports for line in soak_limits(report))


def _origin(path: Path, content: dict[str, Any]) -> str:
    """Where a measurement comes from, and whether it ended."""
    origin = measurement_origin(path, content)
    reason = content.get("unfinished")
    return f"{origin} The run did not end ({reason}): parts are missing." if reason else origin


def _control_limits(content: dict[str, Any]) -> Iterator[str]:
    if "decision" in content:
        yield from decision_limits(DecisionReport.model_validate(content["decision"]))
    if "latency" in content:
        yield from latency_limits(LatencyReport.model_validate(content["latency"]))
    if "missed" in content:
        yield from missed_limits(MissedReport.model_validate(content["missed"]))


def _limits(lines: Iterable[str]) -> Iterator[str]:
    found = [f"- {line}" for line in lines]
    if found:
        yield from ("### Where a goal is missed", "", *found, "")


def _section(found: tables.TextTable) -> Iterator[str]:
    yield from (f"### {found.title}", "")
    yield from markdown_table(found.columns, found.rows)
