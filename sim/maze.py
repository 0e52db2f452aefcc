"""The mazes of D4RL's Maze2D as grids: cells, walls, shortest paths. No physics.

The maps, and every number in this package that describes these mazes, are facts of D4RL
(https://github.com/Farama-Foundation/D4RL, `d4rl/pointmaze`).

Coordinates are D4RL's: x runs along the rows of the map, y along its columns, in metres, and a
cell is one metre wide. D4RL starts the ball in cell (row, column) around x = row, y = column, and
its goal lies at exactly such a point; but it draws the walls 0.2 m towards the origin from there.
So the middle of a cell's free space is at (row - 0.2, column - 0.2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gac_ros.errors import ConfigurationError

Cell = tuple[int, int]

WALL, FREE, GOAL = "#", "O", "G"
WALL_OFFSET = -0.2
"""From a cell's integer coordinates to the middle of its walls or free space, in metres."""

_MAPS = {
    "pointmaze_umaze": "#####|#GOO#|###O#|#OOO#|#####",
    "pointmaze_medium": ("########|#OO##OO#|#OO#OOO#|##OOO###|#OO#OOO#|#O#OO#O#|#OOO#OG#|########"),
    "pointmaze_large": (
        "############|#OOOO#OOOOO#|#O##O#O#O#O#|#OOOOOO#OOO#|#O####O###O#|#OO#O#OOOOO#|"
        "##O#O#O#O###|#OO#OOO#OGO#|############"
    ),
}
_NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True)
class Maze:
    """A map of unit cells with one goal.

    Attributes:
        name: name of the maze.
        rows: lines of the map, of `#` (wall), `O` (free) and `G` (free, the goal).
    """

    name: str
    rows: tuple[str, ...]

    @cached_property
    def walls(self) -> tuple[Cell, ...]:
        """Every wall cell, in reading order."""
        return tuple(cell for cell, tile in self._tiles() if tile == WALL)

    @cached_property
    def free_cells(self) -> tuple[Cell, ...]:
        """Every cell where the ball can be, the goal among them, in reading order."""
        return tuple(cell for cell, tile in self._tiles() if tile in (FREE, GOAL))

    @cached_property
    def goal(self) -> Cell:
        """The goal's cell."""
        return next(cell for cell, tile in self._tiles() if tile == GOAL)

    @cached_property
    def goal_position(self) -> NDArray[np.float64]:
        """Where the goal lies, in metres, shape (2,)."""
        return np.array(self.goal, dtype=np.float64)

    def centre(self, cell: Cell) -> NDArray[np.float64]:
        """Middle of a cell's free space, in metres, shape (2,)."""
        return np.array(cell, dtype=np.float64) + WALL_OFFSET

    def cell_at(self, position: NDArray[np.float64]) -> Cell:
        """The cell that holds a position, shape (2,), in metres."""
        row, column = np.floor(np.asarray(position) - WALL_OFFSET + 0.5)
        return int(row), int(column)

    def path(self, start: Cell, end: Cell) -> tuple[Cell, ...]:
        """Shortest way through free cells, both ends included.

        Raises:
            ValueError: no way leads from `start` to `end`.
        """
        towards = self._towards(end)
        if start not in towards:
            raise ValueError(f"no way leads from {start} to {end} in {self.name}")
        cells = [start]
        while cells[-1] != end:
            cells.append(towards[cells[-1]])
        return tuple(cells)

    def _tiles(self) -> list[tuple[Cell, str]]:
        return [
            ((row, column), tile)
            for row, line in enumerate(self.rows)
            for column, tile in enumerate(line)
        ]

    def _towards(self, end: Cell) -> dict[Cell, Cell]:
        """The next cell on the shortest way to `end`, by cell (breadth-first from the end)."""
        cached = self._next_cells.get(end)
        if cached is not None:
            return cached
        free = set(self.free_cells)
        towards: dict[Cell, Cell] = {end: end} if end in free else {}
        frontier = deque(towards)
        while frontier:
            cell = frontier.popleft()
            for row, column in _NEIGHBOURS:
                neighbour = (cell[0] + row, cell[1] + column)
                if neighbour in free and neighbour not in towards:
                    towards[neighbour] = cell
                    frontier.append(neighbour)
        self._next_cells[end] = towards
        return towards

    @cached_property
    def _next_cells(self) -> dict[Cell, dict[Cell, Cell]]:
        return {}


def maze_names() -> tuple[str, ...]:
    """Names of the robots that live in a maze."""
    return tuple(_MAPS)


def find_maze(robot: str) -> Maze:
    """The maze of a robot's name such as `pointmaze_umaze`.

    Raises:
        ConfigurationError: the robot does not live in a maze.
    """
    if robot not in _MAPS:
        raise ConfigurationError(
            f"robot '{robot}' does not live in a maze; those that do are {', '.join(_MAPS)}"
        )
    return Maze(robot, tuple(_MAPS[robot].split("|")))
