"""mmcv's runners, made to start at any iteration and to read and write checkpoints by core.checkpoint."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcv.runner import EpochBasedRunner, IterBasedRunner, OptimizerHook
from mmcv.runner.hooks import ProfilerHook, TensorboardLoggerHook

from core.base.errors import UserError
from core.detectors.closed_room import closed_room, outside

if TYPE_CHECKING:
    from core.training.samples import TrainLoader

SaveCheckpoint = Callable[[Path, bool], None]
ReadCheckpoint = Callable[[str], dict[str, Any]]
_LIBRARIES = ("mmcv", "mmdet")
# They run the network's backward pass and torch's profiler, and name no file but those that were checked when built.
_WITHOUT_FILES = (OptimizerHook, ProfilerHook)


class _Resumable:
    """What both runners add to mmcv's.

    Attributes:
        last_metrics: The last loss, and the last validation's ``map`` and ``map50``.
        best: ``map`` and ``epoch`` of the best validation, or its iteration where those are counted.
        messages: What mmcv's hooks remember over a resumption, such as the best checkpoint.
        unscored: Whether the model is to be scored before the next batch: training was interrupted while it was.
    """

    loader: "TrainLoader"
    last_metrics: dict[str, Any]
    best: dict[str, Any]
    messages: dict[str, Any]
    unscored: bool

    def prepare(self, loader: "TrainLoader", save: SaveCheckpoint, read: ReadCheckpoint) -> None:
        """Take what :meth:`run` needs.

        Args:
            save: Writes the present state to a file, with the optimizer's where asked for.
            read: Loads a checkpoint's weights and optimizer state; returns its ``epoch`` and ``iter``.
        """
        self.loader, self._save, self._read = loader, save, read
        self.last_metrics, self.best, self.messages = {}, {}, {}
        self._first, self._restore, self.unscored = 0, None, False

    def start_at(self, epoch: int, iteration: int, first: int = 0, restore: Callable[[], None] | None = None) -> None:
        """Begin :meth:`run` at this place.

        Args:
            epoch: Epochs that are done.
            iteration: Batches that are done in all.
            first: Batches of the present epoch that are done.
            restore: Puts the random generators back; called when nothing draws before the next batch.
        """
        self._epoch, self._iter, self._first, self._restore = epoch, iteration, first, restore

    def restored(self) -> None:
        """Put the random generators back where a run was interrupted, once."""
        restore, self._restore = self._restore, None
        if restore is not None:
            restore()

    def resume(self, checkpoint: str, resume_optimizer: bool = True, map_location: Any = None) -> None:
        """Load weights, optimizer and place from a file; EMA hooks call it (mmdet/core/hook/ema.py, before_run)."""
        with outside():
            done = self._read(checkpoint)
        self.start_at(done["epoch"], done["iter"])
        self.logger.info("resumed epoch %d, iter %d", self.epoch, self.iter)

    def call_hook(self, fn_name: str) -> None:
        """Call all hooks; those of the libraries, which a config chooses, touch files of the work folder alone."""
        for hook in self._hooks:
            kind = type(hook)
            room = closed_room(f"config, {kind.__name__}", writable=[self.work_dir])
            if isinstance(hook, TensorboardLoggerHook):
                # Its import searches the whole of sys.path; what it writes stays in the work folder.
                with contextlib.suppress(ImportError):
                    import torch.utils.tensorboard  # noqa: F401
            elif kind.__module__.partition(".")[0] not in _LIBRARIES or isinstance(hook, _WITHOUT_FILES) \
                    or kind.__name__ == "MemoryProfilerHook":
                # Our own, and those of a user's trusted modules.
                room = contextlib.nullcontext()
            with room:
                getattr(hook, fn_name)(self)

    def load_checkpoint(self, filename: str, *arguments: Any, **options: Any) -> None:
        """Refuse mmcv's own loader, which unpickles anything."""
        raise NotImplementedError("checkpoints are read by core.checkpoint")

    def save_checkpoint(self, out_dir: str, filename_tmpl: str | None = None, save_optimizer: bool = True,
                        meta: Any = None, create_symlink: bool = True) -> None:
        """Write the present state and let ``latest.pth`` lead to it; mmcv's checkpoint and evaluation hooks call it."""
        by_epoch = isinstance(self, EpochBasedRunner)
        name = (filename_tmpl or ("epoch_{}.pth" if by_epoch else "iter_{}.pth")).format(
            (self.epoch if by_epoch else self.iter) + 1)
        folder = Path(out_dir)
        with outside():
            if not Path(name).name == name:
                raise UserError("checkpoint's name", name, "Checkpoints are written to the work folder alone.",
                                "Write filename_tmpl without folders, such as 'epoch_{}.pth'.")
            folder.mkdir(parents=True, exist_ok=True)
            self._save(folder / name, save_optimizer)
            if create_symlink:
                latest = folder / ".latest.pth.partial"
                latest.unlink(missing_ok=True)
                latest.symlink_to(name)
                latest.replace(folder / "latest.pth")


class ResumableRunner(_Resumable, EpochBasedRunner):
    """Trains from any iteration of any epoch on.

    ``runner.inner_iter`` is the number of batches already trained while ``before_train_epoch`` runs: 0, but where an
    epoch is resumed.
    """

    def train(self, data_loader: Any, **options: Any) -> None:
        """Train one epoch, or what is left of it (mmcv/runner/epoch_based_runner.py, train)."""
        first, self._first = self._first, 0
        self.model.train()
        self.mode, self.data_loader, self._inner_iter = "train", data_loader, first
        self._max_iters = self._max_epochs * len(data_loader)
        if not first:
            self.restored()
        self.call_hook("before_train_epoch")
        # mmcv sleeps here, for workers of the epoch before; torch has joined them (DataLoader, _next_data).
        batches = iter(data_loader)
        self.restored()
        for number, batch in enumerate(batches, first):
            self.data_batch, self._inner_iter = batch, number
            self.call_hook("before_train_iter")
            self.run_iter(batch, train_mode=True, **options)
            self.call_hook("after_train_iter")
            del self.data_batch
            self._iter += 1
        self.call_hook("after_train_epoch")
        self._epoch += 1


class ResumableIterRunner(_Resumable, IterBasedRunner):
    """Trains from any iteration on."""

    def train(self, data_loader: Any, **options: Any) -> None:
        """Train one iteration."""
        self.restored()
        super().train(data_loader, **options)
