"""Seconds per training iteration, ours against a bare mmcv loop: ``python -m benchmarks.training_step``.

Ours is the loop of ``core.training.fit`` with every hook. Bare is mmcv's EpochBasedRunner with an optimizer hook and
NNCF's schedulers, on a second copy of the same compressed model. Both take turns in one process, a few iterations
each, and who goes first alternates, so that a busy machine slows both alike.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.small_detector import BATCH, CONFIGS, INPUT_SIZE, digits, scratch, set_samples, small_config
from core.base.supervision import run_command

GOAL = 1.02
IMAGES_OF_AN_EPOCH = 640
INITIALISATION_SAMPLES = 16
_THREE_DIGITS = ("seconds_per_iteration", "seconds_per_iteration_bare", "ratio", "ratio_min", "ratio_max", "cpu_ratio")


@dataclass(frozen=True)
class Turn:
    """One epoch of one loop: median seconds of an iteration, by the clock and of the CPU, and seconds afterwards."""

    clock: float
    cpu: float
    after: float


class TimedLoader:
    """Hands out the batches of a loader and notes how long each iteration takes, from one request to the next."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.clock: list[float] = []
        self.cpu: list[float] = []
        self.finished = 0.0

    def __len__(self) -> int:
        return len(self._loader)

    @property
    def sampler(self) -> Any:
        """Return the loader's sampler, which our runner sets to its epoch."""
        return self._loader.sampler

    @property
    def num_workers(self) -> int:
        """Return the loader's number of workers."""
        return self._loader.num_workers

    def __iter__(self) -> Iterator[Any]:
        self.clock, self.cpu = [], []
        clock, cpu = time.perf_counter(), time.process_time()
        for batch in self._loader:
            yield batch
            before = clock, cpu
            clock, cpu = time.perf_counter(), time.process_time()
            self.clock.append(clock - before[0])
            self.cpu.append(cpu - before[1])
        self.finished = clock


class Contestant:
    """A runner that trains one epoch whenever it is its turn."""

    def __init__(self, runner: Any, loader: Any, epochs: int) -> None:
        self._runner, self._loader = runner, TimedLoader(loader)
        runner._max_epochs, runner._max_iters = epochs, epochs * len(loader)
        runner.call_hook("before_run")

    def epoch(self) -> Turn:
        """Train one epoch and return how long it took."""
        self._runner.train(self._loader)
        return Turn(statistics.median(self._loader.clock), statistics.median(self._loader.cpu),
                    time.perf_counter() - self._loader.finished)


def our_runner(config: Any, dataset: Any, folder: Path, epochs: int) -> Contestant:
    """Return the loop of ``core.training.trainer``, at its first step."""
    from core.training.trainer import Output, Trainer

    training = Trainer(config, dataset, Output(folder))
    return Contestant(training.runner, training.loader, epochs)


def bare_runner(config: Any, dataset: Any, folder: Path, epochs: int) -> Contestant:
    """Return mmcv's runner with an optimizer hook and, on a compressed model, NNCF's schedulers."""
    from mmcv.runner import EpochBasedRunner, Hook
    from mmcv.utils import get_logger
    from mmdet.apis import set_random_seed
    from mmdet.core import build_optimizer

    from core.compression.wrap import compress_detector
    from core.config.adapt import nncf_config_of
    from core.detectors.building import build_detector
    from core.training.device import data_parallel, device
    from core.training.samples import train_loader

    class Schedulers(Hook):
        def __init__(self, scheduler: Any) -> None:
            self._scheduler = scheduler

        def before_train_epoch(self, runner: Any) -> None:
            self._scheduler.epoch_step()

        def before_train_iter(self, runner: Any) -> None:
            self._scheduler.step()

    set_random_seed(0)
    detector = build_detector(config)
    detector.init_weights()
    network, scheduler = detector.to(device()), None
    if nncf_config_of(config) is not None:
        compressed = compress_detector(network, nncf_config_of(config), train_loader(config, dataset, 0))
        network, scheduler = compressed.network, compressed.controller.scheduler
    network.train()
    runner = EpochBasedRunner(data_parallel(network), optimizer=build_optimizer(network, config.optimizer),
                              work_dir=str(folder), logger=get_logger("bare", log_level="WARNING"), max_epochs=epochs)
    runner.register_optimizer_hook(config.get("optimizer_config", {}))
    if scheduler is not None:
        runner.register_hook(Schedulers(scheduler), priority="HIGH")
    return Contestant(runner, train_loader(config, dataset, 0), epochs)


def compare(variant: str, dataset: Any, folder: Path, rounds: int, input_size: tuple[int, int]) -> dict[str, Any]:
    """Measure one variant in ``rounds`` turns after one for warming up, and return its figures."""
    contestants = {}
    for name, build in (("ours", our_runner), ("bare", bare_runner)):
        config = small_config(variant, dataset, input_size)
        # Our loop refuses a pruning schedule that does not end within the training.
        config.runner.max_epochs = max(config.runner.max_epochs, rounds + 1)
        if variant != "plain":
            set_samples(config, INITIALISATION_SAMPLES)
        contestants[name] = build(config, dataset, folder / f"{variant}-{name}", rounds + 1)
    turns: list[dict[str, Turn]] = []
    for number in range(rounds + 1):
        order = sorted(contestants, reverse=bool(number % 2))
        turns.append({name: contestants[name].epoch() for name in order})
    return figures(variant, turns[1:])


def figures(variant: str, turns: list[dict[str, Turn]]) -> dict[str, Any]:
    """Return the medians over turns; the ratio is that of each turn's pair, so that slow drift cancels."""
    ratios = [turn["ours"].clock / turn["bare"].clock for turn in turns]
    found = {name: statistics.median(turn[name].clock for turn in turns) for name in ("ours", "bare")}
    end = statistics.median(turn["ours"].after for turn in turns)
    return {"variant": variant, "seconds_per_iteration": found["ours"], "seconds_per_iteration_bare": found["bare"],
            "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
            "cpu_ratio": statistics.median(turn["ours"].cpu / turn["bare"].cpu for turn in turns),
            "seconds_after_epoch": end,
            "seconds_per_epoch": found["ours"] * IMAGES_OF_AN_EPOCH / BATCH + end}


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(CONFIGS), default=list(CONFIGS), help="what to train")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each loop, after one for warming up")
    parser.add_argument("--iterations", type=int, default=8, help="iterations of a turn")
    parser.add_argument("--val-images", type=int, default=16, help="images of the evaluation after each turn of ours")
    parser.add_argument("--input-size", nargs=2, type=int, default=INPUT_SIZE, metavar=("WIDTH", "HEIGHT"),
                        help=f"network input in pixels (default: {INPUT_SIZE[0]} {INPUT_SIZE[1]})")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    dataset = digits(BATCH * arguments.iterations, arguments.val_images)
    with scratch() as folder:
        results = [compare(variant, dataset, folder, arguments.rounds, tuple(arguments.input_size))
                   for variant in arguments.variants]
    print(reporting.table(
        ("variant", "s/iteration", "bare", "ratio", "min", "max", "CPU ratio", "after epoch s",
         f"s/epoch of {IMAGES_OF_AN_EPOCH}"),
        [(found["variant"], *(f"{found[key]:.3f}" for key in _THREE_DIGITS), f"{found['seconds_after_epoch']:.1f}",
          f"{found['seconds_per_epoch']:.0f}") for found in results]))
    worst = max(found["ratio"] for found in results)
    print(f"largest ratio {worst:.3f}, goal <= {GOAL}")
    settings = {key: value for key, value in vars(arguments).items() if key != "output"}
    reporting.write("training_step", {**settings, "batch": BATCH}, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("training_step", main))
