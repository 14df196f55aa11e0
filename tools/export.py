"""Export a checkpoint, plain or compressed, to ONNX and OpenVINO IR."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.base.cli import run_guarded
from core.base.errors import UserError
from core.base.supervision import run_command
from tools import command

DATA, IR = "data.json", "ir"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command.parser("export", "Export a checkpoint to ONNX and OpenVINO IR.")
    parser.add_argument("model", metavar="CONFIG|CHECKPOINT", nargs="+", help="a config, whose newest checkpoint is "
                        "exported; a checkpoint of tools/train.py; or a config and a checkpoint")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder to write to")
    parser.add_argument("--opset", metavar="N", type=int, default=None,
                        help="ONNX operator set (default: 11, and 16 or more where the detector needs it)")
    parser.add_argument("--input-shape", metavar="N", type=int, nargs="+", default=None,
                        help="height and width of the input, or one number for both (default: the test pipeline's)")
    parser.add_argument("--raw-heads", action="store_true", help="end at the heads' outputs, without boxes")
    parser.add_argument("--dynamic-shape", action="store_true", help="let height and width differ from image to image")
    return parser


def export(arguments: argparse.Namespace) -> int:
    """Export; leave the ONNX model in OUT/onnx and the IR in OUT/ir."""
    from core.export.onnx import OPSET, ExportOptions, export_model

    command.show_our_lines()
    source = command.find_source(arguments.model, arguments)
    model = command.open_model(source)
    if arguments.input_shape:
        set_input_shape(model.config, arguments.input_shape)
    options = ExportOptions(arguments.dynamic_shape, arguments.raw_heads, arguments.opset or OPSET)
    onnx = arguments.output / "onnx"
    export_model(model, source.checkpoint, onnx, options)
    print(f"ONNX: {onnx / 'model.onnx'}")
    _remember_data(source, arguments)
    if arguments.raw_heads:
        print("no IR: it is made of a model with its post-processing")
    elif importlib.util.find_spec("openvino") is None:
        print(f"no IR: openvino is not installed here; python -m components.convert --onnx {onnx} --ir "
              f"{arguments.output / IR} makes it where it is")
    else:
        from core.openvino.ir import convert_to_ir

        files = convert_to_ir(onnx, arguments.output / IR)
        print(f"IR: {arguments.output / IR / 'model.xml'}, {files.size_mb:.1f} MB, "
              f"{files.fake_quantize_nodes} FakeQuantize operators")
    return 0


def _remember_data(source: command.Source, arguments: argparse.Namespace) -> None:
    """Note the data set beside the model, so that tools/test_exported.py needs the folder alone."""
    try:
        data = command.test_data(source, arguments)
    except UserError as error:
        print(f"tools/test_exported.py will need --data: {error}")
        return
    (arguments.output / DATA).write_text(json.dumps(data.to_json(), indent=1))


def set_input_shape(config: object, shape: list[int]) -> None:
    """Let the test pipeline of a config resize and pad to ``shape``, height and width or one for both.

    Raises:
        UserError: It is neither one number nor two.
    """
    from core.config.loading import pipelines

    if len(shape) > 2 or min(shape) < 1:
        raise UserError("--input-shape", " ".join(map(str, shape)), "It is height and width, or one number for both.",
                        "Give such, e.g. --input-shape 320 416.")
    height, width = shape[0], shape[-1]
    for pipeline in pipelines(config["data"]["test"]):
        for step in pipeline:
            if "img_scale" in step:
                step["img_scale"] = (width, height)
            for inner in step.get("transforms") or ():
                if inner.get("type") == "Pad" and inner.get("size"):
                    inner["size"] = (height, width)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded("tools/export.py", lambda: export(arguments))


if __name__ == "__main__":
    sys.exit(run_command("tools/export.py", main))
