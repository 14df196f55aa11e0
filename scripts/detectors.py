"""Every detector with every algorithm, tried on random weights: ``python -m scripts.detectors``.

The table in docs/detectors.md is what this program prints; nothing in it is written by hand.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.base.cli import name_list, run_guarded
from core.base.errors import UserError
from core.base.supervision import end_with_this_process, run_command
from core.detectors.refused import HEADS
from core.detectors.registry import families
from core.detectors.test_cfg import Rule, Table
from core.dry_run.dry_run import REPOSITORY, DryRun, Outcome, find_openvino_python, run_stage
from scripts.trial_configs import CLASSES, algorithms, config_path, detectors, trial_config

PROGRAM = "python -m scripts.detectors"
ALGORITHMS = algorithms()
ROW_SECONDS = 3600
EXIT_LEFT = 3
AS_WITHOUT = "as without"
"""Begins the aside of a row whose post-processing could not be part of the graph."""
BEGIN, END = "<!-- begin detectors -->", "<!-- end detectors -->"

OK, FAILED, NOT_RUN, NOT_REACHED = "ok", "FAILED", "not run", "-"


@dataclass(frozen=True)
class Cell:
    """What came of one stage: an outcome, and what was seen or the reason."""

    outcome: str
    seen: str = ""

    def __str__(self) -> str:
        return self.seen if self.outcome == OK and self.seen else self.outcome


@dataclass
class Row:
    """One detector with one algorithm.

    Attributes:
        detector: Folder below configs/nncf_compression.
        algorithm: Config in that folder.
        config: Digest of the resolved config; a row of another one is out of date.
        cells: Stage to what came of it, in order.
        counts: Quantization points and FakeQuantize operators with and without post-processing, filters and pruned
            filters, which tests compare, and the sizes of what was made.
        seconds: Wall-clock time of the trial.
    """

    detector: str
    algorithm: str
    config: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return all(cell.outcome != FAILED for cell in self.cells.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Row":
        """Return what ``to_json`` gave."""
        cells = {stage: Cell(**cell) for stage, cell in values["cells"].items()}
        return cls(**{**values, "cells": cells})


def config_digest(detector: str, algorithm: str) -> str:
    """Return the digest of a detector's resolved config for an algorithm."""
    from core.config.fingerprint import config_to_text, json_digest
    from core.config.loading import load_config

    return json_digest(config_to_text(load_config(config_path(detector, algorithm))))


class RowRun:
    """One detector with one algorithm: a dry run of each setting of post-processing, the second to its end."""

    def __init__(self, config: Any, folder: Path, openvino_python: Path | None) -> None:
        self._run = DryRun(config, CLASSES, folder, openvino_python)
        self.counts = self._run.counts

    def stages(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Return names and functions of the columns; a function returns the cell, and raises where it fails."""
        return (("without post-processing", self.without_postprocessing),
                ("with post-processing", self.with_postprocessing), ("train step", self.train_step),
                ("test forward", self.test_forward), ("resume", self.resume), ("ONNX", self.export),
                ("IR", self.convert), ("parameters", self.parameters))

    def without_postprocessing(self) -> str:
        """Wrap with nncf_compress_postprocessing=False; where there are quantizers, train one step and test."""
        seen = self.wrap(False)
        if self.counts["points"]:
            self._run.train_step()
            self._run.test_forward()
        return seen

    def with_postprocessing(self) -> str:
        """Wrap with nncf_compress_postprocessing=True; what follows goes on from there."""
        seen, obstacle = self.wrap(True), self._run.compression.obstacle
        return f"{seen} ({AS_WITHOUT}: {obstacle})" if obstacle else seen

    def wrap(self, postprocessing: bool) -> str:
        """Build the detector anew with random weights and compress it; count what is in the graph."""
        self._run.build()
        self._run.wrap(postprocessing)
        setting = "with" if postprocessing else "without"
        for name in ("points", "fake_quantize"):
            self.counts[f"{name}_{setting}"] = self.counts[name]
        seen = [f"{self.counts['points']} points"] if self.counts["points"] else []
        if self.counts["filters"]:
            seen.append(f"{self.counts['pruned_filters']} of {self.counts['filters']} filters")
        return ", ".join(seen)

    def train_step(self) -> str:
        """Do one training step."""
        self._run.train_step()
        points, moved, trained = (self.counts[name] for name in ("points", "moved", "trained"))
        return f"{points}/{points}" if points else f"{moved} of {trained} tensors moved"

    def test_forward(self) -> str:
        """Detect in the images."""
        self._run.test_forward()
        points = self.counts["points"]
        return f"{points}/{points}" if points else f"{self.counts['boxes']} boxes"

    def resume(self) -> str:
        """Save and restore."""
        self._run.restore()
        return f"{self.counts['outputs']} outputs identical"

    def export(self) -> str:
        """Export to ONNX."""
        self._run.export()
        found = self.counts["onnx_fake_quantize"]
        return f"{found} FakeQuantize" if found else "standard operators"

    def convert(self) -> str:
        """Convert to IR in the other environment and run it once."""
        self._run.convert()
        before, size = (self.counts[name] / 1e6 for name in ("ir_weight_bytes_before", "ir_weight_bytes"))
        sizes = f"{size:.1f} MB" if before == size else f"{before:.1f} -> {size:.1f} MB"
        return f"{sizes}, {self.counts['ir_detections']} boxes"

    def parameters(self) -> str:
        """Count the parameters before and after pruned filters are gone."""
        from core.dry_run.trials import NotRun
        from core.export.onnx import prepare_for_export

        before = self.counts["parameters"] / 1e6
        if not self.counts["filters"]:
            return f"{before:.2f} M"
        if self.counts["points"]:
            raise NotRun("filters stay as zeros beside quantization until the IR")
        prepare_for_export(self._run.compression)
        after = sum(parameter.numel() for parameter in self._run.detector.parameters())
        self.counts["parameters_pruned"] = after
        return f"{before:.2f} -> {after / 1e6:.2f} M"


def run_row(detector: str, algorithm: str, openvino_python: Path | None = None) -> Row:
    """Try one detector with one algorithm in this process; stages after a failed one are not reached."""
    started, row = time.perf_counter(), Row(detector, algorithm, config_digest(detector, algorithm))
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-detectors-") as folder:
        trial = RowRun(trial_config(detector, algorithm), Path(folder), openvino_python)
        results = []
        for stage in trial.stages():
            results.append(run_stage(*stage, results))
        row.cells = {result.stage: Cell(NOT_REACHED if result.outcome is Outcome.SKIPPED else result.outcome.value,
                                        result.why) for result in results}
        row.counts = trial.counts
    row.seconds = round(time.perf_counter() - started, 1)
    return row


def run_row_apart(detector: str, algorithm: str, openvino_python: Path | None = None) -> Row:
    """Try one detector with one algorithm in a process of its own, so that none can harm another."""
    command = [sys.executable, "-m", "scripts.detectors", "--row", detector, algorithm]
    if openvino_python is not None:
        command += ["--openvino-python", str(openvino_python)]
    done = subprocess.run(command, cwd=str(REPOSITORY), capture_output=True, text=True, timeout=ROW_SECONDS,
                          preexec_fn=end_with_this_process())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        reason = f"ended with code {done.returncode}: {last[:300]}"
        return Row(detector, algorithm, cells={"process": Cell(FAILED, reason)})
    return Row.from_json(json.loads(done.stdout.strip().splitlines()[-1]))


def markdown(rows: Sequence[Row], versions: dict[str, str], left: int = 0) -> str:
    """Return the table of ``rows`` as Markdown, every outcome that is not ok explained below it.

    ``left`` is the number of rows that are not tried yet.
    """
    stages = list(dict.fromkeys(stage for row in rows for stage in row.cells))
    lines = [f"| detector | algorithm | {' | '.join(stages)} |", "|---|---|" + "---|" * len(stages)]
    notes: list[str] = []
    for row in rows:
        cells = [_shown(row.cells.get(stage, Cell(NOT_REACHED)), notes) for stage in stages]
        lines.append(f"| {row.detector} | {row.algorithm} | {' | '.join(cells)} |")
    text = _INTRODUCTION.format(program=PROGRAM, versions=", ".join(f"{name} {version}" for name, version
                                                                    in sorted(versions.items())))
    text += "\n".join(lines) + "\n"
    if left:
        text += f"\n{left} rows are not tried yet: the same command resumes with them.\n"
    text += "".join(f"\n[{number}] {note}\n" for number, note in enumerate(notes, 1))
    return f"{text}\n{families_section()}"


_INTRODUCTION = """# Detectors and algorithms

Made by a command, never by hand: `{program} --rows docs/detectors.json --output docs/detectors.md
--readme README.md`. A row builds the detector with random weights for Pascal VOC's classes at a small input, wraps it
by its config in `configs/nncf_compression/`, and goes all the way. {versions}.

- *without* and *with post-processing*: wrapped with `nncf_compress_postprocessing` False and True; quantization points,
  or pruned of all filters. Without, a train step and a test forward of the quantizers are part of it. What follows goes
  on from *with*.
- *train step*: one optimizer step changes the weights; quantizers that ran of all. *test forward*: the same in testing.
- *resume*: saved and restored, raw heads and detections are identical, to the bit.
- *ONNX*: standard operators with post-processing inside, and as many FakeQuantize operators as PyTorch needs (where
  branches meet in a concatenation one point has several). *IR*: converted and run; megabytes of weights, and where
  pruned filters were removed beside quantization, before and after.
- *parameters* in millions, before and after pruned filters are gone.

"""


_FAMILIES = """## Families

A detector is of a family by the class of its head, proven by comparing the boxes of its exported graph with PyTorch's.
A subclass is of the family as long as it does not decode boxes itself. Whatever is of none is refused by `resolve`,
`preflight` and, in a config with an `nncf_config`, `check`; so is a key of `test_cfg` that is not listed here. `nms`
stands for `iou_threshold` and `class_agnostic`. The sides of an input are multiples of what follows the family's name.
The graph obeys `class_agnostic` however many boxes there are; mmcv suppresses class by class from `split_thr` of them
on, 10,000 where the config says nothing.

**Padding.** With `keep_ratio=True` MMDetection cuts proposals and boxes off where the image ends and its padding
begins, and a transformer looks no further. The graph does so, too: it looks for the last row and the last column that
are not the padding's colour, which is that of no pixel with MMDetection's usual `Normalize`, then `Pad`. Where the
padding is the colour of a pixel, as with `pad_val` before `Normalize` or a mean of whole numbers, an image that ends in
rows of just this colour counts as ending before them. The gray that Model API pads with instead is known to the graph,
too; of any other padding the model takes no notice, and a program that calls it by itself finds the colour in the
README of the bundle. Where the padding of a channel is no pixel's value, that channel alone is looked at, which costs
next to nothing.

`resolve` also shows the test pipeline and the network an image of noise: what MMDetection itself would end with when it
tests its first image is refused before training.
"""


def families_section() -> str:
    """Return what the adapters and the table of refusals say, as Markdown."""
    lines = [_FAMILIES, "| family | heads | keys of test_cfg |", "|---|---|---|"]
    for family in sorted(families(), key=lambda family: family.name):
        divisor = f" (x{family.input_divisor})" if family.input_divisor > 1 else ""
        lines.append(f"| {family.name}{divisor} | {', '.join(family.heads)} | {', '.join(_keys(family.test_cfg))} |")
    lines += ["", "MMDetection has no such limit, and the exported graph has:", ""]
    lines += [f"- {family.name}: {family.limit}." for family in families() if family.limit]
    lines += ["", "| refused | reason | nearest family |", "|---|---|---|"]
    named = {head for family in families() for head in family.heads}
    lines += [f"| {head} | {reason} | {nearest} |" for head, (reason, nearest) in sorted(HEADS.items())
              if head not in named]
    return "\n".join(lines) + "\n"


def _keys(table: Table, place: str = "") -> Iterator[str]:
    for key, rule in table.items():
        if key == "nms" or isinstance(rule, Rule):
            yield place + key
        else:
            yield from _keys(rule, f"{place}{key}.")


def _shown(cell: Cell, notes: list[str]) -> str:
    text, _, aside = str(cell).partition(" (")
    reason = aside[:-1] if aside else (cell.seen if cell.outcome != OK else "")
    if not reason:
        return text
    if reason not in notes:
        notes.append(reason)
    return f"{text} [{notes.index(reason) + 1}]"


def summary(rows: Sequence[Row]) -> str:
    """Return a Markdown table of detectors by algorithms: how far each row came."""
    algorithms = list(dict.fromkeys(row.algorithm for row in rows))
    found: dict[tuple[str, str], str] = {(row.detector, row.algorithm): _came(row) for row in rows}
    lines = [f"| detector | {' | '.join(algorithms)} |", "|---|" + "---|" * len(algorithms)]
    for detector in dict.fromkeys(row.detector for row in rows):
        cells = [found.get((detector, algorithm), "") for algorithm in algorithms]
        lines.append(f"| {detector} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what lies between two marks of a Markdown file, each on a line of its own.

    Raises:
        UserError: The file does not have the two marks, in this order.
    """
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError("--readme", path, f"It must have a line {begin} and, below it, a line {end}.",
                        "Add both where the table shall stand.")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _came(row: Row) -> str:
    failed = [stage for stage, cell in row.cells.items() if cell.outcome == FAILED]
    if failed:
        return f"fails at {failed[0]}"
    return "IR, raw heads compressed" if any(f"({AS_WITHOUT}" in cell.seen for cell in row.cells.values()) else "IR"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Try detectors with algorithms on random weights, from wrapping to a running IR. "
        f"Exit code 0: all went well, 1: a stage failed, {EXIT_LEFT}: --minutes are over.")
    parser.add_argument("--detectors", metavar="NAMES", type=name_list, default=list(detectors()),
                        help="folders of configs/nncf_compression between commas (default: all)")
    parser.add_argument("--algorithms", metavar="NAMES", type=name_list, default=list(ALGORITHMS),
                        help=f"of {', '.join(ALGORITHMS)}; those a detector has no config of are left out "
                        "(default: all)")
    parser.add_argument("--output", metavar="FILE", type=Path, action="append", default=[],
                        help="where the table goes, .md or .json; may be repeated (default: Markdown to the terminal)")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=None,
                        help="Markdown file in which the summary of a complete table is replaced")
    parser.add_argument("--rows", metavar="FILE", type=Path, default=None,
                        help="JSON of rows, written after each and read at the start: those without a failure whose "
                        "config has not changed are not tried again")
    parser.add_argument("--minutes", metavar="N", type=float, default=None,
                        help="begin no row after so many minutes; the same command again resumes (needs --rows)")
    parser.add_argument("--openvino-python", metavar="FILE", type=Path, default=None,
                        help="Python with openvino-dev (default: this one)")
    parser.add_argument("--row", metavar=("DETECTOR", "ALGORITHM"), nargs=2, default=None, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from core.base.suggest import did_you_mean

    python = find_openvino_python(arguments.openvino_python)
    if arguments.row is not None:
        print(json.dumps(run_row(*arguments.row, python).to_json()))
        return 0
    for option, given, known in (("--detectors", arguments.detectors, detectors()),
                                 ("--algorithms", arguments.algorithms, ALGORITHMS)):
        for name in given:
            if name not in known:
                raise UserError(option, name, f"It is one of {', '.join(known)}.",
                                did_you_mean(name, known, "Choose from these."))
    rows = _read_rows(arguments.rows)
    left = [pair for pair in itertools.product(arguments.detectors, arguments.algorithms)
            if config_path(*pair).is_file() and not _is_done(rows.get(pair), *pair)]
    started = time.monotonic()
    while left and (arguments.minutes is None or time.monotonic() - started < 60 * arguments.minutes):
        detector, algorithm = left.pop(0)
        row = rows[detector, algorithm] = run_row_apart(detector, algorithm, python)
        print(f"{detector} {algorithm}: {'ok' if row.ok else 'FAILED'} in {row.seconds:.0f} s", file=sys.stderr)
        # After every row: an hour's work is not lost with the last one.
        for output in [*arguments.output, *([arguments.rows] if arguments.rows else [])]:
            output.write_text(_text(list(rows.values()), output.suffix, len(left)))
    for output in arguments.output:
        output.write_text(_text(list(rows.values()), output.suffix, len(left)))
    if left:
        print(f"{len(left)} rows are left: start again to resume", file=sys.stderr)
        return EXIT_LEFT
    if arguments.readme is not None:
        replace_between(arguments.readme, BEGIN, END, summary(_sorted(rows.values())))
    if not arguments.output:
        print(_text(list(rows.values()), ".md"))
    return 0 if all(row.ok for row in rows.values()) else 1


def _read_rows(path: Path | None) -> dict[tuple[str, str], Row]:
    if path is None or not path.exists():
        return {}
    try:
        rows = [Row.from_json(values) for values in json.loads(path.read_text())]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError("--rows", path, f"It holds no rows of this program ({error}).",
                        "Remove the file to begin anew.") from error
    return {(row.detector, row.algorithm): row for row in rows}


def _is_done(row: Row | None, detector: str, algorithm: str) -> bool:
    return row is not None and row.ok and row.config == config_digest(detector, algorithm)


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.detector, ALGORITHMS.index(row.algorithm)))


def _text(rows: list[Row], suffix: str, left: int = 0) -> str:
    from core.checkpoint.versions import versions
    from core.compression.nncf_import import import_nncf

    rows = _sorted(rows)
    if suffix == ".json":
        return json.dumps([row.to_json() for row in rows], indent=1) + "\n"
    import_nncf()
    return markdown(rows, versions(), left)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
