"""Several training processes, started and joined by Lightning Fabric over torch.distributed."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gac_ros.errors import ConfigurationError, GacError
from gac_ros.training.peers import Peers

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@contextmanager
def training_processes(count: int, device: torch.device) -> Iterator[tuple[Peers, torch.device]]:
    """Train in several processes inside this context; yields this one's place and its device.

    With a count above 1 the program's command line is run again for every further process, which
    comes to this very place (torchrun may start them as well). On the CPU they talk by gloo; on
    CUDA each has a device of its own and they talk by NCCL. Those beside the first end here, and
    say nothing about a user's mistake, which the first one tells.

    Raises:
        ConfigurationError: Lightning Fabric is missing, or there are fewer devices.
    """
    if count == 1:
        yield Peers(), device
        return
    fabric = _launch(count, device)
    try:
        yield Peers(fabric.global_rank, fabric.world_size, _total(fabric)), fabric.device
    except BaseException as error:
        for process in _release_children(fabric):
            process.kill()  # they wait for a message that will not come
        if isinstance(error, GacError) and fabric.global_rank > 0:
            raise SystemExit(0) from None
        raise
    for process in _release_children(fabric):
        process.wait()
    torch.distributed.destroy_process_group()


def _launch(count: int, device: torch.device) -> Fabric:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ConfigurationError(
            "training in several processes needs Lightning Fabric; pip install "
            "'gac_ros[distributed]', or leave --processes at 1"
        ) from error
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise ConfigurationError(
            f"{count} processes need as many CUDA devices, PyTorch sees "
            f"{torch.cuda.device_count()}; lower --processes"
        )
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    threads = torch.get_num_threads()
    fabric = Fabric(accelerator=device.type, devices=count, strategy="ddp")
    fabric.launch()
    torch.set_num_threads(threads)  # Fabric divides the processors among the processes
    return fabric


def _total(fabric: Fabric) -> Callable[[Tensor], Tensor]:
    def total(tensor: Tensor) -> Tensor:
        # A copy: Fabric sums in place.
        summed = fabric.all_reduce(tensor.to(fabric.device, copy=True), reduce_op="sum")
        assert isinstance(summed, Tensor)
        return summed.to(tensor.device)

    return total


def _release_children(fabric: Fabric) -> list[subprocess.Popen[bytes]]:
    """The processes that this one started; Fabric watches over them no more.

    Its watch would end this process by SIGKILL, before it could say what went wrong.
    """
    started = getattr(fabric.strategy.launcher, "procs", [])  # torchrun started the others itself
    children = list(started)
    started.clear()
    return children
