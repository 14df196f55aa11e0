"""What the settings of a stage's process are worth in training: ``python -m benchmarks.stage_settings``.

They are how long OpenMP's threads spin before they sleep, and whether glibc asks for huge pages. Each turn is a process
that trains the small RetinaNet, since both are read when a process starts. The settings take turns, on the machine as
it is and beside one busy process a core but one.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.small_detector import BATCH, digits, scratch, small_config
from benchmarks.training_step import our_runner
from core.base.supervision import run_command
from pipelines.environments import STAGE_SETTINGS

_HUGE_PAGES = {"GLIBC_TUNABLES": STAGE_SETTINGS["GLIBC_TUNABLES"]}
SETTINGS: dict[str, dict[str, str]] = {
    "the libraries' defaults": {},
    "a stage's": STAGE_SETTINGS,
    "a stage's without huge pages": {"GOMP_SPINCOUNT": STAGE_SETTINGS["GOMP_SPINCOUNT"]},
    "threads sleep at once": {"OMP_WAIT_POLICY": "PASSIVE", **_HUGE_PAGES},
    "a spin of 1,000": {"GOMP_SPINCOUNT": "1000", **_HUGE_PAGES},
    "a spin of 20,000": {"GOMP_SPINCOUNT": "20000", **_HUGE_PAGES},
}
_NAMES = {name for setting in SETTINGS.values() for name in setting}
ITERATIONS = 12
_BUSY = "while True: pass"


def train(iterations: int) -> float:
    """Return the median seconds of an iteration of our loop, after one epoch for warming up."""
    dataset = digits(BATCH * iterations, 1)
    with scratch() as folder:
        config = small_config("plain", dataset)
        contestant = our_runner(config, dataset, folder, 2)
        contestant.epoch()
        return contestant.epoch().clock


def seconds(setting: dict[str, str], iterations: int) -> float:
    """Return what :func:`train` finds in a process of its own with the environment of ``setting``."""
    environment = {name: value for name, value in os.environ.items() if name not in _NAMES}
    done = subprocess.run([sys.executable, "-m", "benchmarks.stage_settings", "--train", str(iterations)],
                          env={**environment, **setting}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=True)
    return float(done.stdout.splitlines()[-1])


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(others: int, rounds: int, iterations: int) -> list[dict[str, Any]]:
    """Return the figures of each setting beside ``others`` busy processes, the ratio being to the first setting."""
    turns = []
    with busy_processes(others):
        for number in range(rounds):
            order = sorted(SETTINGS, reverse=bool(number % 2))
            turns.append({name: seconds(SETTINGS[name], iterations) for name in order})
    first = next(iter(SETTINGS))
    return [{"busy_processes": others, "setting": name,
             "seconds_per_iteration": statistics.median(turn[name] for turn in turns),
             "ratio": statistics.median(turn[name] / turn[first] for turn in turns)} for name in SETTINGS]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stage_settings",
                                     description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each setting")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="iterations of a turn")
    parser.add_argument("--train", type=int, default=0, metavar="N", help="one turn of N iterations, nothing else")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    arguments = parser.parse_args(argv)
    if arguments.train:
        print(train(arguments.train))
        return 0
    results = [found for others in (0, max(1, (os.cpu_count() or 1) - 1))
               for found in compare(others, arguments.rounds, arguments.iterations)]
    print(reporting.table(("setting", "busy processes", "s/iteration", f"ratio to '{next(iter(SETTINGS))}'"),
                          [(found["setting"], str(found["busy_processes"]), f"{found['seconds_per_iteration']:.3f}",
                            f"{found['ratio']:.2f}") for found in results]))
    reporting.write("stage_settings", {"rounds": arguments.rounds, "iterations": arguments.iterations, "batch": BATCH},
                    results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("stage_settings", main))
