"""Reader of the training log: JSON lines, one object per logged iteration or validation."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.json_file import json_object
from core.results.accuracy import MAP_NAMES

_MOST_BYTES = 1 << 30
_HINT = "Give the log artifact of that stage, or run the stage again."


@dataclass(frozen=True)
class TrainRow:
    """One logged iteration; ``epoch`` and ``iteration`` count from 1, ``iteration`` within its epoch.

    Where iterations are counted, all are of epoch 1.

    ``losses`` holds every entry whose name starts with ``loss``, the total under ``loss``; ``seconds`` is the time
    of one iteration.
    """

    epoch: int
    iteration: int
    lr: float
    losses: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class ValRow:
    """The accuracy on the validation split after ``done`` epochs, or iterations; 0 is before the first step."""

    done: int
    map: float
    map50: float


@dataclass(frozen=True)
class TrainingLog:
    """A whole log.

    Attributes:
        epochs: The training's length; 0 where iterations are counted, as by mmcv's IterBasedRunner.
        truncated: Whether the last line was cut off, as by a killed process.
        iterations: The training's length where iterations are counted, else 0.
    """

    epochs: int
    iters_per_epoch: int
    train: tuple[TrainRow, ...]
    val: tuple[ValRow, ...]
    truncated: bool
    iterations: int = 0

    @property
    def passed_through(self) -> bool:
        """Whether the stage handed on a given checkpoint without training."""
        return not (self.epochs or self.iterations)

    @property
    def unit(self) -> str:
        """Return what its length is counted in."""
        return "iteration" if self.iterations else "epoch"

    @property
    def length(self) -> int:
        """Return the training's length in its unit."""
        return self.iterations or self.epochs

    def done(self, row: TrainRow) -> float:
        """Return how far the training was at a row, in its unit."""
        if self.iterations:
            return row.iteration
        return row.epoch - 1 + row.iteration / max(self.iters_per_epoch, row.iteration)

    @property
    def median_seconds(self) -> float:
        """Return the seconds of an iteration, NaN where none is logged."""
        known = [row.seconds for row in self.train if math.isfinite(row.seconds)]
        return statistics.median_high(known) if known else math.nan


def read_training_log(file: Path) -> TrainingLog:
    """Read a log in the order of its epochs.

    A resumed run repeats some iterations and its first line; the later one counts. Rows of unknown modes are for
    other readers and are passed over.

    Raises:
        UserError: The file is missing, does not start with the ``env`` line, or a line before the last is not JSON.
    """
    rows, truncated = _rows(file)
    if not rows or rows[0].get("mode") != "env":
        raise _not_a_log(file, "does not start with a line of mode 'env'")
    env: dict[str, Any] = {}
    train: dict[tuple[int, int], TrainRow] = {}
    val: dict[int, ValRow] = {}
    for number, row in enumerate(rows, start=1):
        try:
            if row["mode"] == "env":
                env = {"epochs": int(row["epochs"]), "iters_per_epoch": int(row["iters_per_epoch"]),
                       "iterations": int(row.get("iterations", 0))}
            elif row["mode"] == "train":
                losses = {name: _number(row, name) for name in row if name.startswith("loss")}
                epoch, iteration = 1 if env["iterations"] else int(row["epoch"]), int(row["iter"])
                train[epoch, iteration] = TrainRow(epoch, iteration, _number(row, "lr"), losses, _number(row, "time"))
            elif row["mode"] == "val":
                # Before training the line is ours; then MMDetection's, whose names say what was scored.
                average, at_half = next((names for names in MAP_NAMES if names[0] in row), MAP_NAMES[0])
                done = int(row["iter"]) if env["iterations"] and "iter" in row else int(row["epoch"])
                val[done] = ValRow(done, _number(row, average), _number(row, at_half))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _not_a_log(file, f"line {number} lacks or misstates {error}") from error
    return TrainingLog(train=tuple(train[key] for key in sorted(train)), val=tuple(val[key] for key in sorted(val)),
                       truncated=truncated, **env)


def _rows(file: Path) -> tuple[list[dict[str, Any]], bool]:
    lines = read_foreign(file, "training log", _MOST_BYTES, _HINT).split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            # A loss that is no number any more is written as NaN.
            rows.append(json_object(line, any_number=True))
        except ValueError as error:
            if number == len(lines) and rows:
                return rows, True
            raise _not_a_log(file, f"line {number} is not a JSON object: {line[:60]!r}") from error
    return rows, False


def _number(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)


def _not_a_log(file: Path, problem: str) -> UserError:
    return UserError("training log", f"{file} {problem}",
                     "It must hold JSON lines as the train and compress stages write them.",
                     _HINT)
