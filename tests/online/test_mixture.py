"""What exploring plans are made of follows what they led to."""

from __future__ import annotations

import random
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from gac_ros.online.mixture import Ingredients, Mixture, Trial, adapt

FIRST = Mixture(known=0.75, interrupted=0.5, rests=0.5)

made = st.builds(Ingredients, st.booleans(), st.booleans(), st.booleans())
trials = st.lists(st.builds(Trial, made, st.booleans()), max_size=60)
shares = st.floats(0.0, 1.0)


def tried(best: int, of: int, *, known: bool, interrupted: bool, rested: bool) -> list[Trial]:
    made = Ingredients(known, interrupted, rested)
    return [Trial(made, best=index < best) for index in range(of)]


def test_before_anything_was_tried_the_shares_are_the_first() -> None:
    assert adapt(FIRST, []) == FIRST


def test_while_nothing_was_the_best_the_shares_stay() -> None:
    sides = (True, False)
    tries = [tried(0, 9, known=k, interrupted=not k, rested=r) for k in sides for r in sides]
    assert adapt(FIRST, [*chain(*tries)]) == FIRST


def test_what_only_ruins_an_episode_becomes_rare_and_does_not_die_out() -> None:
    whole = tried(12, 40, known=True, interrupted=False, rested=False)
    ruined = [
        tried(0, 40, known=True, interrupted=True, rested=False),
        tried(0, 40, known=True, interrupted=False, rested=True),
        tried(0, 40, known=False, interrupted=True, rested=True),
    ]
    assert adapt(FIRST, [*whole, *chain(*ruined)]) == Mixture(known=0.9, interrupted=0.1, rests=0.1)


def test_what_alone_succeeds_becomes_common_and_not_the_only_one() -> None:
    found = tried(20, 20, known=False, interrupted=True, rested=True)
    stood = tried(0, 100, known=True, interrupted=False, rested=False)
    after = adapt(FIRST, found + stood)
    assert after.known == 0.1
    assert after.rests == 0.9
    # Of plans around known ones, none succeeded.
    assert after.interrupted == FIRST.interrupted


def test_what_seldom_succeeds_but_as_often_as_the_rest_keeps_its_share() -> None:
    rests = tried(2, 100, known=True, interrupted=False, rested=True)
    others = tried(2, 60, known=True, interrupted=False, rested=False)
    assert adapt(FIRST, rests + others) == FIRST


def test_shares_are_not_moved_by_chance() -> None:
    """Ingredients that make no difference, in fifty runs of two rounds of fifty episodes."""
    random_numbers = random.Random(0)
    moved = 0
    for _ in range(50):
        runs = [
            Trial(
                Ingredients(
                    random_numbers.random() < FIRST.known,
                    random_numbers.random() < FIRST.interrupted,
                    random_numbers.random() < FIRST.rests,
                ),
                best=random_numbers.random() < 0.05,
            )
            for _ in range(100)
        ]
        after = adapt(FIRST, runs)
        moved += sum(
            getattr(after, name) != getattr(FIRST, name)
            for name in ("known", "interrupted", "rests")
        )
    assert moved < 0.1 * 50 * 3


@given(st.builds(Mixture, shares, shares, shares), trials)
def test_shares_keep_their_bounds_and_what_is_all_or_nothing_stays_so(
    first: Mixture, tries: list[Trial]
) -> None:
    after = adapt(first, tries)
    for name in ("known", "interrupted", "rests"):
        before, now = getattr(first, name), getattr(after, name)
        assert min(before, 0.1) <= now <= max(before, 0.9)
        if before in (0.0, 1.0):
            assert now == before


@given(trials, st.randoms())
def test_the_order_of_the_episodes_does_not_matter(
    tries: list[Trial], mixer: random.Random
) -> None:
    mixed = list(tries)
    mixer.shuffle(mixed)
    assert adapt(FIRST, mixed) == adapt(FIRST, tries)


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
