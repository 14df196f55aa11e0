"""The resolve stage."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.candidates import Candidates, Wanted
from components.cluster_settings import ClusterSettings
from components.compress.stage import CompressionLimits
from components.export.stage import Shape
from components.gate.stage import Limits
from components.publish.stage import Publication
from components.report.stage import Goal
from components.stage import Stage, check_groups, parameter, result
from components.training import Gpus, TrainingState, Trust
from core.base.errors import UserError
from core.base.executor_output import ExecutorOutput
from core.base.faults import Faults

if TYPE_CHECKING:
    from core.config.reference import ConfigRef
    from core.data.reference import DataRef
    from core.storage.parent import ParentRef


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """Checks every parameter of the run and gives every input a digest.

    The groups are those of the stages that work by them: here they are checked, before anything is trained.
    """

    model_config: str = parameter("MMDetection config of the FP32 detector.", metavar="FILE")
    candidates: Candidates
    model_options: dict[str, Any] = parameter("Overrides of the model config, dotted key to value.", {})
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
    goal: Goal
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
    resolved_compression: Path = result(dict, "The first candidate, as in resolved_candidates.")
    resolved_candidates: Path | None = result(
        list, "Every candidate: its name, its config with its digest, and when it is trained.", optional=True)
    resolved_parent: Path = result(dict, "The given checkpoint with its digest, or empty strings.")
    gpu_count: Path | None = result(
        str, "The number of GPUs as text, the only form in which the backend takes an accelerator count from a "
        "parameter.", optional=True)


def resolve(stage: Resolve, output: ExecutorOutput) -> None:
    """Resolve data set, model, candidates and the parent checkpoint; write a reference of each."""
    from core.base.outputs import write_json, write_text
    from core.bundle.publish import check_destination
    from core.config.reference import open_config, resolve_config
    from core.detectors.initialising import check_weights
    from core.detectors.named_files import file_digests
    from core.storage.parent import ParentRef, resolve_parent
    from core.training.run_check import is_compressed

    faults = Faults()
    faults.of(lambda: check_groups(stage))
    faults.of(lambda: check_destination(stage.publication.destination, stage.publication.model_name,
                                        stage.model_version))
    trusted = stage.trust.trust_config
    kept = faults.of(lambda: weights_option(stage.weights)) or {}
    parent = faults.of(lambda: resolve_parent(stage.checkpoint))
    model = faults.of(lambda: resolve_config(stage.model_config, {**stage.model_options, **kept}, trusted))
    model_config = open_config(model, trusted) if model else None
    start = None
    if parent and faults.of(lambda: is_compressed(parent)):
        # Compression resumes from it, and the FP32 model is trained.
        start, parent = parent, ParentRef("", "")
    candidates = list(_candidates(stage, model_config, kept, start, faults)) if model_config else []
    seen = [model_config.model] if model_config else []
    for config in (model_config, *(candidate.config for candidate in candidates)):
        if config and (config is model_config or config.model not in seen):
            seen.append(config.model)
            faults.of(lambda config=config: check_detector(config))
    data = faults.of(lambda: find_data(stage, model_config)) if model_config or stage.data else None
    if data and model_config and parent:
        # They change what they are given.
        own = open_config(model, trusted)
        faults.of(lambda: check_parent(parent, own, data.classes) if parent.uri else check_weights(own, data.classes))
    faults.stop()
    candidates = list(_tried(stage, candidates, data.classes))
    if all(candidate.wanted.refused for candidate in candidates):
        raise UserError("parameter candidates", ", ".join(candidate.wanted.name for candidate in candidates),
                        "None of them can be made of model_config: "
                        + " ".join(candidate.wanted.refused for candidate in candidates), "Name another.")
    references = [_reference(candidate, stage.limits.max_map_drop) for candidate in candidates]
    for path, value in {
            stage.resolved_parent: parent.to_json(), stage.resolved_data: data.to_json(),
            stage.resolved_model: replace(model, files=file_digests(model_config)).to_json(),
            stage.resolved_compression: references[0], stage.resolved_candidates: references}.items():
        if path is not None:
            write_json(path, value)
    if stage.gpu_count is not None:
        write_text(stage.gpu_count, str(stage.devices.gpus))


@dataclass(frozen=True)
class _Candidate:
    """A candidate that was asked for, its config by reference, and the config; both None where it cannot be."""

    wanted: Wanted
    ref: "ConfigRef | None" = None
    config: Any = None


def _candidates(stage: Resolve, model: Any, kept: dict[str, str], start: "ParentRef | None",
                faults: Faults) -> Iterator[_Candidate]:
    """Yield all candidates, each with a config that is checked by itself.

    Args:
        model: The FP32 detector's config.
        kept: The option that says where weights lie.
        start: The compressed checkpoint that compression resumes from, if any.
        faults: Takes what is wrong with candidates that were named.
    """
    from core.config.reference import open_config, resolve_config
    from core.training.run_check import check_run, own_start, require_restorable

    trusted = stage.trust.trust_config
    wanted = faults.of(lambda: list(stage.candidates.wanted(stage.model_config, model, stage.model_options))) or []
    for one in wanted:
        def resolved(one: Wanted = one) -> _Candidate:
            options = {**one.options, **kept}
            ref = resolve_config(one.path, options, trusted)
            changed: dict[str, Any] = own_start(open_config(ref, trusted), model)
            changed = {**changed, "load_from": start.uri} if start else changed
            ref = resolve_config(one.path, {**options, **changed}, trusted) if changed else ref
            config, found = open_config(ref, trusted), Faults() if one.may_fail else faults
            found.of(lambda: check_run(model, config, stage.devices.gpus))
            found.of(lambda: check_compression(config, stage.shape.dynamic_shape))
            found.of(lambda: check_fine_tune(one, config))
            if start:
                found.of(lambda: require_restorable(start, config))
            if one.may_fail:
                found.stop()
            return _Candidate(one, ref, config)

        if one.refused:
            yield _Candidate(one)
        elif not one.may_fail:
            found = faults.of(resolved)
            yield from [found] if found else []
        else:
            try:
                yield resolved()
            except UserError as error:
                yield _Candidate(replace(one, refused=str(error)))


def _tried(stage: Resolve, candidates: Sequence[_Candidate], classes: Sequence[str]) -> Iterator[_Candidate]:
    """Yield the candidates again, tried on the detector's layers, or in preflight as a whole; one of each kind is.

    Raises:
        UserError: One that was named does not fit.
    """
    reasons: dict[str, str] = {}
    for candidate in candidates:
        wanted = candidate.wanted
        known = wanted.kind and wanted.kind in reasons and (wanted.may_fail or not reasons[wanted.kind])
        if wanted.refused or known:
            yield replace(candidate, wanted=replace(wanted, refused=wanted.refused or reasons[wanted.kind]))
            continue
        try:
            stage.compression_limits.put_into(candidate.config)
            if not stage.preflight:
                check_layers(candidate.config, classes)
            else:
                preflight(candidate.config, classes, stage.shape.dynamic_shape)
        except UserError as error:
            if not wanted.may_fail:
                raise
            reasons[wanted.kind] = str(error)
            yield replace(candidate, wanted=replace(wanted, refused=str(error)))
        else:
            if wanted.kind:
                reasons[wanted.kind] = ""
            yield candidate


def _reference(candidate: _Candidate, max_map_drop: float) -> dict[str, str]:
    """Return a candidate as it travels, all texts: KFP's structs hold every number as a float."""
    from core.detectors.named_files import file_digests

    wanted = candidate.wanted
    head = {"name": wanted.name, "fine_tune": wanted.when, **({"mixed": "yes"} if wanted.mixed else {})}
    if wanted.refused:
        return {**head, "refused": wanted.refused}
    # A limit that decides nothing does not stand here, where a change of it would make training run again.
    limit = {"max_map_drop": repr(max_map_drop)} if wanted.when == "when_needed" else {}
    return {**head, **limit, **replace(candidate.ref, files=file_digests(candidate.config)).to_json()}


def check_fine_tune(wanted: Wanted, config: Any) -> None:
    """Raise UserError where a candidate that is not to be trained prunes or sparsifies, which goes by epochs."""
    from core.config.adapt import algorithms_of

    others = [name for name in algorithms_of(config) if name != "quantization"]
    if wanted.when == "never" and others:
        raise UserError("parameter fine_tune", f"never, for {wanted.name} with {', '.join(others)}", "Only 8 bits are "
                        "whole when they are initialised; the rest grows while the model trains.",
                        "Use when_needed, or name candidates of 8 bits.")


def check_compression(config: Any, dynamic_shape: bool) -> None:
    """Raise UserError where a config's nncf_config is not valid by itself, or does not go with a dynamic shape."""
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
        UserError: It is not, a part of it cannot be exported, or a part of it or a key of its ``test_cfg`` has an
            effect that the graph would not have; or MMDetection itself fails at the first image.
    """
    from core.detectors.first_image import require_first_image
    from core.detectors.registry import build_known
    from core.export.attempt import require_exportable

    detector = build_known(config)
    require_exportable(detector)
    require_first_image(config, detector)


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
    """Raise UserError where a given checkpoint is not an FP32 one of this model and these classes, as train does."""
    from core.config.adapt import plain_config, set_classes
    from core.storage.parent import open_parent
    from core.training.fit import fitting_detector

    path = open_parent(parent)
    if path is not None:
        set_classes(config, classes)
        fitting_detector(path, plain_config(config), classes)


def check_layers(config: Any, classes: Sequence[str]) -> None:
    """Raise UserError where the nncf_config does not fit the detector's layers: the quick half of a preflight."""
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
