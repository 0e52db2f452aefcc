"""The parameter file and the table of parameters say the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gac_ros.nodes.parameters import PARAMETERS
from gac_ros.resources import config_directory


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def test_the_parameter_file_shows_every_parameter_with_its_default() -> None:
    content = yaml.safe_load((config_directory() / "controller.yaml").read_text())
    shown = flatten(content["/**/gac_controller"]["ros__parameters"])
    defaults = {spec.name: spec.default for spec in PARAMETERS}
    assert shown == pytest.approx(defaults, nan_ok=True)
    assert {name: type(value) for name, value in shown.items()} == {
        name: type(value) for name, value in defaults.items()
    }


def test_every_parameter_is_described_and_its_default_is_allowed() -> None:
    for spec in PARAMETERS:
        assert spec.description.endswith(".")
        assert spec.refusal(spec.default) == ""
        assert len(spec.descriptor().description) > len(spec.description)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", "cuda:0 "])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    (spec,) = [spec for spec in PARAMETERS if spec.name == "device"]
    assert "cuda:N" in spec.refusal(device)


@pytest.mark.parametrize("name", ["target_return", "episode_return", "replanning.margin"])
def test_infinity_is_refused_instead_of_being_taken_for_the_default(name: str) -> None:
    (spec,) = [spec for spec in PARAMETERS if spec.name == name]
    assert "finite" in spec.refusal(float("inf"))
    assert "finite" in spec.refusal(float("-inf"))
