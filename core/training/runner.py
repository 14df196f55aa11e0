"""mmcv's runner over epochs, which can begin in the middle of one."""

import time
from typing import Any

from mmcv.runner import EpochBasedRunner


class ResumableRunner(EpochBasedRunner):
    """Trains from any iteration of any epoch on.

    ``runner.inner_iter`` is the number of batches already trained while ``before_train_epoch`` runs: 0, but where an
    epoch is resumed.
    """

    def start_at(self, epoch: int, inner_iter: int, iteration: int) -> None:
        """Begin :meth:`run` at this place: epochs, batches of the present epoch and batches in all are done."""
        self._epoch, self._iter, self._first = epoch, iteration, inner_iter

    def train(self, data_loader: Any, **options: Any) -> None:
        """Train one epoch, or what is left of it (mmcv/runner/epoch_based_runner.py, train)."""
        first = self.__dict__.pop("_first", 0)
        self.model.train()
        self.mode, self.data_loader, self._inner_iter = "train", data_loader, first
        self._max_iters = self._max_epochs * len(data_loader)
        data_loader.sampler.start(self.epoch, first)
        self.call_hook("before_train_epoch")
        if data_loader.num_workers:
            # As mmcv: workers of the epoch before that have not ended yet can make a deadlock.
            time.sleep(2)
        for number, batch in enumerate(data_loader, first):
            self.data_batch, self._inner_iter = batch, number
            self.call_hook("before_train_iter")
            self.run_iter(batch, train_mode=True, **options)
            self.call_hook("after_train_iter")
            del self.data_batch
            self._iter += 1
        self.call_hook("after_train_epoch")
        self._epoch += 1
