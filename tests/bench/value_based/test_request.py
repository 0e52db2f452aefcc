"""What a value-based run is asked for."""

from __future__ import annotations

from gac_ros.bench.value_based.request import ValueBasedConfig


def test_processor_time_is_shared_out_evenly_among_the_episodes() -> None:
    config = ValueBasedConfig(algorithm="rlpd", episodes=10, cpu_seconds=100.0)
    assert [config.allowed_seconds(count) for count in (0, 5, 10)] == [0.0, 50.0, 100.0]


def test_an_offline_phase_has_its_share_of_the_processor_time() -> None:
    config = ValueBasedConfig(
        algorithm="cal_ql", episodes=10, cpu_seconds=100.0, offline_share=0.2, offline_updates=5
    )
    assert [config.allowed_seconds(count) for count in (0, 5, 10)] == [20.0, 60.0, 100.0]
    without = config.model_copy(update={"offline_updates": 0})
    assert without.allowed_seconds(0) == 0.0


def test_only_cal_ql_learns_offline() -> None:
    steps = {
        name: ValueBasedConfig(algorithm=name, offline_updates=7).first_updates
        for name in ("cal_ql", "rlpd")
    }
    assert steps == {"cal_ql": 7, "rlpd": 0}
