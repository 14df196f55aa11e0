"""What an nncf_config means for the layers of a detector: scopes that match, frozen layers, filters that go.

The detector is traced as for compression, with whatever weights it has; nothing is compressed.
"""

import copy
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.base.suggest import nearest
from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import Finding, child
from core.compression.config_check.pruning import DEFAULT_TARGET
from core.compression.config_check.quantization import QUANTIZER_GROUPS
from core.compression.config_check.rules import read_entries
from core.compression.nncf_import import import_nncf
from core.compression.nncf_setup import pruning_level_findings, quantizer_findings
from core.compression.tracing import (
    TRACING_FAULTS,
    dummy_forward,
    keep_out_of_graph,
    postprocessing_obstacle,
    tracing_forward,
)
from core.detectors.graph import forward_as

logger = logging.getLogger(__name__)

# Algorithms whose builder lets a frozen layer pass, at 8 bits (torch/compression_method_api.py and its overrides).
_FROZEN_ALLOWED = ("quantization", "const_sparsity")
_MODEL_ENDS = ("nncf_model_input", "nncf_model_output")
_QUANTIZER_SUFFIXES = ("|WEIGHT", "|OUTPUT", "|INPUT0", "|INPUT1", "|INPUT2", "|INPUT3")


@dataclass(frozen=True)
class TracedLayers:
    """The operations of a traced detector, by their NNCF scopes.

    Attributes:
        weighted: Those with weights that an algorithm can compress.
        frozen: The weighted ones that are not trained.
        graph: NNCF's graph of the detector.
        network: NNCF's network that traced it.
        postprocessing: Whether it was traced with post-processing.
    """

    operations: tuple[str, ...]
    weighted: tuple[str, ...]
    frozen: tuple[str, ...]
    graph: Any
    network: Any
    postprocessing: bool


@dataclass(frozen=True)
class PatternMatch:
    """The operations that a scope pattern matched."""

    path: str
    pattern: str
    matched: tuple[str, ...]


@dataclass(frozen=True)
class PrunedGroup:
    """Convolutions that lose the same filters together.

    Attributes:
        layers: Their scopes.
        channels: Filters of each.
        removed: How many of them go; None where that is decided across layers or by FLOPs.
    """

    layers: tuple[str, ...]
    channels: int
    removed: int | None


@dataclass(frozen=True)
class PruningPlan:
    """What filter pruning will take from each group.

    Attributes:
        level: The share of filters that the config asks for; None where it asks for a share of FLOPs.
        barriers: Kinds of operators in the graph that NNCF cannot prune through, and how many of each there are.
    """

    level: float | None
    groups: tuple[PrunedGroup, ...]
    barriers: dict[str, int]

    @property
    def untouched(self) -> tuple[PrunedGroup, ...]:
        """The groups that lose nothing: NNCF rounds what stays up to a multiple of 8."""
        return tuple(group for group in self.groups if group.removed == 0)


@dataclass(frozen=True)
class LayerReport:
    """All that the layers say about an nncf_config."""

    traced: TracedLayers
    matches: tuple[PatternMatch, ...]
    pruning: PruningPlan | None
    findings: tuple[Finding, ...]


def trace_layers(detector: Any, nncf_config: dict[str, Any], postprocessing: bool = True) -> TracedLayers:
    """Trace a copy of ``detector`` with a zero image of ``input_info``'s size.

    As in compression, the graph ends at the raw heads where ``postprocessing`` cannot be traced.
    """
    import_nncf()
    if postprocessing and not postprocessing_obstacle(detector):
        try:
            return _trace(copy.deepcopy(detector), nncf_config, True)
        except TRACING_FAULTS:
            logger.debug("tracing post-processing failed", exc_info=True)
    return _trace(copy.deepcopy(detector), nncf_config, False)


def _trace(detector: Any, nncf_config: dict[str, Any], postprocessing: bool) -> TracedLayers:
    from nncf.torch.dynamic_graph.graph_tracer import create_input_infos
    from nncf.torch.nncf_network import NNCFNetwork

    inputs = create_input_infos(nncf_config)
    keep_out_of_graph(detector, postprocessing)
    with forward_as(detector.eval(), tracing_forward(detector, postprocessing)):
        network = NNCFNetwork(
            detector, input_infos=inputs, dummy_forward_fn=dummy_forward(inputs[0].shape),
            wrap_inputs_fn=lambda args, kwargs: (args, kwargs), wrap_outputs_fn=lambda outputs: outputs,
            ignored_scopes=nncf_config.get("ignored_scopes"), target_scopes=nncf_config.get("target_scopes"),
            scopes_without_shape_matching=nncf_config.get("scopes_without_shape_matching", []))
    graph, weighted = network.get_original_graph(), network.get_weighted_original_graph_nodes()
    return TracedLayers(
        tuple(node.node_name for node in graph.get_all_nodes()), tuple(node.node_name for node in weighted),
        tuple(node.node_name for node in weighted if not node.layer_attributes.weight_requires_grad), graph,
        network, postprocessing)


def inspect_layers(detector: Any, nncf_config: dict[str, Any], postprocessing: bool = True) -> LayerReport:
    """Return what a valid nncf_config does to the layers of ``detector``.

    Errors among the findings: a pattern that matches nothing, frozen layers that an algorithm refuses, an algorithm
    without a layer to compress, pruning that removes no filter, and what NNCF's own set-up refuses.
    """
    traced = trace_layers(detector, nncf_config, postprocessing)
    root, algorithms = read_entries(nncf_config, [])
    matches = tuple(_matches(root, algorithms, traced))
    findings: list[Finding] = [_unmatched(match, traced) for match in matches if not match.matched]
    plan = None
    for entry in algorithms:
        findings += _coverage(root, entry, traced)
        if entry.get("algorithm") == "filter_pruning":
            plan = _pruning_plan(root, entry, traced.graph)
            if not plan.groups:
                barriers = f" NNCF 2.0.0 cannot prune through {', '.join(plan.barriers)}." if plan.barriers else ""
                findings.append(entry.finding(
                    "params", f"No convolution of this detector can be pruned with these settings.{barriers}",
                    "Allow more (prune_downsample_convs, prune_last_conv, fewer ignored_scopes), or use a detector "
                    "without these operators."))
            elif len(plan.untouched) == len(plan.groups):
                findings.append(entry.section("params").finding(
                    "pruning_target", "What stays is rounded up to a multiple of 8 filters, and here that is all of "
                    "them.", "Raise the level, or use a detector with wider layers."))
            if not findings:
                findings += pruning_level_findings(entry, nncf_config, traced.network, traced.postprocessing)
        elif entry.get("algorithm") == "quantization" and not findings:
            findings += quantizer_findings(entry, nncf_config, traced.network)
    return LayerReport(traced, matches, plan, tuple(findings))


def _matches(root: Entry, algorithms: Sequence[Entry], traced: TracedLayers) -> Iterator[PatternMatch]:
    modules = sorted({name.rpartition("/")[0] for name in traced.operations} - {""})
    yield from _scope_matches(root, (*traced.operations, *modules))
    for entry in algorithms:
        yield from _scope_matches(entry, traced.operations)
        for group in QUANTIZER_GROUPS:
            yield from _scope_matches(entry.section(group), traced.operations)
            overrides = entry.section("scope_overrides").section(group)
            for pattern in overrides.clean:
                yield _match(child(overrides.path, pattern), pattern, traced.operations)
        quantizers = tuple(name + suffix for name in traced.operations for suffix in _QUANTIZER_SUFFIXES)
        for item in entry.section("initializer").sections("range"):
            yield from _scope_matches(item, quantizers)


def _scope_matches(entry: Entry, candidates: Sequence[str]) -> Iterator[PatternMatch]:
    for key in ("ignored_scopes", "target_scopes"):
        for pattern in _listed(entry.get(key)):
            yield _match(child(entry.path, key), pattern, candidates)


def _match(path: str, pattern: str, candidates: Sequence[str]) -> PatternMatch:
    from nncf.common.utils.helpers import matches_any

    return PatternMatch(path, pattern, tuple(name for name in candidates if matches_any(name, pattern)))


def _unmatched(match: PatternMatch, traced: TracedLayers) -> Finding:
    below = [name for name in traced.operations if name.startswith(match.pattern)]
    similar = nearest(match.pattern.replace("{re}", ""), traced.operations)
    if below:
        replacement = f"Since NNCF 2.0 a prefix does not match: write {'{re}^' + re.escape(match.pattern)!r}."
    elif similar:
        replacement = f"Did you mean {similar!r}?"
    else:
        replacement = f"Scopes look like {traced.weighted[0]!r}; --scopes lists them."
    return Finding(match.path, match.pattern, "No operation of the traced detector has this scope.", replacement)


def _coverage(root: Entry, entry: Entry, traced: TracedLayers) -> Iterator[Finding]:
    from nncf.common.utils.helpers import should_consider_scope

    name = entry.get("algorithm")
    ignored, targets = _effective_scopes(root, entry)
    considered = [layer for layer in traced.weighted if should_consider_scope(layer, ignored, targets)]
    if not considered:
        yield entry.finding("target_scopes" if entry.has("target_scopes") else "ignored_scopes",
                            f"The scopes leave {name} no layer.", "Ignore fewer layers, or target more.")
    frozen = [layer for layer in considered if layer in traced.frozen]
    if frozen and name not in _FROZEN_ALLOWED:
        thaw = "Train them (frozen_stages=-1 in the backbone)"
        yield entry.finding("ignored_scopes", f"NNCF refuses {name} where layers are frozen, and {len(frozen)} are.",
                            f"{thaw}." if name == "knowledge_distillation" else
                            f"{thaw}, or ignore them: ignored_scopes={_listed(entry.get('ignored_scopes')) + frozen}")


def _effective_scopes(root: Entry, entry: Entry) -> tuple[list[str], list[str] | None]:
    ignored = _listed(root.get("ignored_scopes")) + _listed(entry.get("ignored_scopes"))
    targets = _listed(root.get("target_scopes")) or _listed(entry.get("target_scopes"))
    return ignored, targets or None


def _pruning_plan(root: Entry, entry: Entry, graph: Any) -> PruningPlan:
    """Choose the groups as NNCF's own selector does (torch/pruning/base_algo.py)."""
    from nncf.common.pruning.pruning_node_selector import PruningNodeSelector
    from nncf.common.pruning.utils import get_rounded_pruned_element_number
    from nncf.torch.layers import NNCF_PRUNING_MODULES_DICT
    from nncf.torch.pruning.export_helpers import PT_PRUNING_OPERATOR_METATYPES, PTElementwise

    params = entry.section("params")
    learned = params.get("interlayer_ranking_type") == "learned_ranking"
    selector = PruningNodeSelector(
        PT_PRUNING_OPERATOR_METATYPES, [module.op_func_name for module in NNCF_PRUNING_MODULES_DICT],
        PTElementwise.get_all_op_aliases(), *_effective_scopes(root, entry),
        *(params.get(key, learned) for key in ("prune_first_conv", "prune_last_conv", "prune_downsample_convs")))
    level = None if params.has("pruning_flops_target") else params.get("pruning_target", DEFAULT_TARGET)
    across = level is None or params.get("all_weights", learned)
    groups = []
    for cluster in selector.create_pruning_groups(graph).get_all_clusters():
        channels = cluster.elements[0].layer_attributes.out_channels
        removed = None if across else get_rounded_pruned_element_number(channels, level)
        groups.append(PrunedGroup(tuple(sorted(node.node_name for node in cluster.elements)), channels, removed))
    kinds = Counter(node.node_type for node in graph.get_all_nodes() if node.node_type not in _MODEL_ENDS)
    barriers = {kind: count for kind, count in kinds.most_common()
                if PT_PRUNING_OPERATOR_METATYPES.get_operator_metatype_by_op_name(kind) is None}
    return PruningPlan(level, tuple(sorted(groups, key=lambda group: group.layers)), barriers)


def _listed(scopes: Any) -> list[str]:
    return [scopes] if isinstance(scopes, str) else list(scopes or ())
