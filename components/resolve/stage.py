"""The resolve stage."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.cluster_settings import ClusterSettings
from components.compress.stage import CompressionLimits
from components.export.stage import Shape
from components.gate.stage import Limits
from components.publish.stage import Publication
from components.stage import Stage, check_groups, parameter, result
from components.training import Gpus, TrainingState, Trust
from core.base.executor_output import ExecutorOutput
from core.base.faults import Faults

if TYPE_CHECKING:
    from core.data.reference import DataRef
    from core.storage.parent import ParentRef


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """Checks every parameter of the run and gives every input a digest.

    The groups are those of the stages that work by them: here they are checked, before anything is trained.
    """

    model_config: str = parameter("MMDetection config of the FP32 detector.", metavar="FILE")
    compression_config: str = parameter("Config that adds nncf_config to it.", metavar="FILE")
    model_options: dict[str, Any] = parameter("Overrides of the model config, dotted key to value.", {})
    compression_options: dict[str, Any] = parameter("Overrides of the compression config, dotted key to value.", {})
    data: str = parameter("Data set: a folder, an archive, s3://bucket/prefix or builtin://digits; empty takes the "
                          "model config's own.", "", metavar="LOCATION")
    data_format: str = parameter("auto, coco or voc.", "auto", metavar="FORMAT")
    classes: list[str] = parameter("Class names in label order; empty takes them from the data.", [])
    train_split: str = parameter("Name of the training split, or auto.", "auto", metavar="NAME")
    val_split: str = parameter("Name of the validation split, or auto.", "auto", metavar="NAME")
    test_split: str = parameter("Name of the test split, or auto.", "auto", metavar="NAME")
    val_fraction: float = parameter(
        "Part of the images to follow training with, for data without val and test splits.", 0.1)
    test_fraction: float = parameter("Part of the images to measure on, likewise.", 0.1)
    split_seed: int = parameter("Seed that chooses these images.", 0)
    checkpoint: str = parameter("FP32 checkpoint to start from; empty trains one.", "", metavar="LOCATION")
    weights: str = parameter("Folder or s3://bucket/prefix with the files of weights that a config names by a URL or a "
                             "model zoo's name.", "", metavar="LOCATION")
    limits: Limits
    publication: Publication
    model_version: int = parameter(
        "Version to publish as, refused where it holds other content; 0 takes the next one.", 0)
    preflight: bool = parameter("Whether to try the whole compression on synthetic images first; else the nncf_config "
                                "is checked against the layers alone.", False)
    compression_limits: CompressionLimits
    shape: Shape
    devices: Gpus
    state: TrainingState
    trust: Trust
    cluster: ClusterSettings
    resolved_data: Path = result(dict, "The data set with its digest.")
    resolved_model: Path = result(dict, "The model config with its digest.")
    resolved_compression: Path = result(dict, "The compression config with its digest.")
    resolved_parent: Path = result(dict, "The given checkpoint with its digest, or empty strings.")
    gpu_count: Path | None = result(
        str, "The number of GPUs as text, the only form in which the backend takes an accelerator count from a "
        "parameter.", optional=True)


def resolve(stage: Resolve, output: ExecutorOutput) -> None:
    """Resolve data set, both configs and the parent checkpoint; write a reference of each."""
    from core.base.outputs import write_json, write_text
    from core.bundle.publish import check_destination
    from core.config.reference import open_config, resolve_config
    from core.detectors.initialising import check_weights
    from core.detectors.named_files import file_digests
    from core.storage.parent import ParentRef, resolve_parent
    from core.training.run_check import check_run, is_compressed, own_start

    faults = Faults()
    faults.of(lambda: check_groups(stage))
    faults.of(lambda: check_destination(stage.publication.destination, stage.publication.model_name,
                                        stage.model_version))
    trusted = stage.trust.trust_config
    kept = faults.of(lambda: weights_option(stage.weights)) or {}
    parent = faults.of(lambda: resolve_parent(stage.checkpoint))
    model = faults.of(lambda: resolve_config(stage.model_config, {**stage.model_options, **kept}, trusted))
    model_config = open_config(model, trusted) if model else None
    options = {**stage.compression_options, **kept}
    compression = faults.of(lambda: resolve_config(stage.compression_config, options, trusted))
    changed = own_start(open_config(compression, trusted), model_config) if compression and model else {}
    if parent and faults.of(lambda: is_compressed(parent)):
        # Compression resumes from it, and the FP32 model is trained.
        changed, parent = {**changed, "load_from": parent.uri}, ParentRef("", "")
    if compression and changed:
        compression = resolve_config(stage.compression_config, {**options, **changed}, trusted)
    compression_config = open_config(compression, trusted) if compression else None
    if model_config and compression_config:
        faults.of(lambda: check_run(model_config, compression_config, stage.devices.gpus))
    if compression_config:
        faults.of(lambda: check_compression(compression_config, stage.shape.dynamic_shape))
    for config in (model_config, compression_config):
        if config and (config is model_config or model_config is None or config.model != model_config.model):
            faults.of(lambda config=config: check_detector(config))
    data = faults.of(lambda: find_data(stage, model_config)) if model_config or stage.data else None
    if data and model_config and parent:
        # They change what they are given.
        own = open_config(model, trusted)
        faults.of(lambda: check_parent(parent, own, data.classes) if parent.uri else check_weights(own, data.classes))
    faults.stop()
    stage.compression_limits.put_into(compression_config)
    if not stage.preflight:
        check_layers(compression_config, data.classes)
    else:
        preflight(compression_config, data.classes, stage.shape.dynamic_shape)
    model = replace(model, files=file_digests(model_config))
    compression = replace(compression, files=file_digests(compression_config))
    references = {stage.resolved_parent: parent, stage.resolved_model: model,
                  stage.resolved_compression: compression, stage.resolved_data: data}
    for path, reference in references.items():
        write_json(path, reference.to_json())
    if stage.gpu_count is not None:
        write_text(stage.gpu_count, str(stage.devices.gpus))


def check_compression(config: Any, dynamic_shape: bool) -> None:
    """Check a config's nncf_config by itself, and what a dynamic shape asks of it.

    Raises:
        UserError: It is not valid.
    """
    from core.compression.config_check import epochs_of, require_valid
    from core.config.adapt import algorithms_of, nncf_config_of
    from core.export.dynamic_shape import check_dynamic_shape

    nncf_config = nncf_config_of(config)
    if nncf_config is not None:
        require_valid(nncf_config, epochs_of(config))
        check_dynamic_shape(dynamic_shape, algorithms_of(config))


def find_data(stage: Resolve, model_config: Any) -> "DataRef":
    """Check the run's data set: that of the parameter ``data``, else the model config's own.

    Raises:
        UserError: It cannot be trained on or measured with.
    """
    from core.config.adapt import classes_of
    from core.config.loading import find_config
    from core.data.dataset import resolve_data
    from core.data.from_config import resolve_config_data

    classes = tuple(stage.classes) or (classes_of(model_config) if model_config else ())
    choice = {"val_fraction": stage.val_fraction, "test_fraction": stage.test_fraction,
              "split_seed": stage.split_seed, "keep_order": bool(stage.classes)}
    if not stage.data:
        return resolve_config_data(model_config, find_config(stage.model_config), classes, **choice)
    return resolve_data(stage.data, data_format=stage.data_format, classes=classes, train_split=stage.train_split,
                        val_split=stage.val_split, test_split=stage.test_split, **choice)


def check_detector(config: Any) -> None:
    """Check that a config's detector is of a family whose exported graph finds what PyTorch finds.

    Raises:
        UserError: It is not, a part of it cannot be exported, or a part or a key of its ``test_cfg`` has an effect that
            the graph would not have.
    """
    from core.detectors.building import build_detector
    from core.export.attempt import require_exportable

    require_exportable(build_detector(config))


def weights_option(location: str) -> dict[str, str]:
    """Return the config option by which later stages find published weights, none where no place is named.

    Raises:
        UserError: The location is malformed.
    """
    from core.config.keys import WEIGHTS_KEY
    from core.detectors.pretrained import VARIABLE
    from core.storage.location import parse_location

    location = location or os.environ.get(VARIABLE, "")
    return {WEIGHTS_KEY: str(parse_location(location, "parameter weights"))} if location else {}


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


def check_layers(config: Any, classes: Sequence[str]) -> None:
    """Check the nncf_config against the layers of the detector that it wraps: the half of a preflight that is quick.

    Raises:
        UserError: It does not fit them.
    """
    from core.config.adapt import nncf_config_of
    from core.dry_run.preflight import try_layers

    if nncf_config_of(config) is not None:
        try_layers(config, classes).require_ok()


def preflight(config: Any, classes: Sequence[str], dynamic_shape: bool) -> None:
    """Try the compression that ``config`` describes, printing a row a stage; stop where a stage fails."""
    from core.dry_run.preflight import HEADER, run_preflight

    print(f"preflight: {HEADER}", flush=True)
    run_preflight(config, classes, on_stage=lambda result: print(f"preflight: {result.row()}", flush=True),
                  dynamic_shape=dynamic_shape).require_ok()


STAGE = Stage("resolve", "train", Resolve, resolve)
