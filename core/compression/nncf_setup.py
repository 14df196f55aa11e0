"""What NNCF 2.0.0 raises in the middle of wrapping or of training, foreseen without any data.

NNCF itself is asked: where it would put quantizers (torch/quantization/algo.py), and whether it can prune to a share of
the FLOPs (torch/pruning/filter_pruning/algo.py).
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from core.base.suggest import listed
from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import Finding, child
from core.compression.tracing import tracing_forward
from core.detectors.graph import forward_as

_LISTED = 3

logger = logging.getLogger(__name__)


def quantizer_findings(entry: Entry, nncf_config: dict[str, Any], network: Any) -> Iterator[Finding]:
    """Yield what keeps NNCF from setting up the quantizers of a traced network.

    Args:
        entry: The algorithm ``quantization`` of a config that is valid by itself.
        nncf_config: All of it.
        network: An ``NNCFNetwork`` without quantizers.
    """
    from nncf import NNCFConfig
    from nncf.torch.quantization.algo import QuantizationBuilder

    builder = QuantizationBuilder(NNCFConfig.from_dict(nncf_config), should_init=False)
    try:
        points = list(builder._get_quantizer_setup(network).quantization_points.values())
    except (RuntimeError, ValueError) as error:
        # It names the first layer; the constraint it breaks is among activations, weights and scope_overrides.
        yield entry.finding("scope_overrides" if entry.has("scope_overrides") else "algorithm",
                            f"NNCF finds no quantizer for this detector that the settings allow: {error}",
                            "Loosen activations, weights or scope_overrides for that layer.")
        return
    yield from _range_findings(entry.section("initializer"), points)
    # Scopes of bit widths that no quantizer has (torch/quantization/precision_init/manual_init.py).
    precision = entry.section("initializer").section("precision")
    places = [str(point.insertion_point) for point in points]
    for index, pair in enumerate(precision.get("bitwidth_per_scope") or ()):
        if pair and not any(str(pair[1]) in place for place in places):
            yield Finding(child(child(precision.path, "bitwidth_per_scope"), index), pair,
                          "No quantizer of this detector lies at a place with that name.",
                          f"Places look like {places[0]!r}." if places else "Remove it.")


def _range_findings(initializer: Entry, points: Sequence[Any]) -> Iterator[Finding]:
    """Yield the quantizers that no item of a list of ranges is for, and those that several are for."""
    from nncf.common.quantization.initialization.range import PerLayerRangeInitConfig
    from nncf.torch.quantization.init_range import PTRangeInitParams

    items = initializer.get("range")
    if not isinstance(items, list) or not any(item.get("num_init_samples", 1) for item in items):
        return
    ranges = PTRangeInitParams(None, None, None, [PerLayerRangeInitConfig.from_dict(item) for item in items])
    uncovered, contested = [], []
    for point in points:
        try:
            ranges.get_init_config_for_quantization_point(point)
        except ValueError as error:
            kind = "weights" if point.is_weight_quantization_point() else "activations"
            (contested if "more than one" in str(error) else uncovered).append(
                f"{point.insertion_point.target_node_name} ({kind})")
    if uncovered:
        yield initializer.finding("range", f"Each quantizer needs an item of the list, and {len(uncovered)} of "
                                  f"{len(points)} have none: {listed(uncovered, most=_LISTED)}.",
                                  "Widen target_scopes, or add an item with ignored_scopes that names what the others "
                                  "are for; a dict instead of a list is for all of them.")
    if contested:
        yield initializer.finding("range", f"Each quantizer needs one item of the list, and {len(contested)} of "
                                  f"{len(points)} have several: {listed(contested, most=_LISTED)}.",
                                  "Narrow the scopes of the items, or give them a target_quantizer_group.")


def pruning_level_findings(entry: Entry, nncf_config: dict[str, Any], network: Any,
                           postprocessing: bool) -> Iterator[Finding]:
    """Yield what keeps NNCF from pruning a traced network to its last level, which training would reach late.

    A share of filters can always be pruned; a share of FLOPs, or by coefficients of a file, is tried on ``network``.

    Args:
        entry: The algorithm ``filter_pruning`` of a config that is valid by itself.
        nncf_config: All of it.
        network: An ``NNCFNetwork`` without anything inserted; it is pruned.
        postprocessing: As it was traced.
    """
    from nncf import NNCFConfig
    from nncf.torch.pruning.filter_pruning.algo import FilterPruningBuilder

    params = entry.section("params")
    key = next((key for key in ("load_ranking_coeffs_path", "pruning_flops_target") if params.has(key)), None)
    if key is None:
        return
    alone = {**copy.deepcopy(entry.given), "algorithm": "filter_pruning"}
    alone.get("params", {}).pop("save_ranking_coeffs_path", None)
    detector = network.get_nncf_wrapped_model()
    with forward_as(detector, tracing_forward(detector, postprocessing)):
        builder = FilterPruningBuilder(NNCFConfig.from_dict({**nncf_config, "compression": alone}), should_init=False)
        builder.apply_to(network)
        try:
            controller = builder.build_controller(network)
            controller.set_pruning_rate(controller.scheduler.target_level)
        except Exception as error:  # NNCF raises bare Exceptions here, and KeyErrors over the file's layers.
            logger.debug("pruning failed", exc_info=True)
            yield params.finding(key, f"NNCF cannot prune this detector so: {type(error).__name__}: {error}.",
                                 "Ask for less, or give coefficients of these very layers.")
