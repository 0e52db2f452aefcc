"""Settings of online learning."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.errors import ConfigurationError
from gac_ros.online.config import OnlineConfig, read_config
from gac_ros.resources import config_directory


def test_the_packaged_file_holds_the_built_in_values() -> None:
    assert (
        read_config(OnlineConfig, config_directory() / "train" / "online.yaml", {})
        == OnlineConfig()
    )


def test_the_last_round_may_be_shorter() -> None:
    assert OnlineConfig(episodes=100, round_episodes=40).rounds() == [40, 40, 20]
    assert OnlineConfig(episodes=80, round_episodes=40).rounds() == [40, 40]


def test_given_keys_replace_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "online.yaml"
    path.write_text("{episodes: 10, collect: prior}")
    config = read_config(OnlineConfig, path, {"collect": "exploit"})
    assert (config.episodes, config.collect) == (10, "exploit")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("episodez: 3", "episodez"),
        ("{target: {wanted_share: 2}}", "target.wanted_share"),
        ("- 1", "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, text: str, remedy: str) -> None:
    path = tmp_path / "online.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=remedy) as error:
        read_config(OnlineConfig, path, {})
    assert str(path) in str(error.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_config(OnlineConfig, tmp_path / "none.yaml", {})
