"""How a candidate takes over, and when the former checkpoint comes back."""

from __future__ import annotations

import math

import pytest

from gac_ros.deployment.state import (
    Comparison,
    DeploymentConfig,
    DeploymentState,
    Named,
    episode_over,
    explored,
    failed,
    mode_of_next,
    offer,
    refuse,
    start,
)

OLD, NEW, OTHER = (Named(path=f"/{name}", digest=name) for name in ("old", "new", "other"))
CONFIG = DeploymentConfig(shadow_episodes=2, trial_episodes=5, least_episodes=3)


def compared(number: int, failure: str = "") -> Comparison:
    return Comparison(
        episode_id=f"e{number}",
        steps=10,
        mean_difference=0.1 * number,
        largest_difference=0.5,
        failure=failure,
    )


def shadowed(returns: tuple[float, ...] = (10.0, 12.0)) -> DeploymentState:
    """In shadow, with all episodes but the last."""
    state = start(OLD, CONFIG)
    for value in returns[:-1]:
        state = episode_over(state, "old", value)
    state = offer(state, NEW, "better")
    return episode_over(state, "old", returns[-1], compared(1))


def on_trial(returns: tuple[float, ...] = (10.0, 12.0)) -> DeploymentState:
    return episode_over(shadowed(returns), "old", 11.0, compared(3))


def events(state: DeploymentState) -> list[str]:
    return [entry.event for entry in state.log]


def test_in_shadow_the_old_one_acts_until_enough_episodes_are_compared() -> None:
    state = shadowed()
    assert (state.stage, state.acting, state.candidate) == ("shadow", OLD, NEW)
    state = episode_over(state, "old", 11.0, compared(3))
    assert (state.stage, state.acting, state.former) == ("trial", NEW, OLD)
    assert "2 episodes" in state.log[-1].why
    assert "0.200" in state.log[-1].why


def test_episodes_without_a_comparison_do_not_end_the_shadow() -> None:
    assert episode_over(shadowed(), "old", 11.0, None).stage == "shadow"


def test_a_candidate_that_fails_in_shadow_never_acts() -> None:
    state = episode_over(shadowed(), "old", 11.0, compared(2, "an action is not finite"))
    assert (state.stage, state.acting, state.candidate) == ("steady", OLD, None)
    assert "not finite" in state.log[-1].why


def test_a_trial_that_holds_is_confirmed_at_its_end() -> None:
    state = on_trial()
    for value in (10.0, 14.0, 9.0, 12.0):
        state = episode_over(state, "new", value)
        assert state.stage == "trial"
    state = episode_over(state, "new", 13.0)
    assert (state.stage, state.acting) == ("steady", NEW)
    assert events(state) == ["started", "offered", "taken", "confirmed"]
    assert state.returns == (10.0, 14.0, 9.0, 12.0, 13.0)


def test_a_fallen_live_return_brings_the_former_back_before_the_trial_ends() -> None:
    state = on_trial()
    for value in (1.0, 2.0):
        state = episode_over(state, "new", value)
        assert state.acting == NEW  # too few to judge
    state = episode_over(state, "new", 1.5)
    assert (state.stage, state.acting, state.candidate) == ("steady", OLD, None)
    assert state.log[-1].event == "rolled back"
    assert state.log[-1].checkpoint == NEW
    assert state.returns == (10.0, 12.0, 11.0)


def confirmed(returns: tuple[float, ...], config: DeploymentConfig = CONFIG) -> DeploymentState:
    state = on_trial().model_copy(update={"config": config})
    for value in (10.0, 14.0, 9.0, 12.0, 13.0, *returns):
        state = episode_over(state, "new", value)
    return state


def test_a_live_return_that_falls_after_the_confirmation_brings_the_former_back() -> None:
    config = CONFIG.model_copy(update={"watch_episodes": 4})
    state = confirmed((1.0, 2.0), config)
    assert (state.stage, state.acting, state.former) == ("steady", NEW, OLD)
    state = confirmed((1.0, 2.0, 1.5, 1.0), config)
    assert (state.stage, state.acting, state.former) == ("steady", OLD, None)
    assert events(state)[-2:] == ["confirmed", "rolled back"]
    assert "over 4 episodes" in state.log[-1].why
    assert state.returns == (10.0, 12.0, 11.0)
    # Nobody is left to come back.
    for value in (0.0, 1.0, 0.0, 1.0):
        state = episode_over(state, "old", value)
    assert (state.stage, state.acting) == ("steady", OLD)


def test_nothing_is_watched_when_it_holds_when_it_is_off_and_before_there_is_enough() -> None:
    fallen = (1.0, 2.0, 1.5, 1.0)
    for returns, watched in (((12.0, 9.0, 13.0, 10.0), 4), (fallen, 0), (fallen, 10)):
        state = confirmed(returns, CONFIG.model_copy(update={"watch_episodes": watched}))
        assert (state.stage, state.acting) == ("steady", NEW)
        assert state.log[-1].event == "confirmed"


def test_one_episode_in_so_many_exploits_while_it_is_watched() -> None:
    state = confirmed((), CONFIG.model_copy(update={"watch_every": 3}))
    modes = []
    for _ in range(7):
        modes.append(mode_of_next(state))
        state = explored(state, "new") if modes[-1] == "explore" else episode_over(state, "new", 9)
    assert modes == ["explore", "explore", "exploit", "explore", "explore", "exploit", "explore"]
    assert mode_of_next(shadowed()) == mode_of_next(on_trial()) == "exploit"


def test_only_exploration_is_wanted_where_nothing_is_watched() -> None:
    alone = start(OLD, CONFIG)
    unwatched = confirmed((), CONFIG.model_copy(update={"watch_episodes": 0}))
    for state, digest in ((alone, "old"), (unwatched, "new")):
        assert explored(state, digest) == state
        assert mode_of_next(state) == "explore"
    watched = confirmed(())
    assert explored(watched, "old") == watched  # somebody else explored


def test_a_live_return_that_falls_in_shadow_drops_the_candidate_as_well() -> None:
    config = CONFIG.model_copy(update={"watch_episodes": 4, "shadow_episodes": 4})
    state = offer(confirmed((1.0, 2.0), config), OTHER, "better than a fallen one")
    state = episode_over(state, "new", 1.5, compared(1))
    assert (state.stage, state.acting, state.candidate) == ("shadow", NEW, OTHER)
    # Without a comparison as well.
    state = episode_over(state, "new", 1.0, None)
    assert (state.stage, state.acting, state.candidate) == ("steady", OLD, None)
    assert events(state)[-2:] == ["rolled back", "dropped"]
    assert [entry.checkpoint for entry in state.log[-2:]] == [NEW, OTHER]
    assert state.log[-1].why == "/new, which it was better than, was rolled back"
    assert mode_of_next(state) == "explore"


def test_the_next_candidate_is_guarded_by_the_one_it_follows() -> None:
    config = CONFIG.model_copy(update={"watch_episodes": 4})
    state = offer(confirmed((), config), OTHER, "better still")
    # In shadow, what acts is watched as before; here it holds.
    for number, value in enumerate((1.0, 2.0)):
        state = episode_over(state, "new", value, compared(number))
    assert (state.stage, state.acting, state.former) == ("trial", OTHER, NEW)
    assert state.former_returns == (10.0, 14.0, 9.0, 12.0, 13.0, 1.0, 2.0)


def test_a_fall_without_any_spread_counts_and_noise_does_not() -> None:
    state = on_trial((11.0, 11.0))
    for value in (5.0, 5.0, 5.0):
        state = episode_over(state, "new", value)
    assert state.acting == OLD
    state = on_trial((0.0, 50.0))
    for value in (40.0, 0.0, 5.0):
        state = episode_over(state, "new", value)
    assert state.acting == NEW


def test_without_a_former_return_nothing_can_fall() -> None:
    config = CONFIG.model_copy(update={"shadow_episodes": 0, "trial_episodes": 3})
    state = offer(start(OLD, config), NEW, "better")
    assert (state.stage, state.acting) == ("trial", NEW)
    for value in (0.0, 0.0, 0.0):
        state = episode_over(state, "new", value)
    assert (state.stage, state.acting) == ("steady", NEW)
    assert "too few live returns" in state.log[-1].why


def test_episodes_of_somebody_else_and_without_a_return_say_nothing() -> None:
    state = on_trial()
    assert episode_over(state, "old", 1.0) == state
    assert episode_over(state, "new", None) == state
    assert episode_over(state, "new", math.nan) == state


def test_a_better_offer_replaces_one_in_shadow_but_waits_for_a_trial() -> None:
    state = offer(shadowed(), OTHER, "better still")
    assert (state.candidate, state.comparisons) == (OTHER, ())
    # Whoever waits for the verdict on the first one hears of it.
    assert [(entry.event, entry.checkpoint) for entry in state.log[-2:]] == [
        ("dropped", NEW),
        ("offered", OTHER),
    ]
    assert state.log[-2].why == "/other was offered instead"
    with pytest.raises(ValueError, match="trial"):
        offer(on_trial(), OTHER, "too early")


def test_refusals_are_logged_and_change_nothing_else() -> None:
    state = refuse(start(OLD, CONFIG), NEW, "-3.0 on 20 equal starts")
    assert (state.stage, state.acting, state.candidate) == ("steady", OLD, None)
    assert (state.log[-1].event, state.log[-1].why) == ("refused", "-3.0 on 20 equal starts")


def test_only_the_present_candidate_can_fail() -> None:
    assert failed(shadowed(), OTHER, "gone") == shadowed().model_copy(
        update={"log": failed(shadowed(), OTHER, "gone").log}
    )
    assert failed(shadowed(), NEW, "gone").candidate is None
