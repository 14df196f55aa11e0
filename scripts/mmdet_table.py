"""Every folder of MMDetection's own configs, walked to an IR or refused: ``python -m scripts.mmdet_table``.

docs/mmdet_configs.md is what this program prints; nothing in it is written by hand.
"""

import argparse
import datetime
import itertools
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.cli import name_list, run_guarded
from core.base.errors import UserError
from core.base.supervision import end_with_this_process, run_command
from core.dry_run.dry_run import REPOSITORY, DryRun, Outcome, run_stage
from scripts.detectors import FAILED, NOT_REACHED, OK, Cell, Row, replace_between
from scripts.mmdet_configs import ALGORITHMS, CLASSES, ENTRIES, mmdetection_configs, small_config, stock_config

PROGRAM = "python -m scripts.mmdet_table"
ROWS, PAGE = REPOSITORY / "docs" / "mmdet_configs.json", REPOSITORY / "docs" / "mmdet_configs.md"
BEGIN, END = "<!-- begin mmdet configs -->", "<!-- end mmdet configs -->"
REFUSED = "REFUSED"
RESOLVE = "resolve"
WHOLE, PARTIAL = "whole", "partial"
ROW_SECONDS = 1800
PICTURES = 20
LEAST_SAME, LEAST_MASKS = 0.95, 0.95
"""Share of boxes and overlap of masks by which an FP32 IR counts as its detector: random boxes lie close to the limits
of suppression, where the last bit decides."""
LEAST_AGREEMENT = 0.8
"""For 8 bits: where scores are random, a step of a quantizer changes which of two equal proposals comes first."""
MOST_BYTES = 2.5
"""Of an int8 IR, a parameter: attention and what samples between pixels stay FP32, and a depthwise kernel of nine
weights has limits of sixteen bytes; the bulk must not be FP32."""
_SHOWN = 4
# The list of all families, which every refusal of a detector ends with.
_OTHERS = re.compile(r"; supported are [^.]*")


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


@dataclass
class FolderRow(Row):
    """One config with one algorithm, and the day it was walked."""

    day: str = field(default_factory=_today)


class Walk:
    """One config with one algorithm on its way, FP32 first."""

    def __init__(self, folder: str, algorithm: str, workplace: Path) -> None:
        self.folder, self.algorithm, self.workplace = folder, algorithm, workplace
        self.run: DryRun | None = None
        self.refused = False
        self.counts: dict[str, int] = {}

    def stages(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Return names and functions of the columns."""
        first = ((RESOLVE, self.resolve), ("builds", self.build))
        if self.algorithm == ALGORITHMS[0]:
            first += (("FP32 IR", self.fp32),)
        return (*first, ("wrapped", self.wrap), ("restored", self.restore), ("exported", self.export),
                ("IR", self.compare), ("train step", self.train_step))

    def resolve(self) -> str:
        """Check the stock config as the resolve stage does."""
        try:
            check_stock(stock_config(self.folder))
        except UserError:
            self.refused = True
            raise
        return "accepted"

    def build(self) -> str:
        """Cut the config down, build the detector and let it find something."""
        from mmdet.apis import set_random_seed

        # What augmentation makes of the first batch decides what the detector is woken by.
        set_random_seed(0)
        self.run = run = DryRun(small_config(self.folder, self.algorithm), CLASSES, self.workplace)
        run.build()
        self.counts.update(parameters=run.counts["parameters"])
        _wake(run)
        return f"{run.counts['parameters'] / 1e6:.1f} M"

    def fp32(self) -> str:
        """Export the plain detector and compare what its IR finds."""
        self.run.save()
        self.run.export()
        found = self._likeness("fp32")
        if found.same < LEAST_SAME or not found.boxes:
            raise UserError("FP32 IR", f"{found.same:.3f} of {found.boxes} boxes", f"The share of PyTorch's boxes that "
                            f"the IR has at IoU 0.99 and a score within 0.001 must be {LEAST_SAME}.", "")
        if found.masks is not None and found.masks < LEAST_MASKS:
            raise UserError("FP32 IR", f"masks overlap by {found.masks:.3f}", f"It must be {LEAST_MASKS}.", "")
        masks = "" if found.masks is None else f", masks {found.masks:.3f}"
        return f"{found.same:.3f} of {found.boxes}{masks}"

    def _likeness(self, name: str) -> Any:
        from core.dry_run.comparing import images_for, liken
        from core.openvino.detector import OpenVinoDetector
        from core.openvino.ir import convert_to_ir

        files = convert_to_ir(self.run.onnx, self.workplace / name)
        self.counts[f"{name}_ir_bytes"] = round(files.size_mb * 1e6)
        detector = OpenVinoDetector(self.workplace / name)
        images = images_for(detector.spec, PICTURES)
        whole = detector.spec.input_height, detector.spec.input_width
        self.counts["padded"] = sum(image.shape[:2] != whole for image in images)
        return liken(self.run.network, detector, images)

    def wrap(self) -> str:
        """Compress the detector; all quantizers run in testing."""
        run = self.run
        if self.algorithm == "int8_pruning":
            # Quantizers' ranges are of the weights that a detector of pruned filters is woken with.
            pruned = Walk(self.folder, "pruning", self.workplace / "pruned")
            pruned.build()
            pruned.run.detector.load_state_dict(run.detector.state_dict())
            pruned.run.wrap()
            _wake(pruned.run)
            own = run.detector.state_dict()
            run.detector.load_state_dict({name: value for name, value in pruned.run.detector.state_dict().items()
                                          if name in own})
        run.wrap()
        if self.algorithm == "pruning":
            _wake(run)
        run.test_forward()
        self.counts.update({name: run.counts[name] for name in ("points", "filters", "pruned_filters")})
        seen = [f"{run.counts['points']} quantizers"] if run.counts["points"] else []
        if run.counts["filters"]:
            if not run.counts["pruned_filters"]:
                raise UserError("filter_pruning", f"none of {run.counts['filters']} filters", "Some must go.", "")
            seen.append(f"{run.counts['pruned_filters']} of {run.counts['filters']} filters")
        return ", ".join(seen) + (f" ({run.compression.obstacle})" if run.compression.obstacle else "")

    def restore(self) -> str:
        """Save and restore: the same outputs."""
        self.run.restore()
        return f"{self.run.counts['outputs']} identical"

    def export(self) -> str:
        """Export to ONNX."""
        self.run.export()
        found = self.run.counts["onnx_fake_quantize"]
        return f"{found} FakeQuantize" if found else "standard operators"

    def compare(self) -> str:
        """Convert to IR and compare what it finds with what PyTorch finds."""
        found = self._likeness("compressed")
        share, of = (found.agreement, found.compared) if self.counts["points"] else (found.same, found.boxes)
        self.counts["compared"] = of
        least = LEAST_AGREEMENT if self.counts["points"] else LEAST_SAME
        size = self.counts["compressed_ir_bytes"] / 1e6
        if self.counts["points"] and size * 1e6 > MOST_BYTES * self.counts["parameters"]:
            raise UserError("IR", f"{size:.1f} MB of {self.counts['parameters'] / 1e6:.1f} M parameters",
                            "Weights of 8 bits take a byte each: most of these were not quantized.", "")
        itself = ""
        if self.counts["points"] and share < least and of:
            own = self._likeness_to_itself()
            # Of few boxes either share is uncertain by its standard error.
            least, itself = own - (own * (1 - own) / of) ** 0.5, f", PyTorch with itself {own:.3f}"
        if share < least or not of:
            raise UserError("IR", f"{share:.3f} of {of} boxes{itself}", f"The share of boxes in common with PyTorch "
                            f"must be {LEAST_AGREEMENT if self.counts['points'] else LEAST_SAME}, or what PyTorch has "
                            "in common with itself.", "")
        return f"{share:.3f} of {of}{itself}, {size:.1f} MB"

    def _likeness_to_itself(self) -> float:
        """Return the agreement of the quantized network with itself, what its quantizers take rounded otherwise."""
        from core.dry_run.comparing import images_for, liken_to_itself
        from core.openvino.detector import OpenVinoDetector

        spec = OpenVinoDetector(self.workplace / "compressed").spec
        return liken_to_itself(self.run.network, spec, images_for(spec, PICTURES)).agreement

    def train_step(self) -> str:
        """Do one training step: all quantizers run and all weights move."""
        run = self.run
        run.train_step()
        moved, trained = run.counts["moved"], run.counts["trained"]
        self.counts.update(moved=moved, trained=trained)
        return f"{moved} of {trained}" + (f" ({self._why_unmoved()})" if run.unmoved else "")

    def _why_unmoved(self) -> str:
        """Return in words what a training step left as it was: as without compression, limits of quantizers, names."""
        plain = Walk(self.folder, self.algorithm, self.workplace / "plain")
        plain.build()
        plain.run.train_step()
        alone = {f"nncf_module.{name}" for name in plain.run.unmoved}
        limits = [name for name in self.run.unmoved if "external_quantizers." in name or ".pre_ops." in name]
        same = [name for name in self.run.unmoved if name in alone]
        others = [name for name in self.run.unmoved if name not in alone and name not in limits]
        self.counts.update(unmoved_alike=len(same), unmoved_limits=len(limits))
        names = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        parts = [f"{len(same)} as without compression" if same else "",
                 f"{len(limits)} limits of quantizers" if limits else "", names]
        return f"not moved: {'; '.join(part for part in parts if part)}"


def _wake(run: DryRun) -> None:
    """Let a detector find something: filters that are pruned take most scores of random weights with them."""
    from torch.nn.modules.batchnorm import _BatchNorm

    from core.compression.tracing import tracing_forward
    from core.dry_run.waking import wake

    for module in run.detector.modules():
        if isinstance(module, _BatchNorm):
            # Those of other weights would let one layer after another grow.
            module.reset_running_stats()
    wake(run.detector, tracing_forward(run.detector, False), run.batches[0]["img"].data[0])


def check_stock(config: Any) -> None:
    """Raise UserError where a config by itself is refused, as by the resolve stage."""
    from components.resolve.stage import check_detector
    from core.base.faults import Faults
    from core.config.test_pipeline import preprocessing_of
    from core.training.refusals import refused_of

    faults = Faults()
    faults.add(*refused_of(config, None))
    faults.of(lambda: preprocessing_of(config))
    faults.of(lambda: check_detector(config))
    faults.stop()


def run_row(folder: str, algorithm: str, on_stage: Callable[[FolderRow], None] = lambda row: None) -> FolderRow:
    """Walk one config with one algorithm in this process; stages after a failed one are not reached.

    A config that resolve refuses is not walked: its row has that cell alone. ``on_stage`` is called with the row as far
    as it has come.
    """
    started, row = time.perf_counter(), FolderRow(folder, algorithm, ENTRIES[folder].config)
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-table-") as workplace:
        walk, results = Walk(folder, algorithm, Path(workplace)), []
        for name, stage in walk.stages():
            results.append(run_stage(name, stage, results))
            # Where MMDetection is installed is no matter of the page.
            outcome, why = results[-1].outcome, results[-1].why.replace(f"{mmdetection_configs()}/", "")
            print(f"{name}: {results[-1].seconds:.1f} s", file=sys.stderr)
            row.cells[name] = Cell(NOT_REACHED if outcome is Outcome.SKIPPED else outcome.value, why)
            if name == RESOLVE and outcome is Outcome.FAILED and walk.refused:
                row.cells = {RESOLVE: Cell(REFUSED, why)}
                break
            on_stage(row)
        row.counts = walk.counts
    row.seconds = round(time.perf_counter() - started, 1)
    return row


def run_row_apart(folder: str, algorithm: str) -> FolderRow:
    """Walk one config with one algorithm in a process of its own that has ``ROW_SECONDS``.

    The process is forked from this one, which has imported once what every row needs.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_walk_into, args=(sender, folder, algorithm, end_with_this_process()))
    started, row = time.monotonic(), FolderRow(folder, algorithm, ENTRIES[folder].config)
    process.start()
    sender.close()
    try:
        while receiver.poll(max(0.0, started + ROW_SECONDS - time.monotonic())):
            done, values = receiver.recv()
            row = FolderRow.from_json(values)
            if done:
                return row
        reason = f"no end within {ROW_SECONDS} s"
    except EOFError:
        process.join()
        reason = f"ended with code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    row.cells["process"], row.seconds = Cell(FAILED, reason), round(time.monotonic() - started, 1)
    return row


def _walk_into(sender: Any, folder: str, algorithm: str, tie: Callable[[], None]) -> None:
    tie()
    row = run_row(folder, algorithm, lambda row: sender.send((False, row.to_json())))
    sender.send((True, row.to_json()))


def _import_once() -> None:
    """Import what every row needs; OpenVINO, which has threads of its own, is left to the forked processes."""
    import mmdet.apis  # noqa: F401
    import onnx  # noqa: F401

    from core.compression.nncf_import import import_nncf

    import_nncf()


def verdict(rows: Sequence[FolderRow]) -> str:
    """Return what the rows of a folder say together: whole in int8, partial, or refused."""
    main = next((row for row in rows if row.algorithm == ALGORITHMS[0]), None)
    if main is None:
        return "not tried"
    if any(cell.outcome == REFUSED for cell in main.cells.values()):
        return REFUSED
    return WHOLE if main.ok else PARTIAL


def markdown(rows: Sequence[FolderRow]) -> str:
    """Return the page: a line a folder, and below it why what is not whole is not."""
    by_folder = {folder: [row for row in rows if row.detector == folder] for folder in ENTRIES}
    verdicts = {folder: verdict(found) for folder, found in by_folder.items() if found}
    lines = [_INTRODUCTION.format(program=PROGRAM, made=made_on(rows), pictures=PICTURES, same=LEAST_SAME,
                                  agreement=LEAST_AGREEMENT, bytes=MOST_BYTES,
                                  padded=_padded_line(rows), counts=counts_line(rows))]
    lines += ["| folder | config | | FP32 IR | int8 | int8 IR | train step | pruned | pruned IR | both | both IR | s |",
              "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    reasons = []
    for folder, found in by_folder.items():
        if verdicts.get(folder) not in (WHOLE, PARTIAL):
            continue
        cells = {row.algorithm: row.cells for row in found}
        int8, pruning, both = (cells.get(name, {}) for name in ALGORITHMS)
        shown = [_short(part.get(stage)) for part, stage in (
            (int8, "FP32 IR"), (int8, "wrapped"), (int8, "IR"), (int8, "train step"),
            (pruning, "wrapped"), (pruning, "IR"), (both, "wrapped"), (both, "IR"))]
        lines.append(f"| {folder} | {_config(folder)} | {verdicts[folder]} | {' | '.join(shown)} | "
                     f"{sum(row.seconds for row in found):.0f} |")
        note = f" {ENTRIES[folder].note}".rstrip()
        reasons += [f"- {folder}, {row.algorithm}, {stage}: {cell.seen}{note if stage == 'IR' else ''}" for row in found
                    for stage, cell in row.cells.items() if cell.outcome not in (OK, NOT_REACHED)]
    lines += ["", "## Holes", "", *(reasons or ["None."]), "", "## Refused", "",
              "| folder | config | reason | s |", "|---|---|---|---|"]
    for folder, found in by_folder.items():
        if verdicts.get(folder) == REFUSED:
            reason = _OTHERS.sub("", found[0].cells[RESOLVE].seen.replace("|", "/"))
            lines.append(f"| {folder} | {_config(folder)} | {reason} | {found[0].seconds:.0f} |")
    return "\n".join(lines) + "\n"


def _config(folder: str) -> str:
    """Return the file that stands for a folder, and the keys that were changed because resolve refuses their values."""
    entry = ENTRIES[folder]
    changed = f" with another {', '.join(entry.options)}" if entry.options else ""
    return entry.config + changed


def made_on(rows: Sequence[FolderRow]) -> str:
    """Return the days on which the rows were walked, such as ``2026-11-29``, or the first and the last one."""
    return " to ".join(sorted({min(days), max(days)})) if (days := [row.day for row in rows]) else "not yet"


def _padded_line(rows: Sequence[FolderRow]) -> str:
    compared = [row.counts.get("padded") for row in rows if "compared" in row.counts]
    older = f" ({compared.count(None)} of {len(compared)} rows are from before it was so)" if None in compared else ""
    return ("Where the test pipeline keeps the ratio, a quarter of every other\n  image's input is padding"
            f"{older}.")


def counts_line(rows: Sequence[FolderRow]) -> str:
    """Return how many folders are whole, partial, refused and not tried, as a sentence."""
    found = [verdict([row for row in rows if row.detector == folder]) for folder in ENTRIES]
    return (f"Of {len(ENTRIES)} folders {found.count(WHOLE)} are supported whole in int8, {found.count(PARTIAL)} in "
            f"part, {found.count(REFUSED)} are refused by name, {found.count('not tried')} are not tried yet.")


def _short(cell: Cell | None) -> str:
    if cell is None or cell.outcome == NOT_REACHED:
        return "-"
    return cell.seen.partition(" (")[0] if cell.outcome == OK else cell.outcome


_INTRODUCTION = """# MMDetection's own configs

Made by a command, never by hand: `{program}`; {made}. {counts}

One config stands for each folder of MMDetection 2.28.2's configs. It is checked as `resolve` checks it. What is
accepted is cut down (ResNet-18 for ResNet-50 unless the folder is about the backbone, a small input, four classes,
fifty proposals, two of a head's equal layers; necks and heads keep their form), gets random weights that find
something, and goes all the way with 8 bits, with pruned filters and with both.

- *FP32 IR*: share of the best 100 boxes of each of {pictures} images that PyTorch and the IR have in common, of the
  same class, at IoU 0.99 and with a score within 0.001, of so many boxes; then the mean overlap of their masks. {same}
  is required. {padded}
- *int8*, *pruned*, *both*: quantizers, all of which run in testing and in a training step; pruned of all filters.
- *int8 IR*, *both IR*: share of boxes from a score of 0.3 on, or of the best 100 of all images where fewer have that,
  with a partner at IoU 0.5, of which {agreement} is required, and the IR's size: in a random second stage one
  quantizer's step changes which proposals are taken; the single stages come to 0.95 and more. Where it is less,
  *PyTorch with itself* is the same share between PyTorch and PyTorch with what every quantizer takes changed by the
  rounding of a float: no runtime can come closer, and this much is required, less the standard error of a share of so
  many boxes. The IR has at most {bytes} bytes a parameter. *pruned IR* as FP32.
- *train step*: weights that one step moves, of all that are trained. What one step does not reach is named in the rows
  (mmdet_configs.json): weights that MMDetection's own step without compression leaves too, limits of quantizers that no
  gradient came to, and others by name. Restored from its checkpoint, every network gives
  the same outputs to the bit.
- *s*: wall-clock seconds of all walks, with whatever else the machine did.

## Supported
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Walk MMDetection's own configs, one a folder, from the config to an IR. Rows "
        "that are done are not walked again.")
    parser.add_argument("--folders", metavar="NAMES", type=name_list, default=list(ENTRIES),
                        help="folders between commas (default: all)")
    parser.add_argument("--algorithms", metavar="NAMES", type=name_list, default=list(ALGORITHMS),
                        help=f"of {', '.join(ALGORITHMS)} (default: all)")
    parser.add_argument("--rows", metavar="FILE", type=Path, default=ROWS, help="JSON of rows, written after each")
    parser.add_argument("--page", metavar="FILE", type=Path, default=PAGE, help="Markdown to write")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=None,
                        help="Markdown file in which the sentence of counts is replaced")
    parser.add_argument("--again", action="store_true", help="walk the named rows again, done or not")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    rows, imported = _read_rows(arguments.rows), False
    for algorithm, folder in itertools.product(arguments.algorithms, arguments.folders):
        done, first = rows.get((folder, algorithm)), rows.get((folder, ALGORITHMS[0]))
        if done is not None and done.ok and not arguments.again:
            continue
        if algorithm != ALGORITHMS[0] and (first is None or verdict([first]) != WHOLE):
            continue
        if not imported:
            _import_once()
            imported = True
        row = run_row_apart(folder, algorithm)
        print(f"{folder} {algorithm}: {'ok' if row.ok else FAILED} in {row.seconds:.0f} s", file=sys.stderr, flush=True)
        # Another run may have written rows of other folders meanwhile.
        rows = {**_read_rows(arguments.rows), (folder, algorithm): row}
        _write(rows, arguments)
    _write(rows, arguments)
    if arguments.readme is not None:
        replace_between(arguments.readme, BEGIN, END, counts_line(list(rows.values())))
    return 0


def _read_rows(path: Path) -> dict[tuple[str, str], FolderRow]:
    if not path.exists():
        return {}
    found = [FolderRow.from_json(values) for values in json.loads(path.read_text())]
    return {(row.detector, row.algorithm): row for row in found}


def _write(rows: dict[tuple[str, str], FolderRow], arguments: argparse.Namespace) -> None:
    ordered = sorted(rows.values(), key=lambda row: (list(ENTRIES).index(row.detector),
                                                     ALGORITHMS.index(row.algorithm)))
    arguments.rows.write_text(json.dumps([row.to_json() for row in ordered], indent=1) + "\n")
    arguments.page.write_text(markdown(ordered))


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
