"""What is told of the machine beside a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gac_ros.bench.over_ros.late import LateTick, count_causes, in_time_stood_still, late_ticks
from gac_ros.bench.over_ros.machine import (
    LoadMeter,
    common,
    merged,
    second_and_last_tenth,
    standstill,
)
from gac_ros.bench.over_ros.stand import Exchanges
from gac_ros.bench.over_ros.usage import RunQueue, Usage, descendants, scheduled
from gac_ros.bench.over_ros.witness import read_witnesses


def test_standstills_that_overlap_count_once() -> None:
    stalls = merged([(5.0, 6.0), (1.0, 2.0), (1.5, 3.0)])
    assert stalls.tolist() == [[1.0, 3.0], [5.0, 6.0]]
    begin, end = np.array([2.5, 3.5, 0.0]), np.array([5.25, 4.5, 9.0])
    assert standstill(stalls, begin, end) == pytest.approx([0.75, 0.0, 3.0])
    assert standstill(merged(()), begin, end).tolist() == [0.0, 0.0, 0.0]


def test_the_machine_stands_still_when_all_of_its_processors_do() -> None:
    first, second = merged([(1.0, 4.0), (6.0, 7.0)]), merged([(0.0, 2.0), (3.0, 6.0), (6.5, 9.0)])
    assert common([first, second]).tolist() == [[1.0, 2.0], [3.0, 4.0], [6.5, 7.0]]
    assert common([first]).tolist() == first.tolist()
    assert common([first, merged(())]).tolist() == []
    assert common([]).tolist() == []


def test_a_late_command_is_the_machines_only_if_it_had_been_in_time_without_its_standstill() -> (
    None
):
    found = Exchanges(0.005, seconds=[0.004, 0.009, 0.009, 0.009], sent=[0.0, 1.0, 2.0, 3.0])
    # Right before each state and right after its answer: ran, waited.
    found.scheduled = [
        *[(0.0, 0.0), (0.001, 0.0)],
        *[(0.001, 0.0), (0.002, 0.001)],
        *[(0.002, 0.001), (0.003, 0.006)],
        *[(0.003, 0.006), (0.011, 0.0061)],
    ]
    processors = [merged([(1.001, 1.007), (2.0, 2.003)]), merged([(1.0, 1.007), (2.0, 2.003)])]
    late = late_ticks(found, processors)
    assert [tick.cause for tick in late] == ["standstill", "waiting", "other"]
    assert [tick.stood_still for tick in late] == pytest.approx([7.0, 3.0, 0.0])
    assert [tick.all_stood_still for tick in late] == pytest.approx([6.0, 3.0, 0.0])
    assert [round(tick.waited, 6) for tick in late] == [1.0, 5.0, 0.1]
    assert [round(tick.ran, 6) for tick in late] == [1.0, 1.0, 8.0]
    assert count_causes(late) == {"standstill": 1, "waiting": 1, "other": 1}
    # What only one of the processors did is kept, but excuses nothing.
    alone = late_ticks(found, [processors[0], merged(())])
    assert [tick.stood_still for tick in alone] == pytest.approx([6.0, 3.0, 0.0])
    assert [tick.cause for tick in alone] == ["other", "waiting", "other"]


def test_an_excuse_is_told_with_how_often_it_made_nobody_late() -> None:
    found = Exchanges(0.005, seconds=[0.001, 0.002, 0.007, 0.001], sent=[0.0, 1.0, 2.0, 3.0])
    found.scheduled = [(0.0, 0.0)] * 8
    short, long, after = (1.0, 1.001), (2.001, 2.004), (3.001, 3.006)
    everybody = [merged([short, long, after])] * 2
    late = late_ticks(found, everybody)
    assert [tick.cause for tick in late] == ["standstill"]
    assert in_time_stood_still(found, everybody, late) == pytest.approx(1 / 3)
    one = [everybody[0], merged(())]
    assert in_time_stood_still(found, one, late_ticks(found, one)) is None


def test_two_causes_that_explain_a_late_command_only_together_excuse_nothing() -> None:
    tick = LateTick(period=5.0, took=9.0, stood_still=3.0, waited=3.0, ran=1.0)
    assert tick.cause == "other"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("real-time priority\n1.0 1.5\n", [[[1.0, 1.5]]]),
        ("real-time priority\n", [[]]),
        ("ordinary priority\n", None),
        ("", None),
    ],
)
def test_only_a_witness_with_a_real_time_priority_is_believed(
    tmp_path: Path, text: str, seen: list[list[list[float]]] | None
) -> None:
    (tmp_path / "log").write_text(text)
    processors = read_witnesses([tmp_path / "log"])
    assert (processors and [stalls.tolist() for stalls in processors]) == seen


def test_a_witness_tells_what_it_may_see(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gac_ros.bench.over_ros.witness"]
    processor = min(os.sched_getaffinity(0))
    with subprocess.Popen([*command, str(processor)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() in ("real-time priority\n", "ordinary priority\n")
        process.kill()


def processor_seconds() -> float:
    """That all processors have worked since the start of the machine."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


def test_the_work_of_the_measurement_itself_is_not_that_of_others() -> None:
    meter = LoadMeter()
    begun, everybody = time.monotonic(), processor_seconds()
    with meter.counting():
        before = time.process_time()
        while time.process_time() - before < 1.0:
            pass
    everybody = processor_seconds() - everybody
    seconds = time.monotonic() - begun
    load = meter.load()
    assert load.processors == os.cpu_count()
    # The second of this process is missing, but for what clocks that tick every 10 ms tell.
    assert load.others * seconds < everybody - 0.5


def test_even_little_processor_time_of_another_process_is_told() -> None:
    work = "sum(range(10**5)); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = Usage.of(process.pid).cpu
        assert seconds > 0.0
        assert abs(seconds - scheduled(process.pid)[0]) < 0.05
        process.kill()
    with pytest.raises(OSError):
        Usage.of(process.pid)


def test_what_others_took_is_told_for_the_start_and_the_end() -> None:
    meter = LoadMeter()
    for _ in range(3):
        with meter.counting():
            time.sleep(0.05)
    for load in (meter.load(), *meter.start_and_end()):
        assert load.others >= 0.0
    assert second_and_last_tenth(1) == (slice(0, 1), slice(-1, None))
    assert second_and_last_tenth(40) == (slice(4, 8), slice(-4, None))


def test_the_kernel_tells_how_long_a_process_ran_and_waited() -> None:
    with RunQueue(os.getpid()) as queue:
        before = queue.read()
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        after = queue.read()
    assert 0.04 < after[0] - before[0] < 1.0
    assert after[1] >= before[1]
    assert scheduled(os.getpid())[0] >= after[0]
    assert np.all(scheduled(os.getpid()) >= 0.0)
    assert os.getpid() in descendants(os.getppid())
