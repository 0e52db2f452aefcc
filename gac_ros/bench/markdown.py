"""Markdown that people can read as text, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table and an empty one; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    yield _line(headings, widths)
    rule = ["-" * max(3, widths[0]), *("-" * max(2, width - 1) + ":" for width in widths[1:])]
    yield f"| {' | '.join(rule)} |"
    for row in rows:
        yield _line(row, widths)
    yield ""


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(max(3, widths[0]))
    rest = (text.rjust(max(3, width)) for text, width in zip(row[1:], widths[1:], strict=True))
    return f"| {' | '.join([first, *rest])} |"
