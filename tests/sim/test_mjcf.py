"""Any MJCF file with an embodiment is a robot; what does not fit is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gac_ros.errors import ConfigurationError, GacError
from gac_ros.sim import make_env, make_robot
from gac_ros.sim.mjcf import MjcfRobot

CARTPOLE = """
<mujoco model="cartpole">
  <option timestep="0.005" integrator="implicitfast"/>
  <worldbody>
    <body name="cart" pos="0 0 1">
      <joint name="slider" type="slide" axis="1 0 0" damping="0.1"/>
      <geom type="box" size="0.2 0.1 0.1" mass="1"/>
      <site name="middle"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 1" size="0.03" mass="0.1"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="push" joint="slider" gear="10" ctrlrange="-1 1"/>
  </actuator>
  <sensor>
    <accelerometer site="middle"/>
    <jointpos joint="hinge"/>
  </sensor>
  <keyframe>
    <key name="hanging" time="2" qpos="0.25 3.1415"/>
  </keyframe>
</mujoco>
"""


def embodiment(**changes: Any) -> dict[str, Any]:
    content = {
        "name": "cartpole",
        "control_rate": 50.0,
        "episode_length": 20,
        "observation": [
            {
                "topic": "joint_states",
                "type": "sensor_msgs/msg/JointState",
                "max_age": 0.1,
                "fields": [
                    {"select": "position.slider", "unit": "m"},
                    {"select": "velocity.hinge", "unit": "rad/s"},
                    {"select": "effort.slider", "unit": "N"},
                ],
            }
        ],
        "action": {
            "topic": "commands",
            "type": "std_msgs/msg/Float64MultiArray",
            "fields": [{"joint": "slider", "unit": "ratio", "limits": [-1.0, 1.0]}],
        },
        "return": {"source": "label"},
    }
    return content | changes


def channel(topic: str, message_type: str, *selects: tuple[str, str]) -> dict[str, Any]:
    fields = [{"select": select, "unit": unit} for select, unit in selects]
    return {"topic": topic, "type": message_type, "max_age": 0.1, "fields": fields}


def files(folder: Path, mjcf: str = CARTPOLE, **changes: Any) -> tuple[str, str]:
    (folder / "robot.xml").write_text(mjcf, encoding="utf-8")
    (folder / "robot.yaml").write_text(yaml.safe_dump(embodiment(**changes)), encoding="utf-8")
    return str(folder / "robot.yaml"), str(folder / "robot.xml")


def make(folder: Path, mjcf: str = CARTPOLE, **changes: Any) -> MjcfRobot:
    contract, model = files(folder, mjcf, **changes)
    robot = make_robot(contract, mjcf=model)
    assert isinstance(robot, MjcfRobot)
    robot.reset(0)
    return robot


def test_it_starts_in_its_keyframe_and_moves_by_its_commands(tmp_path: Path) -> None:
    robot = make(tmp_path)
    assert robot.time == 0.0
    assert robot.data.qpos.tolist() == [0.25, 3.1415]
    outcome = robot.step(np.array([1.0]))
    assert (outcome.reward, outcome.terminated) == (0.0, False)
    assert robot.time == pytest.approx(0.02)
    state = robot.messages(0)["joint_states"]
    assert state.name == ["slider", "hinge"]
    assert state.position.tolist() == robot.data.qpos.tolist()
    assert state.effort.tolist() == [10.0, 0.0]
    assert state.velocity[0] > 0.0


def test_without_a_keyframe_it_starts_in_the_model_s_initial_state(tmp_path: Path) -> None:
    start, end = CARTPOLE.index("<keyframe>"), CARTPOLE.index("</keyframe>")
    mjcf = CARTPOLE[:start] + CARTPOLE[end + len("</keyframe>") :]
    assert make(tmp_path, mjcf).data.qpos.tolist() == [0.0, 0.0]


def test_start_noise_is_drawn_by_the_seed(tmp_path: Path) -> None:
    embodiment_of_cartpole = make(tmp_path).embodiment
    robot = MjcfRobot(embodiment_of_cartpole, tmp_path / "robot.xml", start_noise=0.01)
    starts = []
    for seed in (1, 2, 1):
        robot.reset(seed)
        starts.append(robot.data.qpos.copy())
    assert np.array_equal(starts[0], starts[2])
    assert not np.array_equal(starts[0], starts[1])
    assert np.abs(starts[0] - [0.25, 3.1415]).max() <= 0.01


def test_an_actuator_s_own_name_serves_as_well_as_its_joint_s(tmp_path: Path) -> None:
    action = embodiment()["action"]
    action["fields"][0]["joint"] = "push"
    robot = make(tmp_path, action=action)
    robot.step(np.array([0.5]))
    assert robot.data.ctrl.tolist() == [0.5]


def test_the_root_body_s_pose_twist_imu_and_the_sensors_can_be_observed(tmp_path: Path) -> None:
    axis = ("x", "y", "z")
    robot = make(
        tmp_path,
        observation=[
            channel("odom", "nav_msgs/msg/Odometry", ("pose.pose.position.x", "m")),
            channel("pose", "geometry_msgs/msg/PoseStamped", ("pose.position.z", "m")),
            channel("twist", "geometry_msgs/msg/Twist", ("linear.x", "m/s")),
            channel(
                "imu", "sensor_msgs/msg/Imu", *[(f"linear_acceleration.{a}", "m/s^2") for a in axis]
            ),
            channel("sensors", "std_msgs/msg/Float64MultiArray", ("data.3", "rad")),
        ],
    )
    for _ in range(5):
        robot.step(np.array([1.0]))
    sent = robot.messages(0)
    assert sent["odom"].pose.pose.position.x == robot.data.qpos[0]
    assert sent["pose"].pose.position.z == 1.0
    assert sent["twist"].linear.x == pytest.approx(robot.data.qvel[0])
    assert sent["odom"].twist.twist.linear.x == sent["twist"].linear.x
    # MuJoCo's accelerometer at the middle of the cart is an independent reference.
    acceleration = sent["imu"].linear_acceleration
    assert acceleration.z == pytest.approx(9.81)
    assert acceleration.x > 1.0
    assert [acceleration.x, acceleration.y, acceleration.z] == pytest.approx(
        sent["sensors"].data[:3].tolist()
    )
    assert sent["sensors"].data[3] == robot.data.qpos[1]


def test_twists_are_in_the_body_s_frame(tmp_path: Path) -> None:
    mjcf = """
    <mujoco>
      <worldbody>
        <body name="drone" pos="0 0 1"><freejoint/><geom size="0.1"/></body>
      </worldbody>
      <actuator><general name="slider" body="drone"/></actuator>
    </mujoco>
    """
    robot = make(
        tmp_path,
        mjcf,
        observation=[channel("odom", "nav_msgs/msg/Odometry", ("twist.twist.linear.x", "m/s"))],
    )
    half = np.sqrt(0.5)
    robot.data.qpos[3:] = [half, 0.0, 0.0, half]  # a quarter turn to the left
    robot.data.qvel[:3] = [0.0, 2.0, 0.0]  # in the world's frame
    twist = robot.messages(0)["odom"].twist.twist
    assert twist.linear.x == pytest.approx(2.0)
    assert twist.linear.y == pytest.approx(0.0, abs=1e-12)


def test_it_is_a_gymnasium_environment_too(tmp_path: Path) -> None:
    contract, model = files(tmp_path)
    env = make_env(contract, mjcf=model)
    observation, _ = env.reset(seed=0)
    assert observation.tolist() == [0.25, 0.0, 0.0]
    ends = [env.step(np.zeros(1))[2:4] for _ in range(20)]
    assert ends == [(False, False)] * 19 + [(False, True)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observation": [channel("j", "sensor_msgs/msg/JointState", ("position.elbow", "m"))]},
            r"joint elbow, which the model lacks; it has slider, hinge",
        ),
        (
            {"observation": [channel("s", "std_msgs/msg/Float64MultiArray", ("data.4", "m"))]},
            r"data\.4, but the model's sensors give 4 numbers",
        ),
        (
            {
                "action": {
                    "topic": "commands",
                    "type": "std_msgs/msg/Float64MultiArray",
                    "fields": [{"joint": "wrist", "unit": "ratio", "limits": [-1.0, 1.0]}],
                }
            },
            r"names wrist, but no actuator.*there are slider, push",
        ),
        (
            {"control_rate": 60.0},
            r"3\.33333 physics steps of 0\.005 s; choose a control_rate of 66",
        ),
        ({"control_rate": 1000.0}, r"choose a control_rate of 200 Hz"),
    ],
)
def test_an_embodiment_that_does_not_fit_the_model_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(tmp_path, **changes)


def test_a_control_period_within_one_percent_of_whole_steps_is_accepted(tmp_path: Path) -> None:
    robot = make(tmp_path, control_rate=66.67)
    robot.step(np.zeros(1))
    assert robot.time == pytest.approx(0.015)


@pytest.mark.parametrize("mjcf", ["<mujoco><worldbody", "<mujoco><nonsense/></mujoco>"])
def test_a_file_that_is_not_mjcf_is_an_error_with_its_path(tmp_path: Path, mjcf: str) -> None:
    with pytest.raises(ConfigurationError, match=r"robot\.xml: not a valid MJCF file"):
        make(tmp_path, mjcf)


def test_a_missing_mjcf_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    contract, _ = files(tmp_path)
    with pytest.raises(ConfigurationError, match=r"gone\.xml: no such MJCF file"):
        make_robot(contract, mjcf=str(tmp_path / "gone.xml"))


def test_a_robot_of_one_s_own_needs_its_mjcf(tmp_path: Path) -> None:
    contract, _ = files(tmp_path)
    with pytest.raises(ConfigurationError, match=r"no physics is packaged for robot 'cartpole'"):
        make_robot(contract)


def test_an_unknown_robot_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(GacError, match=r"unknown robot 'roomba'; known are .*hopper"):
        make_robot("roomba")


def test_mujoco_is_not_imported_before_a_robot_is_made() -> None:
    # In a process of its own, because this one has it.
    modules = "gac_ros.sim, gac_ros.sim.robot, gac_ros.sim.behaviours, gac_ros.sim.scores"
    code = f"import sys, {modules}; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
