"""Figures that are drawn into files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.drawing import new_figure, save_figure
from gac_ros.errors import OutputError


def test_equal_pictures_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        figure = new_figure(2.0, 1.0)
        figure.subplots().plot([0.0, 1.0])
        save_figure(figure, tmp_path / "new" / f"{name}.png", dpi=50)
    one, two = ((tmp_path / "new" / f"{name}.png").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"Software" not in one


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_the_suffix_decides_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    save_figure(new_figure(2.0, 1.0), path, dpi=50)
    assert {"svg": b"<svg", "pdf": b"%PDF"}[suffix] in path.read_bytes()


@pytest.mark.parametrize("name", ["picture.mp3", "file/picture.png"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=name):
        save_figure(new_figure(2.0, 1.0), tmp_path / name, dpi=50)
