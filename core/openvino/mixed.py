"""Accuracy-aware int8: the quantizers that cost most are taken out of an exported model until it loses little enough.

``python -m core.openvino.mixed ONNX_FOLDER OUTPUT --data FILE --max-map-drop 0.01``; convert makes an IR of the output.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.cli import run_guarded, share, whole_number
from core.base.errors import UserError
from core.base.json_file import read_json
from core.base.supervision import run_command
from core.compression.fake_quantize import FAKE_QUANTIZE, count_in_onnx, load_onnx
from core.export.spec import ModelSpec
from core.openvino.ir import MODEL_ONNX
from core.openvino.parts import Images, Part, PartedModel
from core.openvino.sensitivity import IMAGES, ranked_by_error
from core.results.summary import within

if TYPE_CHECKING:
    from core.data.dataset import Dataset

PROGRAM = "python -m core.openvino.mixed"
TRIALS = 8
MAP_IMAGES = 200
MOST_BYTES = 16 << 20
# Raw outputs are compared too; in the file none of them is an output.
_END = "Result"


@dataclass(frozen=True)
class Trial:
    """How many layers ran in FP32, and the mAP that was lost; NaN where there is none, as of boxes of NaN."""

    in_fp32: int
    map_drop: float

    def __str__(self) -> str:
        lost = "no mAP, as of boxes of NaN" if math.isnan(self.map_drop) else f"{self.map_drop:+.4f} mAP lost"
        return f"{self.in_fp32} layers in FP32: {lost}"


@dataclass(frozen=True)
class Mixed:
    """What came of the trials.

    Attributes:
        modules: Layers that are in FP32 now, those of the largest errors first.
        trials: The trials in their order.
        held: Whether the limit is kept.
    """

    modules: tuple[str, ...]
    trials: tuple[Trial, ...]
    held: bool

    @property
    def decision(self) -> str:
        """What was tried and what came of it, for the report."""
        kept = f"In FP32: {', '.join(self.modules) or 'no layer'}." if self.held else "None kept the limit."
        return f"Tried on the validation split: {'; '.join(map(str, self.trials))}. {kept}"


def mix_precision(onnx_dir: Path, output_dir: Path, data: "Dataset", max_map_drop: float, trials: int = TRIALS,
                  images: int = IMAGES, map_images: int = MAP_IMAGES) -> Mixed:
    """Write ``onnx_dir`` again with the fewest layers in FP32 that keep the limit, as far as the trials tell.

    Layers go back to FP32 by falling error of the raw outputs: none, one, two, four and so on until the limit is kept,
    then half-way between what kept it and what did not. Nothing is written where the limit is never kept.

    Args:
        onnx_dir: Folder of a quantized model, as export wrote it.
        output_dir: Folder to write such a folder to.
        data: The data set; mAP is over its validation images, or its training images where there are none.
        max_map_drop: Largest mAP lost to the same model without quantizers.
        trials: The largest number of trials.
        images: Images that the errors are over.
        map_images: The largest number of images that mAP is over.

    Raises:
        UserError: The model is damaged or not quantized.
    """
    model = PartedModel(onnx_dir, data.classes, 0.0)
    if not model.of("quantization"):
        raise UserError("ONNX model", onnx_dir, "It has no quantizers.", "Give the export of a quantized model.")
    # Never the test split: what is chosen by it would look better there than it is.
    seen = Images(data.val or data.train, map_images, model.spec)
    whole = model.map(seen)
    if math.isnan(whole):
        raise UserError("data", f"{len(seen.inputs)} images", "None of the images that mAP would be over has a box, so "
                        "no limit could be kept.", "Measure on more of them, or name int8 in place of int8_mixed.")
    ranked = [part for part, _ in ranked_by_error(model, model.of("quantization"),
                                                  Images(data.train, images, model.spec))]
    found: dict[int, float] = {}

    def keeps(in_fp32: int) -> bool:
        reached = model.compressed_map(seen, *ranked[in_fp32:])
        # NaN, unlike a mAP of 0, is within no limit.
        found[in_fp32] = math.nan if reached is None else whole - reached
        return within(found[in_fp32], max_map_drop)

    low, count = -1, 0
    while len(found) < trials and count < len(ranked) and not keeps(count):
        low, count = count, max(1, 2 * count)
    # Where none kept it, all layers in FP32 would: that is no int8 model, but the end of the range.
    high = count if within(found.get(count, math.inf), max_map_drop) else len(ranked)
    while len(found) < trials and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    held = within(found.get(high, math.inf), max_map_drop)
    chosen = ranked[:high] if held else []
    if held:
        write_without(onnx_dir, output_dir, chosen)
    return Mixed(tuple(part.module for part in chosen), tuple(Trial(*pair) for pair in found.items()), held)


def write_without(onnx_dir: Path, output_dir: Path, parts: Sequence[Part]) -> None:
    """Write an ONNX folder again in which ``parts`` read what their quantizers read.

    Raises:
        UserError: A place where a quantizer acts cannot be told from others: what was tried cannot be written.
    """
    import onnx

    model = load_onnx(Path(onnx_dir) / MODEL_ONNX)
    quantizers = {node.name or node.output[0]: node for node in model.graph.node if node.op_type == FAKE_QUANTIZE}
    reading = {name: [node for node in model.graph.node if quantizer.output[0] in node.input]
               for name, quantizer in quantizers.items()}
    for port, output in (pair for part in parts for pair in part.ports if pair[0].get_node().get_type_name() != _END):
        quantizer, reader = (operation.get_friendly_name() for operation in (output.get_node(), port.get_node()))
        readers = reading.get(quantizer, [])
        # OpenVINO calls what makes an output of the graph as the output.
        named = [node for node in readers if reader.split("/WithoutBiases")[0] in (node.name, *node.output)]
        if not named and len(readers) != 1:
            raise UserError("ONNX model", onnx_dir, f"The quantizer {quantizer} has {len(readers)} readers, none of "
                            f"them called {reader}.", "Name the layer in ignored_scopes of an own nncf_config.")
        for node in named or readers:
            node.input[:] = [quantizers[quantizer].input[0] if name == quantizers[quantizer].output[0] else name
                             for name in node.input]
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    for quantizer in quantizers.values():
        if not read & set(quantizer.output):
            model.graph.node.remove(quantizer)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(Path(output_dir) / MODEL_ONNX))
    left = count_in_onnx(Path(output_dir) / MODEL_ONNX)
    spec = ModelSpec.read(onnx_dir)
    dataclasses.replace(spec, fake_quantize_nodes=left).write(output_dir)


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Take the quantizers that cost most out of an exported "
                                     "model until it keeps a limit. Exit code 1: no trial kept it.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("onnx", metavar="ONNX_FOLDER", type=Path, help="folder of a quantized model that export wrote")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder to write such a folder to")
    parser.add_argument("--data", metavar="FILE", type=Path, required=True, help="the data that resolve wrote, JSON")
    parser.add_argument("--max-map-drop", type=share, default=0.01, help="largest mAP lost to FP32")
    parser.add_argument("--trials", type=whole_number, default=TRIALS, help="the largest number of trials")
    parser.add_argument("--map-images", type=whole_number, default=MAP_IMAGES, help="images that mAP is over")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command, print the trials and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def work() -> int:
        from core.data.dataset import open_dataset
        from core.data.reference import DataRef

        values = read_json(arguments.data, "data", "Give the file that resolve wrote.", MOST_BYTES)
        found = mix_precision(arguments.onnx, arguments.output, open_dataset(DataRef.from_json(values)),
                              arguments.max_map_drop, arguments.trials, map_images=arguments.map_images)
        for trial in found.trials:
            print(trial)
        print(f"in FP32: {', '.join(found.modules) or 'none'}" if found.held else "no trial kept the limit")
        return 0 if found.held else 1

    return run_guarded(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
