"""Checkpoints: a directory with weights (safetensors) and everything else (JSON). Never pickle.

`model.safetensors` holds the weights, the best plans and some starts, `checkpoint.json` the
model's sizes, the embodiment, the normaliser, the planner's settings, the lineage and the SHA-256
of the weights. `episodes.json` names the episodes it learned from (`gac lineage` reads it).
A training run's directory holds one such directory per save and a link `latest` to the newest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.errors import CheckpointError, ConfigurationError, EmbodimentError, OutputError
from gac_ros.files import sync_directory
from gac_ros.model.config import ModelConfig
from gac_ros.model.gac import GacModel
from gac_ros.normalization import Normalizer
from gac_ros.planning import Mode, Planner, PlannerConfig
from gac_ros.policy import GacActor, Policy

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "checkpoint.json"
EPISODES_FILE = "episodes.json"
LATEST_LINK = "latest"
_FORMAT = "gac_ros-checkpoint-1"


class Lineage(BaseModel):
    """Where a checkpoint comes from.

    Attributes:
        method: `gac` or `behaviour_cloning`.
        parent: digest of the checkpoint it continues; None when trained from scratch.
        data_digest: digest of the episodes it learned from.
        episodes: their number.
        iterations: training iterations since the parent.
        seed: of the training.
        package_version: version of gac_ros that wrote it.
        config: settings of the training; None in checkpoints that were written before they were
            kept.
        episodes_sha256: of the file that names the episodes; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parent: str | None = None
    data_digest: str
    episodes: int
    iterations: int
    seed: int
    package_version: str
    config: dict[str, Any] | None = None
    episodes_sha256: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with all it needs to act.

    Attributes:
        model: in evaluation mode, on its device.
        normalizer: of the training data.
        embodiment: the contract it was trained for.
        planner: settings of the planner.
        best_plans: z0 (M, N, D), best first: see `Planner`.
        starts: first observations (S, O) of the training data, normalised.
        lineage: where it comes from.
        digest: SHA-256 over description and weights; empty before it was saved.
        path: where it was loaded from; None before it was saved.
    """

    model: GacModel
    normalizer: Normalizer
    embodiment: Embodiment
    planner: PlannerConfig
    best_plans: Tensor
    starts: Tensor
    lineage: Lineage
    digest: str = ""
    path: Path | None = None

    def require_embodiment(self, embodiment: Embodiment) -> None:
        """Refuse a robot that the checkpoint was not trained for.

        Raises:
            EmbodimentError: naming every difference.
        """
        differences = self.embodiment.differences(embodiment)
        if differences:
            raise EmbodimentError(
                f"the checkpoint {self.path or ''} was trained for '{self.embodiment.name}' and "
                f"does not fit '{embodiment.name}' (checkpoint against robot): "
                f"{'; '.join(differences)}; use a checkpoint trained for this robot"
            )

    def with_planner(self, planner: PlannerConfig, best_plans: Tensor | None = None) -> Checkpoint:
        """The same model, planning in another way: a child that is zero iterations old."""
        changes = {"parent": self.digest or None, "iterations": 0, "episodes_sha256": None}
        return replace(
            self,
            planner=planner,
            best_plans=self.best_plans if best_plans is None else best_plans,
            lineage=self.lineage.model_copy(update=changes),
            digest="",
            path=None,
        )

    def make_planner(self, **overrides: Any) -> Planner:
        """A planner with the checkpoint's settings, some of them overridden."""
        config = PlannerConfig.model_validate({**self.planner.model_dump(), **overrides})
        return Planner(self.model, self.normalizer, self.best_plans, self.starts, config)

    def make_policy(self) -> Policy:
        """A fresh policy on this model."""
        return Policy(self.model, self.normalizer)

    def make_actor(self, mode: Mode, **overrides: Any) -> GacActor:
        """A planner and a policy as one actor."""
        return GacActor(self.make_planner(**overrides), self.make_policy(), mode)


def resolve_device(text: str) -> torch.device:
    """Device of `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigurationError: no such device on this machine.
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if text == "cpu":
        return torch.device("cpu")
    kind, _, index = text.partition(":")
    if kind != "cuda" or (":" in text and not index.isdecimal()):
        raise ConfigurationError(f"unknown device '{text}'; use auto, cpu, cuda or cuda:N")
    if int(index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"device '{text}' asked for, but PyTorch sees {torch.cuda.device_count()} CUDA "
            "devices; use auto or cpu"
        )
    return torch.device(text)


def save_checkpoint(
    checkpoint: Checkpoint,
    directory: Path | str,
    *,
    extra_tensors: dict[str, dict[str, Tensor]] | None = None,
    extra_json: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint directory; it appears complete or not at all.

    Args:
        checkpoint: what to save.
        directory: must not exist yet.
        extra_tensors: further safetensors files, by file name (the trainer's state).
        extra_json: further JSON files, by file name.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    directory = Path(directory)
    if directory.exists():
        raise OutputError(f"{directory} exists already; choose another name")
    tensors = {f"model.{key}": value for key, value in checkpoint.model.state_dict().items()}
    tensors["best_plans"] = checkpoint.best_plans
    tensors["starts"] = checkpoint.starts
    weights = _to_bytes(tensors)
    files = {
        WEIGHTS_FILE: weights,
        DESCRIPTION_FILE: _describe(checkpoint, hashlib.sha256(weights).hexdigest()),
    }
    files |= {name: _to_bytes(content) for name, content in (extra_tensors or {}).items()}
    files |= {name: encode_json(content) for name, content in (extra_json or {}).items()}
    try:
        _write_directory(directory, files)
    except OSError as error:
        raise OutputError(
            f"cannot write the checkpoint {directory} ({error.strerror or error}); check that the "
            "folder is writable and the disk has room"
        ) from error
    return directory


def encode_json(content: Any) -> bytes:
    """The bytes of a further JSON file of a checkpoint."""
    return json.dumps(content).encode()


def _to_bytes(tensors: dict[str, Tensor]) -> bytes:
    return save_tensors({key: value.detach().cpu().contiguous() for key, value in tensors.items()})


def _describe(checkpoint: Checkpoint, weights_digest: str) -> bytes:
    content = {
        "format": _FORMAT,
        "weights_sha256": weights_digest,
        "model": checkpoint.model.config.model_dump(),
        "planner": checkpoint.planner.model_dump(),
        "normalizer": checkpoint.normalizer.to_dict(),
        "embodiment": checkpoint.embodiment.to_dict(),
        "lineage": checkpoint.lineage.model_dump(),
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _write_directory(directory: Path, files: dict[str, bytes]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        aside.chmod(0o755)
        for name, content in files.items():
            with (aside / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        aside.rename(directory)
        sync_directory(directory.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def point_latest_to(directory: Path) -> None:
    """Make the run's `latest` link name this checkpoint, in one atomic step."""
    link = directory.parent / LATEST_LINK
    aside = directory.parent / f".{LATEST_LINK}-{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(directory.name)
    aside.replace(link)
    sync_directory(directory.parent)


def find_checkpoint(path: Path | str) -> Path:
    """The checkpoint directory of a path: itself, or a run's newest.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if (path / DESCRIPTION_FILE).is_file():
        return path
    if (path / LATEST_LINK / DESCRIPTION_FILE).is_file():
        return (path / LATEST_LINK).resolve()
    if path.is_file():
        raise CheckpointError(
            f"{path} is a file; a gac_ros checkpoint is a directory with {WEIGHTS_FILE} and "
            f"{DESCRIPTION_FILE} (pickled checkpoints are refused, they can run code)"
        )
    raise CheckpointError(
        f"{path} holds no checkpoint ({DESCRIPTION_FILE} is missing); give a checkpoint directory "
        "or a training run's folder"
    )


def load_checkpoint(path: Path | str, device: str | torch.device = "cpu") -> Checkpoint:
    """Load and verify a checkpoint.

    Args:
        path: checkpoint directory, or a training run's folder (its newest checkpoint).
        device: as in `resolve_device`.

    Raises:
        CheckpointError: missing, damaged or foreign.
        ConfigurationError: no such device.
    """
    device = resolve_device(device) if isinstance(device, str) else device
    directory = find_checkpoint(path)
    description = _read(directory / DESCRIPTION_FILE)
    weights = _read(directory / WEIGHTS_FILE)
    try:
        content = json.loads(description)
        if content["format"] != _FORMAT:
            raise CheckpointError(
                f"{directory}: format '{content['format']}' is not '{_FORMAT}'; it was written by "
                "another version of gac_ros"
            )
        expected = content["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(directory, f"{DESCRIPTION_FILE} is not readable ({error!r})") from error
    if hashlib.sha256(weights).hexdigest() != expected:
        raise _damaged(directory, f"{WEIGHTS_FILE} does not match its checksum")
    try:
        return _build(directory, content, weights, device, hashlib.sha256(description).hexdigest())
    except (
        ValidationError,
        SafetensorError,
        EmbodimentError,
        KeyError,
        TypeError,
        RuntimeError,
    ) as error:
        raise _damaged(directory, " ".join(str(error).split())[:300]) from error


def _build(
    directory: Path, content: dict[str, Any], weights: bytes, device: torch.device, digest: str
) -> Checkpoint:
    tensors = load_tensors(weights)
    best_plans, starts = tensors.pop("best_plans"), tensors.pop("starts")
    model = GacModel(ModelConfig.model_validate(content["model"]))
    model.load_state_dict({key.removeprefix("model."): value for key, value in tensors.items()})
    return Checkpoint(
        model=model.to(device).eval().requires_grad_(False),
        normalizer=Normalizer.from_dict(content["normalizer"]),
        embodiment=embodiment_from_dict(
            content["embodiment"], origin=str(directory / DESCRIPTION_FILE)
        ),
        # A file of before the setting was known goes on planning as it did.
        planner=PlannerConfig.model_validate({"exploit_promise": None, **content["planner"]}),
        best_plans=best_plans.to(device),
        starts=starts.to(device),
        lineage=Lineage.model_validate(content["lineage"]),
        digest=digest,
        path=directory,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); the checkpoint is incomplete"
        ) from error


def _damaged(directory: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{directory}: the checkpoint is damaged: {reason}; copy it again or train it anew"
    )
