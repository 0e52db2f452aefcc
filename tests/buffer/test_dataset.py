"""The replay buffer, and training windows against the obvious loops."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from episode_bags import TOPICS, Trajectory, embodiment, record, script
from hypothesis import given, settings
from hypothesis import strategies as st

from gac_ros.buffer.dataset import EpisodeBuffer, stratified_starts
from gac_ros.episode import Episode
from gac_ros.errors import EmbodimentError, EpisodeError
from gac_ros.normalization import Normalizer


def episode(steps: int, seed: int = 0, **changes: Any) -> Episode:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "observations": rng.normal(size=(steps + 1, 3)),
        "actions": rng.uniform(-1.0, 1.0, size=(steps, 2)),
        "rewards": rng.normal(size=steps),
        "valid": rng.random(steps) < 0.8,
        "terminated": False,
        "truncated": True,
        "episode_return": float(seed),
    }
    return Episode(**{**values, **changes})


def buffer(*lengths: int) -> EpisodeBuffer:
    episodes = [episode(steps, seed) for seed, steps in enumerate(lengths)]
    return EpisodeBuffer(episodes, [f"e{number}" for number in range(len(lengths))])


def test_episodes_come_back_from_the_buffer_as_they_went_in() -> None:
    known = [episode(steps, seed) for seed, steps in enumerate([3, 1, 7])]

    made = EpisodeBuffer(known, ["a", "b", "c"])

    assert made.ids == ("a", "b", "c")
    assert made.lengths.tolist() == [3, 1, 7]
    assert made.returns.tolist() == [0.0, 1.0, 2.0]
    assert len(made) == len(made.episodes) == 3
    for index, (before, after) in enumerate(zip(known, made, strict=True)):
        for name in ("observations", "actions", "rewards", "valid"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
            np.testing.assert_array_equal(getattr(made[index], name), getattr(after, name))
        assert after.episode_return == before.episode_return


def test_an_episode_without_a_label_has_a_return_of_nan() -> None:
    made = EpisodeBuffer([episode(2), episode(2, episode_return=None)], ["a", "b"])

    np.testing.assert_array_equal(made.returns, [0.0, np.nan])
    assert made[1].episode_return is None


def infinite() -> Episode:
    known = episode(3)
    known.observations[1, 0] = np.inf
    return known


@pytest.mark.parametrize(
    ("episodes", "ids", "problem"),
    [
        ([], [], "at least one episode"),
        ([episode(2)], ["a", "b"], "as many different ids"),
        ([episode(2), episode(2)], ["a", "a"], "as many different ids"),
        ([episode(2), episode(2, actions=np.zeros((2, 5)))], ["a", "b"], "episode b has 3.*and 5"),
        ([infinite()], ["a"], "episode a holds numbers that are not finite"),
    ],
)
def test_episodes_that_do_not_fit_together_are_refused(
    episodes: list[Episode], ids: list[str], problem: str
) -> None:
    with pytest.raises(EpisodeError, match=problem):
        EpisodeBuffer(episodes, ids)


# --- from folders --------------------------------------------------------------------------------


def test_a_folder_of_bags_is_read_in_the_order_of_the_episode_ids(tmp_path: Path) -> None:
    trajectories = {name: Trajectory.random(4, seed) for seed, name in enumerate(["b", "c", "a"])}
    for name, trajectory in trajectories.items():
        record(tmp_path, name, trajectory)

    made = EpisodeBuffer.open(tmp_path)

    assert made.ids == ("a", "b", "c")
    assert made.problems == ()
    for name, read in zip(made.ids, made.episodes, strict=True):
        np.testing.assert_array_equal(read.actions, trajectories[name].actions)
        assert read.metadata is not None
        assert read.metadata.episode_id == name


def test_several_folders_and_single_bags_can_be_read_together(tmp_path: Path) -> None:
    record(tmp_path / "one", "a")
    record(tmp_path / "two", "b")
    bag = record(tmp_path / "three", "c")
    record(tmp_path / "three", "d")

    made = EpisodeBuffer.open([tmp_path / "two", tmp_path / "one", bag])

    assert made.ids == ("a", "b", "c")


def test_what_is_not_an_episode_is_left_alone(tmp_path: Path) -> None:
    record(tmp_path, "a")
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / ".recording" / "unfinished").mkdir()
    (tmp_path / ".recording" / "unfinished" / "unfinished_0.mcap").write_bytes(b"\x89MCAP0\r\n")

    made = EpisodeBuffer.open(tmp_path)

    assert made.ids == ("a",)
    assert made.problems == ()


def test_broken_episodes_are_listed_with_their_reason_and_the_others_read(tmp_path: Path) -> None:
    record(tmp_path, "good")
    cut = record(tmp_path, "cut") / "cut_0.mcap"
    cut.write_bytes(cut.read_bytes()[:-1])
    (record(tmp_path, "headless") / "metadata.yaml").unlink()
    helpless = Trajectory.random(3)
    helpless.sources = [1, 1, 1]
    record(tmp_path, "helpless", helpless)

    made = EpisodeBuffer.open(tmp_path)

    assert made.ids == ("good",)
    reasons = {problem.path.name: problem.reason for problem in made.problems}
    assert set(reasons) == {"cut", "headless", "helpless"}
    assert "does not match its SHA-256" in reasons["cut"]
    assert "metadata.yaml cannot be read" in reasons["headless"]
    assert "no step can be learnt from" in reasons["helpless"]


def test_an_episode_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    bag = record(tmp_path / "one", "a")
    shutil.copytree(bag, tmp_path / "two" / "a")

    made = EpisodeBuffer.open([tmp_path / "one", tmp_path / "two"])

    assert made.ids == ("a",)
    (problem,) = made.problems
    assert problem.path == tmp_path / "two" / "a"
    assert "the episode a was read already" in problem.reason


def test_a_folder_without_a_usable_episode_is_an_error_with_the_first_reason(
    tmp_path: Path,
) -> None:
    with pytest.raises(EpisodeError, match="no usable episode; collect episodes first"):
        EpisodeBuffer.open(tmp_path)

    (record(tmp_path, "a") / "a_0.mcap").unlink()
    with pytest.raises(EpisodeError, match=r"no usable episode; the first problem: .*a_0\.mcap"):
        EpisodeBuffer.open(tmp_path)


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for name in ("absent", "file"):
        with pytest.raises(EpisodeError, match=f"{name}: cannot be read .*give a folder"):
            EpisodeBuffer.open(tmp_path / name)


def test_bags_of_another_robot_are_refused_by_name_of_what_differs(tmp_path: Path) -> None:
    record(tmp_path, "a")

    assert EpisodeBuffer.open(tmp_path, embodiment=embodiment()).ids == ("a",)
    with pytest.raises(EmbodimentError, match=r"a: .*control_rate: 60\.0 against 50\.0"):
        EpisodeBuffer.open(tmp_path, embodiment=embodiment(control_rate=60.0))


def test_bags_of_two_robots_in_one_folder_are_refused(tmp_path: Path) -> None:
    record(tmp_path, "a")
    record(tmp_path, "b", robot=embodiment(control_rate=60.0))

    with pytest.raises(EmbodimentError, match="keep robots in separate folders"):
        EpisodeBuffer.open(tmp_path)


def test_no_bag_makes_the_next_one_run_its_scoring_function(tmp_path: Path) -> None:
    scored = embodiment(**{"return": {"source": "function", "function": "no_such_module:score"}})
    record(tmp_path, "a", robot=scored)
    record(tmp_path, "b", robot=scored)

    made = EpisodeBuffer.open(tmp_path)

    assert made.ids == ("a", "b")
    assert np.isnan(made.returns).all()
    with pytest.raises(EpisodeError, match="no_such_module"):
        EpisodeBuffer.open(tmp_path, embodiment=scored)


# --- digest --------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    record(tmp_path / "one", "a")
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    digests = {EpisodeBuffer.open(tmp_path / name).digest for name in ("one", "two")}

    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_the_digest_changes_with_ids_returns_and_every_array() -> None:
    changed = episode(4)
    changed.actions[2, 1] += 1e-12
    variants = [
        EpisodeBuffer([episode(4)], ["a"]),
        EpisodeBuffer([episode(4)], ["b"]),
        EpisodeBuffer([episode(4, episode_return=7.0)], ["a"]),
        EpisodeBuffer([episode(4, valid=np.ones(4, dtype=bool))], ["a"]),
        EpisodeBuffer([changed], ["a"]),
        EpisodeBuffer([episode(4), episode(4)], ["a", "b"]),
    ]

    assert len({variant.digest for variant in variants}) == len(variants)


# --- windows -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    burn_in=st.integers(0, 5),
    length=st.integers(1, 5),
    data=st.data(),
)
def test_windows_equal_those_of_the_obvious_loops(
    lengths: list[int], burn_in: int, length: int, data: st.DataObject
) -> None:
    made = buffer(*lengths)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=4)))
    starts = np.array(
        data.draw(
            st.lists(
                st.lists(st.integers(-15, 15), min_size=2, max_size=2),
                min_size=len(chosen),
                max_size=len(chosen),
            )
        )
    )

    cut = made.windows(chosen, starts, burn_in=burn_in, length=length)

    assert cut.observations.shape == (len(chosen), 2, burn_in + length, 3)
    assert cut.actions.shape == (len(chosen), 2, burn_in + length, 2)
    for row, index in enumerate(chosen):
        source = made[int(index)]
        for window in range(2):
            for position in range(burn_in + length):
                step = starts[row, window] - burn_in + position
                here = (row, window, position)
                inside = 0 <= step < len(source)
                assert cut.steps[here] == step
                assert cut.present[here] == inside
                assert cut.scored[here] == (inside and source.valid[step] and position >= burn_in)
                np.testing.assert_array_equal(
                    cut.observations[here], source.observations[step] if inside else np.zeros(3)
                )
                np.testing.assert_array_equal(
                    cut.actions[here], source.actions[step] if inside else np.zeros(2)
                )


def test_windows_do_not_share_memory_with_the_buffer() -> None:
    made = buffer(5)
    cut = made.windows(np.array([0]), np.array([[0]]), burn_in=0, length=5)

    cut.observations[:] = 7.0

    assert not (made[0].observations == 7.0).any()


def test_normalised_windows_are_the_normalised_numbers_and_zero_outside() -> None:
    made = buffer(5, 8)
    normalizer = Normalizer.fit(made.episodes, np.full(2, -2.0), np.full(2, 4.0))
    chosen, starts = np.array([1, 0]), np.array([[-2, 6], [3, 0]])

    seen = made.normalized(normalizer)
    cut = seen.windows(chosen, starts, burn_in=2, length=3)
    raw = made.windows(chosen, starts, burn_in=2, length=3)

    assert cut.observations.dtype == cut.actions.dtype == np.float32
    np.testing.assert_array_equal(
        cut.observations[raw.present],
        normalizer.normalize_observation(raw.observations[raw.present]),
    )
    np.testing.assert_array_equal(
        cut.actions[raw.present], normalizer.normalize_action(raw.actions[raw.present])
    )
    assert not cut.observations[~raw.present].any()
    assert not cut.actions[~raw.present].any()
    for name in ("steps", "present", "scored"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(raw, name))
    np.testing.assert_array_equal(seen.returns, normalizer.normalize_return(made.returns))


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    windows=st.integers(1, 10),
    length=st.integers(1, 12),
    seed=st.integers(0, 100),
)
def test_each_window_touches_its_episode_and_lies_in_its_own_stratum(
    lengths: list[int], windows: int, length: int, seed: int
) -> None:
    sizes = np.array(lengths)

    starts = stratified_starts(sizes, windows, length, np.random.default_rng(seed))

    assert starts.shape == (len(lengths), windows)
    assert starts.dtype == np.int64
    assert (starts < sizes[:, None]).all()
    assert (starts + length > 0).all()
    for steps, row in zip(lengths, starts, strict=True):
        width = (steps + length - 1) / windows
        for stratum, start in enumerate(row + length - 1):
            assert stratum * width - 1 < start < (stratum + 1) * width


@pytest.mark.parametrize(("steps", "windows", "length"), [(20, 4, 3), (5, 3, 8), (1, 2, 4)])
def test_every_step_is_scored_equally_often_the_first_and_the_last_too(
    steps: int, windows: int, length: int
) -> None:
    rounds = 20_000
    rng = np.random.default_rng(0)

    starts = stratified_starts(np.full(rounds, steps), windows, length, rng)

    covered = starts[:, :, None] + np.arange(length)
    inside = (covered >= 0) & (covered < steps)
    counts = np.bincount(covered[inside], minlength=steps) / rounds
    np.testing.assert_allclose(counts, windows * length / (steps + length - 1), rtol=0.05)


def test_rounding_never_lifts_a_start_over_the_end_of_the_episode() -> None:
    class Highest(np.random.Generator):
        def random(self, size: Any = None, *_: Any) -> Any:
            return np.full(size, np.nextafter(1.0, 0.0))

    starts = stratified_starts(np.array([12]), 8, 4, Highest(np.random.PCG64()))

    assert starts[0, -1] == 11


def test_the_same_seed_gives_the_same_starts() -> None:
    sizes = np.array([30, 7])

    first, second = (stratified_starts(sizes, 4, 5, np.random.default_rng(3)) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_a_bag_without_rewards_still_teaches(tmp_path: Path) -> None:
    trajectory = Trajectory.random(4)
    roles = [role for role in script(trajectory) if role[0] != "reward"]
    topics = {key: value for key, value in TOPICS.items() if key != "reward"}
    record(tmp_path, "a", trajectory, roles=roles, topics=topics, episode_return=3.0)

    made = EpisodeBuffer.open(tmp_path)

    assert made.returns.tolist() == [3.0]
    assert made[0].rewards.tolist() == [0.0] * 4


def test_what_two_writers_complete_is_all_seen_by_a_reader_meanwhile(tmp_path: Path) -> None:
    made = {f"{writer}{number}": Trajectory.random(20, seed=number) for writer in "ab"
            for number in range(8)}  # fmt: skip

    def write(writer: str) -> None:
        for name, trajectory in made.items():
            if name[0] == writer:
                record(tmp_path, name, trajectory)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in "ab"]
    for thread in threads:
        thread.start()
    seen: set[str] = set()
    while len(seen) < len(made):
        try:
            opened = EpisodeBuffer.open(tmp_path)
        except EpisodeError:
            continue  # nothing is complete yet
        assert opened.problems == ()
        assert seen <= set(opened.ids)
        seen = set(opened.ids)
        for name, found in zip(opened.ids, opened, strict=True):
            np.testing.assert_array_equal(found.observations, made[name].observations)
    for thread in threads:
        thread.join()
