"""All checks of an nncf_config that need nothing but the dict and the number of epochs."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.base.errors import UserError
from core.compression.config_check import pruning, quantization, sparsity
from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import ABSENT, ERROR, Finding
from core.compression.config_check.schema import schema_findings
from core.compression.config_check.vocabulary import ROOT

logger = logging.getLogger(__name__)

# What each algorithm's entry is checked by, given the device and the training's epochs.
_RULES: dict[str, Sequence[Callable[[Entry, str, int | None], Iterator[Finding]]]] = {
    "quantization": (quantization.quantizer_rules, quantization.override_rules, quantization.range_rules,
                     quantization.precision_rules, quantization.staged_rules, quantization.export_rules),
    "binarization": (quantization.staged_rules,),
    "filter_pruning": (pruning.target_rules, pruning.start_rules, pruning.duration_rules, pruning.ranking_rules),
    **dict.fromkeys(("magnitude_sparsity", "rb_sparsity"),
                    (sparsity.level_rules, sparsity.epoch_rules, sparsity.multistep_rules))}


def check_nncf_config(nncf_config: Any, epochs: int | None = None) -> list[Finding]:
    """Return everything that is wrong with an nncf_config for NNCF 2.0.0; ``nncf_config`` is not changed.

    NNCF's own schema is asked too where NNCF is installed; what it refuses is listed unless a rule of ours already
    says more about the same place.

    Args:
        epochs: Epochs of the training that it is for; None skips the rules on schedules.
    """
    findings: list[Finding] = []
    root, algorithms = read_entries(nncf_config, findings)
    first: dict[str, Entry] = {}
    for entry in algorithms:
        name = entry.get("algorithm")
        if name in first:
            findings.append(entry.finding("algorithm", f"An algorithm stands once, and {first[name].path} is {name} "
                                          "too.", f"Merge both into {first[name].path}."))
        first.setdefault(name, entry)
    if list(first) == ["knowledge_distillation"]:
        findings.append(algorithms[0].finding("algorithm", "Distillation alone compresses nothing.",
                                              "Add quantization, filter_pruning or a sparsity algorithm."))
    findings += _scope_rules(root, algorithms)
    # A device that is wrong has no limits of its own.
    device = root.get("target_device", "ANY") or "TRIAL"
    for entry in algorithms:
        for rule in _RULES.get(entry.get("algorithm"), ()):
            findings += rule(entry, device, epochs)
    said = [finding.path for finding in findings]
    for refusal in schema_findings(nncf_config):
        path = refusal.path
        # A finding of ours stands at, above or below that place.
        if not any(path in ("nncf_config", place) or place.startswith((f"{path}.", f"{path}["))
                   or path.startswith((f"{place}.", f"{place}[")) for place in said):
            findings.append(refusal)
    return findings


def require_valid(nncf_config: Any, epochs: int | None = None) -> None:
    """Raise one UserError that lists every error of ``check_nncf_config``; warnings are logged."""
    findings = check_nncf_config(nncf_config, epochs)
    errors = [finding for finding in findings if finding.severity == ERROR]
    for finding in findings:
        if finding.severity != ERROR:
            logger.warning("nncf_config, %s", finding)
    if errors:
        listed = "".join(f"\n  {number}. {finding}" for number, finding in enumerate(errors, 1))
        raise UserError("nncf_config", f"{len(errors)} error{'s' if len(errors) > 1 else ''}",
                        f"It must be valid for NNCF 2.0.0:{listed}\n",
                        "Correct the config; `python -m core.compression.check CONFIG --migrate` prints it with keys "
                        "of other NNCF versions replaced.")


def epochs_of(config: Mapping[str, Any]) -> int | None:
    """Return the epochs that an MMDetection config trains for, None where it counts iterations."""
    runner = config.get("runner") or {}
    epochs = runner.get("max_epochs", config.get("total_epochs"))
    return epochs if isinstance(epochs, int) else None


def read_entries(nncf_config: Any, findings: list[Finding]) -> tuple[Entry, list[Entry]]:
    """Return the top of an nncf_config and its algorithms, read; append what is wrong with their form to ``findings``.

    An algorithm without a valid name is left out.
    """
    clean = ROOT.read(nncf_config, "", findings)
    if isinstance(nncf_config, dict) and "compression" not in nncf_config:
        ROOT.keys["compression"].read(ABSENT, "compression", findings)
    root = Entry("", nncf_config if isinstance(nncf_config, dict) else {}, clean or {})
    return root, [entry for entry in root.sections("compression") if entry.get("algorithm")]


def _scope_rules(root: Entry, algorithms: list[Entry]) -> Iterator[Finding]:
    """Check the scopes at the top: NNCF 2.0.0 lets an algorithm's list extend the top's in place."""
    own = [entry for entry in algorithms if entry.get("ignored_scopes") is not None]
    if root.get("ignored_scopes") is not None and own:
        if isinstance(root.get("ignored_scopes"), str):
            yield root.finding("ignored_scopes", "Beside an algorithm's own it must be a list.",
                               f"Write {[root.get('ignored_scopes')]!r}.")
        for entry in own:
            if isinstance(entry.get("ignored_scopes"), str):
                yield entry.finding("ignored_scopes", "Beside ignored_scopes at the top it must be a list.",
                                    f"Write {[entry.get('ignored_scopes')]!r}.")
            if entry is not algorithms[-1]:
                yield entry.warning("ignored_scopes", "NNCF adds it to the list at the top, so the algorithms after "
                                    "this one ignore these scopes too.", "Move the top's scopes into each algorithm.")
    for entry in algorithms if root.has("target_scopes") else ():
        if entry.has("target_scopes"):
            yield entry.finding("target_scopes", "NNCF reads the top's target_scopes instead of these.",
                                "Keep one of both.")
