"""Turn an MMDetection detector into a compressed one."""

import contextlib
import copy
import functools
import logging
import traceback
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.base.errors import UserError
from core.checkpoint.checkpoint import CompressionRecord
from core.compression.distillation import add_compression_loss, require_distillable
from core.compression.nncf_import import import_nncf
from core.compression.shared_weights import share_weight_quantizers
from core.compression.state import state_from_data, state_to_data
from core.compression.statistics import named_quantizers
from core.compression.tracing import (
    TRACING_FAULTS,
    dummy_forward,
    keep_out_of_graph,
    postprocessing_obstacle,
    tracing_forward,
)
from core.detectors.batch import require_two_images
from core.detectors.closed_room import closed_room
from core.detectors.graph import forward_as
from core.detectors.registry import find_adapter, require_supported

_LISTED_QUANTIZERS = 3
_LONGEST_CAUSE = 200
# Modules of NNCF's that go through its graph; others read the config.
_FOLLOWS_FILTERS = ("pruning_node_selector", "mask_propagation", "export_helpers", "model_analysis", "clusterization")
# As NNCF ends the name of a weight quantizer.
_WEIGHT_SUFFIX = "|WEIGHT"

logger = logging.getLogger(__name__)


@dataclass
class CompressedDetector:
    """A detector inside NNCF's network, and the controller of its compression.

    Attributes:
        network: The ``NNCFNetwork``; it has the detector's ``train_step`` and ``val_step``.
        controller: NNCF's compression controller: schedulers, loss, statistics, export.
        nncf_config: The dictionary NNCF was given.
        postprocessing: Whether post-processing is part of NNCF's graph; it can be False although it was asked for.
        obstacle: Why it is not where it was asked for, else empty.
    """

    network: Any
    controller: Any
    nncf_config: dict[str, Any]
    postprocessing: bool
    obstacle: str = ""

    def record(self) -> CompressionRecord:
        """Return what a checkpoint must carry to restore this compression."""
        state = state_to_data(self.controller.get_compression_state())
        return CompressionRecord(self.nncf_config, state, self.postprocessing)


def compress_detector(detector: Any, nncf_config: dict[str, Any], data_loader: Iterable[Any] | None = None,
                      restore: CompressionRecord | None = None, postprocessing: bool = True,
                      strict: bool = False) -> CompressedDetector:
    """Wrap ``detector`` by NNCF.

    Args:
        detector: An MMDetection detector with its FP32 weights already loaded: loading them after wrapping would
            match no key.
        nncf_config: Handed to NNCF unchanged.
        data_loader: MMDetection training batches for range estimation and batch-norm adaptation; needed unless
            ``restore`` is given.
        restore: A compressed checkpoint's record: its state is restored and nothing is initialised.
        postprocessing: See ``nncf_compress_postprocessing``: whether NNCF's graph includes post-processing,
            with coordinates and indices never quantized. Where that cannot be, the graph ends at the raw heads and
            a warning says why.
        strict: Raise instead of that warning.

    Raises:
        UserError: The detector cannot be exported, NNCF is missing or refuses the configuration, the sample size or the
            batch does not suit the detector, or ``strict`` and post-processing cannot be traced.
    """
    import_nncf()
    config = _checked(nncf_config, detector)
    require_distillable(detector, nncf_config)
    if restore is None:
        require_supported(detector)
        _register_initialisation(config, data_loader)
        # A checkpoint, which may come from anywhere, makes no folders.
        Path(config.get("log_dir", ".")).mkdir(parents=True, exist_ok=True)
    if not postprocessing or restore is not None:
        with _pruning_named(detector):
            return CompressedDetector(*_wrap(detector, config, restore, postprocessing), nncf_config, postprocessing)
    obstacle = postprocessing_obstacle(detector)
    if not obstacle:
        # Wrapping replaces the detector's modules, so after a failed attempt it is given the parts it had.
        untouched = copy.deepcopy(detector).__dict__
        wrapped, obstacle = _wrap_with_postprocessing(detector, config)
        if wrapped is not None:
            return CompressedDetector(*wrapped, nncf_config, True)
        detector.__dict__.clear()
        detector.__dict__.update(untouched)
    kind = type(detector).__name__
    if strict:
        raise UserError("nncf_compress_postprocessing", f"True for {kind}",
                        f"Its post-processing cannot be part of NNCF's graph: {obstacle}.",
                        "Set nncf_compress_postprocessing=False, or leave strict (nncf_strict, --strict) out.")
    logger.warning("nncf_compress_postprocessing=True falls back to False for %s: its post-processing cannot be part "
                   "of NNCF's graph: %s", kind, obstacle)
    with _pruning_named(detector):
        return CompressedDetector(*_wrap(detector, config, None, False), nncf_config, False, obstacle)


@contextlib.contextmanager
def _pruning_named(detector: Any) -> Iterator[None]:
    """Say of a failure in NNCF's pruning what it is: it follows filters through the operations that it knows alone.

    Raises:
        UserError: NNCF's pruning failed.
    """
    try:
        yield
    except TRACING_FAULTS as error:
        places = [place for place in traceback.extract_tb(error.__traceback__)
                  if {"nncf", "pruning"} <= set(Path(place.filename).parts)]
        if not places:
            raise
        said, parts = f"{type(error).__name__}: {str(error)[:_LONGEST_CAUSE]}".rstrip(": ."), (
            " and ".join(type(part).__name__ for part in (detector, getattr(detector, "backbone", None)) if part))
        if isinstance(error, (RuntimeError, ValueError)) and not any(
                Path(place.filename).stem in _FOLLOWS_FILTERS for place in places):
            raise UserError("nncf_config, filter_pruning", said, "NNCF 2.0.0 refuses it.",
                            "Correct the algorithm's params.") from error
        raise UserError("nncf_config, filter_pruning", parts, "NNCF 2.0.0 cannot follow pruned filters through an "
                        f"operation of this network ({said} in {Path(places[-1].filename).name}, {places[-1].name}).",
                        "Compress it with quantization alone, or prune another backbone.") from error


def _wrap_with_postprocessing(detector: Any, config: Any) -> tuple[tuple[Any, Any] | None, str]:
    """Return network and controller with post-processing in the graph, or None and why that cannot be."""
    try:
        network, controller = _wrap(detector, config, None, True)
    except TRACING_FAULTS as error:
        logger.debug("tracing post-processing failed", exc_info=True)
        return None, f"tracing it raised {type(error).__name__}: {str(error)[:_LONGEST_CAUSE]}"
    # What a forward pass through the raw heads, which is that of training, does not reach.
    training = network.training
    quantizers = named_quantizers(controller)
    with torch.no_grad(), recorded(quantizers) as calls, forward_as(detector, tracing_forward(detector, False)):
        network.eval()(torch.zeros(sample_size(config), device=next(network.parameters()).device))
    network.train(training)
    stranded = sorted({name for name, _ in quantizers} - {name for name, _ in calls})
    if stranded:
        shown = ", ".join(stranded[:_LISTED_QUANTIZERS])
        return None, f"{len(stranded)} quantizers would lie in it, where training never comes ({shown})"
    return (network, controller), ""


def _wrap(detector: Any, config: Any, restore: CompressionRecord | None, postprocessing: bool) -> tuple[Any, Any]:
    from nncf.torch import create_compressed_model

    keep_out_of_graph(detector, postprocessing)
    # A checkpoint's nncf_config names files, too: NNCF writes save_ranking_coeffs_path whenever it builds the algorithm
    # (nncf/torch/pruning/filter_pruning/algo.py:186).
    room = closed_room("compressed checkpoint, nncf_config") if restore else contextlib.nullcontext()
    try:
        with room, forward_as(detector, tracing_forward(detector, postprocessing)):
            controller, network = create_compressed_model(
                detector, config, compression_state=state_from_data(restore.state) if restore else None,
                dummy_forward_fn=dummy_forward(sample_size(config)), wrap_inputs_fn=_wrap_image,
                # Losses and detections are no outputs of the deployed graph: marking them would grow it.
                wrap_outputs_fn=lambda outputs: outputs, dump_graphs=False)
    except ValueError as error:
        require_two_images(error, "Batch-norm adaptation")
        raise
    share_weight_quantizers(network)
    # NNCFNetwork.__getattr__ returns the inner detector's bound methods, which would train past every quantizer.
    for name in ("train_step", "val_step"):
        setattr(network, name, types.MethodType(getattr(type(detector), name), network))
    add_compression_loss(network, controller)
    return network, controller


@contextlib.contextmanager
def recorded(quantizers: Iterable[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    """Give a list to which each call of a named quantizer within the block adds its name and its autograd function."""
    calls: list[tuple[str, Any]] = []

    def record(name: str, module: Any, inputs: Any, output: Any) -> None:
        # Now, not later: an activation that works in place gives the tensor another history.
        calls.append((name, output.grad_fn))

    with contextlib.ExitStack() as hooks:
        for name, quantizer in quantizers:
            hooks.enter_context(quantizer.register_forward_hook(functools.partial(record, name)))
        yield calls


def fake_quantize_operators(compressed: CompressedDetector) -> int:
    """Return the number of FakeQuantize operators the exported graph must have.

    That is one for each weight quantizer and one for each call of an activation quantizer: where branches meet in a
    concatenation they share one. Those whose result reaches no output do not count, for an export leaves them out:
    YOLOv3's MobileNetV2, for one, ends in a layer that nothing reads. A forward pass finds them by autograd.
    """
    network = compressed.network
    quantizers = named_quantizers(compressed.controller)
    if not quantizers:
        return 0
    detector = network.get_nncf_wrapped_model()
    size = sample_size(compressed.nncf_config)
    # Before the parameters are looked at: mmdet freezes its stages at every change of mode.
    network.eval()
    frozen = [parameter for parameter in network.parameters()
              if parameter.is_floating_point() and not parameter.requires_grad]
    with torch.enable_grad(), recorded(quantizers) as calls, forward_as(detector, tracing_forward(detector, False)):
        # Frozen layers would have no history.
        for parameter in frozen:
            parameter.requires_grad_(True)
        outputs = network(torch.zeros(size, device=next(network.parameters()).device))
    for parameter in frozen:
        parameter.requires_grad_(False)
    reached = _history(outputs)
    weights = {name for name, function in calls if function in reached and name.endswith(_WEIGHT_SUFFIX)}
    return len(weights) + sum(function in reached and not name.endswith(_WEIGHT_SUFFIX) for name, function in calls)


def _history(outputs: Any) -> set[Any]:
    """Return all autograd functions that the tensors in nested ``outputs`` come from."""
    found: set[Any] = set()
    waiting: list[Any] = [outputs]
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            item = item.grad_fn
        if isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif item is not None and item not in found:
            found.add(item)
            waiting.extend(function for function, _ in item.next_functions)
    return found


def _checked(nncf_config: dict[str, Any], detector: Any) -> Any:
    """Return the NNCFConfig, which NNCF's schema accepts and whose sample size the detector can work on."""
    import jsonschema
    from nncf import NNCFConfig

    try:
        config = NNCFConfig.from_dict(nncf_config)
    except jsonschema.ValidationError as error:
        path = "/".join(str(step) for step in error.absolute_path)
        raise UserError("nncf_config", path or "(root)", f"NNCF's schema refuses it: {error.message[:300]}.",
                        "Correct the entry; NNCF 2.0.0's ConfigFile.md lists the valid ones.") from error
    adapter, size = find_adapter(detector), sample_size(config)
    if any(side % adapter.input_divisor for side in size[-2:]):
        raise UserError("nncf_config.input_info.sample_size", list(size),
                        f"{adapter.name} needs sides that are multiples of {adapter.input_divisor}.",
                        "Use the size of the test pipeline, padded to such multiples.")
    return config


def sample_size(config: Any) -> tuple[int, ...]:
    """Return the shape of the input that an nncf_config names, [N, C, H, W]."""
    info = config["input_info"]
    return tuple((info[0] if isinstance(info, list) else info)["sample_size"])


def _wrap_image(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Mark the image batch as the model's input, wherever MMDetection's call carries it."""
    from nncf.torch import nncf_model_input

    def mark(image: Any) -> Any:
        # In testing MMDetection passes a list with one batch for each test-time augmentation.
        return [nncf_model_input(item) for item in image] if isinstance(image, list) else nncf_model_input(image)

    if args:
        return (mark(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "img": mark(kwargs["img"])}


def _register_initialisation(config: Any, data_loader: Iterable[Any] | None) -> None:
    if data_loader is None:
        raise ValueError("initialising compression needs a data loader")
    from nncf.torch import register_default_init_args
    from nncf.torch.initialization import PTInitializingDataLoader

    class DetectorInitLoader(PTInitializingDataLoader):
        """Hands NNCF the image batch of each MMDetection training batch."""

        def get_inputs(self, dataloader_output: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
            image = dataloader_output["img"]
            return (), {"img": image.data[0] if hasattr(image, "data") and isinstance(image.data, list) else image}

        def get_target(self, dataloader_output: Any) -> None:
            return None

    register_default_init_args(config, DetectorInitLoader(data_loader))
