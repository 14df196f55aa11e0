"""MMDetection's loader of training data, which can be entered at any batch to the same samples.

Order and augmentation are MMDetection's own, drawn from the generators that it draws from: without workers this
process's, with workers each worker's, seeded again every epoch unless workers persist. Each batch therefore comes with
the state of its worker's generators, so that a resumed run can begin its workers where the others had stopped.
"""

import copy
import logging
import pickle
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, get_worker_info

from core.base.errors import UserError
from core.config.loading import pipelines
from core.detectors.building import build_dataset
from core.training.distributed import ranks
from core.training.random_state import random_state, set_random_state
from core.training.settings import EPOCHS, ITERATIONS, loader_settings, training_length

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

logger = logging.getLogger(__name__)


class TrainLoader(DataLoader):
    """A torch DataLoader over MMDetection's batches, from any batch on.

    Args:
        loader: MMDetection's loader; its parts are used.
    """

    def __init__(self, loader: Any) -> None:
        self._batches = _EnteredBatches(loader.batch_sampler)
        self._start = _WorkerStart(loader.worker_init_fn, max(1, loader.num_workers))
        collate = _WithRandomState(loader.collate_fn) if loader.num_workers else loader.collate_fn
        super().__init__(
            loader.dataset, batch_sampler=self._batches, num_workers=loader.num_workers, collate_fn=collate,
            pin_memory=loader.pin_memory, timeout=loader.timeout, worker_init_fn=self._start,
            prefetch_factor=loader.prefetch_factor, persistent_workers=loader.persistent_workers)
        # Torch leaves it out where batches are given, and lets nobody set it; NNCF's initialisation reads it.
        vars(self)["batch_size"] = loader.batch_sampler.batch_size
        self._states: dict[int, bytes] = {}
        self._entered = False

    def enter(self, first: int, state: Mapping[str, Any]) -> None:
        """Let the next iteration begin at batch number ``first``.

        Args:
            first: Batches that are done.
            state: What :meth:`state` returned then.
        """
        self._batches.first, self._batches.order = first, state["order"]
        self._states = {int(number): pickle.dumps(random) for number, random in state["workers"].items()}
        self._entered = True

    def state(self) -> dict[str, Any]:
        """Return where order and workers stand after the last batch that was returned."""
        return {"order": self._batches.order,
                "workers": {number: pickle.loads(state) for number, state in self._states.items()}}

    def __iter__(self) -> Iterator[Any]:
        first, again = self._batches.first, self._start.first > 0
        if again:
            # Workers of an epoch that was entered in its middle do not stand in the order of the others.
            self._iterator = None
        if not self.persistent_workers and not first:
            self._states = {}
        self._start.begin(first, self._states if self._entered or again else {})
        self._entered = False
        # Not in the generator below: it would start the workers, and draw, at the first batch only.
        batches = super().__iter__()

        def of_workers() -> Iterator[Any]:
            for number, state, batch in batches:
                self._states[(number + self._start.first) % self.num_workers] = state
                yield batch

        return of_workers() if self.num_workers else batches


class _EnteredBatches:
    """The indices of each batch, from ``first`` on for one iteration."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.first, self.order = batches, 0, None

    @property
    def sampler(self) -> Any:
        """MMDetection's sampler, to which mmcv's DistSamplerSeedHook tells the epoch."""
        return getattr(self.batches, "sampler", None)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        batches, first, self.first = iter(self.batches), self.first, 0
        if not first:
            self.order = np.random.get_state()
            yield from batches
            return
        present = np.random.get_state()
        np.random.set_state(self.order)
        # MMDetection's GroupSampler draws the whole epoch's order with its first index.
        next(islice(batches, first - 1, first))
        np.random.set_state(present)
        yield from batches


class _WorkerStart:
    """Seeds a worker as MMDetection does, or puts its generators where a worker of the interrupted run had them."""

    def __init__(self, seed: Any, workers: int) -> None:
        self._seed, self._workers = seed, workers
        self.first, self._states = 0, {}

    def begin(self, first: int, states: Mapping[int, bytes]) -> None:
        self.first, self._states = first, dict(states)

    def __call__(self, worker: int) -> None:
        # Torch gives the first batch to the first worker, whichever batch of the epoch that is.
        number = (worker + self.first) % self._workers
        if self._seed is not None:
            self._seed(number)
        state = self._states.get(number)
        if state is not None:
            set_random_state(pickle.loads(state))


class _WithRandomState:
    """Collates a batch in a worker and adds who the worker is and where its generators stand."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, samples: list[Any]) -> tuple[int, bytes, Any]:
        return get_worker_info().id, pickle.dumps(random_state(devices=False)), self._collate(samples)


def train_loader(config: Any, dataset: "Dataset", seed: int, shared: bool = True) -> TrainLoader:
    """Return the loader of the config's training data, as MMDetection's ``train_detector`` builds it.

    Where training is ``shared`` by ranks it gives this rank's share, else everything.
    """
    images = build_dataset(config.data.train, dataset.train)
    # MMDetection leaves out images without boxes and those below 32 pixels, and says nothing.
    logger.info("training on %d samples made of the %d images of split %s", len(images),
                dataset.train.images, dataset.train.name)
    if not len(images):
        raise UserError("config, data.train", "no samples", "MMDetection leaves out images without boxes and those "
                        "below 32 pixels, and repeats them `times` times.", "Give data with boxes, and times above 0.")
    return TrainLoader(_mmdet_loader(images, config, seed, shared))


def _mmdet_loader(images: Any, config: Any, seed: int, shared: bool) -> Any:
    from mmdet.datasets import build_dataloader

    kind = EPOCHS if training_length(config).by_epoch else ITERATIONS
    return build_dataloader(images, num_gpus=1, dist=shared and ranks() > 1, seed=seed, runner_type=kind,
                            **loader_settings(config))


def evaluation_loader(config: Any, key: str, split: "Split") -> Any:
    """Return the loader of the config's ``val`` or ``test`` data, as MMDetection builds it for validation."""
    from mmdet.datasets import build_dataloader, replace_ImageToTensor

    data = copy.deepcopy(config.data[key])
    settings = loader_settings(config, f"{key}_dataloader", samples_per_gpu=data.pop("samples_per_gpu", 1))
    if settings["samples_per_gpu"] > 1:
        with warnings.catch_warnings():
            # It asks for a change by hand that makes no difference.
            warnings.filterwarnings("ignore", ".*ImageToTensor", UserWarning)
            data.pipeline = replace_ImageToTensor(data.pipeline)
    images = build_dataset(data, split, {"test_mode": True})
    return build_dataloader(images, **settings, dist=ranks() > 1, shuffle=False)


def workflow_loaders(config: Any, loader: TrainLoader, workflow: list[tuple[str, int]], seed: int,
                     val: "Split | None") -> list[Any]:
    """Return the loaders of a workflow, a mode each: the losses of ``val`` are measured on augmented images.

    MMDetection builds them so (mmdet's tools/train.py).
    """
    if not any(mode == "val" for mode, _ in workflow):
        return [loader]
    data = copy.deepcopy(config.data.val)
    data.pipeline = next(pipelines(config.data.train))
    losses = _mmdet_loader(build_dataset(data, val), config, seed, True)
    return [loader if mode == "train" else losses for mode, _ in workflow]
