"""What exploring plans are made of follows what they earned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gac_ros.online.mixture import Ingredients, Mixture, Trial, adapt

FIRST = Mixture(known=0.75, interrupted=0.5, rests=0.5)

made = st.builds(Ingredients, st.booleans(), st.booleans(), st.booleans())
trials = st.lists(st.builds(Trial, made, st.floats(0.0, 1.0)), max_size=40)
shares = st.floats(0.0, 1.0)


def trial(merit: float, *, known: bool, interrupted: bool, rested: bool) -> Trial:
    return Trial(Ingredients(known, interrupted, rested), merit)


def test_before_anything_was_tried_the_shares_are_the_first() -> None:
    assert adapt(FIRST, []) == FIRST


def test_while_nothing_was_among_the_best_the_shares_stay() -> None:
    sides = (True, False)
    tried = [trial(0.0, known=k, interrupted=not k, rested=r) for k in sides for r in sides]
    assert adapt(FIRST, tried * 10) == FIRST


def test_what_only_ruins_an_episode_becomes_rare_and_does_not_die_out() -> None:
    whole = [trial(0.9, known=True, interrupted=False, rested=False)] * 40
    ruined = [
        trial(0.3, known=True, interrupted=True, rested=False),
        trial(0.2, known=True, interrupted=False, rested=True),
        trial(0.1, known=False, interrupted=True, rested=True),
    ] * 40
    assert adapt(FIRST, whole + ruined) == Mixture(known=0.9, interrupted=0.1, rests=0.1)


def test_what_alone_succeeds_becomes_common_and_not_the_only_one() -> None:
    found = [trial(1.0, known=False, interrupted=True, rested=True)] * 20
    stood = [trial(0.0, known=True, interrupted=False, rested=False)] * 100
    after = adapt(FIRST, found + stood)
    assert after.known == 0.1
    assert after.rests == 0.9
    # Of plans around known ones, none succeeded.
    assert after.interrupted == FIRST.interrupted


def test_equal_rates_leave_the_shares_where_they_began_however_unequal_the_counts() -> None:
    with_it = [trial(m, known=True, interrupted=False, rested=True) for m in [1.0] + [0.0] * 4] * 6
    without = [trial(m, known=True, interrupted=False, rested=False) for m in [1.0] + [0.0] * 4]
    assert abs(adapt(FIRST, with_it + without).rests - FIRST.rests) < 1e-12


@given(st.builds(Mixture, shares, shares, shares), trials)
def test_shares_keep_their_bounds_and_what_is_all_or_nothing_stays_so(
    first: Mixture, tried: list[Trial]
) -> None:
    after = adapt(first, tried)
    for name in ("known", "interrupted", "rests"):
        before, now = getattr(first, name), getattr(after, name)
        assert min(before, 0.1) <= now <= max(before, 0.9)
        if before in (0.0, 1.0):
            assert now == before


@given(trials, st.randoms())
def test_the_order_of_the_episodes_does_not_matter(tried: list[Trial], random: object) -> None:
    mixed = list(tried)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert adapt(FIRST, mixed) == adapt(FIRST, tried)


def test_a_recorded_plan_says_what_it_was_made_of() -> None:
    plan = {"mode": "explore", "from_known": True, "bursts": None}
    assert Ingredients.of(plan) == Ingredients(known=True, interrupted=False, rested=False)
    rest = {**plan, "bursts": {"rate": 0.0, "rest_from": 7}}
    assert Ingredients.of(rest) == Ingredients(known=True, interrupted=False, rested=True)
    new = {"mode": "explore", "from_known": False, "bursts": {"rate": 0.1, "rest_from": None}}
    assert Ingredients.of(new) == Ingredients(known=False, interrupted=True, rested=False)
    assert Ingredients.of({**plan, "from_known": None}) is None
    assert Ingredients.of({**plan, "mode": "exploit"}) is None
    assert Ingredients.of({"mode": "explore"}) is None
