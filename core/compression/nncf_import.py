"""The only place that imports NNCF, so that its absence has one message."""

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.base.errors import UserError

SUPPORTED_VERSION = "2.0.0"
# Folder with NNCF's extensions as libraries, ``<name>.so``, built beforehand for this torch and Python.
EXTENSIONS_VARIABLE = "MMDET_COMPRESS_NNCF_EXTENSIONS"
# What NNCF warns of whenever it wraps or restores: the whole network, and its default of 7 bits for weights
# (docs/nncf_compression.md).
_KNOWN = ("NNCFNetwork(", "The saturation issue fix will be applied")


def import_nncf() -> Any:
    """Return the module ``nncf`` with ``nncf.torch`` loaded.

    Raises:
        UserError: NNCF is not installed, or is of another version than the supported one.
    """
    try:
        import nncf
    except ImportError as error:
        raise UserError("nncf_config", "is set", "It needs NNCF, which is not installed.",
                        f"Install it (pip install nncf=={SUPPORTED_VERSION}) or take nncf_config out of the config "
                        "for plain training.") from error
    from nncf.version import __version__

    if __version__ != SUPPORTED_VERSION:
        raise UserError("NNCF", f"version {__version__}", f"This integration is made for {SUPPORTED_VERSION}.",
                        f"Install it: pip install nncf=={SUPPORTED_VERSION}.")
    prebuilt = os.environ.get(EXTENSIONS_VARIABLE, "")
    with _extensions_from(Path(prebuilt)) if prebuilt else _extension_locks_cleared(), warnings.catch_warnings():
        # Made for torch 1.8.1, it works on 2.1.2 with what _keep_exported_types repairs.
        warnings.filterwarnings("ignore", message="NNCF provides best results with torch")
        import nncf.torch
    # In a single process mmcv's data-parallel wrapper does no more than unpack batches (core/training/device.py).
    warnings.filterwarnings("ignore", message="You are using DataParallel")
    _keep_exported_types()
    _follow_filters_as_far_as_known()
    _copy_shapes_as_numbers()

    logger = logging.getLogger("nncf")
    logger.setLevel(logging.WARNING)
    # Its own handler writes to the screen whatever the run has set up.
    logger.handlers.clear()
    logger.propagate = True
    logger.addFilter(_is_not_said_of_every_model)
    return nncf


def _is_not_said_of_every_model(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_KNOWN)


def _keep_exported_types() -> None:
    """Let an exported FakeQuantize have its input's type and shape.

    Operators of a custom domain have none for torch 2.1's exporter, which then fails where a shape is needed
    further on ("kernel of unknown shape"); NNCF 2.0.0's symbolic (nncf/torch/quantization/quantize_functions.py,
    ExportQuantizeToFakeQuantize) does not set it.
    """
    from nncf.torch.quantization.quantize_functions import ExportQuantizeToFakeQuantize

    symbolic = ExportQuantizeToFakeQuantize.symbolic
    if hasattr(symbolic, "_keeps_type"):
        return

    def typed(g: Any, input_: Any, *arguments: Any) -> Any:
        output = symbolic(g, input_, *arguments)
        output.setType(input_.type())
        return output

    typed._keeps_type = True  # type: ignore[attr-defined]
    ExportQuantizeToFakeQuantize.symbolic = staticmethod(typed)


def _copy_shapes_as_numbers() -> None:
    """Let two operations in a row that NNCF only passes through, such as ``contiguous`` and ``view``, be exported.

    Of the first one's result NNCF notes the shape as torch gives it, tensors while it traces, which the second one
    cannot copy (nncf/torch/dynamic_graph/trace_functions.py, ForwardTraceOnly); TensorMeta makes numbers of them.
    """
    from nncf.torch.dynamic_graph.trace_tensor import TensorMeta

    TensorMeta.__deepcopy__ = lambda meta, memo: TensorMeta(meta.creator_id, meta.index, meta.shape)


def _follow_filters_as_far_as_known() -> None:
    """Let NNCF 2.0.0's pruning take what comes from an operation that it does not trace as nobody's filters.

    Of a layer that runs several times, such as a head's, every use is expected to have a convolution before it
    (nncf/common/pruning/pruning_node_selector.py, step 5), and of an operation to have anything before it
    (nncf/torch/pruning/export_helpers.py, PTConvolution.input_prune). What a layer's FLOPs are counted by lies in the
    graph next to it (nncf/torch/pruning/filter_pruning/algo.py, flops_count_init): where nothing does, as beside
    attention, they are counted for one place.
    """
    from nncf.common.pruning import mask_propagation
    from nncf.common.pruning import pruning_node_selector as selector
    from nncf.common.pruning.clusterization import Clusterization
    from nncf.torch.pruning import export_helpers
    from nncf.torch.pruning.filter_pruning.algo import FilterPruningController

    source_of, masks_of = selector.get_previous_conv, mask_propagation.get_input_masks
    count, merge = FilterPruningController.flops_count_init, Clusterization.merge_clusters
    if hasattr(source_of, "_follows"):
        return

    def source(graph: Any, node: Any, pruned: list[str], stops: list[str]) -> Any:
        uses = [other for other in graph.get_nodes_by_types(pruned) if other.layer_name == node.layer_name]
        found = source_of(graph, node, pruned, stops)
        if found is not None or len(uses) == 1:
            return found
        # Joined with that of another use, or with the layer's own group, nothing new is asked for.
        return next(filter(None, (source_of(graph, other, pruned, stops) for other in uses)), node)

    def merged(clusters: Any, first: int, second: int) -> None:
        # A group joined with itself would be gone.
        if first != second:
            merge(clusters, first, second)

    def masks(node: Any, graph: Any) -> list[Any]:
        return masks_of(node, graph) or [None]

    def counted(controller: Any) -> None:
        graph = controller._model.get_original_graph()
        before, behind = graph.get_input_edges, graph.get_output_edges
        graph.get_input_edges = lambda node: before(node) or [_one_place(node, "in")]
        graph.get_output_edges = lambda node: behind(node) or [_one_place(node, "out")]
        try:
            count(controller)
        finally:
            del graph.get_input_edges, graph.get_output_edges

    source._follows = True  # type: ignore[attr-defined]
    FilterPruningController.flops_count_init, Clusterization.merge_clusters = counted, merged
    selector.get_previous_conv = source
    mask_propagation.get_input_masks = export_helpers.get_input_masks = masks


def _one_place(node: Any, side: str) -> Any:
    """Return what stands for the edge that NNCF's graph has not at a layer's ``in`` or ``out`` side."""
    layer = node.layer_attributes
    channels = getattr(layer, f"{side}_features", None)
    shape = [1, getattr(layer, f"{side}_channels", 0), 1, 1] if channels is None else [channels]
    return SimpleNamespace(tensor_shape=shape)


@contextmanager
def _extensions_from(folder: Path) -> Iterator[None]:
    """Let NNCF load its extensions from ``folder``, where torch would call ninja and a compiler, and write.

    Raises:
        UserError: One is missing there.
    """
    from torch.utils import cpp_extension

    def load(name: str, *args: Any, **kwargs: Any) -> Any:
        if not (folder / f"{name}.so").is_file():
            raise UserError("NNCF's extension", name, f"It must be in {folder}, which {EXTENSIONS_VARIABLE} names.",
                            "Use the image variant made for this machine (cuda for GPUs), or unset the variable "
                            "where a compiler can build it.")
        return cpp_extension._import_module_from_library(name, str(folder), True)

    original = cpp_extension.load
    cpp_extension.load = load
    try:
        yield
    finally:
        cpp_extension.load = original


@contextmanager
def _extension_locks_cleared() -> Iterator[None]:
    """Remove lock files that a killed process left, while no other import of ours runs.

    torch guards each extension by a bare file, even when it is built already (torch/utils/cpp_extension.py,
    _jit_compile), and waits for ever where its owner was killed. The flock here ends with its process.
    """
    from torch.utils.cpp_extension import get_default_build_root

    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".mmdet-compress.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for lock in folder.glob("**/lock"):
            lock.unlink()
        yield
