"""Nobody has the best place in every round."""

from __future__ import annotations

import itertools

from gac_ros.bench.over_ros.turns import turn_order

NAMES = ("a", "b", "c", "d")


def test_everybody_is_in_every_place_equally_often() -> None:
    orders = [turn_order(NAMES, number) for number in range(8)]
    for place in range(4):
        assert sorted(order[place] for order in orders) == sorted(2 * NAMES)


def test_nobody_always_follows_the_same_one() -> None:
    pairs = {
        pair
        for number in range(8)
        for order in [turn_order(NAMES, number)]
        for pair in itertools.pairwise(order)
    }
    assert {("a", "b"), ("b", "a"), ("d", "a"), ("a", "d")} <= pairs
