"""What a value-based run is asked for."""

from __future__ import annotations

from gac_ros.bench.value_based.request import ValueBasedConfig


def test_processor_time_is_shared_out_evenly_among_the_episodes() -> None:
    config = ValueBasedConfig(algorithm="rlpd", episodes=10, cpu_seconds=100.0)
    assert [config.allowed_seconds(config.done(n, 0)) for n in (0, 5, 10)] == [0.0, 50.0, 100.0]


def test_where_steps_count_processor_time_and_rounds_are_shared_out_by_them() -> None:
    config = ValueBasedConfig(
        algorithm="rlpd", episodes=10, round_episodes=4, steps=1000, cpu_seconds=100.0
    )
    assert [config.allowed_seconds(config.done(7, n)) for n in (0, 500, 1020)] == [0, 50, 100]
    assert [config.done_after(number) for number in (1, 2, 3)] == [0.4, 0.8, 1.0]


def test_an_offline_phase_has_its_share_of_the_processor_time() -> None:
    config = ValueBasedConfig(
        algorithm="cal_ql", episodes=10, cpu_seconds=100.0, offline_share=0.2, offline_updates=5
    )
    assert [config.allowed_seconds(done) for done in (0.0, 0.5, 1.0)] == [20.0, 60.0, 100.0]
    without = config.model_copy(update={"offline_updates": 0})
    assert without.allowed_seconds(0.0) == 0.0


def test_only_cal_ql_learns_offline() -> None:
    steps = {
        name: ValueBasedConfig(algorithm=name, offline_updates=7).first_updates
        for name in ("cal_ql", "rlpd")
    }
    assert steps == {"cal_ql": 7, "rlpd": 0}
