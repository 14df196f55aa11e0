"""What saving the training state costs: ``python -m benchmarks.saving_state``.

Two copies of the same compressed model take turns in one process, an epoch each, and who goes first alternates. One
stores its state on S3 after every epoch, as ``training_state`` does, the other saves nothing. Storing goes on in the
background, so what it takes from the next epoch must count: before a turn of the one that stores ends, its upload is
waited for.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.small_detector import BATCH, CONFIGS, digits, scratch, set_samples, small_config
from core.base.cli import run_guarded
from core.base.supervision import run_command

GOAL = 1.03
INITIALISATION_SAMPLES = 16


class Contestant:
    """A training of which an epoch is a turn."""

    def __init__(self, config: Any, dataset: Any, folder: Path, epochs: int, location: str) -> None:
        from core.training.states import StateSettings
        from core.training.trainer import Output, Trainer

        config.runner.max_epochs = epochs
        # Long enough that only the ends of epochs are stored.
        settings = StateSettings(location, minutes=1e6) if location else None
        self._training = Trainer(config, dataset, Output(folder), state=settings)
        if not location:
            self._training.state.save = lambda: None
        self._training.runner.call_hook("before_run")

    def epoch(self) -> float:
        """Train one epoch and return the seconds it took, with the storing of its state."""
        begun = time.perf_counter()
        self._training.runner.train(self._training.loader)
        if self._training.states is not None and not self._training.states.wait():
            raise RuntimeError("the state was not stored")
        return time.perf_counter() - begun

    def state_megabytes(self) -> float:
        """Return the size of the newest state."""
        return (Path(self._training.config.work_dir) / "latest.pth").stat().st_size / 1e6


def compare(variant: str, dataset: Any, folder: Path, rounds: int, location: str) -> dict[str, Any]:
    """Measure one variant in ``rounds`` turns after one for warming up, and return its figures."""
    contestants = {}
    for name, place in (("stored", location), ("unsaved", "")):
        config = small_config(variant, dataset)
        if variant != "plain":
            set_samples(config, INITIALISATION_SAMPLES)
        contestants[name] = Contestant(config, dataset, folder / f"{variant}-{name}", max(rounds + 1, 4), place)
    turns: list[dict[str, float]] = []
    for number in range(rounds + 1):
        turns.append({name: contestants[name].epoch() for name in sorted(contestants, reverse=bool(number % 2))})
    ratios = [turn["stored"] / turn["unsaved"] for turn in turns[1:]]
    return {"variant": variant, "seconds_stored": statistics.median(turn["stored"] for turn in turns[1:]),
            "seconds_unsaved": statistics.median(turn["unsaved"] for turn in turns[1:]),
            "state_megabytes": contestants["stored"].state_megabytes(), "ratio": statistics.median(ratios),
            "ratio_min": min(ratios), "ratio_max": max(ratios)}


@contextlib.contextmanager
def state_location(given: str, folder: Path) -> Iterator[str]:
    """Give a location for states: the one that was named, or a bucket of a server of this benchmark's own."""
    if given:
        yield given
        return
    import boto3

    from scripts import s3_server

    server = s3_server.start(folder / "s3")
    try:
        os.environ.update(AWS_ENDPOINT_URL_S3=server["endpoint"], AWS_ACCESS_KEY_ID=server["access_key"],
                          AWS_SECRET_ACCESS_KEY=server["secret_key"], AWS_EC2_METADATA_DISABLED="true")
        boto3.client("s3", endpoint_url=server["endpoint"]).create_bucket(Bucket="states")
        yield "s3://states"
    finally:
        s3_server.stop(folder / "s3")


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saving_state", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(CONFIGS), default=["int8"], help="what to train")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each, after one for warming up")
    parser.add_argument("--iterations", type=int, default=40, help="iterations of an epoch")
    parser.add_argument("--val-images", type=int, default=16, help="images of the evaluation after an epoch")
    parser.add_argument("--state", default="", metavar="LOCATION",
                        help="where states go; by default a server of scripts/s3_server.py is started for it")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    # SIGTERM, too, must reach the end of the block that stops the server.
    return run_guarded("saving_state", lambda: _measure(arguments))


def _measure(arguments: argparse.Namespace) -> int:
    dataset = digits(BATCH * arguments.iterations, arguments.val_images)
    with scratch() as folder, state_location(arguments.state, folder) as location:
        results = [compare(variant, dataset, folder, arguments.rounds, location) for variant in arguments.variants]
    names = ("seconds_stored", "seconds_unsaved", "state_megabytes", "ratio", "ratio_min", "ratio_max")
    print(reporting.table(("variant", "s/epoch stored", "unsaved", "state MB", "ratio", "min", "max"),
                          [(found["variant"], *(f"{found[name]:.3f}" for name in names)) for found in results]))
    print(f"largest ratio {max(found['ratio'] for found in results):.3f}, goal <= {GOAL}")
    settings = {key: value for key, value in vars(arguments).items() if key not in ("output", "state")}
    reporting.write("saving_state", {**settings, "batch": BATCH}, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("saving_state", main))
