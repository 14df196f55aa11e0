"""The order of training samples, which can be entered at any batch of any epoch.

What is drawn for a sample (order, flips, crops, mosaics) depends on the seed, the epoch and the sample's place in the
epoch alone: not on what was drawn before it, nor on which worker makes it. So a resumed epoch goes on with the very
batches that it would have had.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """One sample to make: its index in the data set and the seed of its augmentation."""

    index: int
    seed: int


class SampleOrder:
    """Sampler of an epoch's samples, from any batch on.

    Args:
        order: Gives an epoch's indices, whole batches of them, as a function of ``set_epoch``: mmdet's
            DistributedGroupSampler, also where there is one process.
        batch_size: Samples a batch.
        seed: Seed of the augmentation; the order's is its own.
    """

    def __init__(self, order: Any, batch_size: int, seed: int) -> None:
        self._order, self._batch_size, self._seed = order, batch_size, seed
        self._epoch = self._first = 0

    def start(self, epoch: int, first: int = 0) -> None:
        """Let the next iteration give the samples of ``epoch`` from batch number ``first`` on."""
        self._epoch, self._first = epoch, first

    def __len__(self) -> int:
        """Return the samples of a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Sample]:
        import numpy as np

        self._order.set_epoch(self._epoch)
        indices = list(self._order)
        seeds = np.random.SeedSequence((self._seed, self._epoch, self._order.rank)).generate_state(len(indices))
        first = self._first * self._batch_size
        return map(Sample, indices[first:], seeds[first:].tolist())


class SeededSamples:
    """A training data set whose samples are asked for by :class:`Sample`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, sample: Sample) -> Any:
        from core.training.random_state import seeded

        with seeded(sample.seed):
            return self.dataset[sample.index]


def build_loader(dataset: Any, batch_size: int, workers: int, seed: int, shared: bool = True) -> Any:
    """Return a torch DataLoader over an MMDetection training set; its ``sampler`` is a SampleOrder.

    Where training is ``shared`` by ranks it gives this rank's samples, else all.
    """
    from functools import partial

    import torch
    from mmcv.parallel import collate
    from mmdet.datasets.samplers import DistributedGroupSampler
    from torch.utils.data import DataLoader

    alone = {} if shared else {"num_replicas": 1, "rank": 0}
    order = SampleOrder(DistributedGroupSampler(dataset, batch_size, seed=seed, **alone), batch_size, seed)
    # With a generator of its own the loader leaves torch's alone: a resumed epoch starts a loader once more.
    return DataLoader(SeededSamples(dataset), batch_size=batch_size, sampler=order, num_workers=workers,
                      collate_fn=partial(collate, samples_per_gpu=batch_size), generator=torch.Generator())
