"""What a rank, one of several processes that train or evaluate together on one machine, needs of the others.

Ranks are started by ``core.training.launch``, one for each GPU, or on the CPU by gloo. Without it everything here is
that of a process by itself.

A rank's batch norm sees its own batches alone; after each epoch the running statistics are averaged over the ranks.
Gradients are averaged, so the batch is ``samples_per_gpu`` times the ranks; the learning rate stays the config's, but
where ``auto_scale_lr = dict(enable=True, base_batch_size=N)`` asks for MMDetection's linear rule.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

RANK_VARIABLE = "MMDET_COMPRESS_RANK"
RANKS_VARIABLE = "MMDET_COMPRESS_RANKS"
RENDEZVOUS_VARIABLE = "MMDET_COMPRESS_RENDEZVOUS"

Value = TypeVar("Value")
logger = logging.getLogger(__name__)


def rank() -> int:
    """Return the number of this process among its ranks, from 0."""
    return int(os.environ.get(RANK_VARIABLE) or 0)


def ranks() -> int:
    """Return how many processes work together; 1 for a process by itself."""
    return int(os.environ.get(RANKS_VARIABLE) or 1)


def first_rank() -> bool:
    """Return whether this process is the one that writes checkpoints, logs and metrics."""
    return rank() == 0


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Work together with the other ranks within the block: by NCCL where there are GPUs, else by gloo."""
    if ranks() == 1:
        yield
        return
    import torch
    from torch import distributed

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    rendezvous = Path(os.environ[RENDEZVOUS_VARIABLE])
    distributed.init_process_group(backend, init_method=rendezvous.as_uri(), rank=rank(), world_size=ranks())
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def first_rank_first() -> Iterator[None]:
    """Run a block in the first rank, then in the others: what it fetches into a cache they find there."""
    from torch import distributed

    together = ranks() > 1
    if together and not first_rank():
        distributed.barrier()
    yield
    if together and first_rank():
        distributed.barrier()


def distributed_model(network: Any, find_unused_parameters: bool) -> Any:
    """Wrap ``network`` such that gradients are averaged over the ranks; it starts with the first rank's weights.

    Buffers are not broadcast in every step: NNCF's masks and batch norm's statistics are the ranks' own.
    """
    import torch
    from mmcv.parallel import MMDistributedDataParallel

    class RankModel(MMDistributedDataParallel):
        """Takes DataContainers apart on the CPU, too, where mmcv 1.7.2 does not (mmcv/parallel/distributed.py)."""

        def train_step(self, *inputs: Any, **kwargs: Any) -> Any:
            if not self.device_ids:
                every_input, every_kwargs = self.scatter(inputs, kwargs, [-1])
                inputs, kwargs = every_input[0], every_kwargs[0]
            return super().train_step(*inputs, **kwargs)

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else None
    return RankModel(network, device_ids=devices, broadcast_buffers=False,
                     find_unused_parameters=find_unused_parameters)


def gathered(items: dict[Any, Value]) -> dict[Any, Value]:
    """Return the dictionaries of all ranks as one."""
    if ranks() == 1:
        return items
    from torch import distributed

    parts = [None] * ranks()
    distributed.all_gather_object(parts, items)
    return {key: value for part in parts for key, value in part.items()}


def from_first_rank(value: Any) -> Any:
    """Return the first rank's ``value`` in every rank."""
    if ranks() == 1:
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def average_statistics(network: Any) -> None:
    """Give batch norm's running mean and variance their averages over the ranks."""
    if ranks() == 1:
        return
    from torch import distributed

    for name, buffer in sorted(network.named_buffers()):
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            distributed.all_reduce(buffer)
            buffer /= ranks()


def scale_learning_rate(optimizer: Any, config: Any) -> None:
    """Scale the learning rate to the batch of all ranks where the config's ``auto_scale_lr`` asks for it.

    The rule is MMDetection's (mmdet/apis/train.py): lr x ranks x samples_per_gpu / base_batch_size.
    """
    batch = ranks() * config.data.get("samples_per_gpu", 2)
    rule = config.get("auto_scale_lr") or {}
    if rule.get("enable", False):
        factor = batch / rule["base_batch_size"]
        for group in optimizer.param_groups:
            group["lr"] *= factor
        logger.info("learning rate scaled by %g: %d samples a step, the config is for %d", factor, batch,
                    rule["base_batch_size"])
    elif ranks() > 1:
        logger.info("%d ranks, %d samples a step; the learning rate stays the config's (see auto_scale_lr)", ranks(),
                    batch)
