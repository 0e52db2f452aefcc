"""Puts the commands together and turns errors into exit codes.

0: done; 1: done, and the answer is no (`gac replay` found a difference); 2: a user's mistake, one
line on stderr; 130: interrupted. Anything else that is raised is a defect and keeps its traceback.
Commands import what they need when they run, so that `gac --help` is quick.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from gac_ros import __version__
from gac_ros.cli import (
    INTERRUPTED,
    bench,
    buffer,
    collect,
    demo,
    evaluate,
    improve,
    lineage,
    online,
    reference,
    replay,
    train,
)
from gac_ros.cli.display import help_without_command
from gac_ros.errors import GacError
from gac_ros.garbage import no_search_at_the_end

_HELP = """\
Generative Actor Critic control of ROS 2 robots that learns from its own episodes.

Start with `gac demo`: a packaged policy drives a simulated robot over real ROS 2. Then the whole
circle: `gac collect` records episodes as bags, `gac train` learns a checkpoint from them,
`gac evaluate` scores it, `gac finetune` goes on learning from new episodes.
"""

app = typer.Typer(
    name="gac",
    help=_HELP,
    invoke_without_command=True,
    add_completion=False,
    # A defect keeps Python's own traceback, for a report that can be searched.
    pretty_exceptions_enable=False,
    # Plain help leaves the text more room than boxes do.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("collect")(collect.collect)
app.command("train")(train.train)
app.command("finetune")(train.finetune)
app.command("online")(online.online)
app.command("improve")(improve.improve)
app.command("lineage")(lineage.lineage)
app.command("evaluate")(evaluate.evaluate)
app.command("replay")(replay.replay)
app.command("reference")(reference.reference)
app.add_typer(buffer.app, name="buffer")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gac_ros {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    help_without_command(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: without the program's name; those of the process when None.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    no_search_at_the_end()
    try:
        code = app(
            args=None if arguments is None else list(arguments),
            prog_name="gac",
            standalone_mode=False,
            obj=["gac", *(sys.argv[1:] if arguments is None else arguments)],
        )
    except GacError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        # Usage errors come from typer or, with its older releases, from click: there is no one
        # class to catch, but all can describe themselves.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        context = getattr(error, "ctx", None)
        command = "gac" if context is None else context.command_path
        what = describe() or "something is missing"
        return _fail(f"{what} (see {command} --help)", 2)
    return code if isinstance(code, int) else 0


def _leave(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that child processes are ended on the way out.
    raise SystemExit(128 + number)


def _fail(message: str, code: int) -> int:
    print(f"gac: error: {' '.join(message.split())}", file=sys.stderr)
    return code
