"""Command line of the resolve stage."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.cli import add_training_options, boolean, json_object, name_list, run_stage, stage_parser
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput

if TYPE_CHECKING:
    from core.storage.parent import ParentRef

MOST_GPUS = 8


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("resolve", "Check every parameter of a run and give every input a digest.")
    parser.add_argument("--model-config", metavar="FILE", required=True, help="MMDetection config of the FP32 detector")
    parser.add_argument("--compression-config", metavar="FILE", required=True, help="config that adds nncf_config")
    parser.add_argument("--model-options", metavar="JSON", type=json_object, default={},
                        help="overrides of the model config, dotted key to value")
    parser.add_argument("--compression-options", metavar="JSON", type=json_object, default={},
                        help="overrides of the compression config, dotted key to value")
    parser.add_argument("--data", metavar="LOCATION", required=True,
                        help="data set: a folder, an archive, s3://bucket/prefix or builtin://digits")
    parser.add_argument("--data-format", metavar="FORMAT", default="auto", help="auto, coco or voc")
    parser.add_argument("--classes", metavar="NAMES", type=name_list, default=[],
                        help="class names in label order, between commas; none takes them from the data")
    parser.add_argument("--train-split", metavar="NAME", default="auto", help="split to train on")
    parser.add_argument("--val-split", metavar="NAME", default="auto", help="split to follow training with")
    parser.add_argument("--test-split", metavar="NAME", default="auto", help="split to measure on")
    parser.add_argument("--checkpoint", metavar="FILE", default="", help="FP32 checkpoint to start from, if any")
    parser.add_argument("--max-map-drop", metavar="X", type=float, default=0.01, help="the gate's limit, only checked")
    parser.add_argument("--max-class-drop", metavar="X", type=float, default=0.05,
                        help="the gate's limit, only checked")
    parser.add_argument("--min-speedup", metavar="X", type=float, default=1.0, help="the gate's limit, only checked")
    parser.add_argument("--destination", metavar="FOLDER", default="", help="where to publish, only checked")
    parser.add_argument("--model-name", metavar="NAME", default="detector", help="what to publish as, only checked")
    parser.add_argument("--model-version", metavar="N", type=int, default=0,
                        help="version to publish as, only checked; 0 takes the next one")
    parser.add_argument("--preflight", metavar="BOOL", type=boolean, default=False,
                        help="true tries the whole compression on random weights and synthetic images first")
    parser.add_argument("--min-initial-map-ratio", metavar="X", type=float, default=0.0,
                        help="the compress stage's limit, only checked")
    parser.add_argument("--dynamic-shape", metavar="BOOL", type=boolean, nargs="?", const=True, default=False,
                        help="the export stages' choice, only checked")
    parser.add_argument("--gpus", metavar="N", type=int, default=0, help="GPUs of a training stage, only checked")
    add_training_options(parser)
    parser.add_argument("--strict", metavar="BOOL", type=boolean, default=False,
                        help="true fails the preflight where nncf_compress_postprocessing=True falls back to False")
    for name in ("data", "model", "compression", "parent"):
        parser.add_argument(f"--resolved-{name}", metavar="FILE", type=Path, required=True,
                            help=f"where to write the resolved {name} in JSON")
    parser.add_argument("--gpu-count", metavar="FILE", type=Path,
                        help="where to write --gpus as text; the pipeline asks for accelerators by it")
    return parser


def resolve(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Resolve data set, both configs and the parent checkpoint; write a reference of each.

    Parameters of the last stages are checked, too: better now than after the training.
    """
    from core.base.outputs import write_json, write_text
    from core.bundle.publish import check_destination
    from core.compression.config_check import epochs_of, require_valid
    from core.config.adapt import algorithms_of, classes_of, nncf_config_of
    from core.config.reference import open_config, resolve_config
    from core.data.dataset import resolve_data
    from core.export.dynamic_shape import check_dynamic_shape
    from core.report.gate import Thresholds
    from core.storage.parent import resolve_parent
    from core.training.initial import check_ratio
    from core.training.states import StateSettings, check_state

    Thresholds(max_map_drop=arguments.max_map_drop, max_class_drop=arguments.max_class_drop,
               min_speedup=arguments.min_speedup)
    check_destination(arguments.destination, arguments.model_name, arguments.model_version)
    check_ratio(arguments.min_initial_map_ratio, "parameter min_initial_map_ratio")
    check_gpus(arguments.gpus)
    check_state(StateSettings.of(arguments.training_state, arguments.checkpoint_minutes))
    model = resolve_config(arguments.model_config, arguments.model_options, arguments.trust_config)
    compression = resolve_config(arguments.compression_config, arguments.compression_options, arguments.trust_config)
    compression_config = open_config(compression, arguments.trust_config)
    nncf_config = nncf_config_of(compression_config)
    if nncf_config is not None:
        require_valid(nncf_config, epochs_of(compression_config))
        check_dynamic_shape(arguments.dynamic_shape, algorithms_of(compression_config))
    model_config = open_config(model, arguments.trust_config)
    check_detectors(model_config, compression_config)
    classes = tuple(arguments.classes) or classes_of(model_config)
    parent = resolve_parent(arguments.checkpoint)
    data = resolve_data(
        arguments.data, data_format=arguments.data_format, classes=classes, train_split=arguments.train_split,
        val_split=arguments.val_split, test_split=arguments.test_split)
    check_parent(parent, model_config, data.classes)
    if arguments.preflight:
        if arguments.strict:
            compression_config.nncf_strict = True
        preflight(compression_config, data.classes, arguments.dynamic_shape)
    references = {
        arguments.resolved_parent: parent, arguments.resolved_model: model,
        arguments.resolved_compression: compression, arguments.resolved_data: data}
    for path, reference in references.items():
        write_json(path, reference.to_json())
    if arguments.gpu_count is not None:
        write_text(arguments.gpu_count, str(arguments.gpus))


def check_detectors(*configs: Any) -> None:
    """Check that each config's detector is of a family whose exported graph finds what PyTorch finds.

    Raises:
        UserError: It is not, a part of it cannot be exported, or a part or a key of its ``test_cfg`` has an effect that
            the graph would not have.
    """
    from core.export.attempt import require_exportable
    from core.training.model import build_detector

    models: list[Any] = []
    for config in configs:
        if config.model not in models:
            require_exportable(build_detector(config))
            models.append(config.model)


def check_gpus(count: int) -> None:
    """Check the number of GPUs that a stage asks for.

    Raises:
        UserError: It is not a number that one node has.
    """
    if not 0 <= count <= MOST_GPUS:
        raise UserError("parameter gpus", count, f"A stage runs in one pod, so it can have 0 to {MOST_GPUS} GPUs.",
                        "Choose a number in this range; 0 works on the CPU.")


def check_parent(parent: "ParentRef", config: Any, classes: Sequence[str]) -> None:
    """Check that a given checkpoint is an FP32 one of this model and these classes, as the train stage will.

    Raises:
        UserError: It is not.
    """
    from core.config.adapt import plain_config, set_classes
    from core.storage.parent import open_parent
    from core.training.fit import fitting_detector

    path = open_parent(parent)
    if path is not None:
        set_classes(config, classes)
        fitting_detector(path, plain_config(config), classes)


def preflight(config: Any, classes: Sequence[str], dynamic_shape: bool) -> None:
    """Try the compression that ``config`` describes, printing a row a stage; stop where a stage fails."""
    from core.compression.preflight import HEADER, run_preflight

    print(f"preflight: {HEADER}", flush=True)
    run_preflight(config, classes, on_stage=lambda result: print(f"preflight: {result.row()}", flush=True),
                  dynamic_shape=dynamic_shape).require_ok()


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), resolve, argv)


if __name__ == "__main__":
    sys.exit(main())
