"""`gac buffer`: look after recorded episodes and take in others; a module for each command."""

from __future__ import annotations

import typer

from gac_ros.cli.buffer.export import export_episodes
from gac_ros.cli.buffer.import_ import import_episodes
from gac_ros.cli.buffer.info import show_info
from gac_ros.cli.buffer.label import label_episodes
from gac_ros.cli.buffer.list import list_buffer
from gac_ros.cli.buffer.prune import prune_buffer
from gac_ros.cli.buffer.repair import repair
from gac_ros.cli.buffer.verify import verify_buffer
from gac_ros.cli.display import help_without_command

app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Look after recorded episodes: a buffer is a folder of bags.",
)
app.callback()(help_without_command)
app.command("ls")(list_buffer)
app.command("info")(show_info)
app.command("verify")(verify_buffer)
app.command("repair")(repair)
app.command("prune")(prune_buffer)
app.command("import")(import_episodes)
app.command("label")(label_episodes)
app.command("export")(export_episodes)
