"""The folder of a deployment: one file that several processes change in turn.

`deployment.json` holds the state with its log, so that what was decided and what follows from it
are written in one atomic step. The trainer offers candidates, the robot's controller tells of its
episodes; a lock keeps them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from gac_ros.checkpoint import find_checkpoint, load_checkpoint
from gac_ros.deployment.state import DeploymentConfig, DeploymentState, Named, start
from gac_ros.errors import CheckpointError
from gac_ros.files import locked, write_text

STATE_FILE = "deployment.json"
LOCK_FILE = "deployment.lock"


def name_checkpoint(path: Path) -> Named:
    """A checkpoint by its absolute path and its digest.

    Raises:
        CheckpointError: missing or damaged.
    """
    found = find_checkpoint(path).absolute()
    return Named(path=str(found), digest=load_checkpoint(found).digest)


class DeploymentFolder:
    """Reads and changes the state in a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / STATE_FILE

    @property
    def exists(self) -> bool:
        """Whether a deployment was started here."""
        return self._path.is_file()

    def begin(self, acting: Named, config: DeploymentConfig) -> DeploymentState:
        """Start a deployment, or take up the one that is here, with this configuration.

        Raises:
            CheckpointError: the state is damaged.
            OutputError: the folder cannot be written.
        """
        with self._locked():
            if not self.exists:
                return self._write(start(acting, config))
            return self._write(self.read().model_copy(update={"config": config}))

    def read(self) -> DeploymentState:
        """The present state.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        try:
            return DeploymentState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{self.directory}: no deployment ({STATE_FILE} is missing); gac improve makes one"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"{self._path}: cannot be read ({error.strerror}); check the permissions"
            ) from error
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"]))
            reason = f"{where}: {wrong['msg']}" if where else wrong["msg"]
            raise CheckpointError(
                f"{self._path}: is damaged, or of another version ({reason}); put a copy back, or "
                "move it away, so that gac improve makes a new one"
            ) from error

    def change(self, function: Callable[[DeploymentState], DeploymentState]) -> DeploymentState:
        """Apply a function to the state, alone; returns the new state.

        Raises:
            CheckpointError: there is no readable state.
            OutputError: it cannot be written.
        """
        with self._locked():
            before = self.read()
            after = function(before)
            return after if after == before else self._write(after)

    def _write(self, state: DeploymentState) -> DeploymentState:
        write_text(self._path, state.model_dump_json(indent=1) + "\n")
        return state

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file's lock, as network file systems lock no folders.
        with locked(self.directory / LOCK_FILE):
            yield
