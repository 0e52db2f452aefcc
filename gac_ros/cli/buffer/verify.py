"""`gac buffer verify`: check every bag."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gac_ros.cli.buffer.options import Json
from gac_ros.cli.display import counted_progress, make_console


def verify_buffer(
    directory: Annotated[
        str, typer.Argument(help="Folder of bags, one bag, or an address of object storage.")
    ],
    as_json: Json = False,
) -> None:
    """Check every bag: digests, checksums, message counts, and that it decodes.

    Exit code 1 when a bag is damaged or a recording was cut off.

    Example: `gac buffer verify episodes/umaze`
    """
    from gac_ros.buffer.reader import verify_content
    from gac_ros.buffer.summary import list_episodes
    from gac_ros.errors import GacError

    rows = list_episodes(directory)
    results: list[dict[str, Any]] = []
    with counted_progress(len(rows), "verifying") as advance:
        for row in rows:
            result: dict[str, Any] = {
                "episode_id": row.episode_id,
                "state": row.state,
                "messages": None,
                "problem": row.problem,
            }
            if row.usable:
                try:
                    result["messages"] = verify_content(row.path)
                except GacError as error:
                    result |= {"state": "damaged", "problem": str(error)}
            results.append(result)
            advance()
    bad = [result for result in results if result["state"] in ("damaged", "unfinished")]
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        console = make_console()
        for result in bad:
            what = result["problem"] or "the recording was cut off"
            console.print(f"{result['episode_id']}: {what}", soft_wrap=True)
        sound = [result["messages"] for result in results if result["messages"] is not None]
        console.print(
            f"{len(sound)} bags with {sum(sound)} messages are sound"
            + (f"; {len(bad)} damaged or unfinished: gac buffer repair" if bad else "")
        )
    if bad:
        raise typer.Exit(1)
