"""The maps: what is free, what is near, which way is shortest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac_ros.errors import ConfigurationError
from gac_ros.sim.maze import Maze, find_maze, maze_names

MAZES = [find_maze(name) for name in maze_names()]


@pytest.mark.parametrize("maze", MAZES, ids=lambda maze: maze.name)
def test_every_free_cell_has_a_way_to_every_other(maze: Maze) -> None:
    for start in maze.free_cells:
        for end in maze.free_cells:
            path = maze.path(start, end)
            assert path[0] == start
            assert path[-1] == end
            steps = np.abs(np.diff(np.array(path), axis=0)).sum(axis=1)
            assert (steps == 1).all()
            assert set(path) <= set(maze.free_cells)


@pytest.mark.parametrize("maze", MAZES, ids=lambda maze: maze.name)
def test_walls_close_the_maze(maze: Maze) -> None:
    rows, columns = len(maze.rows), len(maze.rows[0])
    assert {len(row) for row in maze.rows} == {columns}
    assert len(maze.walls) + len(maze.free_cells) == rows * columns
    for row, column in maze.free_cells:
        assert 0 < row < rows - 1
        assert 0 < column < columns - 1


@pytest.mark.parametrize(
    ("name", "goal", "free"),
    [
        ("pointmaze_umaze", (1, 1), 7),
        ("pointmaze_medium", (6, 6), 26),
        ("pointmaze_large", (7, 9), 46),
    ],
)
def test_goals_and_sizes_are_those_of_d4rl(name: str, goal: tuple[int, int], free: int) -> None:
    maze = find_maze(name)
    assert maze.goal == goal
    assert len(maze.free_cells) == free


def test_the_shortest_way_through_the_umaze_goes_round_the_wall() -> None:
    way = ((3, 1), (3, 2), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1))
    assert find_maze("pointmaze_umaze").path((3, 1), (1, 1)) == way


@given(row=st.integers(0, 8), column=st.integers(0, 11), dx=st.floats(-0.49, 0.49))
def test_a_cell_holds_what_is_within_half_a_metre_of_its_middle(
    row: int, column: int, dx: float
) -> None:
    maze = find_maze("pointmaze_large")
    position = maze.centre((row, column)) + np.array([dx, -dx])
    assert maze.cell_at(position) == (row, column)


def test_a_wall_has_no_way_out() -> None:
    with pytest.raises(ValueError, match="no way leads from"):
        find_maze("pointmaze_umaze").path((2, 2), (1, 1))


def test_a_robot_outside_the_mazes_is_named_with_those_inside() -> None:
    with pytest.raises(ConfigurationError, match=r"'hopper'.*pointmaze_umaze"):
        find_maze("hopper")
