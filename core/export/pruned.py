"""Pruned filters taken out of a network that is exported, or left in it as zeros where that would change it."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from core.compression.tracing import TRACING_FAULTS, tracing_forward
from core.detectors.graph import forward_as, tensors

logger = logging.getLogger(__name__)

# Of what the heads return: sums in another order differ in the last bits.
_RELATIVE = 1e-3
_SEED = 0


def remove_filters(compression: Any, controller: Any) -> None:
    """Let NNCF remove a network's pruned filters, with what reads them, in place.

    It does so by the graph that it traced. What an operation that is not in it reads, such as attention, it does not
    shrink; so what the network returns is compared. Where it would change, the filters stay as zeros, as they were in
    training, and a warning says so.

    Args:
        compression: The CompressedDetector; it is left on the CPU, in testing mode.
        controller: That of filter pruning.
    """
    network = compression.network.eval().cpu()
    detector, proposals = network.get_nncf_wrapped_model(), []
    controller._apply_masks()
    before, put_back = _returned(compression, network, detector, proposals), _keeper(network, detector)
    try:
        # NNCF counts operations before and after, for which it runs the traced forward.
        with forward_as(detector, tracing_forward(detector, compression.postprocessing)):
            controller.prepare_for_export()
        obstacle = _difference(before, _returned(compression, network, detector, proposals))
    except TRACING_FAULTS as error:
        obstacle = f"NNCF 2.0.0 cannot follow them through this network ({type(error).__name__}: {str(error)[:200]})"
    if obstacle:
        put_back()
        logger.warning("pruned filters stay in the exported model as zeros: %s; results are the same", obstacle)


def _returned(compression: Any, network: Any, detector: Any, proposals: list[Any]) -> list[Any]:
    """Return all maps that the network makes of noise, unprocessed.

    Args:
        proposals: What a second stage reads, the same each time: the last bit decides their order. Taken where empty.
    """
    import torch

    from core.compression.wrap import sample_size

    shape = tuple(sample_size(compression.nncf_config))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(_SEED))
    with torch.no_grad(), forward_as(detector, tracing_forward(detector, False)), _proposing(detector, proposals):
        return [value.float() for value in tensors(network(noise))]


@contextlib.contextmanager
def _proposing(detector: Any, proposals: list[Any]) -> Iterator[None]:
    """Let a region proposal network return these proposals, or what it finds where there are none yet."""
    head = getattr(detector, "rpn_head", None)
    find = getattr(head, "get_bboxes", None)
    if find is None:
        yield
        return
    own = vars(head).get("get_bboxes")

    def same(*arguments: Any, **options: Any) -> Any:
        if not proposals:
            proposals.append(find(*arguments, **options))
        return proposals[0]

    head.get_bboxes = same
    try:
        yield
    finally:
        if own is None:
            del head.get_bboxes
        else:
            head.get_bboxes = own


def _difference(before: list[Any], after: list[Any]) -> str:
    """Return how maps differ from those before in a phrase, empty where they do not."""
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape:
            return f"without them the network returns {tuple(new.shape)} in the place of {tuple(old.shape)}"
        largest = float((old - new).abs().max()) if old.numel() else 0.0
        if not largest <= _RELATIVE * max(float(old.abs().max()), 1e-6):
            return f"without them what the network returns would differ by {largest:.2g}"
    return ""


def _keeper(network: Any, detector: Any) -> Callable[[], None]:
    """Return a function that gives every module the tensors, sizes and hooks it has now.

    NNCF's removal replaces tensors and changes none; where it fails, its counting forward leaves its hooks behind, and
    modules on the stacks of the tracing context.
    """
    kept = [(vars(module), dict(vars(module)), {name: dict(value) for name, value in vars(module).items()
                                                if isinstance(value, dict)}) for module in detector.modules()]

    def put_back() -> None:
        for present, attributes, contents in kept:
            present.clear()
            present.update(attributes)
            for name, content in contents.items():
                attributes[name].clear()
                attributes[name].update(content)
        context = network.get_tracing_context()
        context.module_call_stack.clear()
        context.relative_scopes_stack.clear()

    return put_back
