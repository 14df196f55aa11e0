"""Convert an exported model and run it once: ``python -m core.openvino.trial ONNX_FOLDER IR_FOLDER``."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from core.base.cli import run_guarded
from core.base.supervision import run_command

PROGRAM = "python -m core.openvino.trial"


@dataclass(frozen=True)
class ConvertedIr:
    """What came of an exported model.

    Attributes:
        fake_quantize_nodes: FakeQuantize operators in the IR.
        int8_weights: Weights that the IR stores as integers.
        size_mb: Size of model.xml and model.bin in units of 1e6 bytes.
        detections: Boxes found in an image of noise.
        weight_bytes: Size of model.bin.
        weight_bytes_before: The same with the pruned filters' zeros still stored.
    """

    fake_quantize_nodes: int
    int8_weights: int
    size_mb: float
    detections: int
    weight_bytes: int
    weight_bytes_before: int


def try_ir(onnx_dir: Path, ir_dir: Path) -> ConvertedIr:
    """Convert ``onnx_dir`` to ``ir_dir``, load the IR and detect in one image of noise.

    Raises:
        UserError: OpenVINO cannot convert, read or run the model, or it returns NaN.
    """
    import numpy as np

    from core.openvino.detector import OpenVinoDetector
    from core.openvino.ir import convert_to_ir

    files = convert_to_ir(onnx_dir, ir_dir)
    detector = OpenVinoDetector(ir_dir)
    shape = (detector.spec.input_height, detector.spec.input_width, 3)
    found = detector(np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8))
    return ConvertedIr(files.fake_quantize_nodes, files.int8_weights, files.size_mb, len(found),
                   round(files.weights_mb * 1e6), round(files.weights_mb_before * 1e6))


def main(argv: list[str] | None = None) -> int:
    """Run the command, print the trial as one line of JSON and return the exit code."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Convert an exported model to IR and run it once.")
    parser.add_argument("onnx", metavar="ONNX_FOLDER", type=Path, help="folder that export wrote")
    parser.add_argument("ir", metavar="IR_FOLDER", type=Path, help="folder to write the IR to")
    arguments = parser.parse_args(argv)

    def work() -> int:
        print(json.dumps(asdict(try_ir(arguments.onnx, arguments.ir))))
        return 0

    return run_guarded(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
