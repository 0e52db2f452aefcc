"""In which order those that are compared take their turns."""

from __future__ import annotations


def turn_order(names: tuple[str, ...], number: int) -> list[str]:
    """Who comes after whom in a round, by its number from 0 on.

    In as many rounds as there are names each is once in every place; the next ones go backwards,
    so that nobody always follows the same one.
    """
    rounds, first = divmod(number, len(names))
    order = [*names[first:], *names[:first]]
    return order[::-1] if rounds % 2 else order
