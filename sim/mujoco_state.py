"""MuJoCo's state as the messages of an embodiment, and an embodiment's actions as its controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.embodiment import Embodiment, ObservationChannel
from gac_ros.errors import ConfigurationError

_HINGE, _SLIDE, _FREE = (
    int(mujoco.mjtJoint.mjJNT_HINGE),
    int(mujoco.mjtJoint.mjJNT_SLIDE),
    int(mujoco.mjtJoint.mjJNT_FREE),
)
_JOINT_TRANSMISSIONS = (
    int(mujoco.mjtTrn.mjTRN_JOINT),
    int(mujoco.mjtTrn.mjTRN_JOINTINPARENT),
)
# Everything that the next physics step depends on.
_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
# A control period may miss a whole number of physics steps by this share of the period.
_PERIOD_TOLERANCE = 0.01


class StateReader:
    """Reads the messages that an embodiment names from MuJoCo's state.

    Reading never changes the physics: whatever must be computed first (poses, sensors) is
    computed in the reader's own copy of the state.

    A JointState holds all hinge and slide joints, with the force that the actuators applied in
    the newest physics step as effort. Odometry, PoseStamped, Twist and Imu are those of the root
    body: the first body with a free joint, or else the first with any joint. The twists and the
    Imu are in the body's frame; the Imu measures proper acceleration, as hardware does. A
    Float64MultiArray holds all of MuJoCo's sensor data in the order of the model.
    """

    def __init__(self, model: Any, embodiment: Embodiment) -> None:
        self._model = model
        self._view = mujoco.MjData(model)
        self._state = np.empty(mujoco.mj_stateSize(model, _STATE))
        self._root = _root_body(model)
        scalar = [j for j in range(model.njnt) if int(model.jnt_type[j]) in (_HINGE, _SLIDE)]
        self._joint_names = [_name(model, mujoco.mjtObj.mjOBJ_JOINT, j) for j in scalar]
        self._position_indices = np.array([model.jnt_qposadr[j] for j in scalar], dtype=np.intp)
        self._velocity_indices = np.array([model.jnt_dofadr[j] for j in scalar], dtype=np.intp)
        self._builders: dict[str, Callable[[Any, int], Any]] = {}
        kinds: set[str] = set()
        for channel in embodiment.observation:
            self._check(channel, embodiment)
            self._builders[channel.topic] = {
                messages.JOINT_STATE: self._joint_state,
                messages.ODOMETRY: self._odometry,
                messages.POSE_STAMPED: self._pose_stamped,
                messages.TWIST: self._twist,
                messages.IMU: self._imu,
                messages.FLOAT64_MULTI_ARRAY: self._sensors,
            }[channel.type]
            kinds.add(channel.type)
        self._needs_forces = bool(kinds & {messages.IMU, messages.FLOAT64_MULTI_ARRAY})
        self._needs_poses = bool(kinds - {messages.JOINT_STATE})

    def messages(self, data: Any, stamp: int) -> dict[str, Any]:
        """Message of every channel by topic, of the state in `data`; stamp in nanoseconds."""
        if self._needs_poses:
            self._refresh(data)
        return {topic: build(data, stamp) for topic, build in self._builders.items()}

    def _check(self, channel: ObservationChannel, embodiment: Embodiment) -> None:
        """Raise a ConfigurationError if the model lacks what the channel reads."""
        if channel.type == messages.JOINT_STATE:
            wanted = {field.select.split(".", 1)[1] for field in channel.fields}
            missing = sorted(wanted - set(self._joint_names))
            if missing:
                raise ConfigurationError(
                    f"embodiment '{embodiment.name}': topic '{channel.topic}' reads joint "
                    f"{', '.join(missing)}, which the model lacks; it has "
                    f"{', '.join(self._joint_names) or 'no hinge or slide joints'}. Correct the "
                    "embodiment's 'select' or name the joint in the MJCF"
                )
        elif channel.type == messages.FLOAT64_MULTI_ARRAY:
            highest = max(int(field.select.split(".")[1]) for field in channel.fields)
            if highest >= self._model.nsensordata:
                raise ConfigurationError(
                    f"embodiment '{embodiment.name}': topic '{channel.topic}' reads "
                    f"data.{highest}, but the model's sensors give {self._model.nsensordata} "
                    "numbers; add the sensor to the MJCF or correct the index"
                )
        elif self._model.nbody < 2:
            raise ConfigurationError(
                f"embodiment '{embodiment.name}': topic '{channel.topic}' is about the root body, "
                "but the model has no body; add one to the MJCF"
            )

    def _refresh(self, data: Any) -> None:
        """Compute poses and velocities of the state, and forces and sensors where needed."""
        model, view = self._model, self._view
        mujoco.mj_getState(model, data, self._state, _STATE)
        mujoco.mj_setState(model, view, self._state, _STATE)
        if self._needs_forces:
            mujoco.mj_forward(model, view)
            mujoco.mj_rnePostConstraint(model, view)
        else:
            mujoco.mj_kinematics(model, view)
            mujoco.mj_comPos(model, view)
            mujoco.mj_comVel(model, view)

    def _root_pose(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._view.xpos[self._root], self._view.xquat[self._root]

    def _root_velocity(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Linear and angular velocity of the root body in its own frame, each of shape (3,)."""
        both = np.empty(6)
        kind = mujoco.mjtObj.mjOBJ_XBODY
        mujoco.mj_objectVelocity(self._model, self._view, kind, self._root, both, 1)
        return both[3:], both[:3]

    def _joint_state(self, data: Any, stamp: int) -> Any:
        return messages.joint_state(
            stamp,
            self._joint_names,
            position=data.qpos[self._position_indices],
            velocity=data.qvel[self._velocity_indices],
            effort=data.qfrc_actuator[self._velocity_indices],
        )

    def _odometry(self, data: Any, stamp: int) -> Any:
        return messages.odometry(stamp, *self._root_pose(), *self._root_velocity())

    def _pose_stamped(self, data: Any, stamp: int) -> Any:
        return messages.pose_stamped(stamp, *self._root_pose())

    def _twist(self, data: Any, stamp: int) -> Any:
        return messages.twist(*self._root_velocity())

    def _imu(self, data: Any, stamp: int) -> Any:
        both = np.empty(6)
        kind = mujoco.mjtObj.mjOBJ_XBODY
        mujoco.mj_objectAcceleration(self._model, self._view, kind, self._root, both, 1)
        _, angular = self._root_velocity()
        return messages.imu(stamp, self._root_pose()[1], angular, both[3:])

    def _sensors(self, data: Any, stamp: int) -> Any:
        return messages.float64_multi_array(self._view.sensordata)


class ActionWriter:
    """Puts an embodiment's action into MuJoCo's control vector, matched by name."""

    def __init__(self, model: Any, embodiment: Embodiment) -> None:
        self._size = int(model.nu)
        self._indices = np.array(_actuators_of(model, embodiment), dtype=np.intp)

    def control(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """Control vector, shape (nu,), of an action, shape (A,); 0 for actuators not named."""
        control = np.zeros(self._size)
        control[self._indices] = action
        return control


def physics_steps(embodiment: Embodiment, timestep: float) -> int:
    """Physics steps in a control period.

    Raises:
        ConfigurationError: the control period is not a multiple of the timestep, within 1 %.
    """
    ratio = embodiment.control_period / timestep
    steps = round(ratio)
    if steps < 1 or abs(steps * timestep / embodiment.control_period - 1.0) > _PERIOD_TOLERANCE:
        raise ConfigurationError(
            f"embodiment '{embodiment.name}': a control period of {embodiment.control_period:g} s "
            f"(control_rate {embodiment.control_rate:g} Hz) is {ratio:g} physics steps of "
            f"{timestep:g} s; choose a control_rate of {1.0 / (max(steps, 1) * timestep):g} Hz or "
            "another timestep in the MJCF, so that it is a whole number"
        )
    return steps


def _actuators_of(model: Any, embodiment: Embodiment) -> list[int]:
    """Index of the actuator of every action field, in order."""
    by_name: dict[str, int] = {}
    for index in range(model.nu):
        if int(model.actuator_trntype[index]) in _JOINT_TRANSMISSIONS:
            joint = int(model.actuator_trnid[index, 0])
            by_name.setdefault(_name(model, mujoco.mjtObj.mjOBJ_JOINT, joint), index)
    # An actuator's own name is the more specific of the two, so it wins.
    for index in range(model.nu):
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, index)
        if name:
            by_name[name] = index
    missing = [name for name in embodiment.action_names if name not in by_name]
    if missing:
        raise ConfigurationError(
            f"embodiment '{embodiment.name}': the action names {', '.join(missing)}, but no "
            f"actuator of the model has that name or drives that joint; there are "
            f"{', '.join(by_name) or 'no actuators'}. Correct the embodiment's 'joint' or add the "
            "actuator to the MJCF"
        )
    return [by_name[name] for name in embodiment.action_names]


def _root_body(model: Any) -> int:
    """The first body with a free joint, else the first with a joint, else the first."""
    for joint in range(model.njnt):
        if int(model.jnt_type[joint]) == _FREE:
            return int(model.jnt_bodyid[joint])
    return int(model.jnt_bodyid[0]) if model.njnt else min(1, model.nbody - 1)


def _name(model: Any, kind: Any, index: int) -> str:
    """Name of an object; nameless ones get their kind and index, so that messages stay valid."""
    return str(mujoco.mj_id2name(model, kind, index) or f"joint_{index}")
