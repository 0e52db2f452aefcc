"""`gac buffer label`: say later how episodes went."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import make_console
from gac_ros.errors import ConfigurationError


def label_episodes(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Bags to label; with --table the folder that holds them."),
    ],
    episode_return: Annotated[
        float | None, typer.Option("--return", help="The episode's return.")
    ] = None,
    success: Annotated[
        bool | None, typer.Option("--success/--failure", help="The verdict.", show_default=False)
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option("--outcome", help="Or in a word: success, failure, interrupted, unknown."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="*.csv or *.yaml with the columns episode (its id), return, and outcome or "
            "success; what is left empty stays as it is.",
        ),
    ] = None,
) -> None:
    """Set the return or the outcome of recorded episodes.

    Only their metadata change, at once and for good; what they said before is kept in them
    (`gac buffer info BAG` shows it as earlier_labels). The messages are not touched.

    Example: `gac buffer label episodes/20260102T030405.678901Z-1f3a --return 12.5 --success`
    """
    from gac_ros.buffer.label import Label, find_bags, label_episode, read_labels
    from gac_ros.buffer.tables import number
    from gac_ros.buffer.tables import outcome as read_outcome

    given = [each is not None for each in (episode_return, success, outcome)]
    if table is not None:
        if any(given) or len(paths) != 1:
            raise ConfigurationError("with --table give one folder, and no other label")
        labels = read_labels(table, paths[0])
    elif not any(given):
        raise ConfigurationError(
            "nothing to say: give --return, --success, --failure, --outcome or --table"
        )
    else:
        if success is not None and outcome is not None:
            raise ConfigurationError("give --success, --failure or --outcome, only one of them")
        try:
            verdict = read_outcome({"outcome": outcome, "success": success})
            label = Label(number("--return", episode_return), verdict)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        labels = [(bag, label) for bag in find_bags(paths)]
    changed = sum(label_episode(bag, label) for bag, label in labels)
    same = len(labels) - changed
    make_console().print(
        f"{changed} episodes labelled" + (f", {same} said so already" if same else "")
    )
