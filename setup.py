"""Installs gac_ros as a ROS 2 (ament_python) package and as a plain Python package.

`gac_ros/sim` and `gac_ros/config` are tracked symlinks to the top-level folders, so that the
robots and the configuration files travel inside the Python package and are found without ament.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(HERE / "package.xml").getroot()
NAME = "gac_ros"


def shared(folder: str, *patterns: str) -> list[tuple[str, list[str]]]:
    """Data files of `folder`, each sent to the same place below `share/gac_ros`."""
    by_folder: dict[str, list[str]] = {}
    for pattern in patterns:
        for path in sorted((HERE / folder).rglob(pattern)):
            relative = path.relative_to(HERE)
            by_folder.setdefault(f"share/{NAME}/{relative.parent}", []).append(str(relative))
    return sorted(by_folder.items())


setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=" ".join((MANIFEST.findtext("description") or "").split()),
    long_description=(HERE / "README.md").read_text(encoding="utf-8")
    if (HERE / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license=MANIFEST.findtext("license"),
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "py.typed",
            "config/**/*.yaml",
            "checkpoints/**/*.safetensors",
            "checkpoints/**/*.json",
        ],
        f"{NAME}.sim": ["*.yaml", "assets/**/*.xml"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *shared("launch", "*.launch.py"),
        *shared("config", "*.yaml"),
    ],
    zip_safe=False,
    install_requires=[
        "gymnasium>=1.0",
        "imageio",  # gymnasium imports it with its MuJoCo environments
        "mcap>=1.5",
        "mujoco>=3.1",
        "numpy",
        "pydantic>=2",
        "pyyaml",
        "rich",
        "rosbags>=0.10",
        "safetensors",
        "tensorboard",
        "threadpoolctl>=3",
        "torch>=2.4",
        "typer",
        "zstandard",
    ],
    extras_require={
        # A robot with ROS 2 installed has these already; this is real rclpy and Fast DDS for
        # every other machine.
        "ros": [
            "ros-jazzy-rclpy[fastrtps]>=7.1.4",
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-geometry-msgs",
            "ros-jazzy-lifecycle-msgs",
            "ros-jazzy-nav-msgs",
            "ros-jazzy-rosgraph-msgs",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-msgs",
            "ros-jazzy-std-srvs",
            "ros-jazzy-trajectory-msgs",
            "ros-rcl-interfaces",
        ],
        "bench": ["matplotlib", "scipy>=1.15"],
        # benchmarks/locomotion_data.py learns with it what the locomotion benchmark's data show.
        "sb3": ["stable-baselines3"],
        # Buffers in object storage, with the package for its kind (s3fs, gcsfs, ...).
        "remote": ["fsspec"],
        # `gac buffer export` and `import` of data sets of Minari and LeRobot.
        "minari": ["minari[hdf5]>=0.5"],
        "lerobot": ["pyarrow>=14"],
        # `gac train --processes N`.
        "distributed": ["lightning-fabric>=2.4"],
        "test": [
            "fsspec",
            "hypothesis",
            "lightning-fabric>=2.4",
            "matplotlib",
            "minari[hdf5]>=0.5",
            "pyarrow>=14",
            "pytest",
            "pytest-timeout",
            "scipy",
        ],
        "dev": [
            "colcon-bash",
            "colcon-core",
            "colcon-output",
            "colcon-package-selection",
            "colcon-python-setup-py",
            "colcon-recursive-crawl",
            "colcon-ros",
            "import-linter",
            "mypy",
            "ruff",
            # `colcon build --symlink-install` calls `setup.py develop` in ways later ones dropped.
            "setuptools>=64,<80",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "gac = gac_ros.cli:main",
            "controller = gac_ros.nodes.controller:main",
            "run_episodes = gac_ros.nodes.run_episodes:main",
            "sim = gac_ros.sim.node:main",
        ],
    },
)
