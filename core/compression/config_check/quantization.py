"""Rules on the algorithms quantization and binarization that compare entries."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import Finding, child
from core.compression.config_check.vocabulary import (
    PERCENTILE_TYPES,
    QUANTIZER_GROUPS,
    STAGED_EPOCHS,
    STAGED_UNREAD,
)

_BOTH = ("symmetric", "asymmetric")


@dataclass(frozen=True)
class QuantizerLimits:
    """What a device allows for the quantizers of convolutions; None where a key must be left out."""

    bits: tuple[int, ...]
    mode: tuple[str, ...]
    per_channel: tuple[bool, ...]
    signed: bool | None


# common/hardware/configs/{cpu,gpu,vpu}.json of NNCF 2.0.0; ANY is CPU, TRIAL has no limits. NNCF raises where a
# constraint leaves a layer no choice.
LIMITS: dict[str, dict[str, QuantizerLimits]] = {
    **{device: {"weights": QuantizerLimits((8,), _BOTH, (False, True), True),
                "activations": QuantizerLimits((8,), _BOTH, (False,), None)} for device in ("ANY", "CPU", "GPU")},
    "VPU": {"weights": QuantizerLimits((2, 4, 8), ("symmetric",), (False, True), None),
            "activations": QuantizerLimits((4, 8), _BOTH, (False,), None)}}


def quantizer_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the quantizers of weights and of activations, and between their scopes."""
    for group in QUANTIZER_GROUPS:
        section = entry.section(group)
        yield from _device_rules(section, group, device)
        owners = (entry, section)
        for owner in owners if any(owner.get("target_scopes") is not None for owner in owners) else ():
            if owner.has("ignored_scopes") and (group == "weights" or owner is section):
                yield owner.warning("ignored_scopes", f"With target_scopes NNCF ignores nothing among the {group}.",
                                    "Name in target_scopes just the layers that are meant.")


def _device_rules(quantizer: Entry, group: str, device: str) -> Iterator[Finding]:
    if device not in LIMITS:
        return
    limits = LIMITS[device][group]
    for key in ("bits", "mode", "per_channel"):
        allowed, value = getattr(limits, key), quantizer.get(key)
        if value is not None and value not in allowed:
            choices = " or ".join(map(repr, allowed))
            yield quantizer.finding(key, f"For target_device {device} the {group} take {choices} only.",
                                    f"Write {allowed[-1]!r}, or set target_device='TRIAL'.")
    signed = quantizer.get("signed")
    if signed is None:
        return
    if limits.signed is None or signed != limits.signed:
        rule = "leave it to the ranges" if limits.signed is None else "are signed"
        yield quantizer.finding("signed", f"For target_device {device} the {group} {rule}.", "Remove the key.")
    elif quantizer.get("mode") == "asymmetric":
        yield quantizer.finding("signed", f"For target_device {device} only symmetric {group} take it.",
                                "Remove the key.")


def override_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with ``scope_overrides``."""
    overrides = entry.section("scope_overrides")
    activations = overrides.section("activations")
    for pattern in activations.clean:
        yield from _device_rules(activations.section(pattern), "activations", device)
    if overrides.section("weights").clean and device != "TRIAL":
        yield overrides.warning("weights", f"NNCF 2.0.0 ignores overrides of weights for target_device {device}.",
                                "Remove them, or set target_device='TRIAL'.")
    for group in QUANTIZER_GROUPS:
        section = overrides.section(group)
        for pattern in section.clean:
            if section.section(pattern).has("initializer"):
                yield section.section(pattern).warning("initializer", "NNCF 2.0.0 ignores it in overrides.",
                                                       "Give initializer.range a list with target_scopes.")


def range_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the initializer of the quantizers' ranges."""
    initializer = entry.section("initializer")
    for item in initializer.sections("range"):
        if item.get("num_init_samples") == 0:
            yield item.warning("num_init_samples", "Without samples no range is estimated and training starts from "
                               "arbitrary ones.", "Write such as 256.")
        percentiles = item.section("params")
        low, high = percentiles.get("min_percentile", 0.1), percentiles.get("max_percentile", 99.9)
        if low is not None and high is not None and low >= high:
            key = "min_percentile" if percentiles.has("min_percentile") else "max_percentile"
            yield percentiles.finding(key, f"min_percentile ({low:g}) is below max_percentile ({high:g}).",
                                      "Write such as 0.1 and 99.9.")
        kind = item.get("type", "mean_min_max")
        if percentiles.clean and kind is not None and kind not in PERCENTILE_TYPES:
            yield item.warning("params", f"The type {kind} has no percentiles, so they are ignored.",
                               "Write type='percentile' or 'mean_percentile', or remove params.")
        scoped = item.has("target_scopes") or item.has("ignored_scopes")
        if item.path != child(initializer.path, "range") and not scoped:
            yield item.finding("target_scopes", "Each item of a list of ranges says for which scopes it is.",
                               "Add target_scopes or ignored_scopes.")


def precision_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the initializer of the quantizers' bit widths."""
    precision = entry.section("initializer").section("precision")
    if precision.get("type", "manual") in ("hawq", "autoq"):
        yield precision.finding("type", "hawq and autoq need a loss and an evaluation from the training script, "
                                "which is not given here.", "Write 'manual' with bitwidth_per_scope, or remove it.")
    limits = LIMITS.get(device)
    allowed = sorted({*limits["weights"].bits, *limits["activations"].bits}) if limits else None
    for index, pair in enumerate(precision.get("bitwidth_per_scope") or ()):
        if allowed and pair and pair[0] is not None and pair[0] not in allowed:
            yield Finding(child(child(precision.path, "bitwidth_per_scope"), index), pair,
                          f"For target_device {device} bit widths are {', '.join(map(str, allowed))}.",
                          f"Write {allowed[-1]}, or set target_device='TRIAL'.")


def staged_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with ``params``, which say when ``quantization`` or ``binarization`` begins."""
    params = entry.section("params")
    for key in STAGED_UNREAD:
        if params.has(key):
            yield params.warning(key, "Only NNCF's own example scripts read it.",
                                 "Remove it; set optimizer and lr_config of the config.")
    if not params.clean or epochs is None:
        return
    for key in STAGED_EPOCHS:
        start = params.get(key, 1)
        if start is not None and start >= epochs:
            yield params.finding(key, f"Quantization begins at the epoch of this index (1 by default with params), "
                                 f"which a training of {epochs} epochs never reaches.",
                                 f"Write at most {epochs - 1}, or raise runner.max_epochs above {start:g}.")


def export_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield whether the export would lack FakeQuantize."""
    if entry.get("export_to_onnx_standard_ops"):
        yield entry.finding("export_to_onnx_standard_ops", "The export needs FakeQuantize, which OpenVINO reads.",
                            "Write False, or remove the key.")
